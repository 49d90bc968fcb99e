"""What `kws prepare` says about few clips, speakers and words. A network can be trained on them all the same."""
import pytest
from click.testing import CliRunner

from kwscli import cli
from kwscli.data import advice, layouts


def info(speakers=20, silent=(), **words):
    """dataset.json of words with so many training clips."""
    counts = {word: {"training": count, "validation": 2, "testing": 2} for word, count in words.items()}
    return {"words": counts, "speaker_count": speakers, "silent_clips": dict(silent)}


MANY = {"word%d" % number: 30 for number in range(60)}


@pytest.mark.parametrize("found, expected", [
    (info(a=30, b=30, c=30, d=30), []),
    (info(a=30, b=30, c=30, d=19), ["Fewer than 20 training clips: d (19). Start with a trained network"]),
    (info(a=300, b=300, c=300, d=30), ["A tenth of the clips of a (300) or fewer: d (30). A network that"]),
    (info(speakers=3, a=30, b=30, c=30, d=30), ["Only 3 speakers: the network will know their voices, and miss"]),
    (info(speakers=0, a=30, b=30, c=30, d=30), []),  # nobody knows how many
    (info(a=30, b=30), ["Only a (30), b (30): if all are keywords, the network hears no other word"]),
    (info(a=30, b=30, _unknown_=30), []),
    (info(a=30, b=30, c=30, d=30, silent={"d": 17}), ["Mostly silent recordings: d (17). Check the microphone"]),
    (info(a=30, b=30, c=30, d=30, silent={"d": 16}), []),
    (info(**MANY), ["60 words: name those that you need with --wanted-words."]),
    (info(a=1, b=2, c=3, d=4, e=5, f=6), ["Fewer than 20 training clips: a (1), b (2), c (3), d (4), e (5) and 1 "]),
])
def test_what_will_limit_a_network(found, expected):
    said = list(advice.lines(found))
    assert len(said) == len(expected)
    assert all(line.startswith(start) for line, start in zip(said, expected)), said


def test_prepare_says_it(kws, tones, tmp_path):
    tones(tmp_path, words=("yes", "no"), speakers=3)
    result = kws("prepare", "--data-path", tmp_path)
    assert "Only 3 speakers: " in result.stdout and "Fewer than 20 training clips: " in result.stdout


@pytest.mark.parametrize("words", [("yes", "no", "up"), ("yes",)])
def test_three_speakers_are_enough_to_train(kws, tones, tmp_path, words):
    """Whatever split is empty."""
    tones(tmp_path / "data", words=words, speakers=3)
    assert kws("prepare", "--data-path", tmp_path / "data").exit_code == 0
    result = CliRunner().invoke(cli.cli, [
        "train", "--data-path", str(tmp_path / "data"), "--train-dir", str(tmp_path / "run"), "--wanted-words",
        ",".join(words), "--model-size-info", "1", "8", "10", "4", "2", "2", "--how-many-training-steps", "2",
        "--learning-rate", "0.01", "--batch-size", "4",
    ])
    assert result.exit_code == 0, result.output
    assert "step 2 -> " in result.output
    labelled = kws("label", "--checkpoint", tmp_path / "run", tmp_path / "data" / "yes" / "00000000_nohash_0.wav")
    assert labelled.exit_code == 0


def layout_of(*paths):
    return layouts.recognize(paths, lambda path: ())


def test_folders_of_speakers_are_no_words():
    layout = layout_of("ja/speaker-anna/1.wav", "ja/speaker_2/1.wav", "spk01/nein/1.wav", "nein/user7/1_nohash_2.wav")
    assert [(place.word, place.speaker) for place in layout.places.values()] == [
        ("ja", "speaker-anna"), ("ja", "speaker_2"), ("nein", "spk01"), ("nein", "1")
    ]
    assert layout.notes == []


def test_folders_that_may_be_speakers_are_said():
    layout = layout_of("ja/anna/1.wav", "nein/anna/1.wav", "ja/ben/1.wav")
    assert {place.word for place in layout.places.values()} == {"anna", "ben"}
    assert layout.notes == ["ja/anna and other folders inside of folders: anna is taken as the word. If it is the "
                            "speaker, rename it to speaker-anna"]


@pytest.mark.parametrize("name", ["speaker", "speakers", "person", "users", "userland", "spk", "personal"])
def test_words_that_begin_like_a_speaker_are_words(name):
    assert layouts.word_of("%s/1.wav" % name) == name


def test_label_files_say_what_they_name():
    table = "path,word\nclips/a.wav,ja\nclips/b.wav,nein\nclips/c.wav,nein\n"
    layout = layouts.recognize(["clips/a.wav", "own.csv"], lambda path: table.splitlines(True))
    assert layout.notes == ["own.csv is a label file: it names 1 recordings, and 2 that are not there, such as "
                            "clips/b.wav"]
