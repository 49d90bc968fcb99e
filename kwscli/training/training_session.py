"""One network in one session on one device: it makes training steps, scores, saves and restores."""
import contextlib

import numpy as np
import tensorflow.compat.v1 as tf

from ..classifiers.classifier import BATCH, in_full_batches
from ..console import say
from ..devices import session
from ..errors import KwsError
from ..models import network
from ..runs import checkpoint, run_directory
from .diagnostics import Diagnostics


class NotANumber(KwsError):
    """The loss, or a tensor on the way to it or to a weight, is not a number any more."""


class Engine(contextlib.ExitStack):
    """The graphs of a `plan.Job` and the session they run in; closed as a context manager.

    device: a `session.Device`. folder: where dumps and traces go. collective: what it does with other workers.
    start: a run or checkpoint whose weights it begins with.
    stride: training steps that one `advance` makes, more than 1 only on an NPU.
    """

    def __init__(self, job, device, folder, collective, start=""):
        super().__init__()
        self._collective = collective
        self.description, self.device = job.description, device
        collective.check_device(self.device.kind, self.device.number)
        for line in session.notes(self.device, job.device):
            say(line)
        self.stride = job.device.iterations_per_loop if self.device.kind == "npu" else 1
        self._rate, self._upcoming = None, None
        with tf.Graph().as_default() as graph:
            self._build(job)
            proto = session.config(self.device, job.device, folder)
            collective.start(proto)
            self._session = session.open_session(graph, self.device, proto, collective.target)
            self.callback(self._session.close)
            try:
                self._start(start)
            except BaseException:
                self.close()
                raise
            self._diagnostics = Diagnostics(job.device, folder, self._training, self.device.kind == "npu")
            self.push(lambda kind, error, trace: self._diagnostics.finish(kind))
            graph.finalize()

    def _build(self, job):
        description = self.description
        tf.set_random_seed(description.train.seed)
        self._iterator = self._batches_from_host() if self.stride > 1 else None
        own = session.optimizer_of(self.device, job.device, self._collective.size)
        self._training = network.training(
            description, lambda rate: self._collective.optimizer(own(rate)),
            self._iterator and self._iterator.get_next(), self._collective.rank,
        )
        self._inference = network.inference(description, BATCH)
        self._writer = checkpoint.Writer()
        variables = network.variables_of(description)
        self.weight_count = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
        self._all_finite = tf.reduce_all([tf.reduce_all(tf.is_finite(variable)) for variable in variables])
        checked = job.check_nans or (job.device.over_dump and self.device.kind != "npu")
        # A scaled loss is meant to overflow in the gradients now and then: such a step is left out, nothing is wrong.
        scaled = session.scales_loss(self.device, job.device)
        to_check = self._training._replace(gradients=()) if scaled else self._training
        self._checks = network.numeric_checks(to_check) if checked else tf.no_op()
        self._shared = self._collective.broadcast(tf.global_variables())
        self._initialise = network.initialiser()

    def _batches_from_host(self):
        """An iterator that an NPU draws batches from by itself, many a call."""
        types, shapes = network.batch_spec(self.description)
        batches = tf.data.Dataset.from_generator(lambda: self._upcoming, types, shapes)
        return tf.data.make_initializable_iterator(batches)

    def _start(self, checkpoint_or_run):
        self._session.run(self._initialise)
        if checkpoint_or_run:
            checkpoint.start_from(self._session, run_directory.resolve(checkpoint_or_run)[1], self.description)
        training = self._training
        step = session.sink(self.device, self._session, training.step, self.stride)
        self._fetches = [training.loss, training.logits, training.targets, step, self._checks]
        self._fed = [] if self._iterator else [training.features, training.targets]
        self._call = self._session.make_callable(self._fetches, self._fed)

    def feed_from(self, batches):
        """Say where `advance` gets its batches: an iterator of (features, targets)."""
        self._upcoming = batches
        if self._iterator:
            self._session.run(self._iterator.initializer)

    def advance(self, step, rate):
        """Make `stride` training steps, the first of them `step`, at a learning rate.

        -> (loss, accuracy) of the last one's batch. Raises NotANumber.
        """
        if rate != self._rate:
            self._session.run(self._training.set_rate, {self._training.new_rate: rate})
            self._rate = rate
        batch = next(self._upcoming) if self._fed else ()
        try:
            with self._collective.watched():
                if self._diagnostics.wants(step):
                    values = self._diagnostics.run(self._session, step, self._fetches, dict(zip(self._fed, batch)))
                else:
                    values = self._call(*batch)
        except tf.errors.InvalidArgumentError as error:
            named = [line for line in str(error.message).splitlines() if line.startswith("in ")]
            if not named:  # of a numeric check, a line names the tensor
                raise
            names = self._diagnostics.overflow(self._session, step, dict(zip(self._fed, batch)))
            raise NotANumber("%s is not finite" % names[0] if names else named[0])
        loss, logits, targets = values[:3]
        if not np.isfinite(loss):
            raise NotANumber("the loss is %s; --check-nans tells where it comes from" % loss)
        return float(loss), float(np.mean(np.argmax(logits, axis=1) == targets))

    def scores(self, features):
        """features [n, frame_count, dct_coefficient_count] -> scores [n, label_count]."""

        def run_batch(rows):
            return self._session.run(self._inference.scores, {self._inference.features: rows})

        return in_full_batches(run_batch, features)

    def skipped(self, step):
        """How many of the first `step` steps were left out because their gradients overflowed."""
        return session.skipped_steps(self._session, step)

    def save(self, prefix):
        """Write everything needed to go on from here; `check_weights` first."""
        self._writer.write(self._session, prefix)

    def check_weights(self):
        """Raises NotANumber where a weight or an average is none."""
        if not self._session.run(self._all_finite):
            raise NotANumber("the weights are no longer numbers")

    def restore(self, prefix):
        """Take back what `save` wrote, on rank 0: `share` it. Raises checkpoint.UnreadableCheckpoint."""
        if self._collective.rank == 0:
            self._writer.read(self._session, prefix)

    def share(self):
        """Give every worker rank 0's variables: what was restored, and averages of batch norm, each worker's own."""
        with self._collective.watched():
            self._session.run(self._shared)
