"""Loss scaling that reads the chip's overflow status, since numbers there saturate instead of becoming infinite."""
import numpy as np
import tensorflow as tf
from tensorflow.contrib import mixed_precision

from npu_bridge import _control
from npu_bridge.hccl import hccl_ops

from . import npu_loss_scale_manager, npu_plugin


def _status(*gradients):
    _control.status_checks += 1
    overflow = _control.status_checks in _control.overflow_schedule
    if overflow:
        _control.record("overflow", _control.status_checks)
    return np.full(8, int(overflow), np.int32)


class NPULossScaleOptimizer(mixed_precision.LossScaleOptimizer):
    def __init__(self, opt, loss_scale_manager, is_distributed=False):
        if is_distributed and _control.rank_size() == 1:
            raise _control.FakeStrictError("is_distributed with one rank reduces all the same")
        self._is_distributed = is_distributed
        super().__init__(opt, loss_scale_manager)

    def __getattr__(self, name):
        return getattr(self._opt, name)

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        if getattr(npu_plugin, "is_inf_nan_enabled", bool)():
            return super().apply_gradients(grads_and_vars, name)  # the real one loses the global step here, too
        finite = tf.constant(True)
        manager = self._loss_scale_manager
        fixed = isinstance(manager, npu_loss_scale_manager.FixedLossScaleManager)
        if not fixed or manager.get_enable_overflow_check():
            gradients = [gradient for gradient, _ in grads_and_vars if gradient is not None]
            with tf.control_dependencies(gradients):
                status = tf.py_func(_status, [], tf.int32, name="NpuGetFloatStatus")
            status.set_shape([8])
            if self._is_distributed:
                status = hccl_ops.allreduce([status], "sum", fusion=0)[0]
            finite = tf.reduce_all(tf.equal(status, 0), name="overflow_status_reduce_all")
        apply = tf.cond(finite, lambda: self._opt.apply_gradients(grads_and_vars, global_step, name), tf.no_op)
        return tf.group(apply, manager.update_loss_scale(finite))
