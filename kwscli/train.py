"""`kws train`: the loop, from the first batch to the summary. Stopped at any moment, the same command goes on from there."""
import contextlib
import dataclasses
import platform
import signal
import time
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from . import batches, checkpoint, classifier, dataset, network, run, session
from .errors import Interrupted, KwsError
from .evaluate import Result
from .features import mfcc
from .progress import Progress, say
from .summaries import Summaries

EVALUATION_BATCH = 100
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
    """The features of a split, computed once and kept: [n, frame_count, dct_coefficient_count]."""

    def __init__(self, data, description, split, threads):
        clips = batches.EvaluationSet(data, description.data, description.features, split)
        parts = [slice(start, start + 100) for start in range(0, len(clips), 100)]
        computed = list(
            batches.ahead(lambda rows: mfcc(clips.clips(rows), description.features), parts, threads, threads + 1)
        )
        self.targets = clips.targets
        self.features = np.concatenate(computed) if computed else None

    def __len__(self):
        return len(self.targets)


def train(job):
    """Train what a `plan.Job` says into its run directory, or go on with what is there -> Outcome."""
    description = job.description
    started = time.monotonic()
    data = dataset.load(description.data_path, description.data.validation_percentage, description.data.testing_percentage)
    stream = batches.TrainingStream(
        data, description.data, description.features, description.train.batch_size, description.train.seed
    )
    description = dataclasses.replace(
        description, data_sha256=data.info["sha256"], versions=run.versions(tf.__version__)
    )
    splits = {split: _Features(data, description, split, job.data_threads) for split in dataset.SPLITS[1:]}
    with run.opened(job.run_path, description, job.log_name, job.overwrite) as directory:
        with _Trainer(directory, description, stream, splits, job) as trainer:
            trainer.begin()
            trainer.train()
            outcome = trainer.finish(time.monotonic() - started)
            directory.finish(summary_of(outcome, description))
            return outcome


