"""Cases about a whole process on an NPU: its release, its ranks, its end. See npu_cases.py."""
import os
import signal
import sys
import time

import tensorflow.compat.v1 as tf
from npu_cases import control, device, refused, session_on, tiny

from kwscli import interrupts
from kwscli.devices import npu_adapter
from kwscli.devices.optimizer import skipped_steps
from kwscli.errors import KwsError


def two_ranks():
    """One of two ranks: they average gradients, and an overflow on one skips the step on both."""
    where, settings = device()
    from npu_bridge.estimator.npu import npu_hook

    rank = float(os.environ["RANK_ID"])
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, ())
        weight = tf.get_variable("weight", initializer=rank)
        optimizer = where.optimizer(settings, 2)(0.1)
        pairs = optimizer.compute_gradients(weight * x)
        step = optimizer.apply_gradients(pairs, tf.train.get_or_create_global_step())
        together = npu_hook.broadcast_global_variables(0)
        initialise = tf.global_variables_initializer()
    if rank:
        control().overflow_schedule.add(2)
    with session_on(graph, where, settings) as opened:
        opened.run(initialise)
        refused("before the weights were broadcast", opened.run, step, {x: 1.0}, kind=control().FakeStrictError)
        opened.run(together)
        for _ in range(3):
            opened.run(step, {x: rank})
        assert skipped_steps(opened, 3) == 1
        print("weight", opened.run(weight), opened.run(pairs[0][0], {x: rank}))


def release():
    found = npu_adapter.find()
    assert found[::2] == ("present", os.environ["EXPECTED"]), found


def leave_by(way):
    """End the process in this way while a session is open; the fake's events show what was closed."""
    where, settings = device()
    graph, _, _, initialise = tiny(where, settings)
    with interrupts.signals_close(), where.blamed(), session_on(graph, where, settings) as opened:
        opened.run(initialise)
        if way == "error":
            raise KwsError("an error")
        if way == "exit":
            sys.exit(3)
        if way in ("SIGINT", "SIGTERM"):
            os.kill(os.getpid(), getattr(signal, way))
            time.sleep(5)
        if way == "busy":
            raise tf.errors.InternalError(None, None, "device 0 is busy")
        if way == "fatal":
            raise control().FakeNpuFatal("abort")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
