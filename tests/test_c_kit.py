"""The C kit: its integers are those of TensorFlow Lite, its features those of Python, on this machine and emulated."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import wave

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf
from click.testing import CliRunner
from hypothesis import given, settings as hypothesis_settings, strategies as st
from test_features import speech  # noqa: F401  (a fixture)
from test_train import data  # noqa: F401  (a fixture)

from kwscli import classifiers, models, toolchain
from kwscli.classifiers.c_kit import Kit
from kwscli.cli import cli
from kwscli.detector import Detector
from kwscli.devices import session
from kwscli.errors import KwsError
from kwscli.export import c_kit, freeze as freezing, frozen_graph, tflite, tflite_int8
from kwscli.export.c_kit import arena, detector, layers, model, reference, tables, tflite_file
from kwscli.labels import labels_of
from kwscli.models import network
from kwscli.runs import run_directory
from kwscli.settings import DataSettings, DetectorSettings, TrainSettings
from kwscli.sound import audio
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.sound.features import features as features_of

needs_compiler = pytest.mark.skipif(not toolchain.compiler(), reason="there is no C compiler")
needs_emulator = pytest.mark.skipif(
    not (shutil.which(toolchain.CROSS + "gcc") and shutil.which(toolchain.EMULATOR)),
    reason="arm-none-eabi-gcc or qemu-system-arm is missing",
)
KEYWORDS = ("yes", "no", "up")
BANDS = {"dct_coefficient_count": 40, "window_stride_ms": 40.0}
# {architecture: (size, feature settings)}: small networks with every kind of layer.
NETWORKS = {
    "dnn": ((16, 16), {}),
    "cnn": ((6, 10, 4, 1, 1, 5, 10, 4, 2, 1, 8, 16), {}),
    "ds_cnn": ((3, 9, 10, 4, 2, 1, 9, 3, 3, 2, 2, 8, 3, 3, 1, 1), {}),
    "ds_cnn, unequal strides": ((3, 8, 10, 4, 2, 1, 8, 3, 3, 2, 1, 8, 3, 3, 1, 1), {}),
    "ds_tc_resnet": ((2, 2, 8), BANDS),
    "bc_resnet": ((8,), dict(BANDS, window_stride_ms=80.0)),
    "single_fc": ((), {}),
    "conv": ((4, 20, 8, 4, 10, 4), {}),
    "low_latency_conv": ((9, 8, 16, 16), {}),
    "low_latency_svdf": ((16, 2, 16, 16), {}),
    "tiny_conv": ((4, 10, 8, 2, 2), {}),
    "ds_cnn, normalised features": ((2, 8, 10, 4, 2, 2, 8, 3, 3, 1, 1), {}),
}
FEATURES = {
    "40/20 ms": {},
    "30/10 ms": {"window_size_ms": 30.0, "window_stride_ms": 10.0, "dct_coefficient_count": 40},
    "8 kHz, up to half of the rate": {"sample_rate": 8000},
    "log mel": {"features": "log_mel", "window_size_ms": 30.0, "upper_edge_hertz": 7600.0},
    "1.5 s, odd window": {"clip_duration_ms": 1500, "window_size_ms": 33.3, "upper_edge_hertz": 7600.0},
    "windows apart": {"window_size_ms": 30.0, "window_stride_ms": 50.0},
    "narrow filters": {"window_size_ms": 10.0, "filterbank_channel_count": 80},
}
NO_NETWORK = """
#include "kws_model.h"

%s
void kws_model_run(int8_t *arena)
{
    (void)arena;
}
"""
STREAM = """
#include "kws.h"
#include <string.h>

