"""Hooks; only the broadcast, which also works without MonitoredSession."""
import tensorflow as tf

from npu_bridge.hccl import hccl_ops


def broadcast_global_variables(root_rank, index=None):
    return tf.group(hccl_ops.broadcast(tf.global_variables(), root_rank))
