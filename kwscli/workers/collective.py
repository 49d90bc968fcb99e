"""What the workers of a cluster do together: average gradients, share variables, and agree on values.

TensorFlow's own gRPC collectives carry gradients and variables; on Ascend NPUs HCCL does (see `npu_adapter`).
Everything else goes through `peers`. With a single worker all of this does nothing. TensorFlow's gRPC has neither
encryption nor authentication.
"""
import contextlib
import os
import tempfile
import threading
from typing import Any, Dict, Iterator, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from ..console import say
from ..devices import load, npu_adapter
from ..errors import KwsError
from . import cores, sockets
from .cluster import ALONE, Cluster
from .peers import Patience, Peers

NPU_PATIENCE = Patience(work=7200.0)  # an NPU compiles its graphs at the first step, and may tune them for an hour
LEADER = "/job:worker/replica:0/task:0"
_GUARD = "kws_guard"
_NETWORK_ERRORS = (
    tf.errors.UnavailableError, tf.errors.OutOfRangeError, tf.errors.AbortedError, tf.errors.CancelledError,
    tf.errors.InternalError, tf.errors.DeadlineExceededError,
)


class Collective:
    """The workers of a cluster, as a context manager that connects to them, and tells them how this worker ended.

    Every worker must call the same methods in the same order.
    target: what a session connects to, once `start` has started this worker's server; "" for a single worker.
    """

    def __init__(self, cluster: Cluster = ALONE, patience: Optional[Patience] = None) -> None:
        patience = patience or (NPU_PATIENCE if cluster.hccl else Patience())
        self.rank, self.size, self.target = cluster.rank, cluster.size, ""
        self._cluster = cluster
        self._over_grpc = cluster.size > 1 and not cluster.hccl
        self._server = None
        self._operations = 0  # collective operations in the graph so far: their numbers must agree on all workers
        self._peers = Peers(cluster, patience, self._abort)
        self._abort_seconds = patience.silence  # from the loss of a worker to the end of a step that waits for it
        self._abort_session = self._close_guard = self._abort_thread = None
        self._not_in_a_run = threading.Event()
        self._not_in_a_run.set()

    def __enter__(self) -> "Collective":
        self._peers.__enter__()
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], traceback: Any) -> None:
        self._peers.__exit__(kind, error, traceback)
        if self._abort_thread:
            self._abort_thread.join(self._abort_seconds)  # TensorFlow crashes if the process exits during a run
        if self._abort_session:
            self._abort_session.close()

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[str]:
        """The folder that this worker writes to: `path` on rank 0, on the others one that is deleted at the end."""
        if self.rank == 0:
            yield path
        else:
            with tempfile.TemporaryDirectory(prefix="kws-") as own:
                yield own

    # Values, as messages between the hosts

    def shared(self, value: Any) -> Any:
        """The value of rank 0; it must fit JSON."""
        return self._peers.gather(value if self.rank == 0 else None)[0]

    def any(self, flag: int) -> int:
        """The largest flag of all ranks, which is true if any of them is."""
        return max(self._peers.gather(flag))

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum of an array over all ranks."""
        return np.sum([np.asarray(one, array.dtype) for one in self._peers.gather(array.tolist())], axis=0)

    def check_same(self, values: Dict[str, Any]) -> None:
        """Raise an error that names each value that is not the same on all ranks; values must fit JSON."""
        everyone = self._peers.gather(values)
        different = [
            "%s is %s on %s and %s on %s"
            % (name, one.get(name), self._cluster.name(rank), everyone[0].get(name), self._cluster.name(0))
            for rank, one in enumerate(everyone) for name in sorted({*one, *everyone[0]})
            if one.get(name) != everyone[0].get(name)
        ]
        if different:
            raise KwsError("the workers have different settings: %s" % "; ".join(different),
                           "start all of them with the same command and the same versions")

    def check_device(self, kind: str, number: int) -> None:
        """Raise an error if this device cannot train with those of the others, or if another worker uses it.

        kind: its name in DEVICES. number: which of them on this machine.
        """
        device = load(kind)
        if self.size > 1 and device.uses_hccl != self._cluster.hccl:
            self._refuse_device(device.title)
        users, own = {}, [kind, None if device.shares_cores else number]
        for rank, (one, its_number) in enumerate(self._peers.gather(own)):
            first = users.setdefault((self._cluster.host(rank), one, its_number), rank)
            if its_number is not None and first != rank:
                raise KwsError("%s and %s both use %s %d"
                               % (self._cluster.name(first), self._cluster.name(rank), one.upper(), its_number),
                               "give each a device of its own with ASCEND_DEVICE_ID or --device-id")

    def _refuse_device(self, title):
        device = "%s uses %s" % (self._cluster.name(self.rank), title)
        if self._cluster.hccl:
            raise KwsError(device + ", but RANK_TABLE_FILE describes NPUs",
                           "use --device npu, or unset RANK_TABLE_FILE and describe the workers with TF_CONFIG")
        raise KwsError(device + ", but TF_CONFIG describes CPUs and GPUs",
                       "use --device cpu or gpu, or unset TF_CONFIG and describe the NPUs with RANK_TABLE_FILE")

    # Gradients and variables, in the graph

    def start(self, proto: tf.ConfigProto) -> None:
        """Start to serve the other workers, on this worker's share of the cores of its machine.

        Adds what sessions need to connect to `target` to a ConfigProto.
        """
        if self.size > 1:
            share = self._keep_to_own_cores()
            if self._over_grpc:
                self._configure(proto, share)
                self._start_server(proto)

    def _keep_to_own_cores(self):
        """Divide the cores of a machine among its workers, unless they have different ones -> how many this one has."""
        usable = self._peers.gather(cores.usable())
        sharing = [rank for rank in self._cluster.local_ranks if usable[rank] == usable[self.rank]]
        own = usable[self.rank][sharing.index(self.rank)::len(sharing)]
        if own:  # else there are more workers than cores
            cores.keep_to(own)
        return max(1, len(own))

    def _configure(self, proto, share):
        proto.experimental.collective_group_leader = LEADER
        proto.device_filters.append("/job:worker/task:%d" % self.rank)
        proto.intra_op_parallelism_threads = proto.intra_op_parallelism_threads or share
        # With only one thread, a collective of TensorFlow 1.15 that waits blocks all other operations.
        proto.inter_op_parallelism_threads = proto.inter_op_parallelism_threads or max(2, share)

    def _start_server(self, proto):
        address = self._cluster.addresses[self.rank]
        sockets.bypass_proxy(self._cluster.addresses)
        try:
            server = tf.train.Server(
                {"worker": list(self._cluster.addresses)}, "worker", self.rank, config=proto, start=False
            )
        except tf.errors.OpError as error:
            raise KwsError("cannot serve the other workers on %s: %s" % (address, error.message),
                           "another program may use the port; choose another one in TF_CONFIG")
        if self._cluster.on_loopback:
            sockets.restrict_to_loopback(int(address.rpartition(":")[2]))
        server.start()
        self._server, self.target = server, server.target  # it lives as long as the process
        with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
            self._close_guard = self._guard().close()
            self._abort_session = tf.Session(self.target, graph=graph, config=proto)

    def optimizer(self, inner: tf.train.Optimizer) -> tf.train.Optimizer:
        """An optimiser that first averages the gradients of another one over all ranks."""
        return _Averaging(inner, self.average) if self._over_grpc else inner

    def average(self, gradients: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """The mean of each tensor over all ranks, computed by one collective operation."""
        if not self._over_grpc:
            return gradients
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        mean, = self._guarded(lambda: [tf.raw_ops.CollectiveReduce(
            input=_joined(gradients), merge_op="Add", final_op="Div", subdiv_offsets=[0], **self._keys()
        )])
        return _split(mean, gradients)

    def broadcast(self, variables: Sequence[tf.Variable]) -> tf.Operation:
        """An operation that sets these variables to their values on rank 0."""
        if self.size == 1:
            return tf.no_op()
        by_type = {}
        for variable in variables:
            by_type.setdefault(variable.dtype.base_dtype, []).append(variable)
        groups = [by_type[dtype] for dtype in sorted(by_type, key=lambda dtype: dtype.name)]
        buffers = [_joined(group) for group in groups]
        if self._over_grpc:
            received = self._guarded(lambda: [self._broadcast(buffer) for buffer in buffers])
        else:
            received = [npu_adapter.broadcast(buffer) for buffer in buffers]
        return tf.group(*[
            tf.assign(variable, value)
            for group, buffer in zip(groups, received) for variable, value in zip(group, _split(buffer, group))
        ])

    def _broadcast(self, buffer):
        if self.rank == 0:
            return tf.raw_ops.CollectiveBcastSend(input=buffer, shape=buffer.shape, **self._keys())
        return tf.raw_ops.CollectiveBcastRecv(T=buffer.dtype, shape=buffer.shape, **self._keys())

    def _keys(self):
        self._operations += 1
        return {"group_size": self.size, "group_key": 1, "instance_key": self._operations}

    # If a worker is lost, a collective operation of TensorFlow 1.15 waits for ever and ignores the timeout of its run.
    # It ends only if another operation of the same run fails. `_guarded` adds such an operation: it takes an element
    # from an empty queue, so it waits until the collectives are done and add one, or fails because `_abort` closed the
    # queue.

    @staticmethod
    def _guard():
        return tf.FIFOQueue(1, tf.bool, [()], shared_name=_GUARD)

    def _guarded(self, collectives):
        """The tensors that collectives() returns, made in such a way that `_abort` can end their run.

        They are on the CPU because gRPC sends from there and all operations of a group need the same kind of device.
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
    def watched(self) -> Iterator[None]:
        """Put this around a run with collectives: if a worker is lost, the run ends with an error that names it."""
        self._peers.check()
        self._not_in_a_run.clear()
        try:
            with self._peers.working():
                yield
        except _NETWORK_ERRORS:
            self._peers.wait_for_loss(self._abort_seconds if self.size > 1 else 0)
            raise
        finally:
            self._not_in_a_run.set()

    def _abort(self):
        """End the run that waits for a lost worker, or else the process. A thread of `peers` calls this."""
        if self._abort_session:
            thread = threading.Thread(target=self._abort_session.run, args=(self._close_guard,), daemon=True)
            thread.start()
            self._abort_thread = thread  # only now: a thread that has not started cannot be joined
        if not self._not_in_a_run.wait(self._abort_seconds):
            say("Error: %s" % self._peers.lost)
            os._exit(1)  # the run may never end


class _Averaging(tf.train.Optimizer):
    """An optimiser that averages the gradients of another one before that one applies them."""

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


def _split(buffer, like):
    """One vector -> tensors with the shapes of `like`."""
    parts = tf.split(buffer, [one.shape.num_elements() for one in like])
    return [tf.reshape(part, one.shape) for part, one in zip(parts, like)]