void stream(const int16_t *samples, int32_t count, int32_t block, int8_t *features, int32_t *frames)
{
    static kws state;
    int32_t start;
    kws_init(&state);
    *frames = 0;
    for (start = 0; start < count; start += block) {
        *frames += kws_feed(&state, samples + start, (size_t)(count - start < block ? count - start : block));
    }
    for (start = 0; start < KWS_FRAME_COUNT; ++start) {
        memcpy(features + start * KWS_CHANNEL_COUNT, state.features[(state.next + start) % KWS_FRAME_COUNT],
               KWS_CHANNEL_COUNT);
    }
}
"""


def description_of(architecture, size, **features):
    settings = FeatureSettings(**features)
    train = TrainSettings()
    return run_directory.Description(
        architecture, size, labels_of(KEYWORDS), settings, DataSettings(wanted_words=KEYWORDS), train
    )


def noise(settings, count):
    """Loud and quiet clips [n, clip_samples] int16 of noise that changes its pitch, and one of digital silence."""
    rng = np.random.RandomState(0)
    clips = np.cumsum(rng.uniform(-1, 1, (count, settings.clip_samples)), axis=1) * rng.uniform(-1, 1, (count, 1))
    clips += 20 * rng.uniform(-1, 1, clips.shape) * np.linspace(0, 1, settings.clip_samples)
    clips *= np.geomspace(1, 0.01, count)[:, np.newaxis] / np.abs(clips).max()
    return np.concatenate([audio.to_int16(clips.astype(np.float32)), np.zeros((1, settings.clip_samples), np.int16)])


def int8_network(name):
    """(content of a .tflite file, description, features [n, values] int8) of a network with random weights."""
    size, features = NETWORKS[name]
    description = description_of(name.split(",")[0], size, **features)
    rng, (frames, channels) = np.random.RandomState(1), description.features.shape
    values = (rng.normal(0, 3, (16, 1, channels)) + rng.normal(0, 1, (16, frames, channels))).astype(np.float32)
    content = random_network(description, values, normalised="normalised" in name)
    return content, description, reference.quantized(values, tflite_file.read(content))


def random_network(description, values, normalised=False):
    """The content of a .tflite file with random weights, whose scales fit features [n, frames, channels]."""
    rng, shape = np.random.RandomState(1), (1,) + description.features.shape
    gain = 30 if description.architecture.startswith(("ds", "bc")) else 1  # averages differ little

    def input_of(settings):
        x = frozen_graph.features_input(settings)
        if normalised:
            x = (tf.reshape(x, shape) - rng.uniform(-1, 1, shape[2:]).astype(np.float32)) * np.float32(0.5)
        return x

    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        x = tf.reshape(input_of(description.features), shape)
        tf.nn.softmax(gain * network.logits_of(description, x, training=False), name="labels_softmax")
        start = tf.global_variables_initializer()
        offsets = [
            variable.assign(rng.uniform(-0.1, 0.1, variable.shape.as_list()).astype(np.float32))
            for variable in tf.global_variables() if re.search("bias|beta", variable.op.name)
        ]
    with session.open_session(graph) as opened:
        opened.run(start)
        opened.run(offsets)
        graph_def = tf.graph_util.convert_variables_to_constants(opened, graph.as_graph_def(), ["labels_softmax"])
    return tflite_int8._converted(graph_def, values, description)


def write_kit(folder, content, description):
    """Everything but the test vectors."""
    shutil.copytree(c_kit.SOURCES, str(folder))
    made = model.model_of(content, description)
    for name, text in (
        ("kws_model.h", made.header), ("kws_model.c", made.source),
        ("kws_tables.h", tables.source(description.features)),
    ):
        c_kit._write(str(folder), name, text)
    return str(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(kit with test vectors, its features, its scores) of a small ds_cnn."""
    content, description, features = int8_network("ds_cnn")
    folder = write_kit(tmp_path_factory.mktemp("small") / "kit", content, description)
    clip = noise(description.features, 15)[0]
    of_clip = features_of(clip[np.newaxis] / np.float32(32768), description.features)
    features = np.concatenate([reference.quantized(of_clip, tflite_file.read(content)), features])
    with Kit(folder) as kit:
        scores = kit.run(features)
    c_kit._write(folder, "test_vectors.h", model.vectors(features[:5], scores[:5], clip))
    return folder, features, scores


@pytest.fixture(scope="module")
def a_wav(tmp_path_factory):
    """A WAV file of 2.3 clips."""
    path = str(tmp_path_factory.mktemp("wav") / "a.wav")
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.concatenate(noise(FeatureSettings(), 2))[:36800].astype("<i2").tobytes())
    return path


