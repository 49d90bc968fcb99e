"""A network as a TensorFlow graph. The graphs that train and that infer share its variables."""
import dataclasses
from typing import Any, Collection, Dict, Iterable, List, NamedTuple, Optional, Set

import tensorflow.compat.v1 as tf

from .. import models
from .graph import NORMALIZATION, GraphLayers
from .quantization import Floats, Limits


class InferenceGraph(NamedTuple):
    """The tensors that an inference feeds and fetches."""

    features: tf.Tensor  # [batch, frame_count, channel_count] float32
    scores: tf.Tensor  # [batch, label_count], each row sums to 1


def logits_of(
    description: Any, features: tf.Tensor, training: bool, rank: int = 0,
    quantization: Optional[Floats] = None, frozen: Collection[str] = (),
) -> tf.Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count] of a `Description`'s network.

    training: whether units drop out and batch norm uses the statistics of the batch. rank: of this worker.
    quantization: what rounds the tensors of the network; None: they are floats. frozen: names of layers that do not
    learn, which a network that trains must be told before any other network makes its variables.
    """
    if quantization is None:
        quantization = Limits() if description.train.quantize else Floats()
    with tf.variable_scope(description.architecture, reuse=tf.AUTO_REUSE):
        layers = GraphLayers(
            training, description.train.dropout_rate, rank, quantization, scopes_of(description, frozen)
        )
        return quantization.activations(models.logits(layers, description, features))


def inference(description: Any, batch_size: Optional[int]) -> InferenceGraph:
    """Add the network that infers to the current graph. batch_size None: batches of any size."""
    features = tf.placeholder(tf.float32, (batch_size,) + description.features.shape, name="features")
    return InferenceGraph(features, tf.nn.softmax(logits_of(description, features, training=False)))


def variables_of(description: Any) -> List[tf.Variable]:
    """The variables of the described network in the current graph: weights and moving averages, not the optimiser's."""
    return tf.model_variables(scope=description.architecture + "/")


def scopes_of(description: Any, layers: Iterable[str]) -> Set[str]:
    """The scopes of the variables of these layers of the described network."""
    return {"%s/%s" % (description.architecture, name) for name in layers}


def normalization_of(description: Any) -> List[tf.Variable]:
    """The mean and the deviation of each channel [channel_count] that the described network normalises features by."""
    names = ["%s/features/%s" % (description.architecture, name) for name in NORMALIZATION]
    return [variable for variable in variables_of(description) if variable.op.name in names]


def label_axes(description: Any) -> Dict[str, int]:
    """{name of a variable: its axis with one entry per label}, for the variables whose shape depends on the labels.

    Found by building the network with one label more.
    """
    shapes = []
    for labels in (description.labels, description.labels + ("_another_",)):
        with tf.Graph().as_default():
            inference(dataclasses.replace(description, labels=labels), 1)
            shapes.append({one.op.name: one.shape.as_list() for one in variables_of(description)})
    return {
        name: axis
        for name, shape in shapes[0].items()
        for axis, size in enumerate(shape) if size != shapes[1][name][axis]
    }


def initialiser() -> tf.Operation:
    """The operation that gives every variable of the current graph its first value."""
    return tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
