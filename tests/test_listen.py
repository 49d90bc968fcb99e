"""`kws listen` with a network of numpy: the scores of a stream, what is printed and written, and bad input."""
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings as hypothesis_settings, strategies as st

from kwscli import label, listen
from kwscli.classifiers.classifier import Classifier
from kwscli.errors import KwsError
from kwscli.listening import sources
from kwscli.listening.conversion import Resampler
from kwscli.listening.stream import WindowScores
from kwscli.settings import DataSettings, DetectorSettings
from kwscli.sound import audio
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.sound.features import features, features_of_frames

LABELS = ("_silence_", "_unknown_", "yes", "no")
FEATURES = {
    "40/20 ms": FeatureSettings(),
    "30/10 ms": FeatureSettings(window_size_ms=30, window_stride_ms=10, features="log_mel", upper_edge_hertz=7600),
    "windows with gaps": FeatureSettings(window_size_ms=20, window_stride_ms=35),
    "odd": FeatureSettings(clip_duration_ms=333, window_size_ms=33.3, window_stride_ms=7.7),
    "22050 Hz": FeatureSettings(sample_rate=22050, window_size_ms=40),
}


class Linear(Classifier):
    """A network of random weights."""

    takes_features = True

    def __init__(self, settings=FeatureSettings()):
        super().__init__("a network", LABELS, settings, DataSettings(wanted_words=LABELS[2:]))
        self._weights = np.random.RandomState(0).randn(settings.feature_count, len(LABELS)) / settings.feature_count

    def scores(self, clips):
        return self.scores_of_features(features(clips, self.features))

    def scores_of_features(self, features):
        logits = features.reshape(len(features), -1).astype(np.float64) @ self._weights
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)


class LinearOfClips(Linear):
    """The same as a graph that computes its features itself."""

    takes_features = False
    scores_of_features = None

    def scores(self, clips):
        return Linear.scores_of_features(self, features(clips, self.features))


class Tones(Classifier):
    """Hears `yes` in a window with a tone of 440 Hz in its middle, and `no` in one with 880 Hz."""

    def __init__(self):
        super().__init__("tones", LABELS, FeatureSettings(), DataSettings(wanted_words=LABELS[2:]))

    def scores(self, clips):
        middle = np.asarray(clips)[:, 6000:10000]
        loud = [np.abs(middle @ np.exp(2j * np.pi * hertz * np.arange(4000) / 16000)) / 2000 for hertz in (440, 880)]
        yes, no = np.clip(np.array(loud) * 2, 0, 0.999)
        return np.stack([np.clip(0.999 - yes - no, 0, 1), np.full(len(clips), 0.001), yes, no], axis=1)


def noise(count, seed=0):
    return audio.to_int16(0.2 * np.random.RandomState(seed).randn(count).astype(np.float32)) / np.float32(32768)


def spoken(*words, seconds=10.0):
    """A sound in which words (time of its middle, hertz) are tones of 0.4 s, over a little noise."""
    sound = 0.001 * np.random.RandomState(1).randn(int(16000 * seconds))
    for time, hertz in words:
        start = int(16000 * (time - 0.2))
        sound[start : start + 6400] += 0.6 * np.sin(2 * np.pi * hertz * np.arange(6400) / 16000)
    return sound


def in_blocks(samples, sizes):
    """Cut samples into blocks of these sizes, which repeat."""
    start, number = 0, 0
    while start < len(samples):
        yield samples[start : start + sizes[number % len(sizes)]]
        start += sizes[number % len(sizes)]
        number += 1


def stream_scores(classifier, stride_ms, blocks):
    windows = WindowScores(classifier, stride_ms)
    scores = [windows.feed(block) for block in blocks]
    return windows, np.concatenate(scores + [windows.finish()])


