"""Collectives as Python functions: every rank has the same tensors, or ranks swap them through a folder."""
import os
import time

import numpy as np
import tensorflow as tf

from npu_bridge import _control

DTYPES = (tf.int8, tf.int32, tf.float16, tf.float32)  # what every release carries
_REDUCE = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
_sequence = {}  # name of a collective -> how often it ran
_ORDER = "fake_npu_"  # collections: those of a kind run one after the other, in the same order on every rank


def _check(tensor):
    if tensor.dtype.base_dtype not in DTYPES:
        raise TypeError("a collective of %s: its dtype %s is not allowed" % (tensor.name, tensor.dtype.name))


def _swap(name, mine):
    """What every rank has under a name, by rank."""
    count = _control.rank_size()
    if not _control.exchange_folder:
        return [mine] * count
    _sequence[name] = _sequence.get(name, 0) + 1
    paths = [
        os.path.join(_control.exchange_folder, "%s-%d-%d.npy" % (name.replace("/", "."), _sequence[name], rank))
        for rank in range(count)
    ]
    np.save(paths[_control.rank()] + ".part.npy", mine)
    os.rename(paths[_control.rank()] + ".part.npy", paths[_control.rank()])
    until = time.monotonic() + _control.exchange_seconds
    while not all(map(os.path.exists, paths)):
        if time.monotonic() > until:
            raise TimeoutError("%s: a rank is missing" % name)
        time.sleep(0.002)
    return [np.load(path) for path in paths]


def _operation(function, tensor, name):
    """A Python function as an operation, after those of its kind made before."""
    graph = tf.get_default_graph()
    with tf.control_dependencies(graph.get_collection(_ORDER + name)[-1:]):
        found = tf.py_func(function, [tensor], tensor.dtype.base_dtype, name=name)
    found.set_shape(tensor.shape)
    graph.add_to_collection(_ORDER + name, found.op)
    return found


def allreduce(tensor, reduction, fusion=1, fusion_id=-1, group="hccl_world_group"):
    if isinstance(tensor, (list, tuple)):
        return [allreduce(one, reduction, fusion, fusion_id, group) for one in tensor]
    _check(tensor)

    def reduced(value):
        _control.record("allreduce", (name, reduction, value.shape, value.dtype.name))
        return _REDUCE[reduction](_swap(name, value), axis=0).astype(value.dtype)

    name = tf.get_default_graph().unique_name("HcomAllReduce", mark_as_used=False)
    return _operation(reduced, tensor, "HcomAllReduce")


def broadcast(tensor, root_rank, fusion=2, fusion_id=0, group="hccl_world_group"):
    """The root's values. (The real one is said to write variables in place, too; nobody should count on it.)"""
    if not isinstance(tensor, (list, tuple)):
        raise TypeError("broadcast takes a list of tensors")
    made = []
    for one in tensor:
        _check(one)

        def of_root(value, name=one.name):
            _control.record("broadcast", (name, root_rank))
            return _swap("broadcast-" + name, value)[root_rank]

        made.append(_operation(of_root, one, "HcomBroadcast"))
    return made
