"""Workers that train one network: averaged gradients and equal variables over TensorFlow's own gRPC collectives.

Everything here does nothing where one process trains alone. On Ascend, HCCL carries gradients and variables (see
`npu_adapter`); what hosts agree on goes as it does here. TensorFlow's gRPC neither encrypts nor asks who calls.
"""
import contextlib
import os
import tempfile
import threading

import numpy as np
import tensorflow.compat.v1 as tf

from ..console import say
from ..devices import load, npu_adapter
from ..errors import KwsError
from . import sockets
from .cluster import ALONE
from .peers import Patience, Peers

NPU_PATIENCE = Patience(work=7200.0)  # an NPU compiles its graphs at its first step, and may tune them for an hour
LEADER = "/job:worker/replica:0/task:0"
_GUARD = "kws_guard"
_NETWORK_ERRORS = (
    tf.errors.UnavailableError, tf.errors.OutOfRangeError, tf.errors.AbortedError, tf.errors.CancelledError,
    tf.errors.InternalError, tf.errors.DeadlineExceededError,
)


class Collective:
    """What the workers of a cluster do together; a context manager, which tells the others how it ended.

    Every worker must call the same methods in the same order.
    """

    def __init__(self, cluster=ALONE, patience=None):
        patience = patience or (NPU_PATIENCE if cluster.hccl else Patience())
        self.rank, self.size, self.target = cluster.rank, cluster.size, ""
        self._cluster = cluster
        self._over_grpc = cluster.size > 1 and not cluster.hccl
        self._instances = 0  # collective operations in the graph so far: the same number is the same operation
        self._abort_seconds = patience.silence  # from the loss of a worker to the end of a step that waits for it
        self._abort_session = self._abort_thread = None
        self._outside = threading.Event()  # of a run with collectives
        self._outside.set()
        self._peers = Peers(cluster, patience, self._abort)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._peers.close(error)
        if self._abort_thread:
            self._abort_thread.join(self._abort_seconds)  # TensorFlow does not survive an exit in the middle of a run
        if self._abort_session:
            self._abort_session.close()

    @contextlib.contextmanager
    def folder(self, path):
        """Where this worker writes: on rank 0 the path, elsewhere a folder that is gone afterwards."""
        if self.rank == 0:
            yield path
        else:
            with tempfile.TemporaryDirectory(prefix="kws-") as own:
                yield own

    # Between hosts

    def shared(self, value):
        """Rank 0's value, of what JSON can hold."""
        return self._peers.gather(value if self.rank == 0 else None)[0]

    def any(self, flag):
        """The largest of all ranks' flags: something true if any is."""
        return max(self._peers.gather(flag))

    def sum(self, array):
        """The sum over ranks of an array."""
        return np.sum([np.asarray(one, array.dtype) for one in self._peers.gather(array.tolist())], axis=0)

    def check_same(self, values):
        """Refuse to go on where values {name: what JSON can hold} differ between ranks, naming each."""
        everyone = self._peers.gather(values)
        different = [
            "%s is %s on %s and %s on %s"
            % (name, one.get(name), self._cluster.name(rank), everyone[0].get(name), self._cluster.name(0))
            for rank, one in enumerate(everyone) for name in sorted({*one, *everyone[0]})
            if one.get(name) != everyone[0].get(name)
        ]
        if different:
            raise KwsError("the workers do not train the same: %s; start all with the same command and versions"
                           % "; ".join(different))

    def check_device(self, kind, number):
        """Refuse a device (npu, gpu or cpu, its number) that cannot train with the others', or that one of them has."""
        device = load(kind)
        if self.size > 1 and device.uses_hccl != self._cluster.hccl:
            raise KwsError("NPUs train together by $RANK_TABLE_FILE, all else by $TF_CONFIG; %s has the other and a %s"
                           % (self._cluster.name(self.rank), kind))
        taken = {}
        own = [kind, None if device.shares_cores else number]
        for rank, (one, its_number) in enumerate(self._peers.gather(own)):
            first = taken.setdefault((self._cluster.host(rank), one, its_number), rank)
            if its_number is not None and first != rank:
                raise KwsError("%s and %s both have the %s %d; give each its own, by $ASCEND_DEVICE_ID or --device-id"
                               % (self._cluster.name(first), self._cluster.name(rank), one, its_number))

    # In the graph

    def start(self, proto):
        """Begin to serve the other workers, on this one's share of the machine's cores.

        Adds to a ConfigProto what sessions with this `target` need.
        """
        if self.size > 1:
            share = self._keep_to_own_cores()
        if not self._over_grpc:
            return
        proto.experimental.collective_group_leader = LEADER
        proto.device_filters.append("/job:worker/task:%d" % self.rank)
        proto.intra_op_parallelism_threads = proto.intra_op_parallelism_threads or share
        # With one thread only, a collective of TensorFlow 1.15 that waits is in the way.
        proto.inter_op_parallelism_threads = proto.inter_op_parallelism_threads or max(2, share)
        address = self._cluster.addresses[self.rank]
        sockets.without_proxy(self._cluster.addresses)
        try:
            server = tf.train.Server(
                {"worker": list(self._cluster.addresses)}, "worker", self.rank, config=proto, start=False
            )
        except tf.errors.OpError as error:
            raise KwsError("cannot serve the other workers on %s: %s; is the port taken?" % (address, error.message))
        if self._cluster.on_loopback:
            sockets.keep_to_loopback(int(address.rpartition(":")[2]))
        server.start()
        self._server, self.target = server, server.target  # lives as long as the process
        with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
            self._close_guard = self._guard().close()
            self._abort_session = tf.Session(self.target, graph=graph, config=proto)

    def _keep_to_own_cores(self):
        """Divide the cores of a machine among its workers, where nobody did -> how many this one has."""
        if not hasattr(os, "sched_getaffinity"):
            return max(1, os.cpu_count() // len(self._cluster.local_ranks))
        allowed = self._peers.gather(sorted(os.sched_getaffinity(0)))
        sharing = [rank for rank in self._cluster.local_ranks if allowed[rank] == allowed[self.rank]]
        own = allowed[self.rank][sharing.index(self.rank)::len(sharing)]
        if own:  # else there are more workers than cores
            os.sched_setaffinity(0, own)  # of this thread, and of all that it starts from now on
        return max(1, len(own))

    def optimizer(self, inner):
        """A tf.train.Optimizer that averages the gradients of another over all ranks."""
        return _Averaging(inner, self.average) if self._over_grpc else inner

    def average(self, gradients):
        """The mean over ranks of each of these tensors, by a single collective operation."""
        if not self._over_grpc:
            return gradients
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        mean, = self._guarded(lambda: [tf.raw_ops.CollectiveReduce(
            input=_joined(gradients), merge_op="Add", final_op="Div", subdiv_offsets=[0], **self._keys()
        )])
        return _cut(mean, gradients)

    def broadcast(self, variables):
        """An operation that gives these variables the values that they have on rank 0."""
        if self.size == 1:
            return tf.no_op()
        kinds = {}
        for variable in variables:
            kinds.setdefault(variable.dtype.base_dtype, []).append(variable)
        alike = [kinds[kind] for kind in sorted(kinds, key=lambda kind: kind.name)]
        buffers = [_joined(some) for some in alike]
        if self._over_grpc:
            sent = self._guarded(lambda: [self._broadcast(buffer) for buffer in buffers])
        else:
            sent = [npu_adapter.broadcast(buffer) for buffer in buffers]
        return tf.group(*[
            tf.assign(variable, value)
            for some, buffer in zip(alike, sent) for variable, value in zip(some, _cut(buffer, some))
        ])

    def _broadcast(self, buffer):
        if self.rank == 0:
            return tf.raw_ops.CollectiveBcastSend(input=buffer, shape=buffer.shape, **self._keys())
        return tf.raw_ops.CollectiveBcastRecv(T=buffer.dtype, shape=buffer.shape, **self._keys())

    def _keys(self):
        self._instances += 1
        return {"group_size": self.size, "group_key": 1, "instance_key": self._instances}

    # When a worker is lost. TensorFlow 1.15 then waits for ever, whatever timeout a run is given, but an operation that
    # fails ends the collectives of its run: here a take from a queue, which waits until they are done or it is closed.

    @staticmethod
    def _guard():
        return tf.FIFOQueue(1, tf.bool, [()], shared_name=_GUARD)

    def _guarded(self, collectives):
        """The tensors that collectives() makes, in a way that `_abort` can end.

        On the CPU: gRPC sends from there, and all operations of a group must be on one kind of device.
        """
        with tf.device("/cpu:0"):
            guard = self._guard()
            done = guard.dequeue()
            tensors = collectives()
            with tf.control_dependencies(tensors):
                release = guard.enqueue(True)
            with tf.control_dependencies([release, done]):
                return [tf.identity(tensor) for tensor in tensors]

    @contextlib.contextmanager
    def watched(self):
        """Around a run with collectives: a worker that is lost in it ends it, as a KwsError that names that worker."""
        self._peers.check()
        self._outside.clear()
        try:
            with self._peers.working():
                yield
        except _NETWORK_ERRORS:
            self._peers.wait_for_loss(self._abort_seconds if self.size > 1 else 0)
            raise
        finally:
            self._outside.set()

    def _abort(self):
        """End the run that waits for a lost worker; if that fails, the process. Called by a thread of `peers`."""
        if self._abort_session:
            run, what = self._abort_session.run, self._close_guard
            thread = threading.Thread(target=run, args=(what,), daemon=True)
            thread.start()
            self._abort_thread = thread  # now it can be joined
        if not self._outside.wait(self._abort_seconds):
            say("Error: %s" % self._peers.lost)
            os._exit(1)  # the run may never come back, and what it holds goes with the process


class _Averaging(tf.train.Optimizer):
    """Averages the gradients of another optimiser before it applies them."""

    def __init__(self, inner, average):
        super().__init__(use_locking=False, name="Averaging")
        self._inner, self._average = inner, average

    def compute_gradients(self, *args, **kwargs):
        pairs = [pair for pair in self._inner.compute_gradients(*args, **kwargs) if pair[0] is not None]
        means = self._average([gradient for gradient, _ in pairs])
        return [(mean, variable) for mean, (_, variable) in zip(means, pairs)]

    def apply_gradients(self, *args, **kwargs):
        return self._inner.apply_gradients(*args, **kwargs)


def _joined(tensors):
    """All values of some tensors or variables as one vector."""
    return tf.concat([tf.reshape(one, [-1]) for one in tensors], axis=0)


def _cut(buffer, like):
    """One vector -> tensors of the shapes of `like`."""
    parts = tf.split(buffer, [one.shape.num_elements() for one in like])
    return [tf.reshape(part, one.shape) for part, one in zip(parts, like)]
