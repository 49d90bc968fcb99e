"""`kws prepare --align`: the part of a long recording in which a network hears its word."""
import os
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from kwscli.align import Aligner
from kwscli.data import dataset
from kwscli.sound import audio

RATE = 16000


class HearsATone:
    """A network that scores `yes` by the power of a clip's tone of 1 kHz, in the middle half of the clip."""

    labels = "_silence_", "_unknown_", "yes"
    features = SimpleNamespace(clip_samples=RATE, sample_rate=RATE)

    def scores(self, clips):
        middle = clips[:, RATE // 4 : 3 * RATE // 4]
        power = np.abs(np.fft.rfft(middle)[:, 500]) / len(middle[0])
        return np.stack([1 - power, 0 * power, power], axis=1)


def recording(seconds, at, rng=np.random.RandomState(0)):
    """A quiet tone of half a second that begins `at` seconds, and loud noise in the last second."""
    samples = 0.001 * rng.randn(int(seconds * RATE))
    samples[-RATE:] += 0.3 * rng.randn(RATE)
    samples[int(at * RATE) : int((at + 0.5) * RATE)] += 0.1 * np.sin(2 * np.pi * np.arange(RATE // 2) / 16)
    return audio.to_int16(samples)


@pytest.mark.parametrize("seconds, at", [(3, 0.7), (2.5, 0.3), (8, 4.1)])
def test_the_word_is_in_the_middle_of_the_part(seconds, at):
    samples = recording(seconds, at)
    found = Aligner(HearsATone(), RATE).cut(samples, "YES")
    first = next(start for start in range(len(samples)) if np.array_equal(samples[start : start + RATE], found))
    assert first / RATE == pytest.approx(at - 0.25, abs=0.06)
    assert abs(audio.loudest(samples, RATE, RATE) - first) > 0.3 * RATE  # it is not the loudest one


@pytest.mark.parametrize("milliseconds, best", [(1050, 0), (1050, 1), (1100, 0), (1100, 2), (1150, 3)])
def test_a_recording_that_has_room_for_few_parts(milliseconds, best):

    class HearsOne(HearsATone):
        def scores(self, clips):
            return np.eye(3)[[2 if clip[0] * audio.FULL_SCALE == best * RATE // 20 else 0 for clip in clips]]

    samples = np.arange(milliseconds * RATE // 1000).astype(np.int16)
    assert Aligner(HearsOne(), RATE).cut(samples, "yes")[0] == best * RATE // 20


@pytest.mark.parametrize("seconds, word, unknown", [(1, "yes", set()), (0.5, "yes", set()), (3, "lamp", {"lamp"})])
def test_a_recording_stays_as_it_is(seconds, word, unknown):
    aligner, samples = Aligner(HearsATone(), RATE), np.ones(int(seconds * RATE), np.int16)
    assert aligner.cut(samples, word) is samples and aligner.unknown == unknown


@pytest.fixture
def data(tmp_path):
    """Recordings of two seconds of a word that the packaged network knows, and of one that it does not know."""
    for word in ("yes", "lamp"):
        os.makedirs(str(tmp_path / word))
        for number in range(3):
            soundfile.write(str(tmp_path / word / ("%d.wav" % number)), recording(2 + number / 10, 0.3), RATE)
    return tmp_path


def test_prepare_cuts_the_words_that_the_network_knows(kws, data):
    assert kws("prepare", "--data-path", data).exit_code == 0
    refused = kws("prepare", "--data-path", data, "--align", "ds_cnn_s")
    assert refused.exit_code == 1
    assert "was prepared with align unset, but now it is ds_cnn_s; add --force to prepare it again" in refused.stderr
    result = kws("prepare", "--data-path", data, "--align", "ds_cnn_s", "--force")
    assert result.exit_code == 0, result.output
    assert "ds_cnn_s does not know: lamp. Of their long recordings, the loudest part is used.\n" in result.stderr
    prepared = dataset.load(str(data))
    assert {word: sorted(prepared.counts[prepared.words == word]) for word in ("yes", "lamp")} == {
        "yes": 3 * [RATE], "lamp": [32000, 33600, 35200]
    }
    assert "Already prepared" in kws("prepare", "--data-path", data, "--align", "ds_cnn_s").stdout


@pytest.mark.parametrize("flags, message", [
    (("--align", "nowhere"), "there is no checkpoint nowhere; check the path"),
    (("--align", "ds_cnn_s", "--sample-rate", "8000"),
     "--align ds_cnn_s takes 16000 samples per second, but --sample-rate is 8000; name another network"),
])
def test_a_network_that_cannot_align(kws, data, flags, message):
    result = kws("prepare", "--data-path", data, *flags)
    assert result.exit_code == 1 and message in result.stderr
    assert not (data / "packed").exists()