def window_scores(classifier, stride_samples, samples):
    """The scores of all windows as clips: what kws label gives for them."""
    clip = classifier.features.clip_samples
    count = 1 + max(0, -(-(len(samples) - clip) // stride_samples))
    starts = range(0, count * stride_samples, stride_samples)
    return classifier.scores(np.stack([audio.fit(samples[start : start + clip], clip) for start in starts]))


@pytest.mark.parametrize("kind", [Linear, LinearOfClips])
@pytest.mark.parametrize("name", FEATURES)
def test_the_scores_of_a_stream_are_those_of_its_windows(kind, name):
    @hypothesis_settings(max_examples=12, deadline=None)
    @given(st.integers(1, 40000), st.lists(st.integers(1, 50000), min_size=1, max_size=5), st.integers(1, 500))
    def check(count, sizes, stride_ms):
        samples = noise(count)
        sizes = [max(size, count // 200) for size in sizes]  # the next test has blocks of one sample
        classifier = kind(FEATURES[name])
        stride_ms = min(stride_ms, classifier.features.clip_duration_ms - 10)
        windows, scores = stream_scores(classifier, stride_ms, in_blocks(samples, sizes))
        expected = window_scores(classifier, windows.stride_samples, samples)
        assert scores.shape == expected.shape and windows.window_count == len(expected)
        np.testing.assert_allclose(scores, expected, atol=1e-5)

    check()


@pytest.mark.parametrize("size", [1, 7, 160, 16000, 16001, 10 ** 6])
def test_every_size_of_the_blocks_gives_the_same_scores(size):
    samples, classifier = noise(20000), Linear()
    windows, scores = stream_scores(classifier, 240, in_blocks(samples, [size]))
    np.testing.assert_allclose(scores, window_scores(classifier, windows.stride_samples, samples), atol=1e-5)


def test_the_scores_are_those_of_kws_label(tmp_path):
    samples, classifier = noise(16000 * 3 + 77), Linear()
    windows, scores = stream_scores(classifier, 500, [samples])
    for index, row in enumerate(scores):
        start = index * windows.stride_samples
        path = str(tmp_path / ("%d.wav" % index))
        soundfile.write(path, samples[start : start + 16000], 16000, subtype="PCM_16")
        found = next(label.label(classifier, [path]))
        np.testing.assert_allclose([dict(found.scores)[name] for name in LABELS], row, atol=1e-5)


def test_each_frame_is_computed_once(monkeypatch):
    counted = []
    monkeypatch.setattr(
        "kwscli.listening.stream.features_of_frames",
        lambda samples, settings: counted.append(features_of_frames(samples, settings)) or counted[-1],
    )
    windows = WindowScores(Linear(), 240)
    for block in in_blocks(noise(160000), [1000]):
        windows.feed(block)
    assert windows.window_count == 38 and 37 * 12 + 49 <= sum(map(len, counted)) <= 499  # not 38 * 49


def test_the_stride_is_rounded_to_whole_frames():
    found = [WindowScores(Linear(), stride).stride_ms for stride in (1, 20, 29, 31, 240, 250)]
    assert found == [20, 20, 20, 40, 240, 240]


@pytest.mark.parametrize("count", [0, 1, 639, 640, 959, 960, 16000, 16319, 16320, 40000])
def test_features_of_frames_are_those_of_clips(count):
    samples, settings = noise(40000)[:count].copy(), FeatureSettings()
    frames = features_of_frames(samples, settings)
    assert len(frames) == max(0, (count - 640) // 320 + 1)
    for index in range(len(frames)):
        start = index * 320
        clip = audio.fit(samples[start : start + 640], 16000)
        np.testing.assert_allclose(frames[index], features(clip[np.newaxis], settings)[0, 0], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 44101])
def test_resampling_in_blocks_gives_the_same_samples(rate):
    samples = noise(rate // 2 + 13)
    expected = audio.resample(samples, rate, 16000)
    for sizes in ([17, 3000], [10 ** 6], [1] if rate == 8000 else [441]):
        resampler = Resampler(rate, 16000)
        found = [resampler.feed(block) for block in in_blocks(samples, sizes)] + [resampler.finish()]
        np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)


def blocks_of(source, monkeypatch=None, rate=None):
    """(all samples of a source, what it said)."""
    said = []
    found = list(sources.blocks(str(source), 16000, rate, said.append))
    return np.concatenate(found) if found else np.zeros(0, np.float32), said


@pytest.mark.parametrize("name, rate, channels, how", [
    ("a.wav", 16000, 1, {"subtype": "PCM_16"}),
    ("a.wav", 44100, 2, {"subtype": "FLOAT"}),
    ("a.wav", 48000, 32, {"subtype": "PCM_24"}),
    ("a.flac", 22050, 1, {}),
    ("a.ogg", 48000, 2, {}),
    ("a.aiff", 8000, 1, {}),
])
def test_a_file_gives_the_samples_that_label_reads(tmp_path, monkeypatch, name, rate, channels, how):
    monkeypatch.setattr(sources, "_JOINED", 10000)
    sound = noise(rate * 2)[:, np.newaxis] * np.linspace(0.5, 1, channels)
    soundfile.write(str(tmp_path / name), sound, rate, **how)
    samples, said = blocks_of(tmp_path / name)
    np.testing.assert_allclose(samples, audio.read(str(tmp_path / name), 16000), atol=1e-5)
    assert not said


def test_channels_that_cancel_each_other_out(tmp_path):
    soundfile.write(str(tmp_path / "a.wav"), noise(32000)[:, np.newaxis] * [1, -1], 16000)
    samples, said = blocks_of(tmp_path / "a.wav")
    np.testing.assert_allclose(samples, noise(32000), atol=1e-4)
    assert "cancel each other out: only channel 1 of 2 is used" in said[0]


def test_samples_that_are_not_finite_are_silence(tmp_path):
    sound = noise(32000).copy()
    sound[[8000, 9000]] = np.nan, np.inf
    soundfile.write(str(tmp_path / "a.wav"), sound, 16000, subtype="FLOAT")
    samples, said = blocks_of(tmp_path / "a.wav")
    assert np.isfinite(samples).all() and samples[8000] == 0 and samples[8001] == sound[8001]
    assert len(said) == 1 and "not finite numbers, the first at 0.50 s" in said[0]


def wav_file(samples, promised=None, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, how.pop("rate", 16000), format=how.pop("format", "WAV"), **how)
    content = bytearray(file.getvalue())
    if promised is not None:
        at = bytes(content).index(b"data") + 4
        content[at : at + 4] = np.uint32(promised).tobytes()
    return bytes(content)


def test_a_wav_file_whose_header_promises_more(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_file(noise(24000), promised=320000))
    samples, said = blocks_of(tmp_path / "a.wav")
    assert len(samples) == 24000
    assert len(said) == 1 and said[0].endswith("a.wav ends after 1.50 s, but its header promises 10.00 s.")


def test_a_flac_file_that_is_cut_off(tmp_path):
    whole = tmp_path / "whole.flac"
    soundfile.write(str(whole), noise(16000 * 20), 16000)
    (tmp_path / "a.flac").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    samples, said = blocks_of(tmp_path / "a.flac")
    assert 5 * 16000 < len(samples) < 15 * 16000 and "a.flac ends after" in said[0]


class Stdin:
    """Standard input that holds these bytes and gives a few at a time."""

    def __init__(self, data, at_once=1 << 20):
        self.buffer, self._at_once, self.closed = self, at_once, False
        self._file = io.BytesIO(data)

    def isatty(self):
        return False

    def read(self, count=-1):
        return self._file.read(count)

    def read1(self, count):
        return self._file.read(min(count, self._at_once))


def of_stdin(monkeypatch, data, rate=None, at_once=1 << 20):
    monkeypatch.setattr(sys, "stdin", Stdin(data, at_once))
    return blocks_of("-", rate=rate)


@pytest.mark.parametrize("at_once", [1, 3, 4096, 1 << 20])
def test_raw_samples_on_standard_input(monkeypatch, at_once):
    samples, said = of_stdin(monkeypatch, audio.to_int16(noise(5000)).tobytes(), at_once=at_once)
    assert np.array_equal(samples, noise(5000)) and not said


def test_raw_samples_of_another_rate(monkeypatch):
    data = audio.to_int16(noise(8000)).tobytes()
    samples, said = of_stdin(monkeypatch, data, rate=8000)
    np.testing.assert_allclose(samples, audio.resample(noise(8000), 8000, 16000), atol=1e-5)
    assert not said


@pytest.mark.parametrize("count", [1, 3, 5, 10001])
def test_a_raw_stream_of_odd_length(monkeypatch, count):
    samples, said = of_stdin(monkeypatch, bytes(count))
    assert len(samples) == count // 2 and "ends in the middle of a sample" in said[0] and "16-bit" in said[0]


@pytest.mark.parametrize("how", [
    {"subtype": "PCM_U8"}, {"subtype": "PCM_16"}, {"subtype": "PCM_24"}, {"subtype": "PCM_32"}, {"subtype": "FLOAT"},
    {"subtype": "DOUBLE"}, {"format": "WAVEX", "subtype": "PCM_16"}, {"format": "FLAC"}, {"format": "OGG"},
    {"format": "AIFF"}, {"rate": 44100, "subtype": "PCM_16"},
])
def test_sound_files_on_standard_input(monkeypatch, how):
    data = wav_file(noise(20000), **how)
    samples, said = of_stdin(monkeypatch, data, at_once=4097)
    np.testing.assert_allclose(samples, audio.read(data, 16000), atol=1e-5)
    assert not said


def test_several_channels_on_standard_input(monkeypatch):
    data = wav_file(np.stack([noise(20000), np.zeros(20000)], axis=1))
    samples, _ = of_stdin(monkeypatch, data, at_once=4097)
    np.testing.assert_allclose(samples, noise(20000) / 2, atol=1e-4)


@pytest.mark.parametrize("promised", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_header_of_a_program_that_cannot_know_the_length(monkeypatch, promised):
    samples, said = of_stdin(monkeypatch, wav_file(noise(5000), promised=promised))
    assert len(samples) == 5000 and not said


def test_a_wav_stream_that_ends_early(monkeypatch):
    samples, said = of_stdin(monkeypatch, wav_file(noise(24000), promised=320000))
    assert len(samples) == 24000 and "ends after 1.50 s, but its header promises 10.00 s" in said[0]


def test_chunks_around_the_samples_of_a_wav_stream(monkeypatch):
    data = wav_file(noise(5000))
    at = data.index(b"data")
    data = data[:at] + b"LIST\x05\x00\x00\x00abcde\x00" + data[at:] + b"LIST\x04\x00\x00\x00abcd"
    samples, said = of_stdin(monkeypatch, data)
    assert np.array_equal(samples, noise(5000)) and not said


@pytest.mark.parametrize("cut", [4, 8, 12, 20, 30, 40])
def test_a_wav_stream_that_ends_in_its_header(monkeypatch, cut):
    with pytest.raises(KwsError, match="standard input ends inside of its header"):
        of_stdin(monkeypatch, wav_file(noise(5000))[:cut])


def test_a_wav_stream_of_a_kind_that_only_files_can_have(monkeypatch):
    with pytest.raises(KwsError, match="cannot be read from a pipe; save it"):
        of_stdin(monkeypatch, wav_file(noise(5000), subtype="IMA_ADPCM"))


def test_the_rate_of_a_wav_stream_is_that_of_its_header(monkeypatch):
    samples, said = of_stdin(monkeypatch, wav_file(noise(5000)), rate=8000)
    assert len(samples) == 5000 and "--rate 8000 has no effect" in said[0]


def test_the_rate_of_a_file_is_its_own(tmp_path):
    soundfile.write(str(tmp_path / "a.wav"), noise(5000), 16000)
    with pytest.raises(KwsError, match="--rate 8000 is for samples on standard input"):
        blocks_of(tmp_path / "a.wav", rate=8000)


@pytest.fixture
def listening(kws, monkeypatch, tmp_path):
    """listening(sound, *args): runs kws listen on a sound [n], with the classifier `Tones`."""
    monkeypatch.setattr("kwscli.classifiers.open", lambda path, labels, light: Tones())

    def run(sound, *args):
        path = str(tmp_path / "sound.wav")
        soundfile.write(path, sound, 16000, subtype="PCM_16")
        return kws("listen", path, *args)

    return run


WORDS = (2.0, 440), (4.5, 880), (5.5, 880), (8.0, 440)


def test_it_prints_a_line_per_detection(listening):
    ran = listening(spoken(*WORDS))
    lines = [line.split("  ") for line in ran.stdout.splitlines()]
    assert [line[1] for line in lines] == ["yes", "no", "no", "yes"]
    for (time, _), line in zip(WORDS, lines):
        assert abs(float(line[0].split(" s")[0]) - time) <= 0.25 and line[2].endswith(" %")
    assert ran.stderr == "4 keywords in 0:10.0: yes 2, no 2\n" and ran.exit_code == 0


def test_json_lines(listening):
    found = [json.loads(line) for line in listening(spoken(*WORDS), "--json").stdout.splitlines()]
    assert [one["keyword"] for one in found] == ["yes", "no", "no", "yes"]
    for one in found:
        assert set(one) == {"time", "keyword", "score", "start", "end"}
        assert one["end"] - one["start"] == pytest.approx(1) and one["time"] == pytest.approx(one["start"] + 0.5)


def test_a_label_track_for_audacity(listening, tmp_path):
    listening(spoken(*WORDS), "--labels-file", tmp_path / "labels.txt")
    lines = [line.split("\t") for line in (tmp_path / "labels.txt").read_text().splitlines()]
    assert [line[2] for line in lines] == ["yes", "no", "no", "yes"]
    assert all(float(line[0]) < time < float(line[1]) for line, (time, _) in zip(lines, WORDS))


def test_clips_of_what_was_heard(listening, tmp_path):
    sound = spoken(*WORDS)
    for _ in range(2):
        found = listening(sound, "--save-clips", tmp_path / "heard", "--json").stdout.splitlines()
    names = sorted(os.path.relpath(os.path.join(folder, name), str(tmp_path / "heard"))
                   for folder, _, names in os.walk(str(tmp_path / "heard")) for name in names)
    assert len(names) == 8 and [name.split(os.sep)[0] for name in names] == ["no"] * 4 + ["yes"] * 4
    first = json.loads(found[0])
    clip, rate = soundfile.read(str(tmp_path / "heard" / "yes" / ("%09.2fs.wav" % first["start"])))
    start = int(round(first["start"] * 16000))
    np.testing.assert_allclose(clip, sound[start : start + 16000], atol=1e-4)
    assert rate == 16000


def test_the_clips_of_a_stream_in_small_blocks():
    sound = spoken(*WORDS).astype(np.float32)
    listener = listen.Listener(Tones(), DetectorSettings(), "unused")
    kept = []
    listener._keep = lambda heard: kept.append((heard, listener._memory.clip(int(round(heard.start * 16000)))))
    assert len(list(listener.listen(in_blocks(sound, [160])))) == 4
    for heard, clip in kept:
        start = int(round(heard.start * 16000))
        assert np.array_equal(clip, sound[start : start + 16000])
    assert sum(len(block) for _, block in listener._memory._blocks) < 4 * 16000


def test_stats(listening):
    shown = listening(spoken(*WORDS), "--stats").stderr
    assert " times real time; 39 windows, one every 240 ms; in real time " in shown


def test_settings_of_the_detector(listening):
    assert listening(spoken(*WORDS), "--threshold", "1").stdout == ""
    assert "no" not in listening(spoken(*WORDS), "--thresholds", "no=1").stdout
    assert "31 windows, one every 300 ms" in listening(spoken(*WORDS), "--stride-ms", 300, "--stats").stderr
    assert "--stride-ms 1200 is longer than the window of 1000 ms" in listening(spoken(), "--stride-ms", 1200).stderr
    ran = listening(spoken(), "--thresholds", "maybe=0.5")
    assert ran.exit_code == 1 and "maybe, which is not a keyword" in ran.stderr


def test_settings_of_the_detector_in_the_model_file(listening, monkeypatch):
    def strict(path, labels, light):
        classifier = Tones()
        classifier.detector = DetectorSettings(threshold=1.0)
        return classifier

    monkeypatch.setattr("kwscli.classifiers.open", strict)
    assert listening(spoken(*WORDS)).stdout == ""
    assert len(listening(spoken(*WORDS), "--threshold", "0.9").stdout.splitlines()) == 4


@pytest.mark.parametrize("seconds", [0.0001, 0.5, 0.99])
def test_a_file_that_is_shorter_than_a_window(listening, seconds):
    ran = listening(spoken(seconds=seconds), "--stats")
    assert ran.exit_code == 0 and "; 1 windows" in ran.stderr


def test_an_empty_file_and_an_empty_stream(listening, kws, monkeypatch):
    assert "holds no samples" in listening(np.zeros(0)).stderr
    monkeypatch.setattr("kwscli.listening.sources._binary_stdin", lambda: io.BytesIO(b""))
    ran = kws("listen", "-")
    assert ran.exit_code == 1 and "the sound to listen to holds no samples" in ran.stderr


def test_nothing_to_listen_to(listening, kws, tmp_path):
    assert "there is nothing to listen to; give a sound file" in kws("listen").stderr
    assert "there is no file" in kws("listen", tmp_path / "missing.wav").stderr
    (tmp_path / "text.wav").write_text("text")
    assert "cannot be read as sound" in kws("listen", tmp_path / "text.wav").stderr
    assert "--microphone and a file exclude each other" in kws("listen", "--microphone=x", "a.wav").stderr
    assert "--microphone and --rate exclude each other" in kws("listen", "--rate", 8000, "--microphone").stderr


def test_a_terminal_as_standard_input(listening, kws, monkeypatch):
    monkeypatch.setattr(Stdin, "isatty", lambda self: True)
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    with pytest.raises(KwsError, match="standard input is a terminal; pipe sound into it"):
        sources.blocks("-", 16000, None, print)


def test_a_minute_of_silence_takes_constant_memory():
    windows = WindowScores(Linear(), 240)
    for block in in_blocks(np.zeros(16000 * 60, np.float32), [4000]):
        windows.feed(block)
    assert len(windows._samples.values) < 16000 and len(windows._rows.values) < 100


def test_ctrl_c_ends_with_a_summary(listening, monkeypatch):
    def interrupted(*args):
        yield spoken((2.0, 440)).astype(np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr("kwscli.listening.sources.blocks", interrupted)
    ran = listening(spoken())
    assert ran.exit_code == 130 and "yes" in ran.stdout
    assert ran.stderr.splitlines()[0] == "1 keyword in 0:10.0: yes 1" and "Traceback" not in ran.stderr


LISTEN = """
import sys
sys.path.insert(0, %r)
from kwscli import classifiers, cli
import test_listen
classifiers.open = lambda path, labels, light: test_listen.Tones()
cli.main()
"""


def listen_process(*args, **how):
    code = LISTEN % os.path.dirname(os.path.abspath(__file__))
    environ = dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return subprocess.Popen([sys.executable, "-c", code, "listen"] + list(args), env=environ, **how)


def test_a_closed_pipe_ends_in_silence(tmp_path):
    words = [(second + 0.5, 440) for second in range(1, 200)]
    soundfile.write(str(tmp_path / "a.wav"), spoken(*words, seconds=201), 16000)
    process = listen_process(str(tmp_path / "a.wav"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 1)


def test_a_live_stream_is_heard_before_it_ends():
    process = listen_process("-", "--json", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    sound = audio.to_int16(spoken((2.0, 440), seconds=3.5).astype(np.float32)).tobytes()
    process.stdin.write(sound)
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["keyword"] == "yes"  # standard input is still open
    assert process.communicate(b"")[1] == b"1 keyword in 0:03.5: yes 1\n" and process.returncode == 0
