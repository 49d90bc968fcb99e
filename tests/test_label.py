"""`kws label` without a network: which files it scores, which part of them, in which batches, and what it prints."""
import csv
import io
import json
import os
import sys

import numpy as np
import pytest
import soundfile

from kwscli import label
from kwscli.errors import KwsError
from kwscli.settings import DataSettings, DetectorSettings
from kwscli.sound import audio
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.workers import cores

LABELS = ("_silence_", "_unknown_", "yes", "no")


class Peak:
    """A classifier that scores `yes` highest for a loud clip, and keeps the clips of each call."""

    labels, features, data, detector = LABELS, FeatureSettings(), DataSettings(), DetectorSettings()

    def __init__(self):
        self.clips, self.batches = [], []

    def scores(self, clips):
        self.clips.extend(clips)
        self.batches.append(len(clips))
        return np.array([[0.1, 0.2, 0.6, 0.1] if np.abs(clip).max() > 0.2 else [0.7, 0.1, 0.1, 0.1] for clip in clips])


def tone(seconds=1.0, rate=16000):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def write(path, samples=None, rate=16000, **how):
    soundfile.write(str(path), tone(rate=rate) if samples is None else samples, rate, **how)
    return str(path)


def labelled(classifier, path, top=None):
    """The only Labelled of one file."""
    one, = label.label(classifier, [path], top)
    return one


@pytest.mark.parametrize("name, rate, how", [
    ("a.wav", 16000, {"subtype": "PCM_U8"}),
    ("a.wav", 16000, {"subtype": "PCM_24"}),
    ("a.wav", 16000, {"subtype": "FLOAT"}),
    ("a.wav", 8000, {}),
    ("a.wav", 44100, {}),
    ("a.wav", 16000, {"format": "WAVEX"}),
    ("a.flac", 48000, {}),
    ("a.ogg", 16000, {}),
    ("no_ending", 16000, {"format": "WAV"}),
])
def test_any_sound_file_becomes_the_same_clip(tmp_path, name, rate, how):
    classifier = Peak()
    result = labelled(classifier, write(tmp_path / name, rate=rate, **how))
    assert result.scores[0] == ("yes", 0.6) and (result.start_ms, result.duration_ms) == (0, 1000)
    assert classifier.clips[0].shape == (16000,) and classifier.clips[0].dtype == np.float32
    inside = slice(1000, 15000)
    assert np.abs(classifier.clips[0] - tone())[inside].max() < 0.05


def test_channels_are_averaged(tmp_path):
    classifier = Peak()
    labelled(classifier, write(tmp_path / "a.wav", np.stack([tone(), np.zeros(16000)], axis=1)))
    np.testing.assert_allclose(classifier.clips[0], tone() / 2, atol=1e-4)


def test_a_long_file_is_judged_by_its_loudest_second(tmp_path):
    classifier, noise = Peak(), 0.001 * np.random.RandomState(0).randn(5 * 16000)
    noise[3 * 16000 : 4 * 16000] += tone()
    result = labelled(classifier, write(tmp_path / "a.wav", noise))
    assert (result.start_ms, result.duration_ms) == (3000, 1000)
    np.testing.assert_allclose(classifier.clips[0], tone(), atol=0.01)


@pytest.mark.parametrize("count", [1, 100, 15999])
def test_a_short_file_is_padded(tmp_path, count):
    classifier = Peak()
    result = labelled(classifier, write(tmp_path / "a.wav", np.full(count, 0.5)))
    assert result.start_ms == 0
    assert classifier.clips[0][0] == 0.5 and not classifier.clips[0][count:].any()


