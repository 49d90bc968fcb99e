"""`kws bench`: the speed of every part, measured in one run.

Machines are shared, so what belongs together is measured in turns, and ratios mean more than figures.
"""
import contextlib
import os
import platform
import subprocess
import tarfile
import tempfile
import time

import numpy as np

from . import batches, dataset, plan, prepare, run
from .features import mfcc
from .settings import FeatureSettings

ROUNDS = 3
BARE_STEPS = 60
TRAINED_STEPS = 450  # one validation and two checkpoints among them
WARM_UP_STEPS = 50
"""Steps at the start that are not counted: TensorFlow is still choosing how to compute."""


def median_seconds(function, repeats):
    """The median duration of a call."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def mfcc_speeds(clips, threads):
    """Clips a second on one thread and on `threads`."""
    settings = FeatureSettings()
    one = len(clips) / median_seconds(lambda: mfcc(clips, settings), 20)

    def on_all():
        for _ in batches.ahead(lambda _: mfcc(clips, settings), range(20), threads, threads):
            pass

    return one, 20 * len(clips) / median_seconds(on_all, 3)


class Bare:
    """The training step alone, on one constant batch: what the network itself costs."""

    def __init__(self, description, batch):
        import tensorflow.compat.v1 as tf

        from . import network, session

        with tf.Graph().as_default() as graph:
            training = network.training(description)
            initialise = network.initialiser()
            self._session = session.open_session(graph)
            self._session.run(initialise)
            self._session.run(training.set_rate, {training.new_rate: description.train.learning_rate[0]})
            graph.finalize()
        self._call = self._session.make_callable([training.loss, training.step], [training.features, training.targets])
        self._batch = batch

    def milliseconds(self):
        for _ in range(10):
            self._call(*self._batch)
        return 1000 * median_seconds(lambda: self._call(*self._batch), BARE_STEPS)

    def close(self):
        self._session.close()


class PerClip:
    """The baseline: features by TensorFlow's own operations, one session call a clip, as the reference has it."""

    def __init__(self):
        import tensorflow.compat.v1 as tf

        from . import session

        settings = FeatureSettings()
        with tf.Graph().as_default() as graph:
            clip = tf.placeholder(tf.float32, (settings.clip_samples, 1))
            spectrogram = tf.raw_ops.AudioSpectrogram(
                input=clip, window_size=settings.window_size_samples, stride=settings.window_stride_samples,
                magnitude_squared=True,
            )
            features = tf.raw_ops.Mfcc(
                spectrogram=spectrogram, sample_rate=settings.sample_rate,
                dct_coefficient_count=settings.dct_coefficient_count,
            )
        self._session = session.open_session(graph)
        self._call = self._session.make_callable(features, [clip])

    def milliseconds(self, clips):
        return 1000 * median_seconds(lambda: [self._call(clip[:, np.newaxis]) for clip in clips], 5)

    def close(self):
        self._session.close()


def trained(job):
    """Train as `kws train` does -> (ms a step with everything, share of time waiting for data)."""
    from .train import train

    with contextlib.redirect_stderr(open(os.devnull, "w")):
        train(job)
    lines = [line for line in run.read_metrics(job.run_path) if "loss" in line and line["step"] >= WARM_UP_STEPS]
    first, last = lines[0], lines[-1]
    milliseconds = 1000 * (last["elapsed"] - first["elapsed"]) / (last["step"] - first["step"])
    return milliseconds, float(np.mean([line["data_wait"] for line in lines]))


def prepare_against_gzip(folder, archive):
    """(seconds of `gzip -dc`, seconds of `kws prepare`) on an archive."""
    with open(os.devnull, "wb") as nowhere:
        began = time.perf_counter()
        subprocess.run(["gzip", "-dc", archive], stdout=nowhere, check=True)
        unpacked = time.perf_counter()
    prepare.prepare(prepare.PrepareSettings(archive, os.path.join(folder, "prepared")), force=True)
    return unpacked - began, time.perf_counter() - unpacked