@needs_compiler
@pytest.mark.parametrize("name", NETWORKS)
def test_the_integers_are_those_of_tensorflow_lite(name, tmp_path):
    try:
        content, description, features = int8_network(name)
    except KwsError as error:
        assert tflite.ON_TENSORFLOW_1, error
        pytest.skip(str(error))
    wanted = reference.of(content)
    scores = wanted.scores(features)
    with Kit(write_kit(tmp_path / "kit", content, description)) as kit:
        found = kit.run(features)
    assert len(np.unique(scores, axis=0)) > 1
    if wanted.exact:
        np.testing.assert_array_equal(found, scores)
    assert np.abs(found.astype(int) - scores).mean() <= c_kit.STEPS_ALLOWED


def test_every_architecture_is_in_the_kit_or_refused_by_name(tmp_path):
    assert {name.split(",")[0] for name in NETWORKS} | set(c_kit.RECURRENT) == set(models.ARCHITECTURES)
    for architecture in c_kit.RECURRENT:
        with pytest.raises(KwsError, match="no kernels for the recurrent layers of a %s; use --format" % architecture):
            c_kit.write(str(tmp_path), description_of(architecture, models.published(architecture).model_size_info), "")
    assert not os.listdir(str(tmp_path))


def test_an_operator_without_a_kernel_is_named():
    with pytest.raises(KwsError, match="has no kernel for operator 83; use --format tflite-int8"):
        layers.calls_of(tflite_file.Network([tflite_file.Operator("operator 83", {}, [], [])], None, None))


def features_kit(folder, settings, labels=("_silence_", "b"), rules=None):
    """A kit of any network with these features."""
    shutil.copytree(c_kit.SOURCES, str(folder))
    rules = rules or detector.rules_of(labels, settings, DetectorSettings(stride_ms=100.0))
    header = model.header_of(
        labels, settings, rules, INPUT_SCALE=0.5, INPUT_ZERO=3, ARENA_BYTES=settings.feature_count, INPUT_OFFSET=0,
        OUTPUT_OFFSET=0,
    )
    c_kit._write(str(folder), "kws_model.h", header)
    c_kit._write(str(folder), "kws_model.c", NO_NETWORK % model.constants_of(labels, rules))
    c_kit._write(str(folder), "kws_tables.h", tables.source(settings))
    return str(folder)


