"""`kws words`: phrases that sound alike, voices, the mixture of recordings, and the whole command on a small scale."""
import json
import os
import shutil
import sys
import types

import numpy as np
import pytest
import soundfile
from conftest import tone
from hypothesis import given, strategies

from kwscli import classifiers
from kwscli.data import dataset, prepare, synthesize
from kwscli.errors import KwsError
from kwscli.words import corpus, mixture, project, vocabulary, voices
from kwscli.words.corpus import Amounts
from kwscli.words.phrases import HardNegatives, distance, sounds

SMALL = Amounts(
    dict(training=24, validation=4, testing=6), 6, dict(training=3, validation=1, testing=1), 8,
    dict(training=3, validation=4, testing=4),
)


@pytest.fixture
def espeak():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (the extra kwscli[synthesis])")


# ---- phrases


def reference_distance(one, other):
    """The definition of Levenshtein's distance, without a table."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        reference_distance(one[1:], other) + 1, reference_distance(one, other[1:]) + 1,
        reference_distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(*[strategies.lists(strategies.sampled_from("abc"), max_size=5).map(tuple)] * 2)
def test_the_distance_is_that_of_levenshtein(one, other):
    assert distance(one, other) == reference_distance(one, other)


def test_stress_and_length_do_not_tell_words_apart():
    assert sounds(["h", "'eI", ",l", "a:", "|"]) == ("h", "eI", "l", "a")


def hard(phrase, words=("stop", "lamb", "camp", "hay", "banana", "lamp"), keywords=None, count=10):
    """Hard negatives in a language in which each letter is a phoneme, and y is i."""
    return HardNegatives(keywords or [phrase], words, lambda text: tuple(text.replace(" ", "").replace("y", "i"))).of(
        phrase, count
    )


def test_parts_and_other_orders_of_a_phrase_come_first():
    assert hard("hey lamp")[:3] == ["hey", "lamp", "lamp hey"]
    found = hard("turn on light")
    assert {"turn on", "on light", "light on turn", "on turn light"} <= set(found)
    assert "turn on light" not in found


def test_the_halves_of_a_single_word():
    assert hard("marvin", words=())[:2] == ["mar", "vin"]
    assert hard("on", words=()) == [], "halves of one letter say nothing"


def test_words_that_sound_alike_take_the_place_of_each_word():
    found = hard("hey lamp", count=20)
    assert {"hay lamp", "hey lamb", "hey camp"} <= set(found)
    assert found.index("hey lamb") < found.index("hey banana")


def test_what_sounds_the_same_is_no_negative():
    assert "hei" not in hard("hey", words=["hei", "hex"])


def test_another_keyword_and_what_sounds_like_it_are_no_negatives():
    found = hard("stop", words=["step", "stap", "stip"], keywords=["stop", "step", "styp"])
    assert "stap" in found and not {"step", "stip"} & set(found)


def test_there_are_no_more_than_asked_for():
    assert len(hard("hey lamp", count=4)) == 4


SYLLABLES = [consonant + vowel for consonant in "bdfgk" for vowel in "aeio"]


def phrases(keywords, words, amounts=corpus.FULL):
    """What `kws words` says in the language of `hard`."""
    espeak = types.SimpleNamespace(sounds_of=lambda text: tuple(text.replace(" ", "")))
    return project._phrases(project.Request(tuple(keywords), "en", "run", "ds_cnn_s"), words, espeak, amounts)


@pytest.mark.parametrize("keywords", [["stop"], ["stop", "go"], ["hey lamp"]])
def test_a_short_word_list_leaves_words_to_measure_false_accepts_on(keywords):
    found = phrases(keywords, SYLLABLES)
    assert found.hard and len(found.others) >= len(SYLLABLES) // 2
    assert not set(found.others) & set(found.hard + keywords)


def test_a_word_list_of_keywords_only():
    with pytest.raises(KwsError, match="give a longer --word-list"):
        phrases(["stop", "go"], ["stop", "go", "Go"])


def test_a_part_of_a_phrase_that_means_something_else_as_a_folder_is_not_said():
    found = phrases(["test noise now"], SYLLABLES)
    assert "now" in found.hard and "noise now" in found.hard
    assert not {"test", "noise"} & set(found.hard)


# ---- word lists


@pytest.mark.parametrize("language", ["en", "en-us", "de"])
def test_the_lists_of_the_package(language):
    words = vocabulary.words_of(language)
    assert len(words) == len(set(words)) > 900 and all(word.isalpha() for word in words)


def test_numbers_where_there_is_no_list(capsys):
    assert {"0", "17", "900"} <= set(vocabulary.words_of("fr"))
    assert "no word list for fr" in capsys.readouterr().err


def test_a_list_of_the_user(tmp_path):
    words = ["wort%s" % chr(97 + number) for number in range(25)]
    (tmp_path / "list.txt").write_text("\n".join(words + ["two-parts", "wort1"]), encoding="utf-8")
    assert vocabulary.words_of("fr", str(tmp_path / "list.txt")) == words
    (tmp_path / "short.txt").write_text("a b c")
    with pytest.raises(KwsError, match="holds 3 words; give a word list with at least 20"):
        vocabulary.words_of("fr", str(tmp_path / "short.txt"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(KwsError, match="is not a text in UTF-8"):
        vocabulary.words_of("fr", str(tmp_path / "binary"))


# ---- voices

ACCENTS = {"de": "de", "en-gb": "en", "en-shaw": "en-Shaw", "en-us": "en-US", "fr-fr": "fr"}


@pytest.mark.parametrize("language, found", [
    ("de", ["de"]), ("en", ["en", "en-US"]), ("en_US", ["en-US"]), ("EN-shaw", ["en-Shaw"]), ("fr", ["fr"]),
])
def test_the_accents_of_a_language(language, found):
    assert voices.accents(ACCENTS, language) == found


def test_an_unknown_language_names_near_ones():
    with pytest.raises(KwsError, match="no voice for the language en-ug; choose one: en-"):
        voices.accents(ACCENTS, "en-ug")


@pytest.mark.parametrize("language, word, message", [
    ("en", "...", "says nothing for '...'"),
    ("en", "привет", "spells 'привет' letter by letter"),
    ("en", "qxz", "spells 'qxz' letter by letter; write it as it sounds, in capitals"),
    ("cmn", "hello", "reads 'hello' as a word of another language"),
])
def test_words_that_the_voice_cannot_say(espeak, language, word, message):
    with voices.opened(language) as synthesizers, pytest.raises(KwsError) as caught:
        synthesizers[0].check(word)
    assert message in str(caught.value)


def test_words_that_the_voice_can_say(espeak):
    for language, words in (("en", ["hey lamp", "TV", "17"]), ("de", ["hallo lampe", "schön"]), ("ru", ["привет"])):
        with voices.opened(language) as synthesizers:
            for word in words:
                synthesizers[0].check(word)


def test_the_phonemes_of_a_text_of_several_clauses_and_of_signs_only(espeak):
    with voices.opened("en") as synthesizers:
        sounds_of = synthesizers[0].sounds_of
        assert sounds_of("stop. go") == sounds_of("stop") + sounds_of("go")
        assert sounds_of("???") == ()
        assert "k" in sounds_of("!!!"), "it says: exclamation"


def test_a_longer_vocal_tract_lowers_the_voice(espeak):
    with voices.opened("en") as synthesizers:
        synthesizers[0]._espeak.set_voice("en", "m1", 50, 50)
        centres = []
        for tract in (17, 20, 24):
            samples = voices.EspeakVoice(synthesizers[0]._espeak, tract).say("hello", 160)
            power = np.abs(np.fft.rfft(samples)) ** 2
            centres.append((power * np.arange(len(power))).sum() / power.sum() / len(samples))
    assert centres == sorted(centres), "twentieths below 20 are a longer tract"


class Piper(types.ModuleType):
    """The part of the package piper-tts that kws uses."""

    def __init__(self, speakers):
        super().__init__("piper")
        self.asked = []

        def synthesize(text, options):
            self.asked.append((text, options))
            yield types.SimpleNamespace(audio_float_array=np.full(1000, 0.1, np.float32))

        config = types.SimpleNamespace(num_speakers=speakers, sample_rate=22050)
        self.PiperVoice = types.SimpleNamespace(
            load=lambda path: types.SimpleNamespace(config=config, synthesize=synthesize)
        )
        self.SynthesisConfig = lambda **options: options


@pytest.mark.parametrize("speakers, numbers", [(1, [None]), (3, [0, 1, 2])])
def test_a_voice_of_piper(monkeypatch, tmp_path, speakers, numbers):
    module = Piper(speakers)
    monkeypatch.setitem(sys.modules, "piper", module)
    (tmp_path / "ann.onnx").write_text("")
    found = voices.PiperVoices(str(tmp_path / "ann.onnx"))
    assert found.speakers == ["ann-%d" % number for number in range(speakers)]
    for speaker in found.speakers:
        voice = found.voice(speaker, np.random.default_rng(0))
        assert len(voice.say("hello", 320)) == 1000 and voice.sample_rate == 22050
    assert [options["speaker_id"] for _, options in module.asked] == numbers
    assert module.asked[0][1]["length_scale"] == 0.5, "twice as fast as usual"


def test_piper_is_not_installed_or_has_no_such_voice(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(KwsError, match="run: pip install piper-tts"):
        voices.PiperVoices("ann.onnx")
    monkeypatch.setitem(sys.modules, "piper", Piper(1))
    with pytest.raises(KwsError, match="there is no voice .*ann.onnx"):
        voices.PiperVoices(str(tmp_path / "ann.onnx"))


# ---- the synthesised recordings


@pytest.fixture
def short(monkeypatch):
    """Backgrounds of two seconds."""
    monkeypatch.setattr(synthesize, "BACKGROUND_SAMPLES", 2 * synthesize.SAMPLE_RATE)


class Voices:
    """A synthesizer without espeak-ng: a tone for each text and speaker."""

    sample_rate = 16000
    speakers = ["%s-%s" % (accent, person) for accent in ("a", "b") for person in "klmnopqr"]

    def person(self, speaker):
        return speaker[-1]

    def voice(self, speaker, rng):
        return types.SimpleNamespace(
            sample_rate=16000, say=lambda text, rate: tone(text, speaker, 30000 if text == "long" else 8000)
        )


def test_every_person_is_in_one_split(short, tmp_path):
    phrases = corpus.Phrases(["go"], ["no"], ["up", "long"])
    corpus.make(str(tmp_path / "made"), phrases, [Voices()], SMALL, 1)
    people = {
        split: {name.partition("_")[0][-1] for name in os.listdir(str(tmp_path / "made" / split / "go"))}
        for split in dataset.SPLITS
    }
    assert all(people.values()) and sum(map(len, people.values())) == len(set.union(*people.values()))
    assert len(os.listdir(str(tmp_path / "made" / "training" / "go"))) == 24
    assert not list((tmp_path / "made").rglob("long")), "it is too long for a clip"
    assert corpus.read_phrases(str(tmp_path / "made")) == phrases


def test_babble_is_of_other_words_by_the_speakers_for_training(tmp_path, monkeypatch):
    voices = []
    monkeypatch.setattr(corpus, "write_backgrounds", lambda folder, clips, rng: voices.extend(clips))
    corpus.make(str(tmp_path / "made"), corpus.Phrases(["go"], ["no"], ["up"]), [Voices()], SMALL, 1)
    allowed = [soundfile.read(str(path), dtype="int16")[0].tobytes()
               for word in ("no", "up") for path in (tmp_path / "made" / "training" / word).iterdir()]
    assert len(voices) == 2 and all((32767 * clip).astype("<i2").tobytes() in allowed for clip in voices)


def test_kws_prepares_it_with_its_splits(short, tmp_path, capsys):
    corpus.make(str(tmp_path), corpus.Phrases(["go"], ["no"], ["up"]), [Voices()], SMALL, 1)
    prepare.prepare(str(tmp_path), str(tmp_path))
    data = dataset.load(str(tmp_path))
    counts = {split: int(((data.words == "go") & (data.splits == split)).sum()) for split in dataset.SPLITS}
    assert counts == SMALL.keyword_clips
    assert len(data.background) == 6


def test_a_keyword_that_is_too_long_for_a_clip():
    with pytest.raises(KwsError, match="'long' takes about 1.9 s to say, but a clip has room for 0.9 s"):
        corpus.check_length("long", Voices())


# ---- the mixture


def recordings(folder, words, speakers, per_speaker=1, samples=tone):
    """Prepared recordings of these words by these speakers -> Dataset. A speaker None has no name."""
    for word in words:
        os.makedirs(os.path.join(str(folder), word))
        for speaker in range(speakers):
            for take in range(per_speaker):
                name = "%02d_nohash_%d.wav" % (speaker, take)
                path = os.path.join(str(folder), word, name)
                soundfile.write(path, samples(word, "%d %d" % (speaker, take)), 16000, subtype="PCM_16")
    prepare.prepare(str(folder), str(folder))
    return dataset.load(str(folder))


def split_counts(part, word):
    return [int(((part.words == word) & (part.splits == split)).sum()) for split in dataset.SPLITS]


def test_a_quarter_of_the_speakers_is_kept_for_the_test(tmp_path):
    data = recordings(tmp_path, ["Go"], speakers=8, per_speaker=2)
    part, kept = mixture.own(data, ["go"])
    assert kept == "speakers" and split_counts(part, "go") == [12, 0, 4]
    tested = {data.speakers[row] for row in part.rows[part.splits == "testing"]}
    trained = {data.speakers[row] for row in part.rows[part.splits == "training"]}
    assert not tested & trained


def test_names_of_speakers_may_differ_by_case(tmp_path):
    for number, speaker in enumerate(["Ann", "ann", "ANN", "Ben", "Cem", "cem", "Dan", "Eve"]):
        path = tmp_path / "go" / ("%s_nohash_%d.wav" % (speaker, number))
        path.parent.mkdir(exist_ok=True)
        soundfile.write(str(path), tone("go", number), 16000)
    prepare.prepare(str(tmp_path), str(tmp_path))
    part, kept = mixture.own(dataset.load(str(tmp_path)), ["go"])
    speakers = np.char.lower(part.dataset.speakers[part.rows])
    assert kept == "speakers" and not set(speakers[part.splits == "testing"]) & set(speakers[part.splits == "training"])


def test_given_splits_are_kept_and_said(tmp_path):
    recordings(tmp_path / "testing", ["go"], speakers=2)
    data = recordings(tmp_path / "training", ["go"], speakers=5)
    for folder in ("training", "testing"):
        shutil.rmtree(str(tmp_path / folder / "packed"))
    prepare.prepare(str(tmp_path), str(tmp_path))
    data = dataset.load(str(tmp_path))
    part, kept = mixture.own(data, ["go"])
    assert kept == "splits" and part.splits.tolist() == data.splits.tolist() and split_counts(part, "go")[2] == 2


def test_of_few_speakers_a_quarter_of_the_recordings_is_kept(tmp_path):
    part, kept = mixture.own(recordings(tmp_path, ["go"], speakers=1, per_speaker=8), ["go"])
    assert kept == "recordings" and split_counts(part, "go") == [6, 0, 2]


def test_all_of_a_handful_of_recordings_are_trained(tmp_path):
    part, kept = mixture.own(recordings(tmp_path, ["go"], speakers=3), ["go"])
    assert kept == "" and split_counts(part, "go") == [3, 0, 0]


def test_recordings_of_silence_only(tmp_path):
    data = recordings(tmp_path, ["go"], speakers=5, samples=lambda *_: np.zeros(16000))
    with pytest.raises(KwsError, match="all 5 recordings of go are silent; check the microphone"):
        mixture.own(data, ["go"])


def test_a_silent_recording_is_left_out(tmp_path, capsys):
    data = recordings(
        tmp_path, ["go"], 3, samples=lambda word, speaker: tone(word, speaker) * (speaker != "1 0")
    )
    assert split_counts(mixture.own(data, ["go"])[0], "go") == [2, 0, 0]
    assert "Left out: 1 silent recordings of yours, such as go" in capsys.readouterr().err


def test_own_recordings_count_as_much_as_half_of_the_synthesised_ones(tmp_path):
    few = mixture.own(recordings(tmp_path / "few", ["go", "up"], speakers=3), ["go"])[0]
    many = mixture.whole(recordings(tmp_path / "many", ["go"], speakers=40), ["go"])
    mine = mixture.weighted(few, many, ["go"])
    trained = split_counts(many, "go")[0]
    assert set(mine.repeats[mine.words == "go"]) == {round(trained / 2 / 3)}
    assert set(mine.repeats[mine.words == "up"]) == {1}
    assert set(mine.of("training", ["up"]).repeats) == {1}
    mixture.write(str(tmp_path / "mixed"), [many, mine], 16000)
    data = dataset.load(str(tmp_path / "mixed"))
    assert ((data.words == "go") & (data.splits == "training")).sum() == trained + 3 * round(trained / 2 / 3)
    assert data.info["words"]["up"]["training"] == 3
    index = int(np.flatnonzero(data.words == "up")[0])
    original = few.dataset.recording(few.rows[np.flatnonzero(few.words == "up")[0]])
    np.testing.assert_array_equal(data.recording(index), original)


def test_other_speech_gives_no_recording_of_a_keyword(tmp_path):
    data = recordings(tmp_path, ["GO", "up", "no"], speakers=30)
    part = mixture.others(data, ["go"], dict(training=4, validation=1))
    assert set(part.words) == {"up", "no"}
    assert split_counts(part, "up")[0] == 4 and split_counts(part, "up")[2] == 0


# ---- the command


@pytest.fixture
def small(short, monkeypatch):
    """The whole command on a small scale."""
    monkeypatch.setattr(corpus, "QUICK", SMALL)
    monkeypatch.setattr(project, "_STEPS_QUICK", "4,2")


def test_from_words_to_a_network(espeak, small, kws, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for speaker in range(4):
        soundfile.write(str(own / ("%d_nohash_0.wav" % speaker)), tone("hallo lampe", speaker), 16000)
    arguments = ["words", "hallo lampe", "--language", "de", "--quick", "--recordings", own, "--train-dir",
                 tmp_path / "run", "--max-false-accepts-per-hour", 100]
    result = kws(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "your recordings of speakers that training has not heard" in result.stdout
    assert "found on" in result.stdout and "of 6 synthesised phrases that sound alike" in result.stdout
    assert "No recording of a person" not in result.stdout
    with classifiers.open(str(tmp_path / "run"), light=True) as model:
        assert model.labels == ("_silence_", "_unknown_", "hallo lampe")
        thresholds = model.detector.keyword_thresholds()
    clip = tmp_path / "run" / "made" / "synthetic" / "testing" / "hallo lampe"
    assert kws("label", "--checkpoint", tmp_path / "run", clip).exit_code == 0
    assert kws("listen", "--checkpoint", tmp_path / "run", clip / os.listdir(str(clip))[0]).exit_code == 0

    again = kws(*arguments, "--json")  # nothing is made or trained again
    assert again.exit_code == 0, again.stderr
    assert "is there already" in again.stderr and "Training" not in again.stderr
    report = json.loads(again.stdout)
    assert report["thresholds"] == pytest.approx(thresholds)
    assert {one["said"] for one in report["found"]} == {1, 6} and report["is_real"] == {"hallo lampe": True}

    other = kws("words", "andere", "--language", "de", "--quick", "--train-dir", tmp_path / "run")
    assert (other.exit_code, other.stderr.count("\n")) == (1, 1)
    assert "was made for other words or with other flags: the words differ; choose another --train-dir" in other.stderr


@pytest.mark.parametrize("arguments, message", [
    (["Stop", "stop"], "more than once"),
    (["a/b"], "a folder is named after each word"),
    (["noise"], "a folder with this name means something else"),
    (["stop", "--recordings", "absent"], "there is no folder absent"),
    (["stop", "--data-path", "."], "holds no prepared data; run kws prepare --data-path ."),
    (["hey, lamp"], "use 1 to 60 characters without commas"),
    (["stop", "--start-checkpoint", "absent"], "there is no checkpoint absent"),
])
def test_what_cannot_be_trained(kws, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = kws("words", *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert message in result.stderr
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("arguments, message", [
    (["stop", "--language", "xx"], "espeak-ng has no voice for the language xx; choose one: "),
    (["???"], "says nothing for '???'"),
    (["turn on all the lights in the kitchen please"], "choose a shorter phrase"),
])
def test_what_cannot_be_said(espeak, kws, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = kws("words", *arguments)
    assert result.exit_code == 1 and message in result.stderr
    assert not os.path.exists("output/words/made/synthetic")


def test_a_rate_of_false_accepts_that_is_no_number(kws, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = kws("words", "stop", "--max-false-accepts-per-hour", "nan")
    assert result.exit_code == 2 and "nan is not a finite number" in result.stderr


def test_a_run_of_another_command_stays_as_it_is(kws, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    result = kws("words", "stop", "--train-dir", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "has a run that kws words did not make; choose another --train-dir" in result.stderr
    assert os.listdir(str(tmp_path)) == ["model.json"]


def test_spaces_in_a_phrase_count_once(tmp_path):
    request = project.Request((" hey  lamp ",), "en", str(tmp_path), "ds_cnn_s")
    assert project.checked(request).keywords == ("hey lamp",)


def test_espeak_is_not_installed(kws, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    result = kws("words", "stop")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert 'pip install "kwscli[synthesis]"' in result.stderr


def test_recordings_of_other_words_only(kws, tmp_path, monkeypatch):
    recordings(tmp_path / "own", ["go"], 2)
    monkeypatch.chdir(tmp_path)
    result = kws("words", "stop", "--recordings", tmp_path / "own")
    assert result.exit_code == 1 and "has no recordings of stop; put them into a folder" in result.stderr


def test_a_data_path_without_other_words(kws, tmp_path, monkeypatch):
    recordings(tmp_path / "data", ["stop"], 30)
    monkeypatch.chdir(tmp_path)
    result = kws("words", "stop", "--data-path", "data")
    assert result.exit_code == 1
    assert "data has no recordings of other words in its validation split; add other words" in result.stderr
    assert os.listdir(str(tmp_path)) == ["data"]


def test_a_start_checkpoint_that_is_not_there(kws, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = kws("words", "stop", "--start-checkpoint", "absent")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "there is no checkpoint absent" in result.stderr and os.listdir(str(tmp_path)) == []


def test_files_in_no_folder_need_one_word(kws, tmp_path, monkeypatch):
    soundfile.write(str(tmp_path / "a.wav"), tone("stop", 1), 16000)
    monkeypatch.chdir(tmp_path)
    result = kws("words", "stop", "go", "--recordings", tmp_path)
    assert result.exit_code == 1 and "has recordings that are in no folder; make a folder for each" in result.stderr