def job_of(data_path, folder, number, architecture):
    """A plan.Job of TRAINED_STEPS steps on the ten keywords, or on the words that have the most clips."""
    counts = dataset.read_info(data_path)["words"]
    words = sorted(counts, key=lambda word: -counts[word]["training"])[:10]
    values = dict.fromkeys(
        ("validation_percentage", "start_checkpoint", "summaries_dir", "model_size", "model_size_info", "data_threads")
    )
    return plan.plan(dict(
        values, data_path=data_path, train_dir=os.path.join(folder, "run%d" % number), architecture=architecture,
        wanted_words=tuple(words), how_many_training_steps=(TRAINED_STEPS,), learning_rate=(0.0005,),
        overwrite=True, check_nans=False,
    ))


def benchmark(data_path=None, architecture="ds_cnn"):
    """Yield (what was measured, figure); without prepared data in `data_path`, on a synthesised corpus."""
    with tempfile.TemporaryDirectory() as folder:
        if not data_path:
            data_path = os.path.join(folder, "data")
            prepare.prepare(prepare.PrepareSettings(prepare.source_of(data_path, synthesize=""), data_path))
        yield from measured(data_path, folder, architecture)


def measured(data_path, folder, architecture):
    """Yield (what, figure) in the order of the table."""
    import tensorflow.compat.v1 as tf

    cores = len(os.sched_getaffinity(0))
    yield "machine", "%s, %d cores, Python %s, TensorFlow %s" % (
        platform.machine(), cores, platform.python_version(), tf.__version__)
    job = job_of(data_path, folder, 0, architecture)
    description = job.description
    stream = batches.TrainingStream(
        dataset.load(data_path), description.data, description.features, description.train.batch_size, 1
    )
    clips, targets = stream.clips(1)
    one, everyone = mfcc_speeds(clips, cores)
    yield "MFCC, one core", "%.0f clips/s (%.1f ms for 100)" % (one, 100000 / one)
    yield "MFCC, %d cores" % cores, "%.0f clips/s" % everyone
    yield "augmented batch of 100 with its features, one core", "%.1f ms" % (
        1000 * median_seconds(lambda: stream.batch(2), 20))

    bare_times, full, waits, baseline = [], [], [], []
    batch = mfcc(clips, description.features), targets
    with contextlib.closing(Bare(description, batch)) as bare, contextlib.closing(PerClip()) as per_clip:
        for number in range(ROUNDS):
            bare_times.append(bare.milliseconds())
            milliseconds, wait = trained(job_of(data_path, folder, number, architecture))
            full.append(milliseconds)
            waits.append(wait)
            bare_times.append(bare.milliseconds())
            baseline.append(per_clip.milliseconds(clips) + bare_times[-1])
    step, end_to_end = float(np.median(bare_times)), float(np.median(full))
    yield "training step alone, constant batch", "%.1f ms" % step
    yield "training step with everything (live data, logs, checkpoints)", "%.1f ms" % end_to_end
    yield "  speed of the step alone that is left", "%.0f %%" % (100 * step / end_to_end)
    yield "  time spent waiting for data", "%.0f %%" % (100 * np.mean(waits))
    yield "baseline: one session call a clip for features", "%.1f ms a step, %.1f times ours" % (
        np.median(baseline), np.median(baseline) / end_to_end)
    yield "evaluation, features and inference", "%.0f clips/s" % evaluation_speed(job.run_path, data_path)

    archive = _archive_of(data_path, folder)
    pairs = [prepare_against_gzip(folder, archive) for _ in range(ROUNDS)]
    gzip_seconds, prepare_seconds = np.median(np.array(pairs), axis=0)
    yield "kws prepare against gzip -dc of the same archive", "%.2f s, %.2f s: %.0f %% of its speed" % (
        prepare_seconds, gzip_seconds, 100 * gzip_seconds / prepare_seconds)


def evaluation_speed(run_path, data_path):
    """Clips a second of `kws eval` on the validation split, without its start."""
    from . import classifier, evaluate

    with contextlib.closing(classifier.opened(run_path)) as model, contextlib.redirect_stderr(open(os.devnull, "w")):
        result = evaluate.evaluate(model, data_path, "validation", model.data)
        seconds = median_seconds(lambda: evaluate.evaluate(model, data_path, "validation", model.data), 3)
    return result.count / seconds


def _archive_of(data_path, folder):
    """The archive the data came from, or one made of its folder."""
    source = os.path.join(data_path, dataset.read_info(data_path)["source"])
    if os.path.isfile(source):
        return source
    path = os.path.join(folder, "corpus.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, arcname=".")
    return path
