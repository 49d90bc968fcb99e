"""`kws record`: what it keeps, what it refuses, and how it names the files. The microphone is an imitation."""
import os
import sys

import numpy as np
import pytest
import soundfile
from test_microphone import Sounddevice

from kwscli import record
from kwscli.listening import microphone

RATE = record.SAMPLE_RATE
LENGTH = int(record.SECONDS * RATE)


def spoken(start=0.7, seconds=0.5, peak=0.5, noise=0.001):
    """A recording with a word of a steady tone in it, over faint noise."""
    samples = noise * np.random.RandomState(0).randn(LENGTH)
    first = int(start * RATE)
    length = min(int(seconds * RATE), LENGTH - first)
    samples[first : first + length] += peak * np.sin(np.arange(length) * 0.2)
    return np.clip(samples, -1, 1).astype(np.float32)


def test_the_word_is_kept_with_what_a_clip_needs_around_it():
    clip, problem = record.examine(spoken(start=0.7, seconds=0.5))
    assert problem == ""
    assert len(clip) == RATE, "a clip of one second"
    loud = np.flatnonzero(np.abs(clip) > 0.1)
    assert (loud[-1] - loud[0]) / RATE == pytest.approx(0.5, abs=0.01), "the whole word"


def test_a_long_word_is_kept_whole():
    clip, problem = record.examine(spoken(start=0.3, seconds=1.3))
    assert problem == ""
    assert len(clip) / RATE == pytest.approx(1.5, abs=0.05), "a tenth of a second before and after it"


@pytest.mark.parametrize("samples, problem", [
    (spoken(peak=0.01), "too quiet"),
    (np.zeros(LENGTH, np.float32), "too quiet"),
    (spoken(peak=0.0, noise=0.0001), "too quiet"),
    (spoken(peak=3.0), "clipped"),
    (spoken(start=0.0), "cut off at the start"),
    (spoken(start=1.8), "cut off at the end"),
])
def test_what_is_wrong_with_a_recording(samples, problem):
    assert record.examine(samples).problem.startswith(problem)


@pytest.mark.parametrize("peak, level, filled", [(1.0, 0, 30), (0.001, -60, 0), (0.0316, -30, 15), (0.0, -120, 0)])
def test_the_meter_goes_from_60_decibels_below_full_scale_to_full_scale(peak, level, filled):
    shown = record.meter(np.full(10, peak, np.float32))
    assert shown.count("#") == filled and shown.endswith("%4.0f dB" % level)


@pytest.fixture
def hears(monkeypatch):
    """hears(recordings): the microphone gives, for each recording, silence during the countdown and then the sound."""
    monkeypatch.setattr(record, "SECONDS_BETWEEN_NUMBERS", 0.1)
    monkeypatch.setattr(microphone, "_GONE_SECONDS", 0.2)
    monkeypatch.setattr(microphone, "_WAITING_BLOCKS", 10000)

    def install(*recordings):
        countdown = np.zeros(int(record.COUNTDOWN * 0.1 * RATE), np.float32)
        sound = np.concatenate([part for one in recordings for part in (countdown, one)])
        module = Sounddevice({"mic": (RATE,)}, [sound])
        monkeypatch.setitem(sys.modules, "sounddevice", module)

    return install


def test_clips_are_named_after_the_speaker_and_none_is_overwritten(hears, kws, tmp_path):
    hears(spoken(), spoken(start=0.5))
    first = kws("record", "hey lamp", "--out", tmp_path, "--count", 2, "--speaker", "anna")
    assert first.exit_code == 0, first.stderr
    folder = tmp_path / "hey lamp"
    assert first.stdout.split("\n")[:2] == [str(folder / name) for name in ("anna_nohash_0.wav", "anna_nohash_1.wav")]
    before = (folder / "anna_nohash_0.wav").read_bytes()
    hears(spoken(start=0.9))
    assert kws("record", "hey lamp", "--out", tmp_path, "--count", 1, "--speaker", "anna").exit_code == 0
    assert sorted(os.listdir(str(folder))) == ["anna_nohash_%d.wav" % number for number in range(3)]
    assert (folder / "anna_nohash_0.wav").read_bytes() == before
    samples, rate = soundfile.read(str(folder / "anna_nohash_2.wav"))
    assert (rate, len(samples)) == (RATE, RATE)


def test_it_asks_again_where_a_recording_is_not_good(hears, kws, tmp_path):
    hears(spoken(peak=0.01), spoken(start=0.0), spoken())
    result = kws("record", "stop", "--out", tmp_path, "--count", 1, "--speaker", "anna")
    assert result.exit_code == 0, result.stderr
    assert "Too quiet: come nearer" in result.stderr and "Cut off at the start" in result.stderr
    assert os.listdir(str(tmp_path / "stop")) == ["anna_nohash_0.wav"]


def test_a_microphone_that_is_muted_ends_it(hears, kws, tmp_path):
    hears(*[np.zeros(LENGTH, np.float32)] * 5)
    result = kws("record", "stop", "--out", tmp_path, "--count", 1)
    assert result.exit_code == 1
    assert "5 recordings in a row are too quiet; check the microphone" in result.stderr
    assert os.listdir(str(tmp_path)) == []


def test_no_microphone(kws, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", Sounddevice({}))
    result = kws("record", "stop", "--out", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "there is no microphone; connect one" in result.stderr


def test_sounddevice_is_not_installed(kws, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = kws("record", "stop", "--out", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "pip install sounddevice" in result.stderr


@pytest.mark.parametrize("arguments, message", [
    (["a/b"], "a folder is named after each word"),
    (["stop", "--speaker", "a_nohash_b"], "cannot be the name of a speaker"),
    (["stop", "--speaker", "../anna"], "cannot be the name of a speaker"),
])
def test_names_that_cannot_be_in_a_path(kws, tmp_path, arguments, message):
    result = kws("record", *arguments, "--out", tmp_path)
    assert result.exit_code == 1 and message in result.stderr
    assert os.listdir(str(tmp_path)) == []
