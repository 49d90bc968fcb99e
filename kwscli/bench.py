"""`kws bench`: the speed of every part, measured in one run. Whole trainings run `kws train` in processes of their own.

Other programs on the same machine disturb measurements. So parts that are compared are measured alternately, and ratios
say more than figures.
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
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import imports
from .data import batches, dataset, prepare
from .devices.device_settings import DeviceSettings
from .errors import KwsError
from .runs import run_directory
from .runs.description import MODEL, Description, read_description
from .settings import flag_of, to_json
from .sound import feature_settings
from .sound.feature_settings import FeatureSettings
from .sound.features import features
from .timing import lower_quartile, seconds_per_call
from .workers import cores

BARE_STEPS = 100
SCALING_STEPS = 150
WARM_UP_STEPS = 50
"""Steps at the start that do not count, because TensorFlow still decides how to compute."""

Row = Tuple[str, str]  # what was measured, and the figure


def benchmark(data_path: Optional[str], architecture: str, steps: int, rounds: int) -> Iterator[Row]:
    """Yield each row as soon as it is measured. Without a data path, synthesise recordings first."""
    with tempfile.TemporaryDirectory() as folder:
        data_path = data_path or synthesized(folder)
        data = dataset.load(data_path)  # before the first measurement, so that errors in the data show at once
        settings, device = choose_device()
        yield "machine", _machine()
        yield "device", device.name
        trainings = Trainings(data_path, folder, architecture, settings.device)
        first = trainings.run(steps)
        stream = stream_of(data, first.description)
        yield from _speed_of_features(stream.clips(1)[0])
        batch_seconds = lower_quartile(seconds_per_call(functools.partial(stream.batch, 2), 100)[:, 1])
        yield "augmented batch of %d with its features, one core" % first.batch_size, "%.1f ms" % (1000 * batch_seconds)
        bare = BareStep(first.description, stream.batch(1), settings, device)
        yield from _speed_of_steps(trainings, first, bare, batch_seconds, steps, rounds)
        yield from _speed_of_recipes(trainings, steps, rounds)
        yield "evaluation, features and inference", "%.0f clips/s" % _evaluation_speed(first.run_path, data_path)
        yield from _scaling(trainings, min(steps, SCALING_STEPS), rounds)
        yield from _speed_of_preparing(data_path, folder, rounds)


def synthesized(folder: str) -> str:
    """Prepared data of synthesised words in a folder -> its path."""
    path = os.path.join(folder, "data")
    prepare.prepare(prepare.source_of(path, synthesize=""), path)
    return path


def choose_device() -> Tuple[DeviceSettings, Any]:
    """What trainings and their steps run on here: a GPU if TensorFlow sees one, else the CPU."""
    from .devices.choose import choose
    from .devices.gpu import gpus

    settings = DeviceSettings(device="gpu" if gpus() else "cpu")
    return settings, choose(settings)


def stream_of(data: dataset.Dataset, description: Description) -> batches.TrainingStream:
    """The batches of a training with this description."""
    return batches.TrainingStream(data, description.data, description.features, description.train.batch_size, 1)


class BareStep:
    """The training step alone, on one constant batch: the cost of the network itself. A context manager."""

    def __init__(
        self, description: Description, batch: Tuple[np.ndarray, ...], settings: DeviceSettings, device: Any
    ) -> None:
        self._description, self._batch = description, batch
        self._settings, self._device = settings, device
        self._session = self._step = None

    def __enter__(self) -> "BareStep":
        import tensorflow.compat.v1 as tf

        from .models import network
        from .training import training_graph

        with tf.Graph().as_default() as graph:
            training = training_graph.build(self._description)
            initialise = network.initialiser()
            self._session = self._device.open_session(graph, self._device.config(self._settings))
            self._session.run(initialise)
            self._session.run(training.set_rate, {training.new_rate: self._description.train.rate_at(1)})
            graph.finalize()
        step = self._session.make_callable([training.loss, training.step], training.inputs)
        self._step = functools.partial(step, *self._batch)
        seconds_per_call(self._step, WARM_UP_STEPS)
        return self

    def __exit__(self, *error: Any) -> None:
        self._session.close()

    def seconds(self) -> np.ndarray:
        """As `seconds_per_call`."""
        return seconds_per_call(self._step, BARE_STEPS)


class Training(NamedTuple):
    """The speed of a whole training, without its first steps."""

    run_path: str
    description: Description
    batch_size: int  # of all workers together
    examples_per_second: float  # in training steps
    between_steps: float  # seconds per step for validation, checkpoints and logs
    data_wait: float  # share of the time


class Trainings:
    """Trainings by `kws train` of the same network on the same words. device: as --device."""

    def __init__(self, data_path: str, folder: str, architecture: str, device: str) -> None:
        self._data_path, self._folder, self._architecture, self._device = data_path, folder, architecture, device
        self._count = 0

    def run(
        self, steps: int, workers: int = 1, on_cores: Sequence[int] = (), device: Optional[str] = None,
        flags: Sequence[str] = ("--learning-rate", "0.0005"),
    ) -> Training:
        """Train for some steps. on_cores: the only cores to use. device: one that replaces the usual one."""
        self._count += 1
        path = os.path.join(self._folder, "run%d" % self._count)
        child = subprocess.run(
            self._command(path, steps, workers, device or self._device) + list(flags),
            preexec_fn=functools.partial(cores.keep_to, on_cores) if on_cores else None,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True,
        )
        if child.returncode:
            raise KwsError("kws train ended with exit status %d: %s" % (child.returncode, child.stderr.strip()))
        return _speed_of_run(path, workers)

    def _command(self, path: str, steps: int, workers: int, device: str) -> List[str]:
        return [
            sys.executable, "-W", "ignore", "-m", "kwscli", "train", "--data-path", self._data_path,
            "--model-architecture", self._architecture, "--wanted-words", ",".join(_commonest_words(self._data_path)),
            "--how-many-training-steps", str(steps), "--workers", str(workers), "--device", device, "--train-dir", path,
        ]


def _commonest_words(data_path):
    counts = dataset.read_info(data_path)["words"]
    return sorted(counts, key=lambda word: -counts[word]["training"])[:10]


def _speed_of_run(path, workers):
    description = read_description(os.path.join(path, MODEL))
    batch_size = workers * description.train.batch_size
    metrics = run_directory.read_metrics(path)
    first, *lines = [one for one in metrics if "loss" in one and one["step"] >= WARM_UP_STEPS]
    speeds = np.array([line["examples_per_second"] for line in lines])
    elapsed = (lines[-1]["elapsed"] - first["elapsed"]) / (lines[-1]["step"] - first["step"])
    return Training(
        path, description, batch_size,
        examples_per_second=float(np.percentile(speeds, 75)),
        between_steps=float(elapsed - np.mean(batch_size / speeds)),
        data_wait=float(np.mean([line["data_wait"] for line in lines])),
    )


def seconds_per_step(trainings: Sequence[Training]) -> float:
    """A step with everything: live data, validation, checkpoints and logs. The trainings must have equal batches."""
    fastest = max(one.examples_per_second for one in trainings)
    return trainings[0].batch_size / fastest + float(np.median([one.between_steps for one in trainings]))


def _machine():
    with imports.guarded():
        import tensorflow.compat.v1 as tf

    return "%s, %d cores, Python %s, TensorFlow %s" % (
        platform.machine(), len(cores.usable()), platform.python_version(), tf.__version__)


def _speed_of_features(clips):
    settings, threads = FeatureSettings(), len(cores.usable())
    one = len(clips) / lower_quartile(seconds_per_call(lambda: features(clips, settings), 100)[:, 0])

    def on_all_cores():
        for _ in batches.Ahead(lambda _: features(clips, settings), range(20), threads, threads):
            pass

    everyone = 20 * len(clips) / lower_quartile(seconds_per_call(on_all_cores, 10)[:, 0])
    yield "MFCC, one core", "%.0f clips/s (%.1f ms for 100)" % (one, 100000 / one)
    yield "MFCC, %d cores" % threads, "%.0f clips/s" % everyone


def _speed_of_steps(trainings, first, bare_step, batch_seconds, steps, rounds):
    """The step alone and the step with everything, alternately."""
    bare_times, full = [], [first]
    with bare_step as bare:
        for _ in range(rounds):
            bare_times.append(bare.seconds())
            full.append(trainings.run(steps))
            bare_times.append(bare.seconds())
    step, step_cost = (lower_quartile(column) for column in np.concatenate(bare_times).T)
    everything = seconds_per_step(full)
    least = max(step, (step_cost + batch_seconds) / len(cores.usable()))
    yield "training step alone, constant batch", "%.1f ms, %.1f ms of processor time" % (1000 * step, 1000 * step_cost)
    yield "training step with everything (live data, logs, checkpoints)", "%.1f ms" % (1000 * everything)
    yield "  speed of the step alone that is left", "%.0f %% (batches and steps keep all cores busy at %.0f %%)" % (
        100 * step / everything, 100 * step / least)
    yield "  time spent waiting for data", "%.0f %%" % (100 * np.mean([one.data_wait for one in full]))


def _speed_of_recipes(trainings, steps, rounds):
    """A step of each recipe, alternately, on the features of the recipe `best`."""
    best, plain = [], []
    for _ in range(rounds):
        best.append(trainings.run(steps, flags=("--recipe", "best")))
        plain.append(trainings.run(steps, flags=_flags_of_features(best[0]) + ["--learning-rate", "0.0005"]))
    one, other = seconds_per_step(plain), seconds_per_step(best)
    yield "step of --recipe best against hello-edge, same features", "%.1f ms, %.1f ms: %.2f times" % (
        1000 * other, 1000 * one, other / one)


def _flags_of_features(training):
    settings = training.description.features
    unused = getattr(feature_settings.load(settings.features), "UNUSED", ())
    return [
        "%s=%s" % (flag_of(name), value) for name, value in to_json(settings).items()
        if name not in unused
    ]


def _evaluation_speed(run_path, data_path):
    """Clips per second of `kws eval` on the validation split, without its start."""
    from . import classifiers
    from .evaluation import evaluate

    with classifiers.open(run_path) as model, contextlib.redirect_stderr(open(os.devnull, "w")):
        run = functools.partial(evaluate.evaluate, model, data_path, model.data, "validation")
        found = run()
        scored = found.result.count + (found.other_words.count if found.other_words else 0)
        return scored / lower_quartile(seconds_per_call(run, 10)[:, 0])


def _scaling(trainings, steps, rounds):
    """Two workers with a core each, compared with one worker on one core. On the CPU, whatever the machine has."""
    on_cores = cores.usable()[:2]
    if len(on_cores) < 2 or not cores.can_choose():
        needs = "two cores" if len(on_cores) < 2 else "a system that can keep a process to a core, such as Linux"
        yield "two workers with a core each", "needs " + needs
        return
    pairs = [
        (trainings.run(steps, 1, on_cores[:1], "cpu"), trainings.run(steps, 2, on_cores, "cpu")) for _ in range(rounds)
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
    pairs = [_prepare_against_gzip(folder, archive) for _ in range(rounds)]
    gzip_seconds, prepare_seconds = np.median(np.array(pairs), axis=0)
    yield "kws prepare against gzip -dc of the same archive", "%.2f s, %.2f s: %.0f %% of its speed" % (
        prepare_seconds, gzip_seconds, 100 * gzip_seconds / prepare_seconds)


def _prepare_against_gzip(folder, archive):
    """(seconds of `gzip -dc`, seconds of `kws prepare`) on an archive."""
    with open(os.devnull, "wb") as nowhere:
        began = time.perf_counter()
        subprocess.run(["gzip", "-dc", archive], stdout=nowhere, check=True)
        unpacked = time.perf_counter()
    prepare.prepare(archive, os.path.join(folder, "prepared"), force=True)
    return unpacked - began, time.perf_counter() - unpacked


def _archive_of(source, folder):
    """An archive made of a folder of recordings."""
    path = os.path.join(folder, "corpus.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, arcname=".")
    return path
