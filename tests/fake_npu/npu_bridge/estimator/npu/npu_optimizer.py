"""Gradients averaged over ranks."""
import os

import tensorflow as tf

from npu_bridge import _control
from npu_bridge.hccl import hccl_ops


def _mean(gradients):
    if not os.environ.get("JOB_ID"):
        raise AttributeError("'NoneType' object has no attribute '_rank_size'")
    return [
        gradient if gradient is None else tf.div(hccl_ops.allreduce(gradient, "sum"), float(_control.rank_size()))
        for gradient in gradients
    ]


class NPUDistributedOptimizer(tf.train.Optimizer):
    def __init__(self, optimizer, is_weight_update_sharding=False, name=None):
        super().__init__(False, name or "NPUDistributedOptimizer" + type(optimizer).__name__)
        self._optimizer = optimizer

    def compute_gradients(self, *args, **kwargs):
        pairs = self._optimizer.compute_gradients(*args, **kwargs)
        if _control.rank_size() <= 1:
            return pairs
        gradients, variables = zip(*pairs)
        return list(zip(_mean(gradients), variables))

    def apply_gradients(self, *args, **kwargs):
        return self._optimizer.apply_gradients(*args, **kwargs)


if _control.since("r1.6"):

    def npu_distributed_optimizer_wrapper(optimizer):
        compute = optimizer.compute_gradients
        if _control.rank_size() > 1:
            optimizer.compute_gradients = lambda *args, **kwargs: [
                (mean, variable) for (gradient, variable) in compute(*args, **kwargs) for mean in _mean([gradient])
            ]
        return optimizer

    def npu_allreduce(values, reduction="mean", fusion=1, fusion_id=-1, group="hccl_world_group"):
        return _mean(values) if reduction == "mean" else [hccl_ops.allreduce(value, reduction) for value in values]
