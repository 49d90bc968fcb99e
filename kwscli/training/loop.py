"""`kws train`: the loop, from the first batch to the summary; stopped at any moment, the same command goes on."""
import contextlib
import dataclasses
import math
import os
import platform
import time
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import interrupts
from ..classifiers.classifier import BATCH
from ..console import Progress, say
from ..data import batches, dataset
from ..devices import session
from ..errors import Interrupted, KwsError
from ..metrics import Result
from ..runs import checkpoint, run_directory
from ..runs.description import versions
from ..settings import to_json
from ..sound.features import mfcc
from ..workers.collective import Collective
from .tensorboard import Summaries
from .training_session import Engine, NotANumber

METRICS_EVERY = 10  # steps from one line of metrics.jsonl to the next
BATCHES_AHEAD = 4


class Outcome(NamedTuple):
    """What came of a training: the validation's best, the test of those weights, and how long it took."""

    run_path: str
    best_step: int
    best_accuracy: float
    test: Result
    step_count: int
    loss: float
    seconds: float  # in training steps, over all its parts
    total_seconds: float  # of this process, start to end


class _Features:
    """The features of this rank's part of a split, computed once: [n, frame_count, dct_coefficient_count]."""

    def __init__(self, data, description, split, threads, cluster):
        clips = batches.EvaluationSet(data, description.data.wanted_words, description.features, split)
        if len(clips):
            say("Measured on %s." % clips)
        mine = np.arange(cluster.rank, len(clips), cluster.size)
        parts = [mine[start : start + BATCH] for start in range(0, len(mine), BATCH)]
        computed = list(
            batches.Ahead(lambda rows: mfcc(clips.clips(rows), description.features), parts, threads, threads + 1)
        )
        self.count, self.targets = len(clips), clips.targets[mine]
        self.features = np.concatenate(computed) if computed else None


def train(job):
    """Train what a `plan.Job` says into its run directory, or go on with what is there -> Outcome."""
    started, description = time.monotonic(), job.description
    shares = description.data.validation_percentage, description.data.testing_percentage
    data = dataset.load(description.data_path, *shares)
    stream = batches.TrainingStream(
        data, description.data, description.features, description.train.batch_size, description.train.seed,
        job.cluster.rank, job.cluster.size,
    )
    description = dataclasses.replace(
        description, data_sha256=data.info["sha256"], versions=versions(tf.__version__)
    )
    job = job._replace(description=description)
    with Collective(job.cluster) as collective:
        collective.check_same(_comparable(job))
        job = job._replace(summaries_dir=job.summaries_dir if collective.rank == 0 else None)
        with collective.folder(job.run_path) as path, \
                run_directory.opened(path, description, job.log_name, job.overwrite) as directory:
            goes_on = collective.any(bool(directory.checkpoints))
            start = "" if goes_on else description.start_checkpoint
            device = session.choose(job.device)
            with interrupts.sigterm_closes(), session.blamed(device), \
                    Engine(job, device, _data_folder(job), collective, start) as engine:
                splits = {
                    split: _Features(data, description, split, job.data_threads, job.cluster)
                    for split in dataset.SPLITS[1:]
                }
                with contextlib.closing(_Trainer(engine, directory, stream, splits, job, collective)) as trainer:
                    trainer.train()
                    outcome = trainer.finish(started)
            directory.finish(summary_of(outcome, description, collective.size))
            return outcome


def _data_folder(job):
    """Where this worker's dumps and traces go."""
    folder = job.device.data_save_path or os.path.join(job.run_path, "data")
    return folder if job.cluster.size == 1 else os.path.join(folder, "worker-%d" % job.cluster.rank)


def _comparable(job):
    """What must be the same on every worker, by name; data may lie elsewhere as long as they are the same."""
    values = dict(job.description.to_json(), device=to_json(job.device), check_nans=job.check_nans)
    del values["data_path"], values["start_checkpoint"]
    groups = [one if isinstance(one, dict) else {name: one} for name, one in values.items()]
    own = "device_id", "data_save_path"
    return {name: one for group in groups for name, one in group.items() if name not in own}


