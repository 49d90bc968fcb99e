"""Adam, and the count of the steps in which it changed the weights."""
from typing import Iterable, Optional, Tuple

import tensorflow.compat.v1 as tf


class Adam(tf.train.AdamOptimizer):
    """Adam that increments the global step itself, because npu_bridge (r1.13) does not on chips with infinity."""

    def apply_gradients(
        self, grads_and_vars: Iterable[Tuple], global_step: Optional[tf.Variable] = None, name: Optional[str] = None
    ) -> tf.Operation:
        return super().apply_gradients(grads_and_vars, tf.train.get_or_create_global_step(), name)


def skipped_steps(session: tf.Session, step: int) -> int:
    """How many of the first `step` steps changed no weight, because their gradients overflowed."""
    return step - int(session.run(tf.train.get_global_step(session.graph)))
