"""Moving averages of the variables of a network: steadier than the weights of any one step (arXiv 1803.05407)."""
from typing import Callable, ContextManager, Dict, Sequence

import tensorflow.compat.v1 as tf

_SUFFIX = "/average"
# Early averages follow the weights quickly, because the first weights are random. (As tf.train.ExponentialMovingAverage
# does it with `num_updates`.)
_FIRST, _SLOWNESS = 1.0, 10.0


class Averages:
    """A moving average of each variable. Make it after the training's graph, in the same graph.

    decay: the share of an average that a step keeps.
    """

    def __init__(self, variables: Sequence[tf.Variable], decay: float) -> None:
        self._decay = decay
        self._of = {
            variable.op.name: (variable, tf.get_variable(
                variable.op.name + _SUFFIX, variable.shape, variable.dtype.base_dtype, tf.zeros_initializer(),
                trainable=False, collections=[tf.GraphKeys.GLOBAL_VARIABLES],
            ))
            for variable in variables
        }

    def start(self) -> tf.Operation:
        """The operation that sets each average to the present value of its variable."""
        return tf.group(*[tf.assign(average, variable) for variable, average in self._of.values()])

    def update(self) -> tf.Operation:
        """The operation that moves each average towards its variable, after a step."""
        steps = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
        share = 1 - tf.minimum(self._decay, (_FIRST + steps) / (_SLOWNESS + steps))
        return tf.group(*[
            tf.assign_sub(average, share * (average - variable)) for variable, average in self._of.values()
        ])

    def in_place(self) -> ContextManager:
        """A context in which a network is built on the averages, not on the variables themselves."""
        return tf.variable_scope(tf.get_variable_scope(), custom_getter=self._average_of)

    def _average_of(self, getter: Callable, name: str, *args, **kwargs):
        return self._of[name][1] if name in self._of else getter(name, *args, **kwargs)

    def names_in_file(self) -> Dict[str, str]:
        """{name of a variable: its name in a checkpoint}.

        An average has the name of its variable there, so that every reader of a checkpoint gets the averages.
        """
        swapped = {}
        for name in self._of:
            swapped[name], swapped[name + _SUFFIX] = name + "/unaveraged", name
        return swapped