@needs_compiler
@pytest.mark.parametrize("features", FEATURES.values(), ids=list(FEATURES))
def test_the_features_are_those_of_python(features, tmp_path):
    settings = FeatureSettings(**features)
    folder, clips = features_kit(tmp_path / "kit", settings), noise(settings, 6)
    wanted = features_of(clips / np.float32(32768), settings)
    with Kit(folder) as kit:
        np.testing.assert_allclose(kit.features(clips), wanted, atol=5e-4)
    with Kit(folder, ["-DKWS_REAL=double"], np.float64) as kit:
        np.testing.assert_allclose(kit.features(clips), wanted, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("features", [
    {},
    {"features": "log_mel", "upper_edge_hertz": 8000.0},
], ids=["mfcc", "log_mel"])
def test_the_features_are_those_of_python_on_real_speech(features, speech, tmp_path):  # noqa: F811
    settings = FeatureSettings(**features)
    clips = audio.to_int16(speech)
    wanted = features_of(clips / np.float32(32768), settings)
    folder = features_kit(tmp_path / "kit", settings)
    with Kit(folder) as kit:
        np.testing.assert_allclose(kit.features(clips), wanted, atol=1e-4)
    with Kit(folder, ["-DKWS_REAL=double"], np.float64) as kit:
        np.testing.assert_allclose(kit.features(clips), wanted, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("features", [{}, FEATURES["windows apart"]], ids=["overlapping", "apart"])
@pytest.mark.parametrize("block", [1, 37, 320, 16000])
def test_samples_may_come_in_any_portions(features, block, tmp_path):
    import ctypes

    settings = FeatureSettings(**features)
    folder = features_kit(tmp_path / "kit", settings)
    c_kit._write(folder, "stream.c", STREAM)
    samples = np.concatenate(noise(settings, 2)[:2])[: settings.clip_samples + 3 * settings.window_stride_samples]
    library = ctypes.CDLL(toolchain.build(
        folder, str(tmp_path / "stream.so"), toolchain.host_compiler() + ["-shared", "-fPIC"],
        toolchain.SOURCES + ("stream.c",),
    ))
    found = np.zeros((settings.frame_count, settings.channel_count), np.int8)
    frames = ctypes.c_int32()
    library.stream(
        ctypes.c_void_p(samples.ctypes.data), len(samples), block, ctypes.c_void_p(found.ctypes.data),
        ctypes.byref(frames),
    )
    assert frames.value == settings.frame_count + 3
    last = samples[3 * settings.window_stride_samples :][np.newaxis]
    with Kit(folder) as kit:
        batch = np.clip(np.round(kit.features(last)[0] / np.float32(0.5)) + 3, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(found, batch)


def host_output(folder, program, arguments=(), flags=()):
    """What the program of a kit prints on this machine."""
    command = toolchain.host_compiler() + list(flags)
    toolchain.build(folder, program, command, toolchain.SOURCES + ("main.c",))
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE).stdout.decode()


@needs_compiler
def test_the_program_is_clean_and_scores_wav_files(small, a_wav, tmp_path):
    folder, program = small[0], str(tmp_path / "kws")
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    assert "the scores of 5 of 5 clips are equal" in host_output(folder, program, flags=flags)
    told = host_output(folder, program, [a_wav], flags).splitlines()
    assert [line.split(": ")[0] for line in told] == ["%s at %d ms" % (a_wav, start) for start in (0, 1000, 2000)]
    for line in told:
        scores = [int(one) for one in re.findall(r"(\d+)/256", line)]
        assert len(scores) == len(KEYWORDS) + 2 and abs(sum(scores) - 256) <= len(scores)


@needs_compiler
@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEdata", b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f"])
def test_another_file_than_a_wav_file_is_refused(small, content, tmp_path):
    program = str(tmp_path / "kws")
    toolchain.build(small[0], program, toolchain.host_compiler(), toolchain.SOURCES + ("main.c",))
    (tmp_path / "x.wav").write_bytes(content)
    done = subprocess.run([program, str(tmp_path / "x.wav")], stdout=subprocess.PIPE)
    assert done.returncode == 1 and b"not a 16-bit mono WAV file at 16000 samples per second" in done.stdout


@needs_compiler
def test_a_program_that_listens_needs_a_file(small, tmp_path):
    program = str(tmp_path / "kws")
    toolchain.build(small[0], program, toolchain.host_compiler(), toolchain.SOURCES + ("main.c",))
    done = subprocess.run([program, "--listen"], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout.decode()) == (
        1, "--listen needs a WAV file, or - for raw samples on standard input\n"
    )


# Settings of the detector with few and many windows, with thresholds that scores of n/256 reach exactly, and with fewer
# windows in the time than must count.
DETECTORS = {
    "defaults": {},
    "one window": {"threshold": 0.5, "minimum_windows": 1, "smoothing_ms": 0.0, "suppression_ms": 0.0},
    "exact squares": {"threshold": 0.75, "suppression_ms": 240.0},
    "exact cubes": {"threshold": 0.5, "minimum_windows": 3, "smoothing_ms": 1000.0, "suppression_ms": 1000.0},
    "six of eight": {"threshold": 0.3, "minimum_windows": 6, "smoothing_ms": 1700.0, "suppression_ms": 0.0},
    "three of two": {"threshold": 0.6, "minimum_windows": 3, "smoothing_ms": 240.0, "thresholds": ("no=0.8",)},
    "never": {"threshold": 1.0},
    "always": {"threshold": 0.0, "suppression_ms": 0.0},
    "short steps": {"stride_ms": 20.0, "threshold": 0.8, "minimum_windows": 5},
}
SPOTTED = ("_silence_", "_unknown_", "yes", "no")


