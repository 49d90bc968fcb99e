"""Loops that sink into the NPU."""
import os

import tensorflow as tf

from npu_bridge import _control
from npu_bridge._session import ITERATIONS


def _variable(name):
    with tf.variable_scope("npu_runconfig", reuse=tf.AUTO_REUSE):
        return tf.get_variable(
            name, shape=[], dtype=tf.int64, initializer=tf.zeros_initializer(), trainable=False, use_resource=True,
            collections=["npu_runconfig_" + name, tf.GraphKeys.LOCAL_VARIABLES],
        )


def set_iteration_per_loop(sess, train_op, iterations_per_loop=1):
    if not isinstance(train_op, tf.Operation):
        raise ValueError("train_op must be an Operation, found %s" % train_op)
    if not isinstance(iterations_per_loop, int):
        raise TypeError("iterations_per_loop must be int, found %s" % type(iterations_per_loop))
    if iterations_per_loop <= 0:
        raise ValueError("iterations_per_loop must be positive, found %d" % iterations_per_loop)
    if iterations_per_loop == 1:
        return train_op
    values = {"iterations_per_loop": iterations_per_loop - 1, "loop_cond": 0, "zero": 0, "one": 1}
    for name, value in values.items():
        _variable(name).load(value, session=sess)
    sess.graph.add_to_collection(ITERATIONS, iterations_per_loop)
    _control.record("set_iteration_per_loop", iterations_per_loop)
    return tf.group(train_op, name="IterationOp")


if _control.since("r1.11"):

    def get_ranksize():
        if os.environ.get("RANK_SIZE") and os.environ.get("CM_WORKER_SIZE"):
            raise ValueError("RANK_SIZE and CM_WORKER_SIZE are both set")
        return os.environ.get("CM_WORKER_SIZE") or os.environ.get("RANK_SIZE") or "1"