def test_top(tmp_path):
    path = write(tmp_path / "a.wav")
    assert labelled(Peak(), path, 1).scores == (("yes", 0.6),)
    assert labelled(Peak(), path, 99).scores == (("yes", 0.6), ("_unknown_", 0.2), ("_silence_", 0.1), ("no", 0.1))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_sub_folders_have_a_fixed_order_at_every_depth(tmp_path, depth):
    """Many folders in random order: no file system lists them sorted by chance."""
    names = ["%03d" % number for number in range(40)]
    for name in np.random.RandomState(depth).permutation(names):
        folder = tmp_path.joinpath(*["only"] * (depth - 1), name)
        folder.mkdir(parents=True)
        (folder / "b.wav").write_bytes(b"")
        (folder / "a.wav").write_bytes(b"")
    found = list(label.expand([str(tmp_path)]))
    assert found == sorted(found) and len(found) == 80


def test_folders_are_searched_in_order(tmp_path):
    for name in ("b.wav", "a.FLAC", "deep/er/c.ogg", "notes.txt", "also/d.wav"):
        os.makedirs(str((tmp_path / name).parent), exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [os.path.relpath(path, str(tmp_path)) for path in label.expand([str(tmp_path)])]
    assert found == ["a.FLAC", "b.wav", "also/d.wav", "deep/er/c.ogg"]
    assert list(label.expand(["-", "missing.xyz"])) == ["-", "missing.xyz"]


def test_a_folder_without_sound_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(KwsError, match="holds no sound files; give a sound file, or a folder"):
        list(label.expand([str(tmp_path)]))


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound")
    write(tmp_path / "nothing.wav", np.zeros(0))
    paths = [str(tmp_path / name) for name in ("empty.wav", "text.wav", "nothing.wav", "missing.wav")]
    found = list(label.label(Peak(), paths + [write(tmp_path / "good.wav")]))
    assert [bool(one.error) for one in found] == [True, True, True, True, False]
    assert str(found[0]) == "Error: %s cannot be read as sound: Format not recognised" % paths[0]
    assert str(found[2]) == "Error: %s holds no samples" % paths[2]
    assert str(found[3]) == "Error: there is no file %s" % paths[3]
    assert str(found[4]).endswith("good.wav  yes 60.0 %  _unknown_ 20.0 %  _silence_ 10.0 %  no 10.0 %")
    assert found[3].to_json() == {"file": paths[3], "error": "there is no file %s" % paths[3]}


@pytest.mark.parametrize("count, batches", [(1, [1]), (7, [7]), (100, [100]), (205, [100, 100, 5])])
def test_files_are_scored_in_batches_and_keep_their_order(tmp_path, count, batches):
    loud, quiet = write(tmp_path / "loud.wav"), write(tmp_path / "quiet.wav", 0.1 * tone())
    paths = [loud if number % 3 else quiet for number in range(count)]
    classifier = Peak()
    found = list(label.label(classifier, paths, 1))
    assert sorted(classifier.batches, reverse=True) == batches  # threads score them
    assert [one.file for one in found] == paths
    assert [one.scores[0][0] for one in found] == ["yes" if number % 3 else "_silence_" for number in range(count)]


def test_files_that_cannot_be_read_keep_their_place_in_every_batch(tmp_path):
    good, bad = write(tmp_path / "good.wav"), str(tmp_path / "missing.wav")
    paths = [bad if number % 7 in (0, 3) or number < 103 else good for number in range(250)]
    classifier = Peak()
    found = list(label.label(classifier, paths))
    assert [one.file for one in found] == paths
    assert [bool(one.error) for one in found] == [path == bad for path in paths]
    assert sum(classifier.batches) == paths.count(good) and len(classifier.batches) == 2


def test_results_come_as_soon_as_their_batch_is_scored(tmp_path):
    path, classifier, count = write(tmp_path / "a.wav"), Peak(), 100 * (3 + 2 * len(cores.usable()))
    found = label.label(classifier, [path] * count)
    assert next(found).file == path and 100 <= sum(classifier.batches) < count
    found.close()


def test_json_says_which_part_was_heard(tmp_path):
    path = write(tmp_path / "a.wav", tone(2.0))
    told = json.loads(json.dumps(labelled(Peak(), path, 2).to_json()))
    assert told == {
        "file": path, "label": "yes", "scores": {"yes": 0.6, "_unknown_": 0.2}, "start_ms": told["start_ms"],
        "duration_ms": 1000, "peak_db": -6.0, "too_quiet": False,
    }


def test_standard_input(tmp_path, monkeypatch):
    with open(write(tmp_path / "a.wav"), "rb") as file:
        sound = file.read()
    for content, wanted in (
        (sound, "-  yes 60.0 %"),
        (b"", "Error: standard input is empty; pipe a sound file into it"),
        (b"text" * 20, "Error: standard input cannot be read as sound: Format not recognised"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert [str(one) for one in label.label(Peak(), ["-"], 1)] == [wanted]


def test_unreadable_audio_is_a_kws_error():
    assert issubclass(audio.UnreadableAudio, KwsError)


class Sure(Peak):
    """A classifier that names every clip `yes`."""

    def scores(self, clips):
        return np.array([[0.1, 0.1, 0.7, 0.1]] * len(clips))


@pytest.mark.parametrize("level, attenuation_db, too_quiet", [
    (0.5, 0.0, False), (0.04, 0.0, False), (0.02, 0.0, True), (0.02, 20.0, False), (0.002, 20.0, True),
])
def test_a_recording_that_is_too_quiet_to_rely_on_is_marked(tmp_path, level, attenuation_db, too_quiet):
    classifier = Sure()
    classifier.data = DataSettings(attenuation_db=attenuation_db)
    result = labelled(classifier, write(tmp_path / "a.wav", level / 0.5 * tone(), subtype="FLOAT"))
    assert result.too_quiet is too_quiet and result.peak_db == pytest.approx(20 * np.log10(level), abs=0.1)
    assert ("not reliable: its peak is only" in str(result)) is too_quiet
    assert result.to_json()["too_quiet"] is too_quiet


def test_silence_is_never_too_quiet(tmp_path):
    for samples in (np.zeros(16000), 1e-4 * tone()):
        result = labelled(Peak(), write(tmp_path / "a.wav", samples))
        assert result.scores[0][0] == "_silence_" and not result.too_quiet


def test_a_low_score_is_not_recognized(tmp_path):
    path = write(tmp_path / "a.wav")
    one, = label.label(Peak(), [path], 2, min_score=0.7)
    assert str(one) == "%s  not recognized (yes 60.0 %%  _unknown_ 20.0 %%)" % path
    assert one.to_json()["label"] is None and one.to_json()["scores"] == {"yes": 0.6, "_unknown_": 0.2}
    one, = label.label(Peak(), [path], 2, min_score=0.6)
    assert one.label == "yes"


@pytest.mark.parametrize("thresholds, min_score, recognized", [
    (("yes=0.7",), None, False), (("yes=0.6",), None, True), (("no=0.7",), None, True), (("yes=0.7",), 0.5, True),
    (("yes=0.5",), 0.7, False), ((), None, True),
])
def test_a_model_may_have_thresholds_of_its_own(tmp_path, thresholds, min_score, recognized):
    classifier = Peak()
    classifier.detector = DetectorSettings(thresholds=thresholds)
    one, = label.label(classifier, [write(tmp_path / "a.wav")], min_score=min_score)
    assert one.recognized is recognized


def test_tables_for_programs(tmp_path, kws):
    good, bad = write(tmp_path / "a,b.wav"), str(tmp_path / "none.wav")
    found = kws("label", good, bad, "--csv", "--min-score", "1")
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert found.exit_code == 1 and [row["file"] for row in rows] == [good, bad]
    assert rows[0]["label"] == "" and 0 < float(rows[0]["score"]) < 1 and rows[0]["duration_ms"] == "1000"
    assert rows[1]["error"] == "there is no file %s" % bad
    lines = [json.loads(line) for line in kws("label", good, bad, "--jsonl").stdout.splitlines()]
    assert lines == json.loads(kws("label", good, bad, "--json").stdout)
    result = kws("label", good, "--csv", "--jsonl")
    assert result.exit_code == 1 and "each choose what to print; give one of them" in result.stderr