def detectors_of(folder, **chosen):
    """(a function that detects in C, one that detects in Python): scores [n, 4] int8 -> [(window, keyword)], scores."""
    import ctypes

    features, settings = FeatureSettings(), DetectorSettings(**chosen)
    rules = detector.rules_of(SPOTTED, features, settings)
    path = features_kit(folder / "kit", features, SPOTTED, rules)
    library = ctypes.CDLL(toolchain.build(
        path, str(folder / "detector.so"), toolchain.host_compiler() + ["-shared", "-fPIC"],
        ("kws_detector.c", "kws_model.c"),
    ))

    def in_c(rows):
        state, found, score = np.zeros(10000, np.int32), [], ctypes.c_float()
        for window, row in enumerate(np.ascontiguousarray(rows)):
            label = library.kws_detect(
                ctypes.c_void_p(state.ctypes.data), ctypes.c_void_p(row.ctypes.data), ctypes.byref(score)
            )
            if label >= 0:
                found.append((window, SPOTTED[label], score.value))
        return [one[:2] for one in found], [one[2] for one in found]

    def in_python(rows):
        times = np.arange(len(rows)) * rules.stride_frames * features.window_stride_ms
        found = Detector(SPOTTED, settings).feed(times, (rows.astype(np.float32) + 128) / 256)
        windows = [int(round(one.time_ms / rules.stride_frames / features.window_stride_ms)) for one in found]
        return list(zip(windows, [one.keyword for one in found])), [one.score for one in found]

    return in_c, in_python


@needs_compiler
@pytest.mark.parametrize("name", DETECTORS)
def test_the_detections_are_those_of_kws_listen(name, tmp_path):
    """The windows and keywords are equal; a score is within the rounding of a 32-bit float."""
    in_c, in_python = detectors_of(tmp_path, **DETECTORS[name])
    edges = st.sampled_from([-128, -65, -64, -63, -1, 0, 1, 63, 64, 65, 101, 102, 103, 126, 127])

    def compare(rows):
        (found, scores), (wanted, wanted_scores) = in_c(rows), in_python(rows)
        assert found == wanted
        np.testing.assert_allclose(scores, wanted_scores, rtol=0, atol=1e-6)
        return found

    @hypothesis_settings(deadline=None)
    @given(st.lists(st.tuples(*[st.one_of(edges, st.integers(-128, 127))] * 4), min_size=1, max_size=40))
    def any_scores(rows):
        compare(np.array(rows, np.int8))

    any_scores()
    found = compare(np.floor(255.9 * np.random.RandomState(0).beta(0.3, 0.6, (5000, 4)) - 128).astype(np.int8))
    if name in ("never", "always"):  # or once per keyword, whose scores are never below the threshold
        assert len(found) == (0 if name == "never" else 2)
    else:
        assert len(found) > 100


def test_more_windows_than_the_kit_multiplies_are_refused():
    with pytest.raises(KwsError, match="counts at most 6 windows, and model.json has minimum_windows 7; lower it"):
        detector.rules_of(SPOTTED, FeatureSettings(), DetectorSettings(minimum_windows=7, smoothing_ms=5000.0))


@needs_compiler
@needs_emulator
@pytest.mark.parametrize("core", ["m4", "m7"])
def test_an_emulated_microcontroller_gives_the_same_bytes(small, a_wav, core, tmp_path):
    folder = small[0]
    printed = toolchain.emulated(folder, toolchain.CORES[core])
    counts = toolchain.instructions(printed)
    assert counts == toolchain.instructions(toolchain.emulated(folder, toolchain.CORES[core]))
    assert 1e4 < counts["network"] < 1e7 and 1e6 < counts["features"] < 1e8
    wav = [line for line in toolchain.emulated(folder, toolchain.CORES[core], [a_wav]).splitlines() if " at " in line]
    host = host_output(folder, str(tmp_path / "kws"))
    assert [line for line in printed.splitlines() if "instructions" not in line] == host.splitlines()
    assert wav == host_output(folder, str(tmp_path / "kws"), [a_wav]).splitlines()


