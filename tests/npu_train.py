"""A child of test_train_npu.py: `kws` with the fake npu_bridge on the path.

    npu_train.py STEPS_THAT_OVERFLOW STEP_TO_STOP_AFTER KWS_ARGUMENTS...
"""
import os
import signal
import sys

import npu_bridge._control as control
import tensorflow.compat.v1 as tf

from kwscli import cli
from kwscli.training import loop

control.overflow_schedule.update(int(step) for step in sys.argv[1].split(",") if step)
stop_after, sys.argv = sys.argv[2], ["kws"] + sys.argv[3:]
iterator_of, advance = tf.data.make_initializable_iterator, loop._Trainer._advance
# The real adapter reads a data set ahead, in a thread of its own.
tf.data.make_initializable_iterator = lambda dataset: iterator_of(dataset.prefetch(64))


def stopping(trainer):
    advance(trainer)
    if str(trainer._step) == stop_after:
        os.kill(os.getpid(), signal.SIGINT)


loop._Trainer._advance = stopping
try:
    cli.main()
finally:
    kinds = [kind for kind, _ in control.events]
    print("sessions opened %d, closed %d" % (kinds.count("session_created"), kinds.count("close")), file=sys.stderr)
