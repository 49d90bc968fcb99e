"""Hooks; only the broadcast, which also works without MonitoredSession."""
import tensorflow as tf

from npu_bridge.hccl import hccl_ops


def broadcast_global_variables(root_rank, index=None):
    """Of the variables that are trained only, whatever its name says: neither averages nor steps."""
    variables = tf.trainable_variables()
    values = hccl_ops.broadcast(variables, root_rank)
    return tf.group(*[tf.assign(variable, value) for variable, value in zip(variables, values)])