@pytest.fixture(scope="module")
def a_run(data, tmp_path_factory):  # noqa: F811
    """A network that tells low tones from high ones, with a detector that hears most of them."""
    path = tmp_path_factory.mktemp("run") / "run"
    result = CliRunner().invoke(cli, [
        "train", "--data-path", data, "--train-dir", str(path), "--wanted_words", "low,high", "--model_size_info",
        *"2 8 10 4 2 2 8 3 3 1 1".split(), "--how_many_training_steps", "80", "--learning_rate", "0.01", "--batch_size",
        "20", "--eval_step_interval", "80",
    ], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    description = json.loads((path / "model.json").read_text())
    description["detector"].update(stride_ms=200.0, threshold=0.4)
    (path / "model.json").write_text(json.dumps(description))
    return path


@pytest.fixture(scope="module")
def a_kit(a_run, tmp_path_factory):
    """Its kit."""
    return freezing.freeze(str(a_run), str(tmp_path_factory.mktemp("kit") / "tones"), formats=["c"])[0].path


@pytest.fixture(scope="module")
def a_stream(data, tmp_path_factory):  # noqa: F811
    """A WAV file of 20.3 s: a tone every 1.5 s, in noise."""
    path, rng = str(tmp_path_factory.mktemp("stream") / "stream.wav"), np.random.RandomState(0)
    samples = 0.005 * rng.randn(324800)
    for number, start in enumerate(range(0, 20 * 16000 - 16000, 24000)):
        word = ("low", "high")[rng.randint(2)]
        clip = soundfile.read(os.path.join(data, word, sorted(os.listdir(os.path.join(data, word)))[number]))[0]
        samples[start : start + len(clip)] += clip
    soundfile.write(path, samples, 16000, subtype="PCM_16")
    return path


@needs_compiler
def test_the_whole_path(a_run, kws, tmp_path):
    frozen = kws("freeze", "--checkpoint", a_run, "--format", "c", "--output", tmp_path / "kit")
    assert frozen.exit_code == 0, frozen.stderr
    folder = tmp_path / "kit_c"
    assert frozen.stdout.startswith("%s  16-bit samples -> scores, in C, " % folder)
    assert re.search("; compiled, with the integers of .* on [0-9]+ of [0-9]+ clips\nFlash on ", frozen.stdout)
    assert json.loads((folder / "model.json").read_text())["labels"] == ["_silence_", "_unknown_", "low", "high"]
    assert "equal" in host_output(str(folder), str(tmp_path / "kws"))

    # The same command replaces the kit, but not a folder that holds something else.
    again = kws("freeze", "--checkpoint", a_run, "--format", "c", "--output", tmp_path / "kit")
    assert again.exit_code == 0, again.stderr
    before = sorted(os.listdir(str(folder)))
    (folder / "mine.c").write_text("int x;")
    refused = kws("freeze", "--checkpoint", a_run, "--format", "c", "--output", tmp_path / "kit")
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1] == (
        "Error: %s holds files that kws did not write, such as mine.c; choose another --output" % folder
    )
    assert sorted(os.listdir(str(folder))) == sorted(before + ["mine.c"])
    assert {name for name in os.listdir(str(tmp_path)) if name.startswith(".")} <= {".cache"}


def heard_by(printed):
    """[(milliseconds, keyword)] and scores of what the program prints about a stream."""
    found = re.findall(r" at (\d+) ms: (\w+), score (\d+)/1000$", printed, re.M)
    return [(int(time), keyword) for time, keyword, _ in found], [int(score) / 1000 for _, _, score in found]


@needs_compiler
def test_the_program_hears_in_a_stream_what_kws_listen_hears(a_kit, a_stream, kws, tmp_path):
    """kws listen has the same scores: those of the kit for each window as a clip."""
    result = kws("listen", a_stream, "--checkpoint", a_kit, "--json")
    assert result.exit_code == 0, result.stderr
    wanted = [json.loads(line) for line in result.stdout.splitlines()]
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    printed = host_output(a_kit, str(tmp_path / "kws"), ["--listen", a_stream], flags)
    heard, scores = heard_by(printed)
    assert heard == [(round(1000 * one["time"]), one["keyword"]) for one in wanted]
    np.testing.assert_allclose(scores, [one["score"] for one in wanted], rtol=0, atol=0.00051)  # three digits
    assert len(heard) >= 3

    samples = soundfile.read(a_stream, dtype="int16")[0].astype("<i2").tobytes()
    piped = subprocess.run([str(tmp_path / "kws"), "--listen", "-"], input=samples, stdout=subprocess.PIPE, check=True)
    assert heard_by(piped.stdout.decode()) == (heard, scores)


@needs_compiler
@needs_emulator
def test_an_emulated_microcontroller_hears_the_same(a_kit, a_stream, tmp_path):
    emulated = toolchain.emulated(a_kit, toolchain.CORES["m4"], ["--listen", a_stream])
    assert emulated == host_output(a_kit, str(tmp_path / "kws"), ["--listen", a_stream])


