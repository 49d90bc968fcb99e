"""`kws label` without a network: which files, which part of them, and what is said of them."""
import io
import json
import os
import sys

import numpy as np
import pytest
import soundfile

from kwscli import label
from kwscli.errors import KwsError
from kwscli.sound import audio
from kwscli.sound.feature_settings import FeatureSettings

LABELS = ("_silence_", "_unknown_", "yes", "no")


class Peak:
    """A classifier that is sure of `yes` when the clip is loud, and keeps the clips it was shown."""

    labels, features = LABELS, FeatureSettings()

    def __init__(self):
        self.clips = []

    def scores(self, clips):
        self.clips.extend(clips)
        return np.array([[0.1, 0.2, 0.6, 0.1] if np.abs(clip).max() > 0.2 else [0.7, 0.1, 0.1, 0.1] for clip in clips])


def tone(seconds=1.0, rate=16000):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def write(path, samples=None, rate=16000, **how):
    soundfile.write(str(path), tone(rate=rate) if samples is None else samples, rate, **how)
    return str(path)


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
    result = label.label(classifier, write(tmp_path / name, rate=rate, **how))
    assert result.scores[0] == ("yes", 0.6) and (result.start_ms, result.duration_ms) == (0, 1000)
    assert classifier.clips[0].shape == (16000,) and classifier.clips[0].dtype == np.float32
    inside = slice(1000, 15000)
    assert np.abs(classifier.clips[0] - tone())[inside].max() < 0.05


def test_channels_are_averaged(tmp_path):
    classifier = Peak()
    label.label(classifier, write(tmp_path / "a.wav", np.stack([tone(), np.zeros(16000)], axis=1)))
    np.testing.assert_allclose(classifier.clips[0], tone() / 2, atol=1e-4)


def test_a_long_file_is_judged_by_its_loudest_second(tmp_path):
    classifier, noise = Peak(), 0.001 * np.random.RandomState(0).randn(5 * 16000)
    noise[3 * 16000 : 4 * 16000] += tone()
    result = label.label(classifier, write(tmp_path / "a.wav", noise))
    assert (result.start_ms, result.duration_ms) == (3000, 1000)
    np.testing.assert_allclose(classifier.clips[0], tone(), atol=0.01)


@pytest.mark.parametrize("count", [1, 100, 15999])
def test_a_short_file_is_padded(tmp_path, count):
    classifier = Peak()
    result = label.label(classifier, write(tmp_path / "a.wav", np.full(count, 0.5)))
    assert result.start_ms == 0
    assert classifier.clips[0][0] == 0.5 and not classifier.clips[0][count:].any()


def test_top(tmp_path):
    path = write(tmp_path / "a.wav")
    assert label.label(Peak(), path, 1).scores == (("yes", 0.6),)
    assert label.label(Peak(), path, 99).scores == (("yes", 0.6), ("_unknown_", 0.2), ("_silence_", 0.1), ("no", 0.1))


def test_folders_are_searched_in_order(tmp_path):
    for name in ("b.wav", "a.FLAC", "deep/er/c.ogg", "notes.txt", "also/d.wav"):
        os.makedirs(str((tmp_path / name).parent), exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [os.path.relpath(path, str(tmp_path)) for path in label.expand([str(tmp_path)])]
    assert found == ["a.FLAC", "b.wav", "also/d.wav", "deep/er/c.ogg"]
    assert list(label.expand(["-", "missing.xyz"])) == ["-", "missing.xyz"]


def test_a_folder_without_sound_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(KwsError, match="^there is no sound file in .*"):
        list(label.expand([str(tmp_path)]))


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound")
    write(tmp_path / "nothing.wav", np.zeros(0))
    paths = [str(tmp_path / name) for name in ("empty.wav", "text.wav", "nothing.wav", "missing.wav")]
    found = list(label.label_all(Peak(), paths + [write(tmp_path / "good.wav")]))
    assert [bool(one.error) for one in found] == [True, True, True, True, False]
    assert str(found[0]) == "Error: %s cannot be read as sound: Format not recognised" % paths[0]
    assert str(found[2]) == "Error: %s holds no samples" % paths[2]
    assert str(found[3]) == "Error: there is no file %s" % paths[3]
    assert str(found[4]).endswith("good.wav  yes 60.0 %  _unknown_ 20.0 %  _silence_ 10.0 %  no 10.0 %")
    assert found[3].to_json() == {"file": paths[3], "error": "there is no file %s" % paths[3]}


def test_json_says_which_part_was_heard(tmp_path):
    path = write(tmp_path / "a.wav", tone(2.0))
    told = json.loads(json.dumps(label.label(Peak(), path, 2).to_json()))
    assert told == {
        "file": path, "label": "yes", "scores": {"yes": 0.6, "_unknown_": 0.2}, "start_ms": told["start_ms"],
        "duration_ms": 1000,
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
        assert [str(one) for one in label.label_all(Peak(), ["-"], 1)] == [wanted]


def test_unreadable_audio_is_a_kws_error():
    assert issubclass(audio.UnreadableAudio, KwsError)
