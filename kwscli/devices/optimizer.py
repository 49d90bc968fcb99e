"""Adam with weight decay and a limit for its gradients, and the count of the steps that changed the weights."""
from typing import Callable, Collection, Iterable, Optional, Tuple

import tensorflow.compat.v1 as tf

OptimizerOf = Callable[[tf.Tensor], tf.train.Optimizer]  # makes an optimiser for a learning rate


class Adam(tf.train.AdamOptimizer):
    """Adam that increments the global step itself, because npu_bridge (r1.13) does not on chips with infinity.

    weight_decay: each step makes weights smaller by this share, times the learning rate (AdamW, arXiv 1711.05101).
    Biases and the factors and offsets of batch norm are not decayed. largest_norm: longer gradients, of all variables
    together, are made as short as this; 0 means no limit. Both act on the gradients that all workers have averaged,
    after the scale of the loss is taken off. slow: names of scopes whose variables learn at
    `slow_share` of the rate.
    """

    def __init__(
        self, rate: tf.Tensor, weight_decay: float = 0.0, largest_norm: float = 0.0, slow: Collection[str] = (),
        slow_share: float = 1.0,
    ) -> None:
        super().__init__(rate)
        self._rate, self._weight_decay, self._largest_norm = rate, weight_decay, largest_norm
        self._slow, self._slow_share = slow, slow_share
        # Adam divides by the size of the gradients, so only another rate makes its steps shorter.
        self._slow_adam = tf.train.AdamOptimizer(rate * slow_share) if slow else None

    def apply_gradients(
        self, grads_and_vars: Iterable[Tuple], global_step: Optional[tf.Variable] = None, name: Optional[str] = None
    ) -> tf.Operation:
        gradients, variables = zip(*grads_and_vars)
        if self._largest_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self._largest_norm)
        with tf.control_dependencies([gradient for gradient in gradients if gradient is not None]):
            decayed = [
                tf.assign_sub(variable, self._rate_of(variable) * self._weight_decay * variable)
                for variable in variables if self._weight_decay and variable.op.name.endswith("weights")
            ]
        pairs = list(zip(gradients, variables))
        slow = [pair for pair in pairs if self._is_slow(pair[1])]
        with tf.control_dependencies(decayed):
            before = [self._slow_adam.apply_gradients(slow)] if slow else []
        with tf.control_dependencies(decayed + before):
            return super().apply_gradients(
                [pair for pair in pairs if not self._is_slow(pair[1])], tf.train.get_or_create_global_step(), name
            )

    def _is_slow(self, variable):
        return variable.op.name.rpartition("/")[0] in self._slow

    def _rate_of(self, variable):
        return self._rate * self._slow_share if self._is_slow(variable) else self._rate


def skipped_steps(session: tf.Session, step: int) -> int:
    """How many of the first `step` steps changed no weight, because their gradients overflowed."""
    return step - int(session.run(tf.train.get_global_step(session.graph)))