class _Trainer(contextlib.ExitStack):
    """One training in one session."""

    def __init__(self, directory, description, stream, splits, job):
        super().__init__()
        self._directory, self._description, self._job = directory, description, job
        self._settings, self._stream, self._splits = description.train, stream, splits
        self._step, self._seconds, self._waited, self._best, self._loss = 0, 0.0, 0.0, None, float("nan")
        self._started = time.monotonic()
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(description.train.seed)
            self._training = network.training(description)
            self._inference = network.inference(description, EVALUATION_BATCH)
            self._checkpoints = checkpoint.Writer()
            variables = network.variables_of(description)
            self._finite = tf.reduce_all([tf.reduce_all(tf.is_finite(variable)) for variable in variables])
            self._numerics = network.numeric_checks(self._training) if job.check_nans else tf.no_op()
            initialise = tf.global_variables_initializer()
            self._session = session.open_session(graph)
            self.callback(self._session.close)
            self._session.run(initialise)
            if description.start_checkpoint:
                checkpoint.start_from(self._session, run.resolve(description.start_checkpoint)[1], description)
            graph.finalize()
        self._call = self._session.make_callable(
            [self._training.loss, self._training.logits, self._training.step, self._numerics],
            [self._training.features, self._training.targets, self._training.learning_rate],
        )

    def begin(self):
        """Go on from the last whole checkpoint, if there is one."""
        found = None
        for entry in reversed(self._directory.checkpoints):
            try:
                self._checkpoints.read(self._session, self._directory.prefix(entry.step))
                found = entry
                break
            except checkpoint.UnreadableCheckpoint as error:
                say("%s; using the one before." % error)
        if self._directory.checkpoints and not found:
            raise KwsError(
                "no checkpoint in %s can be read; train anew with --overwrite" % self._directory.path
            )
        self._directory.go_on_from(found)
        if found:
            self._step, self._seconds, self._loss = found.step, found.seconds, found.loss
            self._best = (found.best_step, found.best_accuracy) if found.best_step else None
            say("Going on after step %d of %d in %s." % (self._step, self._settings.step_count, self._directory.path))
        folder = self._job.summaries_dir or self._directory.file("summaries")
        self._summaries = Summaries(folder, self._step)
        self.callback(self._summaries.close)

    def train(self):
        """Every step that is left."""
        settings, first = self._settings, self._step + 1
        steps = range(first, settings.step_count + 1)
        stream = batches.ahead(self._stream.batch, steps, self._job.data_threads, BATCHES_AHEAD)
        with contextlib.closing(stream), _Signals() as signals, Progress(
            "training", settings.step_count, unit="steps", initial=self._step
        ) as progress:
            since, at = self._seconds, self._step
            for _ in steps:
                self._one_step(stream)
                note = ""
                if self._step % METRICS_EVERY == 0 or self._step == settings.step_count:
                    note, since, at = self._tell(since, at), self._seconds, self._step
                progress.update(1, note)
                if self._step % settings.eval_step_interval == 0 or self._step == settings.step_count:
                    self._validate()
                elif self._step % settings.save_interval == 0 or signals.received:
                    self._save()
                if signals.received:
                    self._stop(signals.received)

    def _one_step(self, stream):
        began = time.monotonic()
        features, targets = next(stream)
        ready = time.monotonic()
        self._step += 1
        rate = self._settings.rate_at(self._step)
        try:
            self._loss, logits = self._call(features, targets, rate)[:2]
        except tf.errors.InvalidArgumentError as error:
            self._not_a_number(str(error.message).splitlines()[0])
        if not np.isfinite(self._loss):
            self._not_a_number("the loss is %s; --check-nans tells where it comes from" % self._loss)
        self._accuracy = np.mean(np.argmax(logits, axis=1) == targets)
        self._waited += ready - began
        self._seconds += time.monotonic() - began
        self._directory.log(
            "Step #%d: rate %f, accuracy %.1f%%, cross entropy %f" % (self._step, rate, 100 * self._accuracy, self._loss)
        )

    def _tell(self, since, at):
        """Where training is, for metrics.jsonl, TensorBoard and the progress line."""
        elapsed = max(1e-9, self._seconds - since)
        values = {
            "loss": float(self._loss),
            "accuracy": float(self._accuracy),
            "learning_rate": self._settings.rate_at(self._step),
            "examples_per_second": (self._step - at) * self._settings.batch_size / elapsed,
            "data_wait": self._waited / elapsed,
            "elapsed": time.monotonic() - self._started,
        }
        self._waited = 0.0
        self._directory.metric(step=self._step, **values)
        self._summaries.scalars(self._step, values)
        return "loss %.3f, accuracy %.0f %%, %.0f examples/s, %.0f %% waiting for data" % (
            values["loss"], 100 * values["accuracy"], values["examples_per_second"], 100 * values["data_wait"]
        )

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
        if not len(clips):
            say("No %s clips: nothing to judge the network by; raise --%s-percentage." % (split, split))
            return None

        def scores(features):
            return self._session.run(self._inference.scores, {self._inference.features: features})

        return Result.of(
            self._description.labels, clips.targets, classifier.in_batches(scores, clips.features, EVALUATION_BATCH)
        )

    def _save(self):
        if not self._session.run(self._finite):
            self._not_a_number("the weights are no longer numbers")
        self._summaries.flush()
        self._directory.save(
            self._step, self._seconds, float(self._loss), self._best,
            lambda prefix: self._checkpoints.write(self._session, prefix),
        )

    def _last_checkpoint(self):
        saved = self._directory.checkpoints
        return self._directory.prefix(saved[-1].step) if saved else "none yet"

    def _not_a_number(self, reason):
        raise KwsError(
            "training diverged at step %d: %s. The last good checkpoint is %s; try a lower --learning-rate"
            % (self._step, reason, self._last_checkpoint())
        )

    def _stop(self, number):
        raise Interrupted(
            "stopped after step %d of %d, saved in %s; the same command goes on from there"
            % (self._step, self._settings.step_count, self._last_checkpoint()), number
        )

    def finish(self, total_seconds):
        """Test the best weights -> Outcome."""
        if self._best and self._best[0] != self._step:
            self._checkpoints.read(self._session, self._directory.prefix(self._best[0]))
        result = self._evaluate("testing")
        if result:
            line = "Final test accuracy = %.1f%% (N=%d)" % (100 * result.accuracy, result.count)
            self._directory.log(line)
        best_step, best_accuracy = self._best or (self._step, float("nan"))
        return Outcome(
            self._directory.path, best_step, best_accuracy, result, self._step, float(self._loss), self._seconds,
            total_seconds,
        )


class _Signals:
    """Ctrl-C and SIGTERM are noted, so that a step can end in good order; a second one acts at once."""

    def __init__(self):
        self.received = None

    def __enter__(self):
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number, frame):
        self.received = number
        say("Stopping after this step...")
        self.__exit__()

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)


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