@needs_compiler
def test_a_kit_is_a_model_of_its_own(a_kit, a_run, a_wav, data, kws, tmp_path):  # noqa: F811
    """Its scores are those that its own program prints, whatever number of threads asks for them."""
    here = str(shutil.copytree(a_kit, str(tmp_path / "copy")))
    printed = host_output(here, str(tmp_path / "kws"), [a_wav]).splitlines()
    wanted = [[int(one) for one in re.findall(r"(\d+)/256", line)] for line in printed]
    samples = soundfile.read(a_wav, dtype="float32")[0]
    clips = np.pad(samples, (0, 48000 - len(samples)), "constant").reshape(3, 16000)
    with classifiers.open(here) as opened, concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert opened.format == "c" and opened.detector.threshold == 0.4
        for scores in pool.map(opened.scores, 20 * [clips]):
            np.testing.assert_array_equal(scores * 256, wanted)
    rows = json.loads(kws("eval", a_run, here, "--json").stdout)
    assert [row["format"] for row in rows] == ["checkpoint", "c"] and rows[1]["agreement"] > 0.9
    clip = os.path.join(data, "low", os.listdir(os.path.join(data, "low"))[0])
    assert json.loads(kws("label", clip, "--checkpoint", here, "--json").stdout)[0]["label"] == "low"