class _Trainer:
    """The loop over the steps, and what it writes down."""

    def __init__(self, engine, directory, stream, splits, job, collective):
        self._collective, self._run_path = collective, job.run_path  # which is the directory's on rank 0 only
        self._engine, self._directory, self._stream, self._splits = engine, directory, stream, splits
        self._settings, self._labels, self._threads = job.description.train, job.description.labels, job.data_threads
        self._step, self._seconds, self._waited, self._best = 0, 0.0, 0.0, None
        self._saved = None  # the step of the last checkpoint
        self._loss = self._accuracy = float("nan")
        self._started = time.monotonic()
        self._announce(job)
        self._go_on()
        self._check_stride()
        self._summaries = Summaries(job.summaries_dir or directory.file("summaries"), self._step)

    def _check_stride(self):
        """Phases, and what is left of them, must be whole numbers of calls."""
        stride = self._engine.stride
        for steps in self._settings.how_many_training_steps:
            if steps % stride:
                raise KwsError("--how-many-training-steps %d is no multiple of --iterations-per-loop %d; change either"
                               % (steps, stride))
        if self._step % stride:
            raise KwsError("%s was saved after step %d, which is no multiple of --iterations-per-loop %d; go on with "
                           "one that divides it, such as 1" % (self._run_path, self._step, stride))

    def _announce(self, job):
        together = ", %d by each of %d workers" % (self._settings.batch_size, job.cluster.size)
        say("Training %s (%s weights) on %s: %s clips an epoch, %s steps of %d%s, into %s." % (
            job.description.architecture, "{:,}".format(self._engine.weight_count), self._engine.device.name,
            "{:,}".format(self._stream.epoch_size), "{:,}".format(self._settings.step_count), self._global_batch(),
            together if job.cluster.size > 1 else "", job.run_path,
        ))

    def _global_batch(self):
        return self._settings.batch_size * self._collective.size

    def _go_on(self):
        """Go on from the last whole checkpoint, if there is one; rank 0's, on all."""
        found = None
        for entry in reversed(self._directory.checkpoints):
            try:
                self._engine.restore(self._directory.prefix(entry.step))
                found = entry
                break
            except checkpoint.UnreadableCheckpoint as error:
                say("%s; using the one before." % error)
        if self._directory.checkpoints and not found:
            raise KwsError("no checkpoint in %s can be read; train anew with --overwrite" % self._directory.path)
        found = self._collective.shared(found)
        found = found and run_directory.Checkpoint(*found)
        self._engine.share()
        self._directory.go_on_from(found)
        if found:
            self._step, self._seconds, self._loss = found.step, found.seconds, found.loss
            self._saved = found.step
            self._best = (found.best_step, found.best_accuracy) if found.best_step else None
            say("Going on after step %d of %d in %s." % (self._step, self._settings.step_count, self._directory.path))

    def train(self):
        """Every step that is left."""
        settings = self._settings
        steps = range(self._step + 1, settings.step_count + 1)
        # Workers on CPUs share their cores with these threads; who is late with its step keeps all the others waiting.
        step_back = self._collective.size > 1 and self._engine.device.kind == "cpu"
        with contextlib.closing(
            batches.Ahead(self._stream.batch, steps, self._threads, BATCHES_AHEAD, step_back)
        ) as stream, interrupts.StopRequest() as request, Progress(
            "training", settings.step_count, unit="steps", initial=self._step
        ) as progress:
            self._engine.feed_from(self._timed(stream))
            since = self._seconds, self._step
            while self._step < settings.step_count:
                before = self._step
                self._advance()
                stop = self._collective.any(request.received or 0)  # all after the same step
                note = ""
                if self._passed(before, METRICS_EVERY):
                    note, since = self._tell(*since), (self._seconds, self._step)
                progress.update(self._step - before, note)
                if self._passed(before, settings.eval_step_interval):
                    self._validate()
                elif self._passed(before, settings.save_interval) or stop:
                    self._save()
                if stop:
                    self._stop(stop)

    def _passed(self, before, interval):
        """Whether a multiple of `interval` lies in the steps just made, or they were the last."""
        return self._step // interval > before // interval or self._step == self._settings.step_count

    def _timed(self, stream):
        """The batches of a stream, the waiting for them counted."""
        for batch in stream:
            self._waited += time.monotonic() - self._asked
            yield batch
            self._asked = time.monotonic()

    def _advance(self):
        began = self._asked = time.monotonic()
        rate = self._settings.rate_at(self._step + 1)
        try:
            self._loss, self._accuracy = self._engine.advance(self._step + 1, rate)
        except NotANumber as error:
            self._not_a_number(self._step + 1, error)
        self._step += self._engine.stride
        self._seconds += time.monotonic() - began
        self._directory.log(
            "Step #%d: rate %f, accuracy %.1f%%, cross entropy %f"
            % (self._step, rate, 100 * self._accuracy, self._loss)
        )

    def _tell(self, seconds_before, step_before):
        """Where training is, for metrics.jsonl, TensorBoard and the progress line."""
        elapsed = max(1e-9, self._seconds - seconds_before)
        values = {
            "loss": self._loss,
            "accuracy": self._accuracy,
            "learning_rate": self._settings.rate_at(self._step),
            "examples_per_second": (self._step - step_before) * self._global_batch() / elapsed,
            "skipped_steps": self._engine.skipped(self._step),
            "elapsed": time.monotonic() - self._started,
        }
        speed = "%.0f examples/s" % values["examples_per_second"]
        if self._engine.stride == 1:  # else the device draws batches by itself, and nobody sees it wait
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
            if self._best is None or accuracy > self._best[1]:
                self._best = (self._step, accuracy)
                line += ", the best so far"
            self._directory.log(line)
            say(line)
            self._directory.metric(step=self._step, validation_accuracy=accuracy, clips=result.count)
            self._summaries.scalars(self._step, {"validation_accuracy": accuracy})
            self._summaries.confusion(self._step, result)
        self._save()

    def _evaluate(self, split):
        """The Result of the present weights on a split, None where it has no clips."""
        clips = self._splits[split]
        if not clips.count:
            say("No %s clips: nothing to judge the network by; raise --%s-percentage." % (split, split))
            return None
        self._engine.share()
        scores = self._engine.scores(clips.features) if len(clips.targets) else np.zeros((0, len(self._labels)))
        mine = Result.of(self._labels, clips.targets, scores)
        return mine._replace(confusion=self._collective.sum(mine.confusion))

    def _save(self):
        try:
            self._engine.check_weights()
        except NotANumber as error:
            self._not_a_number(self._step, error)
        self._summaries.flush()
        self._directory.save(self._step, self._seconds, self._loss, self._best, self._engine.save)
        self._saved = self._step

    def _last_checkpoint(self):
        if self._saved is None:
            return "none yet"
        return os.path.join(self._run_path, run_directory.checkpoint_name(self._directory.description, self._saved))

    def _not_a_number(self, step, reason):
        raise KwsError(
            "training diverged at step %d: %s. The last good checkpoint is %s; try a lower --learning-rate"
            % (step, reason, self._last_checkpoint())
        )

    def _stop(self, number):
        raise Interrupted(
            "stopped after step %d of %d, saved in %s"
            % (self._step, self._settings.step_count, self._last_checkpoint()),
            "the same command goes on from there", number,
        )

    def finish(self, started):
        """Test the best weights -> Outcome."""
        best_step, best_accuracy = self._best or (self._step, math.nan)
        if best_step != self._step:
            self._engine.restore(self._directory.prefix(best_step))
        result = self._evaluate("testing")
        if result:
            self._directory.log("Final test accuracy = %.1f%% (N=%d)" % (100 * result.accuracy, result.count))
        return Outcome(
            self._run_path, best_step, best_accuracy, result, self._step, self._loss, self._seconds,
            time.monotonic() - started,
        )

    def close(self):
        self._summaries.close()


def summary_of(outcome, description, rank_count=1):
    """The seed's summary: {key: value}, under the names that people grep for."""
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
