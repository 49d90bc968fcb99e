"""The training loop of `kws train`. The same command continues a training that was stopped at any moment."""
import contextlib
import math
import os
import platform
import time
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import interrupts
from ..classifiers.classifier import BATCH
from ..console import Progress, say
from ..data import batches, dataset
from ..devices.choose import choose
from ..errors import Interrupted, KwsError
from ..export import light
from ..metrics import Result
from ..runs import checkpoint, run_directory
from ..settings import to_json
from ..sound.features import features
from ..workers.collective import Collective
from . import teachers
from .job import Job
from .tensorboard import Summaries
from .training_session import NotANumber, TrainingSession

METRICS_EVERY = 10  # steps from one line of metrics.jsonl to the next
BATCHES_AHEAD = 4
STATISTICS_BATCHES = 20  # that normalise features
SMALLEST_DEVIATION = 1e-3  # of a channel that is constant, as in digital silence


class Outcome(NamedTuple):
    """The result of a training."""

    run_path: str
    best_step: int
    best_accuracy: float  # on validation clips; NaN if there are none
    test: Optional[Result]  # of the best weights; None if there are no testing clips
    step_count: int
    loss: float
    seconds: float  # in training steps, over all processes that worked on this run
    total_seconds: float  # of this process


class _Split(NamedTuple):
    """This rank's part of a split."""

    count: int  # clips of all ranks
    targets: np.ndarray  # [n] int
    features: Optional[np.ndarray]  # [n, frame_count, channel_count]; None if n is 0


def train(job: Job) -> Outcome:
    """Train into the run directory of a job, or continue the run that is there."""
    started = time.monotonic()
    shares = job.data.validation_percentage, job.data.testing_percentage
    data = dataset.load(job.data_path, *shares)
    learns_from = teachers.load(job.train.teacher)
    stream = batches.TrainingStream(
        data, job.data, job.features, job.train.batch_size, job.train.seed, job.cluster.rank, job.cluster.size,
        [one.features for one in learns_from],
    )
    description = job.description(data.info["sha256"], tf.__version__)
    with Collective(job.cluster) as collective:
        collective.check_same(_comparable(job, description))
        with collective.folder(job.run_path) as path, \
                run_directory.opened(path, description, job.log_name, job.overwrite) as directory:
            outcome = _train_in(directory, job, data, stream, learns_from, collective, started)
            directory.finish(summary_of(outcome, description, collective.size), outcome.test)
            if collective.rank == 0:
                light.update(path)
            return outcome


def _train_in(directory, job, data, stream, learns_from, collective, started):
    """Train into an open run directory -> Outcome."""
    continues = collective.any(bool(directory.checkpoints))
    start = "" if continues else job.start_checkpoint
    statistics = _statistics(stream) if job.train.normalize_features and not continues else ()
    device = choose(job.device)
    with interrupts.signals_close(), device.blamed(), \
            TrainingSession(
                job, directory.description, device, _data_folder(job), collective, start, learns_from, statistics
            ) as session:
        say("Trains on %s." % stream)
        splits = {split: _split_of(data, split, job) for split in dataset.SPLITS[1:]}
        with _Trainer(session, directory, stream, splits, job, collective) as trainer:
            trainer.train()
            return trainer.finish(started)


def _statistics(stream):
    """(mean, deviation) [channel_count] of each feature channel in the first training batches."""
    return channel_statistics(np.concatenate([stream.batch(step)[0] for step in range(1, STATISTICS_BATCHES + 1)]))