@pytest.mark.parametrize("name, change, message", [
    ("kws_model.c", lambda text: text[: len(text) // 2], "kws_model.c is not as kws freeze wrote it: it is cut off"),
    ("model.json", lambda text: text.replace("high", "higher"), "model.json is not as kws freeze wrote it"),
    ("SHA256SUMS", lambda text: "", "is not as kws freeze wrote it"),
    ("SHA256SUMS", None, "is not a whole C kit: there is no .*SHA256SUMS; freeze or copy it again"),
    ("kws_features.c", None, "is not a whole C kit: there is no .*kws_features.c; freeze or copy it again"),
    pytest.param("kws_nn.c", lambda text: text[: len(text) // 2], "failed: .*kws_nn.c:", marks=needs_compiler),
    pytest.param("kws_nn.c", lambda text: "typedef int none;", "cannot be loaded: .*kws_", marks=needs_compiler),
])
def test_a_damaged_kit_is_an_error_of_one_line(a_kit, name, change, message, kws, tmp_path):
    shutil.copytree(a_kit, str(tmp_path / "kit"))
    path = tmp_path / "kit" / name
    if change:
        path.write_text(change(path.read_text()))
    else:
        path.unlink()
    result = kws("label", "--checkpoint", tmp_path / "kit", "x.wav")
    assert result.exit_code == 1 and re.match("Error: .*" + message, result.stderr), result.stderr
    assert len(result.stderr.splitlines()) == 1


@needs_compiler
def test_a_kit_may_have_kernels_of_the_user(a_kit, tmp_path):
    shutil.copytree(a_kit, str(tmp_path / "kit"))
    with open(str(tmp_path / "kit" / "kws_nn.c"), "a") as file:
        file.write("/* faster */\n")
    with classifiers.open(str(tmp_path / "kit")) as opened:
        assert opened.scores(np.zeros((1, 16000), np.float32)).shape == (1, 4)


def test_a_kit_without_its_kernels_or_with_a_mistake_in_them(a_kit, kws, tmp_path):
    kit = tmp_path / "kit"
    shutil.copytree(a_kit, str(kit))
    (kit / "kws_nn.c").write_text("int x = ;\n")
    result = kws("label", "--checkpoint", kit, "x.wav")
    assert result.exit_code == 1 and result.stderr.endswith("; correct the C code, or freeze it again\n")
    (kit / "kws_nn.c").unlink()
    result = kws("label", "--checkpoint", kit, "x.wav")
    assert result.stderr == "Error: %s is not a whole C kit: there is no %s; freeze or copy it again\n" % (
        kit, kit / "kws_nn.c"
    )


def test_a_kit_needs_a_compiler(a_kit, kws, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    result = kws("label", "--checkpoint", a_kit, "x.wav")
    assert result.exit_code == 1 and result.stderr == (
        "Error: %s is C code, and no C compiler (cc, gcc, clang) is in $PATH; "
        "install one, or name the same network in a .tflite file\n" % a_kit
    )


@pytest.fixture
def unchecked_int8(monkeypatch):
    """Skips the comparison of accuracies, which needs prepared data; the network is a small one with random weights."""
    content, description, _ = int8_network("ds_cnn")

    def write(path, *_):
        tflite.save(path, content, description)

    monkeypatch.setattr(tflite_int8, "write", write)
    monkeypatch.setattr(tflite_int8, "check", lambda *_: (0.0, "accuracy 99.0 %"))
    return description


class Original:
    """Stands for the Classifier of the checkpoint."""

    path = ""

    def scores(self, clips):
        return np.full((len(clips), len(KEYWORDS) + 2), 0.2)


def finished(folder, description):
    os.makedirs(str(folder))
    c_kit.write(str(folder), description, "")
    return c_kit.check(str(folder), description, Original(), noise(description.features, 5) / np.float32(32768))


def test_without_a_compiler_the_kit_is_written_and_the_line_says_so(unchecked_int8, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    _, told = finished(tmp_path / "kit", unchecked_int8)
    assert told == "accuracy 99.0 %; not compiled, because no C compiler (cc, gcc, clang) is in $PATH"
    assert (tmp_path / "kit" / "test_vectors.h").exists() and c_kit.note(str(tmp_path / "kit")) == ""


@pytest.mark.parametrize("script, told", [
    ("echo 'kws.c:1: error: no such thing' >&2; exit 1", "broken failed: kws.c:1: error: no such thing; "),
    ("exit 3", "broken failed: status 3; "),
])
def test_a_compiler_that_fails_is_one_line(unchecked_int8, tmp_path, monkeypatch, script, told):
    (tmp_path / "broken").write_text("#!/bin/sh\n%s\n" % script)
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "broken"))
    with pytest.raises(KwsError) as error:
        finished(tmp_path / "kit", unchecked_int8)
    assert str(error.value).startswith(told)


@needs_compiler
def test_wrong_kernels_are_refused(unchecked_int8, tmp_path, monkeypatch):
    sources = tmp_path / "sources"
    shutil.copytree(c_kit.SOURCES, str(sources))
    kernels = (sources / "kws_nn.c").read_text()
    (sources / "kws_nn.c").write_text(kernels.replace("offset = -layer->input_zero", "offset = 0"))
    monkeypatch.setattr(c_kit, "SOURCES", str(sources))
    with pytest.raises(KwsError, match="the compiled C code does not give the scores of TensorFlow Lite"):
        finished(tmp_path / "kit", unchecked_int8)


def test_activations_share_memory_only_when_they_may():
    """Each activation keeps its bytes until its last reader has run."""
    content, _, _ = int8_network("ds_cnn" if tflite.ON_TENSORFLOW_1 else "ds_tc_resnet")
    read = tflite_file.read(content)
    calls = layers.calls_of(read)
    planned = arena.plan(read, calls)
    owner = {}
    for offset in range(read.input.size):
        owner[planned.offsets[read.input.index] + offset] = read.input.index
    names = {}  # {index of another name of a tensor: the tensor}
    for call in calls:
        if isinstance(call, layers.Alias):
            names[call.output.index] = names.get(call.input.index, call.input.index)
            continue
        for source in call.inputs:
            if source.data is None:
                own = names.get(source.index, source.index)
                start = planned.offsets[source.index]
                assert {owner[start + offset] for offset in range(source.size)} == {own}
        start = planned.offsets[call.output.index]
        assert start + call.output.size <= planned.size
        owner.update((start + offset, call.output.index) for offset in range(call.output.size))


def test_ds_cnn_s_needs_no_more_than_its_two_largest_tensors():
    content, description, _ = int8_network("ds_cnn")
    made = model.model_of(content, description)
    # The input of the first depthwise convolution and its output; three convolutions, see NETWORKS.
    assert made.arena_bytes <= 25 * 10 * 9 + 13 * 5 * 9 + 8


def test_labels_of_any_letters_are_c_strings():
    assert model._string('ja "ö"\\') == '"ja \\042\\303\\266\\042\\134"'
