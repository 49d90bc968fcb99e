"""`kws bench`: the speed of every part, measured in one run; whole trainings are `kws train` in processes of their own.

Machines are shared, so what belongs together is measured in turns, and ratios mean more than figures.
"""
import contextlib
import functools
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from typing import NamedTuple

import numpy as np
import soundfile

from . import imports
from .data import batches, dataset, prepare
from .devices.device_settings import DeviceSettings
from .errors import KwsError
from .runs import run_directory
from .settings import FeatureSettings
from .sound.features import mfcc

BARE_STEPS = 100
SCALING_STEPS = 150
WARM_UP_STEPS = 50
"""Steps at the start that are not counted: TensorFlow is still choosing how to compute."""


def quick(values):
    """What a quarter of the measurements stay below: other work on a shared machine spoils some of them."""
    return float(np.percentile(values, 25))


def in_tens(function, calls):
    """[calls / 10, 2]: seconds and processor seconds (of all threads here) of a call, over ten calls each."""
    found = []
    for _ in range(calls // 10):
        began = time.perf_counter(), time.process_time()
        for _ in range(10):
            function()
        found.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return np.array(found) / 10


def mfcc_speeds(clips, threads):
    """Clips a second on one thread and on `threads`."""
    settings = FeatureSettings()
    one = len(clips) / quick(in_tens(lambda: mfcc(clips, settings), 100)[:, 0])

    def on_all():
        for _ in batches.Ahead(lambda _: mfcc(clips, settings), range(20), threads, threads):
            pass

    return one, 20 * len(clips) / quick(in_tens(on_all, 10)[:, 0])


class Bare:
    """The training step alone, on one constant batch: what the network itself costs."""

    def __init__(self, description, batch):
        import tensorflow.compat.v1 as tf

        from .devices.choose import choose
        from .devices.gpu import gpus
        from .models import network
        from .training import recipe

        settings = DeviceSettings(device="gpu" if gpus() else "cpu")
        device = choose(settings)
        with tf.Graph().as_default() as graph:
            training = recipe.training(description)
            initialise = network.initialiser()
            self._session = device.open_session(graph, device.config(settings))
            self._session.run(initialise)
            self._session.run(training.set_rate, {training.new_rate: description.train.learning_rate[0]})
            graph.finalize()
        step = self._session.make_callable([training.loss, training.step], [training.features, training.targets])
        self._step = functools.partial(step, *batch)
        in_tens(self._step, WARM_UP_STEPS)

    def seconds(self):
        """As `in_tens`."""
        return in_tens(self._step, BARE_STEPS)

    def close(self):
        self._session.close()


class PerClip:
    """The baseline: a session call a clip that reads, shifts, mixes and measures it, as TensorFlow's example has it."""

    def __init__(self, clips, folder):
        import tensorflow.compat.v1 as tf

        from .devices import session

        settings = FeatureSettings()
        shape = settings.clip_samples, 1
        with tf.Graph().as_default() as graph:
            path, volume, noise_volume = (tf.placeholder(kind, ()) for kind in (tf.string, tf.float32, tf.float32))
            padding, begin = tf.placeholder(tf.int32, (2, 2)), tf.placeholder(tf.int32, (2,))
            noise = tf.placeholder(tf.float32, shape)
            recording = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1, desired_samples=shape[0]).audio
            shifted = tf.slice(tf.pad(recording * volume, padding), begin, shape)
            spectrogram = tf.raw_ops.AudioSpectrogram(
                input=tf.clip_by_value(shifted + noise * noise_volume, -1.0, 1.0), magnitude_squared=True,
                window_size=settings.window_size_samples, stride=settings.window_stride_samples,
            )
            self._features = tf.raw_ops.Mfcc(
                spectrogram=spectrogram, sample_rate=settings.sample_rate,
                dct_coefficient_count=settings.dct_coefficient_count,
            )
        self._session = session.open_session(graph)
        self._feeds = []
        for number, clip in enumerate(clips):
            wav = os.path.join(folder, "%d.wav" % number)
            soundfile.write(wav, clip, settings.sample_rate)
            self._feeds.append({
                path: wav, volume: 1.0, padding: [[800, 0], [0, 0]], begin: [0, 0], noise: clips[0][:, np.newaxis],
                noise_volume: 0.1,
            })

    def seconds(self):
        """As `in_tens`, of a batch."""
        return in_tens(lambda: [self._session.run(self._features, feed) for feed in self._feeds], 20)

    def close(self):
        self._session.close()


