"""8-bit integers, imitated in a graph of 32-bit floats: the training learns weights that survive `tflite-int8`.

"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", arXiv 1712.05877. The
gradient passes a rounding as if it were not there.
"""
from typing import Optional

import tensorflow.compat.v1 as tf

from . import FEATURES_RANGE

_WEIGHT_STEPS = 127  # on each side of zero
_TINY = 1e-12  # instead of a scale of zero
# The range of a tensor follows the ranges of batches, quickly at first, because the first weights are random.
_DECAY, _SLOWNESS = 0.99, 10.0
# Digital silence is far below all other features and would take most of the 256 levels, so the range of the features
# leaves this share of them out. Like all values outside of a range, they count as its end.
_LOWEST_FEATURES = 0.005


class Floats:
    """Every value stays as it is."""

    def features(self, x: tf.Tensor) -> tf.Tensor:
        return x

    def weights(self, weights: tf.Tensor, per_channel: Optional[int] = None) -> tf.Tensor:
        return weights

    def activations(self, x: tf.Tensor) -> tf.Tensor:
        return x

    def same_values(self, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return y


class Limits(Floats):
    """The features stay in the range of a training with --quantize, and every other value stays as it is."""

    def features(self, x: tf.Tensor) -> tf.Tensor:
        low, high = _range(FEATURES_RANGE)
        return tf.minimum(tf.maximum(x, low), high)


def _range(name):
    """The variables at the ends of a range."""
    return [
        tf.get_variable(
            name + end, (), initializer=tf.zeros_initializer(), trainable=False,
            collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES],
        ) for end in ("_low", "_high")
    ]


class Quantization(Floats):
    """Rounds the tensors of a network as integer kernels do. Each network that is built needs a new object.

    active: a boolean tensor, whether the network rounds in this step. training: whether the ranges of
    activations follow those of the batches.
    """

    def __init__(self, active: tf.Tensor, training: bool) -> None:
        self._active, self._training = active, training
        self._rounded = {}  # {name of a tensor: the tensor, rounded}
        self._ranges = 0

    def features(self, x: tf.Tensor) -> tf.Tensor:
        """Round the input of the network."""
        return self._round(x, FEATURES_RANGE, self._lowest)

    def weights(self, weights: tf.Tensor, per_channel: Optional[int] = None) -> tf.Tensor:
        """Round weights to integers in [-127, 127] times a scale: one for all, or one per entry of axis `per_channel`.

        A batch norm after a convolution multiplies whole channels when an export folds it into the weights. The scale
        of the channel grows by the same factor, so the integers stay those of the weights before.
        """
        others = [axis for axis in range(weights.shape.ndims) if axis != per_channel]
        largest = tf.reduce_max(tf.abs(weights), axis=others, keepdims=True)
        scale = tf.maximum(largest, _TINY) / _WEIGHT_STEPS
        return self._straight_through(weights, tf.round(weights / scale) * scale)

    def activations(self, x: tf.Tensor) -> tf.Tensor:
        """Round the input of a layer to 256 levels; once per tensor, however many layers read it."""
        if x.name in self._rounded:
            return self._rounded[x.name]
        self._ranges += 1
        return self._round(x, "quantized_%d" % self._ranges, tf.reduce_min)

    def same_values(self, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Say that y has no other values than x: if x is rounded, y is not rounded again."""
        if self._rounded.get(x.name) is x:
            self._rounded[y.name] = y
        return y

    def _round(self, x, name, lowest):
        low, high = _range(name)
        if self._training:
            low, high = self._moved(low, lowest(x)), self._moved(high, tf.reduce_max(x))
        # Zero is always in the range, because kernels pad with it.
        rounded = tf.quantization.fake_quant_with_min_max_vars(x, tf.minimum(low, 0.0), tf.maximum(high, 0.0))
        y = self._straight_through(x, rounded)
        self._rounded[x.name] = self._rounded[y.name] = y
        return y

    def _moved(self, end, value):
        """An end of a range, after it has moved towards that of a batch."""
        steps = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
        share = 1 - tf.minimum(_DECAY, steps / (_SLOWNESS + steps))
        return tf.assign_sub(end, share * (end - tf.stop_gradient(value)))

    def _lowest(self, x):
        """The value that `_LOWEST_FEATURES` of the features are below."""
        values = tf.reshape(x, (-1,))
        return -tf.nn.top_k(-values, 1 + int(_LOWEST_FEATURES * values.shape.num_elements())).values[-1]

    def _straight_through(self, x, rounded):
        """`rounded` where the network rounds, else x, with the gradient of x."""

        @tf.custom_gradient
        def choose(x, rounded, active):
            return tf.where_v2(active, rounded, x), lambda gradient: (gradient, None, None)

        return choose(tf.identity(x), rounded, self._active)


def active_after(steps: int) -> tf.Tensor:
    """Whether a training step comes after the first `steps`."""
    return tf.greater_equal(tf.train.get_or_create_global_step(), steps)
