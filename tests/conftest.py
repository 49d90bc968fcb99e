"""What several test files use: a small data set of tones, the real recordings, and the command line."""
import os
import signal
import zlib

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job would ignore, children too

SHARED_DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "data")


def tone(word, speaker, sample_count=16000, sample_rate=16000):
    """A clip [sample_count] float32 in which a word has its own pitch and every speaker a voice of their own."""
    rng = np.random.RandomState(zlib.crc32(("%s %s" % (word, speaker)).encode()))
    hertz = 200 + zlib.crc32(word.encode()) % 2000 + rng.uniform(-5, 5)
    noise = rng.uniform(-0.05, 0.05, sample_count)
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(sample_count) / sample_rate) + noise).astype(np.float32)


@pytest.fixture(scope="session")
def tones():
    """tones(folder, words, speakers=12, background=True): writes folder/WORD/SPEAKER_nohash_0.wav -> folder."""

    def write(folder, words=("yes", "no", "up"), speakers=12, background=True, sample_count=16000):
        for word in words:
            os.makedirs(os.path.join(str(folder), word))
            for speaker in range(speakers):
                path = os.path.join(str(folder), word, "%08x_nohash_0.wav" % speaker)
                soundfile.write(path, tone(word, speaker, sample_count), 16000, subtype="PCM_16")
        if background:
            os.makedirs(os.path.join(str(folder), "_background_noise_"))
            noise = np.random.RandomState(0).uniform(-0.1, 0.1, 32000)
            path = os.path.join(str(folder), "_background_noise_", "noise.wav")
            soundfile.write(path, noise, 16000, subtype="PCM_16")
        return str(folder)

    return write


@pytest.fixture(scope="session")
def shared_data():
    """The folder of the real recordings, which the repository does not hold."""
    if not os.path.isdir(SHARED_DATA):
        pytest.skip("the real recordings are not in ../shared/data")
    return os.path.normpath(SHARED_DATA)


@pytest.fixture
def no_ffmpeg(monkeypatch):
    """A machine where ffmpeg is not installed."""
    from kwscli.sound import ffmpeg

    monkeypatch.setattr(ffmpeg, "program", lambda: None)


@pytest.fixture
def kws(monkeypatch):
    """kws("prepare", "--data-path", path): runs the command line here -> a result with exit_code, stdout, stderr.

    What is no message for the person, but a bug of ours, is raised.
    """
    from kwscli.cli import cli

    monkeypatch.delenv("KWS_DATA_PATH", raising=False)
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # click 8.2 always keeps them apart
        runner = CliRunner()
    return lambda *args: runner.invoke(cli, [str(arg) for arg in args], prog_name="kws", catch_exceptions=False)