class Training(NamedTuple):
    """What a whole training showed of itself, past its first steps."""

    run_path: str
    examples_per_second: float
    between_steps: float  # seconds a step: validation, checkpoints, logs
    data_wait: float  # share of the time


class Trainings:
    """Trainings by `kws train` of the same network on the same words."""

    def __init__(self, data_path, folder, architecture):
        counts = dataset.read_info(data_path)["words"]
        words = sorted(counts, key=lambda word: -counts[word]["training"])[:10]
        self._folder, self._count = folder, 0
        self._flags = [
            "--data-path", data_path, "--model-architecture", architecture, "--wanted-words", ",".join(words),
            "--learning-rate", "0.0005", "--how-many-training-steps",
        ]

    def run(self, steps, workers=1, cores=None):
        """Train for some steps, on some of the processors -> Training."""
        self._count += 1
        path = os.path.join(self._folder, "run%d" % self._count)
        pinned = functools.partial(os.sched_setaffinity, 0, cores) if cores else None
        command = [sys.executable, "-W", "ignore", "-m", "kwscli", "train", *self._flags, str(steps)]
        child = subprocess.run(
            command + ["--workers", str(workers), "--train-dir", path], preexec_fn=pinned,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True,
        )
        if child.returncode:
            raise KwsError("kws train ended with status %d: %s" % (child.returncode, child.stderr.strip()))
        metrics = run_directory.read_metrics(path)
        first, *lines = [one for one in metrics if "loss" in one and one["step"] >= WARM_UP_STEPS]
        speeds = np.array([line["examples_per_second"] for line in lines])
        batch = workers * run_directory.read_description(os.path.join(path, run_directory.MODEL)).train.batch_size
        elapsed = (lines[-1]["elapsed"] - first["elapsed"]) / (lines[-1]["step"] - first["step"])
        return Training(
            path, float(np.percentile(speeds, 75)), float(elapsed - np.mean(batch / speeds)),
            float(np.mean([line["data_wait"] for line in lines])),
        )


def prepare_against_gzip(folder, archive):
    """(seconds of `gzip -dc`, seconds of `kws prepare`) on an archive."""
    with open(os.devnull, "wb") as nowhere:
        began = time.perf_counter()
        subprocess.run(["gzip", "-dc", archive], stdout=nowhere, check=True)
        unpacked = time.perf_counter()
    prepare.prepare(prepare.PrepareSettings(archive, os.path.join(folder, "prepared")), force=True)
    return unpacked - began, time.perf_counter() - unpacked


def benchmark(data_path, architecture, steps, rounds):
    """Yield (what was measured, figure); without prepared data in `data_path`, on a synthesised corpus."""
    with tempfile.TemporaryDirectory() as folder:
        if not data_path:
            data_path = os.path.join(folder, "data")
            prepare.prepare(prepare.PrepareSettings(prepare.source_of(data_path, synthesize=""), data_path))
        dataset.load(data_path)  # what is wrong with it is told now
        trainings = Trainings(data_path, folder, architecture)
        yield from _speed_of_training(data_path, folder, trainings, steps, rounds)
        yield from _scaling(trainings, min(steps, SCALING_STEPS), rounds)
        yield from _speed_of_preparing(data_path, folder, rounds)


