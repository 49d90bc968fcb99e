"""One network in one session on one device: it makes training steps, computes scores, saves and restores."""
import contextlib
import functools
from typing import Iterator, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import classifiers
from ..classifiers.classifier import BATCH, in_full_batches
from ..console import say
from ..devices.device import Device
from ..devices.device_settings import DeviceSettings
from ..devices.optimizer import Adam, skipped_steps
from ..errors import KwsError
from ..models import network
from ..runs import checkpoint, run_directory
from ..workers.collective import Collective
from . import starting_weights, tensors, training_graph
from .diagnostics import Diagnostics
from .job import Job
from .layers import layers_of
from .teachers import Teacher


class NotANumber(KwsError):
    """The loss, a weight or a tensor between them is infinite or not a number."""


class TrainingSession:
    """The graphs of a training and the session that they run in; a context manager.

    folder: for dumps and traces. collective: what the workers do together. start: the run, checkpoint or graph whose
    weights the training starts with; "" for random weights. teachers: the networks that it learns from. statistics:
    (mean, deviation) of each feature channel, for a training that normalises features and begins.
    """

    def __init__(
        self, job: Job, description: run_directory.Description, device: Device, folder: str, collective: Collective,
        start: str = "", teachers: Sequence[Teacher] = (), statistics: Sequence[np.ndarray] = (),
    ) -> None:
        self._job, self.description, self.device = job, description, device
        self._folder, self._collective, self._start = folder, collective, start
        self._teachers, self._statistics = teachers, statistics
        # What kws itself records; a device that dumps and traces by itself has read these settings, too.
        self._recorded = DeviceSettings() if device.diagnoses_itself else job.device
        self.stride = job.device.iterations_per_loop if device.sinks else 1  # training steps per `advance`
        self.weight_count = 0  # known when the session is open
        self._rate, self._upcoming = None, None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "TrainingSession":
        self._collective.check_device(self.device.kind, self.device.number)
        for line in self.device.notes(self._job.device):
            say(line)
        with contextlib.ExitStack() as stack, tf.Graph().as_default() as graph:
            self._build()
            proto = self.device.config(self._job.device, self._folder)
            self._collective.start(proto)
            self._session = self.device.open_session(graph, proto, self._collective.target)
            stack.callback(self._session.close)
            self._set_first_values()
            self._make_callable()
            self._diagnostics = Diagnostics(self._recorded, self._folder, self._training)
            self._diagnostics.open()
            stack.push(lambda kind, error, trace: self._diagnostics.finish(kind))
            graph.finalize()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    def _build(self):
        description, settings = self.description, self._job.device
        tf.set_random_seed(description.train.seed)
        self._iterator = self._batches_from_host() if self.stride > 1 else None
        share = description.train.old_layers_rate_percentage / 100
        adam = functools.partial(
            Adam, weight_decay=description.train.weight_decay, largest_norm=description.train.gradient_clipping,
            slow=network.scopes_of(description, layers_of(description).old if share < 1 else ()), slow_share=share,
        )
        optimizer_of = self.device.optimizer(settings, self._collective.size, adam)
        self._training = training_graph.build(
            description, lambda rate: self._collective.optimizer(optimizer_of(rate)),
            self._iterator and self._iterator.get_next(), self._collective.rank, self._teachers,
        )
        averages = self._training.averages
        with averages.in_place() if averages else contextlib.nullcontext():
            self._inference = network.inference(description, BATCH)
        self._writer = checkpoint.Writer(averages.names_in_file() if averages else {})
        variables = network.variables_of(description)
        self.weight_count = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
        self._all_finite = tf.reduce_all([tf.reduce_all(tf.is_finite(variable)) for variable in variables])
        self._checks = self._numeric_checks()
        self._shared = self._collective.broadcast(tf.global_variables())
        self._initialise = network.initialiser()
        self._start_averages = averages.start() if averages else None

    def _batches_from_host(self):
        """An iterator from which the device reads the batches of many steps in one call."""
        types, shapes = training_graph.batch_spec(self.description, self._teachers)
        batches = tf.data.Dataset.from_generator(lambda: self._upcoming, types, shapes)
        return tf.data.make_initializable_iterator(batches)

    def _numeric_checks(self):
        if not (self._job.check_nans or self._recorded.over_dump):
            return tf.no_op()
        # With a scaled loss, gradients may overflow now and then: the optimiser skips such a step.
        scaled = self.device.scales_loss(self._job.device)
        return tensors.numeric_checks(self._training._replace(gradients=()) if scaled else self._training)

    def _set_first_values(self):
        self._session.run(self._initialise)
        for variable, value in zip(network.normalization_of(self.description), self._statistics):
            variable.load(value, self._session)
        if self._start:
            starting_weights.start_from(self._session, classifiers.weights(self._start), self.description)
            say("Layers: %s." % str(layers_of(self.description)))
        if self._training.averages:
            self._session.run(self._start_averages)

    def _make_callable(self):
        training = self._training
        step = self.device.sink(self._session, training.step, self.stride)
        self._fetches = [training.loss, training.logits, training.targets, step, self._checks]
        self._fed = [] if self._iterator else list(training.inputs)
        self._call = self._session.make_callable(self._fetches, self._fed)

    def feed_from(self, batches: Iterator[Tuple[np.ndarray, ...]]) -> None:
        """Set the iterator from which `advance` takes its batches, each as `training_graph.batch_spec` says."""
        self._upcoming = batches
        if self._iterator:
            self._session.run(self._iterator.initializer)

    def advance(self, step: int, rate: float) -> Tuple[float, float]:
        """Make `stride` training steps at a learning rate, the first of them `step`.

        Returns (loss, accuracy) of the last batch. Raises NotANumber.
        """
        if rate != self._rate:
            self._session.run(self._training.set_rate, {self._training.new_rate: rate})
            self._rate = rate
        batch = next(self._upcoming) if self._fed else ()
        try:
            loss, logits, targets = self._run(step, batch)[:3]
        except tf.errors.InvalidArgumentError as error:
            named = [line for line in str(error.message).splitlines() if line.startswith("in ")]
            if not named:  # the error is not from a numeric check, which names its tensor
                raise
            names = self._diagnostics.overflow(self._session, step, dict(zip(self._fed, batch)))
            raise NotANumber("%s is not finite" % names[0] if names else named[0])
        if not np.isfinite(loss):
            raise NotANumber("the loss is %s" % loss, "--check-nans finds the tensor that causes it")
        return float(loss), float(np.mean(np.argmax(logits, axis=1) == targets))

    def _run(self, step, batch):
        with self._collective.watched():
            if self._diagnostics.wants(step):
                return self._diagnostics.run(self._session, step, self._fetches, dict(zip(self._fed, batch)))
            return self._call(*batch)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """features [n, frame_count, channel_count] -> scores [n, label_count]."""

        def run_batch(rows):
            return self._session.run(self._inference.scores, {self._inference.features: rows})

        return in_full_batches(run_batch, features)

    def skipped(self, step: int) -> int:
        """How many of the first `step` steps changed no weight, because their gradients overflowed."""
        return skipped_steps(self._session, step)

    def save(self, prefix: str) -> None:
        """Write everything that the training needs to continue. Call `check_weights` first."""
        self._writer.write(self._session, prefix)

    def check_weights(self) -> None:
        """Raise NotANumber if a weight or a moving average is infinite or not a number."""
        if not self._session.run(self._all_finite):
            raise NotANumber("a weight is infinite or not a number")

    def restore(self, prefix: str) -> None:
        """Read on rank 0 what `save` wrote; then call `share`. Raises checkpoint.UnreadableCheckpoint."""
        if self._collective.rank == 0:
            self._writer.read(self._session, prefix)

    def share(self) -> None:
        """Give all workers the variables of rank 0: those it restored, and its moving averages of batch norm."""
        with self._collective.watched():
            self._session.run(self._shared)
