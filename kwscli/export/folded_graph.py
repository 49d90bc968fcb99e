"""The inference graph with the weights of a checkpoint as constants and without norms."""
from typing import Dict

import numpy as np
import tensorflow.compat.v1 as tf

from .. import models
from ..classifiers.described import OUTPUT
from ..models import FEATURES_RANGE
from ..models.folding import norm
from ..models.graph import NORMALIZATION, GraphLayers
from ..models.shapes import band_width
from ..runs import checkpoint
from ..runs.description import Description

# {operation: the shape that a factor per channel needs, to multiply the weights of the operation}
_CHANNELS = {"Conv2D": (-1,), "MatMul": (-1,), "DepthwiseConv2dNative": (-1, 1)}


def add_scores(description: Description, prefix: str, features: tf.Tensor) -> tf.Tensor:
    """Add the network with the weights of a checkpoint to the current graph.

    features [clips, feature_count] -> scores [clips, label_count], named `OUTPUT`. The number of clips may be unknown.
    """
    features = tf.reshape(features, (features.shape.as_list()[0] or -1,) + description.features.shape)
    net = FoldedLayers(checkpoint.values(prefix))
    with net.scope(description.architecture):
        logits = models.logits(net, description, features)
    return tf.nn.softmax(logits, name=OUTPUT)


class FoldedLayers(GraphLayers):
    """`GraphLayers` that infer with the weights {name: value} of a checkpoint.

    Batch norm multiplies the weights of the layer before it, where there is one, and adds a bias.
    """

    def __init__(self, values: Dict[str, np.ndarray]) -> None:
        super().__init__(training=False)
        self._values = values

    def batch_norm(
        self, x: tf.Tensor, scale: bool = False, decay: float = 0.96, epsilon: float = 0.001
    ) -> tf.Tensor:
        factor, offset = norm(self._value, scale, epsilon)
        return tf.nn.bias_add(self._multiplied(x, factor), offset)

    def sub_spectral_norm(
        self, x: tf.Tensor, bands: int, decay: float = 0.96, epsilon: float = 0.001
    ) -> tf.Tensor:
        height, width, channels = self.shape(x)
        rows = self.reshape(x, (bands, band_width(self._name(), (height, width), bands), channels))
        factor, offset = norm(self._value, True, epsilon)
        return self.reshape(rows * factor + offset, (height, width, channels))

    def limit(self, x: tf.Tensor) -> tf.Tensor:
        low, high = (self._value(FEATURES_RANGE + end) for end in ("_low", "_high"))
        return tf.minimum(tf.maximum(x, low), high)

    def normalize(self, x: tf.Tensor) -> tf.Tensor:
        with self.scope("features"):
            mean, deviation = map(self._value, NORMALIZATION)
        return (x - mean) * (1 / deviation)

    def _multiplied(self, x, factor):
        """x times a factor per channel, which is part of the weights of the operation before, if that has weights."""
        before = x.op
        if before.type not in _CHANNELS:
            return x * factor
        weights = tf.make_ndarray(before.inputs[1].op.get_attr("value"))
        weights = tf.constant(weights * factor.reshape(_CHANNELS[before.type]))
        attributes = dict(before.node_def.attr)
        again = tf.get_default_graph().create_op(
            before.type, [before.inputs[0], weights], [x.dtype], attrs=attributes, name=before.name
        )
        return again.outputs[0]

    def _value(self, name):
        return self._values["%s/%s" % (self._name(), name)]

    def _variable(self, name, shape, initializer, trainable=True):
        return tf.constant(self._value(name), name=name)