def channel_statistics(features: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(mean, deviation) [channel_count] of each channel of features [n, frame_count, channel_count]."""
    return features.mean(axis=(0, 1)), np.maximum(features.std(axis=(0, 1)), SMALLEST_DEVIATION)


def _split_of(data, split, job):
    """The _Split of prepared data by its name."""
    clips = batches.EvaluationSet(data, job.data.wanted_words, job.features, split)
    if len(clips):
        say("Measures on %s." % clips)
    mine = np.arange(job.cluster.rank, len(clips), job.cluster.size)
    parts = [mine[start : start + BATCH] for start in range(0, len(mine), BATCH)]
    computed = list(batches.Ahead(
        lambda rows: features(clips.clips(rows), job.features), parts, job.data_threads, job.data_threads + 1
    ))
    return _Split(len(clips), clips.targets[mine], np.concatenate(computed) if computed else None)


def _data_folder(job):
    """The folder for this worker's dumps and traces."""
    folder = job.device.data_save_path or os.path.join(job.run_path, "data")
    return folder if job.cluster.size == 1 else os.path.join(folder, "worker-%d" % job.cluster.rank)


def _comparable(job, description):
    """{name: value} of what all workers must have in common. Equal data may have another path on each."""
    values = dict(description.to_json(), device=to_json(job.device), check_nans=job.check_nans)
    del values["data_path"], values["start_checkpoint"], values["start_sha256"]
    groups = [one if isinstance(one, dict) else {name: one} for name, one in values.items()]
    own = "device_id", "data_save_path"
    return {name: one for group in groups for name, one in group.items() if name not in own}


class _Trainer:
    """The loop over the steps, and what it writes to the run directory; a context manager."""

    def __init__(self, session, directory, stream, splits, job, collective):
        self._session, self._directory, self._stream, self._splits = session, directory, stream, splits
        self._job, self._collective, self._settings = job, collective, job.train
        self._step, self._seconds, self._waited, self._best = 0, 0.0, 0.0, None
        self._saved = None  # the step of the last checkpoint
        self._loss = self._accuracy = float("nan")
        self._light = light.Refresher(directory.path)

    def __enter__(self):
        self._started = time.monotonic()
        self._announce()
        self._continue()
        self._check_stride()
        # Only rank 0's events are of use; the directory of other ranks is temporary.
        chosen = self._job.summaries_dir if self._collective.rank == 0 else ""
        self._summaries = Summaries(chosen or self._directory.file("summaries"), self._step)
        self._summaries.open()
        return self

    def __exit__(self, *error):
        self._summaries.close()

    def _announce(self):
        job, batch_size = self._job, self._settings.batch_size
        together = ", %d by each of %d workers" % (batch_size, job.cluster.size) if job.cluster.size > 1 else ""
        say("Training %s (%s weights) on %s: %s clips per epoch, %s steps of %d clips%s, into %s." % (
            job.architecture, "{:,}".format(self._session.weight_count), self._session.device.name,
            "{:,}".format(self._stream.epoch_size), "{:,}".format(self._settings.step_count), self._global_batch(),
            together, job.run_path,
        ))

    def _global_batch(self):
        return self._settings.batch_size * self._collective.size

    def _continue(self):
        """Continue from the last readable checkpoint of rank 0, if there is one."""
        found = self._collective.shared(self._restore())
        found = found and run_directory.Checkpoint(*found)
        self._session.share()
        self._directory.go_on_from(found)
        if found:
            self._step, self._seconds, self._loss = found.step, found.seconds, found.loss
            self._saved = found.step
            self._best = (found.best_step, found.best_accuracy) if found.best_step else None
            say("Continuing after step %d of %d in %s."
                % (self._step, self._settings.step_count, self._directory.path))

    def _restore(self):
        """Read the last readable checkpoint -> its run_directory.Checkpoint, None where the run has none yet."""
        for entry in reversed(self._directory.checkpoints):
            try:
                self._session.restore(self._directory.prefix(entry.step))
                return entry
            except checkpoint.UnreadableCheckpoint as error:
                say("%s; using the one before." % error)
        if self._directory.checkpoints:
            raise KwsError("no checkpoint in %s can be read" % self._directory.path, "use --overwrite to train anew")
        return None

    def _check_stride(self):
        """Refuse phases, and a rest of a phase, that are not a whole number of calls."""
        stride = self._session.stride
        for steps in self._settings.how_many_training_steps:
            if steps % stride:
                raise KwsError(
                    "--how-many-training-steps %d is not a multiple of --iterations-per-loop %d" % (steps, stride),
                    "change one of them",
                )
        if self._step % stride:
            raise KwsError(
                "%s was saved after step %d, which is not a multiple of --iterations-per-loop %d"
                % (self._job.run_path, self._step, stride),
                "use a value that divides the step, such as 1",
            )

    def train(self):
        """Make all steps that are left."""
        settings = self._settings
        steps = range(self._step + 1, settings.step_count + 1)
        # All workers wait for the slowest one, so where threads that make batches share its cores they give way.
        step_back = self._collective.size > 1 and self._session.device.shares_cores
        with contextlib.closing(
            batches.Ahead(self._stream.batch, steps, self._job.data_threads, BATCHES_AHEAD, step_back)
        ) as stream, interrupts.StopRequest() as request, Progress(
            "training", settings.step_count, unit="steps", initial=self._step
        ) as progress:
            self._session.feed_from(self._timed(stream))
            since = self._seconds, self._step
            while self._step < settings.step_count:
                before = self._step
                self._advance()
                stop = self._collective.any(request.received or 0)  # all workers stop after the same step
                note = ""
                if self._passed(before, METRICS_EVERY):
                    note, since = self._tell(*since), (self._seconds, self._step)
                progress.update(self._step - before, note)
                self._keep(before, stop)

    def _keep(self, before, stop):
        """Validate and save where that is due after step `before`. stop: the signal that ends the training, if any."""
        if self._passed(before, self._settings.eval_step_interval):
            self._validate()
        elif self._passed(before, self._settings.save_interval) or stop:
            self._save()
        if stop:
            raise Interrupted(
                "stopped after step %d of %d, saved in %s"
                % (self._step, self._settings.step_count, self._last_checkpoint()),
                "the same command continues from there", stop,
            )

    def _passed(self, before, interval):
        """Whether the steps after `before` contain a multiple of `interval`, or the last step."""
        return self._step // interval > before // interval or self._step == self._settings.step_count

    def _timed(self, stream):
        """Yield the batches of a stream, and count the time that training waits for them."""
        for batch in stream:
            self._waited += time.monotonic() - self._asked
            yield batch
            self._asked = time.monotonic()

    def _advance(self):
        began = self._asked = time.monotonic()
        rate = self._settings.rate_at(self._step + 1)
        try:
            self._loss, self._accuracy = self._session.advance(self._step + 1, rate)
        except NotANumber as error:
            self._not_a_number(self._step + 1, error)
        self._step += self._session.stride
        self._seconds += time.monotonic() - began
        self._directory.log(
            "Step #%d: rate %f, accuracy %.1f%%, cross entropy %f"
            % (self._step, rate, 100 * self._accuracy, self._loss)
        )

    def _tell(self, seconds_before, step_before):
        """Write loss, accuracy and speed to metrics.jsonl and TensorBoard -> the note for the progress line."""
        elapsed = max(1e-9, self._seconds - seconds_before)
        values = {
            "loss": self._loss,
            "accuracy": self._accuracy,
            "learning_rate": self._settings.rate_at(self._step),
            "examples_per_second": (self._step - step_before) * self._global_batch() / elapsed,
            "skipped_steps": self._session.skipped(self._step),
            "elapsed": time.monotonic() - self._started,
        }
        speed = "%.0f examples/s" % values["examples_per_second"]
        if self._session.stride == 1:  # otherwise the device reads batches itself, and its waiting is unknown
            values["data_wait"] = self._waited / elapsed
            speed += ", %.0f %% of the time waiting for data" % (100 * values["data_wait"])
        self._waited = 0.0
        self._directory.log("Speed at #%d: %s" % (self._step, speed))
        self._directory.metric(step=self._step, **values)
        self._summaries.scalars(self._step, values)
        skipped = ", %d steps skipped" % values["skipped_steps"] if values["skipped_steps"] else ""
        return "loss %.3f, accuracy %.0f %%, %s%s" % (values["loss"], 100 * values["accuracy"], speed, skipped)

    def _validate(self):
        result = self._evaluate("validation")
        if result:
            accuracy = result.accuracy
            line = "Step %d: Validation accuracy = %.1f%% (N=%d)" % (self._step, 100 * accuracy, result.count)
            # With --quantize, weights from before the rounding lose their accuracy in an export to 8-bit integers.
            counts = self._step > self._settings.steps_before_rounding
            if counts and (self._best is None or accuracy > self._best[1]):
                self._best = (self._step, accuracy)
                line += ", the best so far"
            self._directory.log(line)
            say(line)
            self._directory.metric(step=self._step, validation_accuracy=accuracy, clips=result.count)
            self._summaries.scalars(self._step, {"validation_accuracy": accuracy})
            self._summaries.confusion(self._step, result)
        self._save()
        if self._best and self._collective.rank == 0 and self._session.device.allows_other_sessions:
            self._light.refresh(self._best[0], self._seconds)

    def _evaluate(self, split):
        """The Result of the current weights on a split, None if it has no clips."""
        clips = self._splits[split]
        if not clips.count:
            say("There are no %s clips to measure the network with; raise --%s-percentage." % (split, split))
            return None
        self._session.share()
        label_names = self._directory.description.labels
        scores = self._session.scores(clips.features) if len(clips.targets) else np.zeros((0, len(label_names)))
        mine = Result.of(label_names, clips.targets, scores)
        return mine._replace(confusion=self._collective.sum(mine.confusion))

    def _save(self):
        try:
            self._session.check_weights()
        except NotANumber as error:
            self._not_a_number(self._step, error)
        self._summaries.flush()
        self._directory.save(self._step, self._seconds, self._loss, self._best, self._session.save)
        self._saved = self._step

    def _last_checkpoint(self):
        if self._saved is None:
            return "none yet"
        name = run_directory.checkpoint_name(self._directory.description, self._saved)
        return os.path.join(self._job.run_path, name)  # on other ranks than 0, the directory has another path

    def _not_a_number(self, step, reason):
        raise KwsError(
            "training diverged at step %d: %s. The last good checkpoint is %s"
            % (step, reason, self._last_checkpoint()),
            "try a lower --learning-rate",
        )

    def finish(self, started):
        """Test the best weights -> Outcome. started: when the process began."""
        best_step, best_accuracy = self._best or (self._step, math.nan)
        if best_step != self._step:
            self._session.restore(self._directory.prefix(best_step))
        result = self._evaluate("testing")
        if result:
            self._directory.log("Final test accuracy = %.1f%% (N=%d)" % (100 * result.accuracy, result.count))
        return Outcome(
            self._job.run_path, best_step, best_accuracy, result, self._step, self._loss, self._seconds,
            time.monotonic() - started,
        )


def summary_of(outcome: Outcome, description: run_directory.Description, rank_count: int = 1) -> Dict[str, Any]:
    """The summary {key: value} of a run, with the keys of the reference's log."""
    batch_size = description.train.batch_size
    fps = outcome.step_count * batch_size * rank_count / max(1e-9, outcome.seconds)
    return {
        "Network": description.architecture,
        "RankSize": rank_count,
        "BatchSize": batch_size,
        "DeviceType": platform.machine(),
        "CaseName": "%s_bs%d_%dp_acc" % (description.architecture, batch_size, rank_count),
        "ActualFPS": "%.2f" % fps,
        "TrainingTime": "%.2f" % (1000 * batch_size * rank_count / fps),
        "ActualLoss": "%f" % outcome.loss,
        "E2ETrainingTime": "%d" % outcome.total_seconds,
        "TrainAccuracy": "%.4f" % (outcome.test.accuracy if outcome.test else outcome.best_accuracy),
    }
