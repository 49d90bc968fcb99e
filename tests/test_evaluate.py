"""Accuracy, its interval, precision and recall, by hand-made examples; on prepared data and on folders of labels."""
import os
import shutil
import tarfile

import numpy as np
import pytest
import soundfile

from kwscli.data import prepare
from kwscli.errors import KwsError
from kwscli.evaluation import evaluate
from kwscli.metrics import Result
from kwscli.settings import DataSettings
from kwscli.sound.feature_settings import FeatureSettings

LABELS = ("_silence_", "_unknown_", "yes", "no")
SETTINGS = DataSettings(wanted_words=("yes", "no"))


def one_hot(predicted):
    return np.eye(len(LABELS))[predicted]


def test_a_hand_made_confusion():
    targets, predicted = [0, 1, 1, 2, 2, 2, 2, 3], [0, 1, 2, 2, 2, 2, 1, 2]
    result = Result.of(LABELS, targets, one_hot(predicted))
    assert result.confusion.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 3, 0], [0, 0, 1, 0]]
    assert (result.count, result.accuracy) == (8, 5 / 8)
    assert result.per_label() == [
        ("_silence_", 1, 1.0, 1.0), ("_unknown_", 2, 0.5, 0.5), ("yes", 4, 3 / 5, 3 / 4), ("no", 1, None, 0.0)
    ]
    assert result.to_json()["labels"][3] == {"label": "no", "clips": 1, "precision": None, "recall": 0.0}


