"""Graphs with the weights inside, in the interface that the scripts of ARM and TensorFlow load."""
import contextlib
import json
from typing import Callable, Optional

import tensorflow.compat.v1 as tf

from ..classifiers.described import FEATURES_INPUT, OUTPUT
from ..classifiers.frozen_graph import DESCRIPTION_ATTRIBUTE
from ..models import network
from ..models.quantization import Floats
from ..runs import checkpoint
from ..runs.description import Description
from ..sound.feature_settings import FeatureSettings

# Attributes that TensorFlow 2.x writes and that 1.15, which the field's scripts and Ascend use, refuses to read. In our
# graphs they all have their defaults; if one had not, the comparison of the scores would fail.
YOUNG_ATTRIBUTES = ("exponential_avg_factor", "explicit_paddings", "grad_a", "grad_b")


def write(
    path: str, description: Description, prefix: str, source: str, input_of: Callable[[FeatureSettings], tf.Tensor]
) -> None:
    """Write the network with the weights of a checkpoint.

    source: the name of the input node. input_of: adds that node to the current graph and returns the features.
    """
    save(path, frozen(description, prefix, input_of), description, source)


def save(path: str, graph_def: "tf.GraphDef", description: Description, source: str) -> None:
    """Write a graph with its description at the node `source`."""
    for node in graph_def.node:
        for name in YOUNG_ATTRIBUTES:
            node.attr.pop(name, None)
        if node.name == source:
            text = json.dumps(description.portable().to_json(), sort_keys=True)
            node.attr[DESCRIPTION_ATTRIBUTE].s = text.encode("utf-8")
    with open(path, "wb") as file:
        file.write(graph_def.SerializeToString(deterministic=True))


def frozen(
    description: Description, prefix: str, input_of: Callable[[FeatureSettings], tf.Tensor],
    quantization: Optional[Floats] = None,
) -> "tf.GraphDef":
    """The network with the weights of a checkpoint as constants.

    input_of: as in `write`. quantization: as in `network.logits_of`.
    """
    with tf.Graph().as_default() as graph:
        features = tf.reshape(input_of(description.features), (1,) + description.features.shape)
        logits = network.logits_of(description, features, training=False, quantization=quantization)
        tf.nn.softmax(logits, name=OUTPUT)
    with contextlib.closing(checkpoint.restored_session(graph, description, prefix)) as session:
        return tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [OUTPUT])


def features_input(settings: FeatureSettings) -> tf.Tensor:
    """An `input_of` for the features of one clip: a placeholder [1, feature_count]."""
    return tf.placeholder(tf.float32, (1, settings.feature_count), name=FEATURES_INPUT)