def _speed_of_training(data_path, folder, trainings, steps, rounds):
    with imports.guarded():
        import tensorflow.compat.v1 as tf

    cores = len(os.sched_getaffinity(0))
    yield "machine", "%s, %d cores, Python %s, TensorFlow %s" % (
        platform.machine(), cores, platform.python_version(), tf.__version__)
    first = trainings.run(steps)
    description = run_directory.read_description(os.path.join(first.run_path, run_directory.MODEL))
    stream = batches.TrainingStream(
        dataset.load(data_path), description.data, description.features, description.train.batch_size, 1
    )
    clips, targets = stream.clips(1)
    one, everyone = mfcc_speeds(clips, cores)
    yield "MFCC, one core", "%.0f clips/s (%.1f ms for 100)" % (one, 100000 / one)
    yield "MFCC, %d cores" % cores, "%.0f clips/s" % everyone
    batch_cost = quick(in_tens(functools.partial(stream.batch, 2), 100)[:, 1])
    yield "augmented batch of %d with its features, one core" % len(clips), "%.1f ms" % (1000 * batch_cost)

    bare_times, per_clip_times, full = [], [], [first]
    batch = mfcc(clips, description.features), targets
    with contextlib.closing(Bare(description, batch)) as bare, contextlib.closing(PerClip(clips, folder)) as per_clip:
        for _ in range(rounds):
            bare_times.append(bare.seconds())
            full.append(trainings.run(steps))
            bare_times.append(bare.seconds())
            per_clip_times.append(per_clip.seconds())
    step, step_cost = (quick(column) for column in np.concatenate(bare_times).T)
    per_clip = step + quick(np.concatenate(per_clip_times)[:, 0])
    fastest = max(one.examples_per_second for one in full)
    end_to_end = len(clips) / fastest + np.median([one.between_steps for one in full])
    least = max(step, (step_cost + batch_cost) / cores)
    yield "training step alone, constant batch", "%.1f ms, %.1f ms of processor time" % (1000 * step, 1000 * step_cost)
    yield "training step with everything (live data, logs, checkpoints)", "%.1f ms" % (1000 * end_to_end)
    yield "  speed of the step alone that is left", "%.0f %% (batches and steps keep all cores busy at %.0f %%)" % (
        100 * step / end_to_end, 100 * step / least)
    yield "  time spent waiting for data", "%.0f %%" % (100 * np.mean([one.data_wait for one in full]))
    yield "baseline: one session call a clip for its features", "%.1f ms a step, %.1f times ours" % (
        1000 * per_clip, per_clip / end_to_end)
    yield "evaluation, features and inference", "%.0f clips/s" % _evaluation_speed(first.run_path, data_path)


def _scaling(trainings, steps, rounds):
    """Two workers with a core each against one with one."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        yield "two workers with a core each", "needs two cores"
        return
    pairs = [
        (trainings.run(steps, cores=cores[:1]), trainings.run(steps, workers=2, cores=cores))
        for _ in range(rounds)
    ]
    one, two = np.max([[training.examples_per_second for training in pair] for pair in pairs], axis=0)
    yield "one worker on one core", "%.0f examples/s" % one
    yield "two workers with a core each", "%.0f examples/s, %.2f times as many" % (two, two / one)


def _speed_of_preparing(data_path, folder, rounds):
    source = os.path.join(data_path, dataset.read_info(data_path)["source"])
    if not os.path.exists(source):
        yield "kws prepare against gzip -dc of the same archive", "needs %s" % source
        return
    archive = source if os.path.isfile(source) else _archive_of(source, folder)
    pairs = [prepare_against_gzip(folder, archive) for _ in range(rounds)]
    gzip_seconds, prepare_seconds = np.median(np.array(pairs), axis=0)
    yield "kws prepare against gzip -dc of the same archive", "%.2f s, %.2f s: %.0f %% of its speed" % (
        prepare_seconds, gzip_seconds, 100 * gzip_seconds / prepare_seconds)


def _evaluation_speed(run_path, data_path):
    """Clips a second of `kws eval` on the validation split, without its start."""
    from . import classifiers, evaluate

    with contextlib.closing(classifiers.opened(run_path)) as model, contextlib.redirect_stderr(open(os.devnull, "w")):
        result = evaluate.evaluate(model, data_path, "validation", model.data)
        seconds = quick(in_tens(lambda: evaluate.evaluate(model, data_path, "validation", model.data), 10)[:, 0])
    return result.count / seconds


def _archive_of(source, folder):
    """An archive made of a folder of recordings."""
    path = os.path.join(folder, "corpus.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, arcname=".")
    return path