@pytest.mark.parametrize("right, count, low, high", [
    (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
    (29, 29, 0.8830, 1.0),
])
def test_the_interval_is_wilsons(right, count, low, high):
    result = Result(LABELS, np.array([[right, count - right], [0, 0]]))
    assert result.interval == pytest.approx((low, high), abs=5e-5)


def test_what_is_printed():
    lines = str(Result.of(LABELS, [0, 1, 2, 2], one_hot([0, 2, 2, 2]))).splitlines()
    assert lines[0] == "accuracy 75.00 % (95 % interval 30.06 to 95.44, 4 clips)"
    assert lines[2:5] == [
        "label      clips  precision   recall",
        "_silence_      1    100.0 %  100.0 %",
        "_unknown_      1          -    0.0 %",
    ]
    assert lines[-3].split() == ["_unknown_", ".", ".", "1", "."]


def matrix_of(label_names, confusion):
    return Result(tuple(label_names), np.array(confusion)).tables().split("\n\n")[1].splitlines()


@pytest.mark.parametrize("names, headings", [
    (["temperature_up", "temperature_down", "yes"], ["temperature_u", "temperature_d", "yes"]),
    (["backward", "forward", "yes"], ["backwar", "forward", "yes"]), (["ja", "nein", "oui"], ["ja", "nein", "oui"]),
])
def test_headings_of_the_matrix_are_short_but_differ(names, headings):
    assert matrix_of(names, np.eye(3, dtype=int))[1].split() == headings


def test_many_labels_are_shown_as_their_most_frequent_confusions():
    names = ["temperature_%d" % number for number in range(120)]
    confusion = np.diag(np.full(120, 5))
    confusion[3, 7], confusion[7, 3], confusion[0, 119] = 2, 5, 1
    lines = matrix_of(names, confusion)
    assert lines == [
        "most frequent confusions (--json prints those of all 120 labels)",
        "true label     predicted label  clips  of its clips",
        "temperature_7  temperature_3        5        50.0 %",
        "temperature_3  temperature_7        2        28.6 %",
        "temperature_0  temperature_119      1        16.7 %",
    ]
    assert len(matrix_of(names, np.ones((120, 120), int))) == 22
    assert matrix_of(names, np.diag(np.full(120, 5))) == ["no confusions"]
    assert np.array(Result(tuple(names), confusion).to_json()["confusion"]).shape == (120, 120)
    assert len(matrix_of(names[:20], confusion[:20, :20])) == 22


class Loudness:
    """A classifier that labels a clip by its first sample."""

    labels, features, path = LABELS, FeatureSettings(), "loudness"
    batches = ()

    def scores(self, clips):
        self.batches += (len(clips),)
        return one_hot(np.rint(clips[:, 0] * 10).astype(int))


def write(folder, word, names, level, rate=16000):
    os.makedirs(os.path.join(str(folder), word), exist_ok=True)
    for name in names:
        soundfile.write(os.path.join(str(folder), word, name), np.full(rate // 2, level / 10), rate)


@pytest.fixture
def labelled(tmp_path):
    """A folder of labels: Loudness labels one clip of `no` as yes, and all silence as _unknown_."""
    folder = tmp_path / "labelled"
    write(folder, "_silence_", ["a.wav"], 1)
    write(folder, "_unknown_", ["a.wav"], 1)
    write(folder, "yes", ["a.wav", "b.flac"], 2)
    write(folder, "no", ["a.wav"], 3)
    write(folder, "no", ["b.wav"], 2)
    return folder


def archived(folder, inside=""):
    path = str(folder) + ".tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(str(folder), inside or ".")
    return path


WANTED = [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 1, 1]]


def test_a_folder_of_labels_and_archives_of_it_are_scored_as_they_are(labelled):
    for path in (str(labelled), archived(labelled), archived(labelled, "test_set_v0.02")):
        assert evaluate.evaluate(Loudness(), path, SETTINGS).result.confusion.tolist() == WANTED


def test_other_files_are_skipped_and_files_that_cannot_be_read_are_named(labelled, capsys):
    (labelled / "README.md").write_text("text")
    (labelled / "yes" / "notes.txt").write_text("text")
    (labelled / "yes" / "broken.wav").write_bytes(b"RIFF")
    (labelled / ".git").mkdir()
    (labelled / "no" / "folder").mkdir()
    for path in (str(labelled), archived(labelled)):
        assert evaluate.evaluate(Loudness(), path, SETTINGS).result.confusion.tolist() == WANTED
        assert "Left out: " in capsys.readouterr().err.replace(str(labelled), "")


def test_a_folder_that_is_not_a_label_is_named(labelled):
    """Where the network has no label for other words."""
    classifier = Loudness()
    classifier.labels = ("_silence_", "other", "yes", "no")
    shutil.rmtree(str(labelled / "_unknown_"))
    write(labelled, "alien", ["a.wav"], 1)
    for path in (str(labelled), archived(labelled)):
        with pytest.raises(KwsError, match="alien/a.wav, but alien is not a label of the network; name the"):
            evaluate.evaluate(classifier, path, SETTINGS)


def test_a_folder_with_other_words_and_noise_is_scored_whole(labelled, capsys):
    write(labelled, "alien", ["a.wav", "b.wav"], 1)
    write(labelled, "bird", ["a.wav"], 1)
    write(labelled, "bird", ["b.wav", "c.wav"], 2)
    for noise in ("_background_noise_", "noise", "_music_"):
        write(labelled, noise, ["a.wav"], 3)
    for path in (str(labelled), archived(labelled)):
        evaluation = evaluate.evaluate(Loudness(), path, SETTINGS)
        assert evaluation.result.confusion.tolist() == [WANTED[0], [0, 4, 2, 0]] + WANTED[2:]
        told = capsys.readouterr().err
        assert "Counted as _unknown_: alien (2), bird (3).\n" in told
        for noise in ("_background_noise_", "noise", "_music_"):
            assert "Passed over: 1 file in %s, which does not name a word.\n" % noise in told
        assert str(evaluation).splitlines()[1:3] == [
            "11 clips: all of %s" % path,
            "other words: 2 of 6 clips (33.3 %) are taken for a keyword; most often bird (2 of 3)",
        ]


@pytest.mark.parametrize("folders, labelled", [
    (("yes", "bird", "_background_noise_"), True), (("_unknown_", "bird"), True), (("Yes", "bird"), True),
    (("bird", "cat"), False), ((), False), (("yes", "packed"), False),
])
def test_which_folders_are_used_whole(tmp_path, folders, labelled):
    for folder in folders:
        (tmp_path / folder).mkdir()
    if "packed" in folders:
        (tmp_path / "packed" / "dataset.json").write_text("{}")  # prepared data comes first
    assert evaluate.is_labelled(str(tmp_path), LABELS) == labelled


def test_the_case_of_a_folder_is_that_of_any_word(tmp_path):
    write(tmp_path, "YES", ["a.wav"], 2)
    assert evaluate.evaluate(Loudness(), str(tmp_path), SETTINGS).result.confusion[2].tolist() == [0, 0, 1, 0]


def test_the_loudest_part_of_a_long_recording_is_scored(tmp_path):
    (tmp_path / "yes").mkdir()
    clip = 0.2 * (-1.0) ** np.arange(16000)
    soundfile.write(str(tmp_path / "yes" / "long.wav"), np.concatenate([np.zeros(32000), clip]), 16000)
    assert evaluate.evaluate(Loudness(), str(tmp_path), SETTINGS).result.accuracy == 1


@pytest.mark.parametrize("flag, value", [
    ("split", "training"), ("silence_percentage", 20.0), ("unknown_percentage", 0.0),
])
def test_a_folder_of_labels_is_used_whole(labelled, flag, value):
    name = "--" + flag.replace("_", "-")
    message = "%s %s chooses from prepared data, .* used whole; leave %s" % (name, value, name)
    with pytest.raises(KwsError, match=message):
        evaluate.evaluate(Loudness(), str(labelled), SETTINGS, **{flag: value})


def test_what_a_folder_of_labels_was_measured_on(labelled):
    evaluation = evaluate.evaluate(Loudness(), str(labelled), SETTINGS)
    assert "\n6 clips: all of %s\n" % labelled in str(evaluation)
    told = evaluation.to_json()
    assert told["clips"] == 6
    assert [told[name] for name in ("split", "silence_percentage", "unknown_percentage")] == [None] * 3


def test_a_folder_is_read_like_an_archive_of_it(labelled):
    """At any depth, and without hidden files."""
    write(labelled, "session/yes", ["c.wav"], 2)
    write(labelled, "yes/.trash", ["d.wav"], 3)
    write(labelled, ".yes", ["e.wav"], 3)
    found = evaluate.evaluate(Loudness(), str(labelled), SETTINGS).result.confusion
    assert (found - WANTED).tolist() == [[0] * 4, [0] * 4, [0, 0, 1, 0], [0] * 4]


def test_a_pipe_in_a_folder_of_labels_is_left_out(labelled, capsys):
    os.mkfifo(str(labelled / "yes" / "pipe.wav"))
    assert evaluate.evaluate(Loudness(), str(labelled), SETTINGS).result.confusion.tolist() == WANTED
    assert "Left out: yes/pipe.wav cannot be read: it is not a file" in capsys.readouterr().err


def test_a_sound_file_outside_of_every_folder_is_named(labelled):
    soundfile.write(str(labelled / "a.wav"), np.zeros(9), 16000)
    with pytest.raises(KwsError, match="holds a.wav, but its folder is not a label of the network"):
        evaluate.evaluate(Loudness(), archived(labelled), SETTINGS)


def test_labels_without_sound_are_an_error(tmp_path):
    (tmp_path / "_silence_").mkdir()
    with pytest.raises(KwsError, match="holds no sound file in a label's folder; name its folders after"):
        evaluate.evaluate(Loudness(), str(tmp_path), SETTINGS)


def test_clips_are_scored_a_hundred_at_a_time(tmp_path):
    write(tmp_path, "yes", ["%d.wav" % number for number in range(205)], 2)
    classifier = Loudness()
    assert evaluate.evaluate(classifier, str(tmp_path), SETTINGS).result.count == 205
    assert classifier.batches == (100, 100, 5)


def test_all_other_words_of_the_split_are_measured(tmp_path):
    folder = tmp_path / "data"
    speakers = ["%08x_nohash_0.wav" % speaker for speaker in range(60)]
    for word, level in (("yes", 2), ("no", 3), ("bird", 1), ("cat", 2), ("dog", 3)):
        write(folder, word, speakers, level)
    prepare.prepare(str(folder), str(folder))
    evaluation = evaluate.evaluate(Loudness(), str(folder), SETTINGS, "training")
    count = evaluation.result.confusion.sum(axis=1)[2]  # clips of a word in the split
    told = evaluation.to_json()["other_words"]
    assert told == {
        "clips": 3 * count, "taken_for_keywords": 2 * count, "share": 2 / 3, "words": [
            {"word": "cat", "taken": count, "clips": count}, {"word": "dog", "taken": count, "clips": count},
            {"word": "bird", "taken": 0, "clips": count},
        ]
    }
    assert str(evaluation).splitlines()[2] == (
        "other words: %d of %d clips (66.7 %%) are taken for a keyword; most often cat (%d of %d), dog (%d of %d)"
        % ((2 * count, 3 * count) + 4 * (count,))
    )


def test_no_other_words(tmp_path):
    folder = tmp_path / "data"
    for word, level in (("yes", 2), ("no", 3)):
        write(folder, word, ["%08x_nohash_0.wav" % speaker for speaker in range(60)], level)
    prepare.prepare(str(folder), str(folder))
    evaluation = evaluate.evaluate(Loudness(), str(folder), SETTINGS)
    assert evaluation.to_json()["other_words"] is None and "other words:" not in str(evaluation)


@pytest.fixture
def prepared(tmp_path):
    """Prepared data of yes, no and another word; a tenth of the speakers is in each held-back split."""
    folder = tmp_path / "data"
    for word, level in (("yes", 2), ("no", 3), ("bird", 1)):
        write(folder, word, ["%08x_nohash_0.wav" % speaker for speaker in range(60)], level)
    prepare.prepare(str(folder), str(folder))
    return str(folder)


def test_a_split_of_prepared_data(prepared):
    result = evaluate.evaluate(Loudness(), prepared, SETTINGS).result
    there = dict(zip(LABELS, result.confusion.sum(axis=1)))
    assert there["yes"] == there["no"] > 0 and result.accuracy == 1
    assert there["_silence_"] == there["_unknown_"] == -(-2 * there["yes"] // 10)
    training = evaluate.evaluate(Loudness(), prepared, SETTINGS, "training").result
    assert training.count > result.count


TRAINED = [{"silence_percentage": 30.0}, {"unknown_percentage": 0.0}, {"sampling": "reference", "time_shift_ms": 0.0}]


@pytest.mark.parametrize("trained", TRAINED)
def test_the_clips_do_not_follow_what_training_sampled(prepared, trained):
    seen = [], []
    for clips, values in zip(seen, ({}, trained)):
        classifier = Loudness()
        classifier.scores = lambda some: clips.append(some) or one_hot(np.zeros(len(some), int))
        evaluate.evaluate(classifier, prepared, DataSettings(wanted_words=("yes", "no"), **values))
    np.testing.assert_array_equal(np.concatenate(seen[0]), np.concatenate(seen[1]))


@pytest.mark.parametrize("percentages, silence, unknown", [
    ({}, 10.0, 10.0), ({"silence_percentage": None, "unknown_percentage": 50.0}, 10.0, 50.0),
    ({"silence_percentage": 0.0, "unknown_percentage": 0.0}, 0.0, 0.0),
])
def test_the_clips_and_their_rule_are_told(prepared, percentages, silence, unknown):
    evaluation = evaluate.evaluate(Loudness(), prepared, SETTINGS, "training", **percentages)
    there = dict(zip(LABELS, evaluation.result.confusion.sum(axis=1)))
    keywords = there["yes"] + there["no"]
    assert (there["_silence_"], there["_unknown_"]) == (-(-keywords * silence // 100), -(-keywords * unknown // 100))
    assert str(evaluation).splitlines()[1] == (
        "%d training clips: %d of keywords, %d of other words (%g %%), %d of silence (%g %%)"
        % (sum(there.values()), keywords, there["_unknown_"], unknown, there["_silence_"], silence)
    )
    told = evaluation.to_json()
    assert (told["clips"], told["split"]) == (sum(there.values()), "training")
    assert (told["silence_percentage"], told["unknown_percentage"]) == (silence, unknown)


def test_eval_is_told_other_percentages_by_flags(kws):
    shown = kws("eval", "--help").stdout
    for name in ("silence", "unknown"):
        assert "[default: 10.0]" in shown.partition("--%s-percentage" % name)[2].partition(" --")[0]
    assert kws("eval", "--silence-percentage", "-1").exit_code == 2


@pytest.mark.parametrize("rate, labels, settings, message", [
    (8000, LABELS, SETTINGS, "at 16000 samples per second, but the network needs 8000; run kws prepare --data-path "),
    (16000, ("yes", "no", "up"), DataSettings(wanted_words=("up",)), r"\(yes, no, up\) are not _silence_, _unkn"),
    (16000, LABELS[:2] + ("gnu",), DataSettings(wanted_words=("gnu",)), "no testing clips of gnu; choose another"),
])
def test_data_that_does_not_fit_the_network(prepared, rate, labels, settings, message):
    classifier = Loudness()
    classifier.features, classifier.labels = FeatureSettings(sample_rate=rate), labels
    with pytest.raises(KwsError, match=message):
        evaluate.evaluate(classifier, prepared, settings)


def test_data_that_is_not_prepared(tmp_path):
    with pytest.raises(KwsError, match="there is no folder .*/nowhere; give the folder of your recordings"):
        evaluate.evaluate(Loudness(), str(tmp_path / "nowhere"), SETTINGS)
    message = r"holds no prepared data; run kws prepare --data-path .* first, or give a folder .* labels \(_silence_, "
    with pytest.raises(KwsError, match=message):
        evaluate.evaluate(Loudness(), str(tmp_path), SETTINGS)
