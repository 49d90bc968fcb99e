"""The graph that trains: the network, its loss, and the step that the optimiser makes."""
from typing import NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from ..devices.optimizer import OptimizerOf
from ..models import network, quantization
from ..runs.description import Description
from . import losses
from .averages import Averages
from .layers import layers_of
from .teachers import Teacher


class TrainingGraph(NamedTuple):
    """The tensors and operations of a training step."""

    inputs: Sequence[tf.Tensor]  # what `batch_spec` describes
    set_rate: tf.Operation  # sets the learning rate to new_rate
    new_rate: tf.Tensor  # []
    step: tf.Operation
    loss: tf.Tensor  # []
    logits: tf.Tensor  # [batch, label_count]
    gradients: Sequence[tf.Tensor]
    averages: Optional[Averages]  # None where the weights are not averaged

    @property
    def features(self) -> tf.Tensor:
        """[batch, frame_count, channel_count] float32."""
        return self.inputs[0]

    @property
    def targets(self) -> tf.Tensor:
        """[batch] int32."""
        return self.inputs[1]


def batch_spec(description: Description, teachers: Sequence[Teacher] = ()) -> Tuple:
    """(types, shapes) of a training batch: features, targets, and the features of each teacher."""
    batch_size = description.train.batch_size
    shapes = [(batch_size,) + one.features.shape for one in (description, *teachers)]
    shapes.insert(1, (batch_size,))
    return (tf.float32, tf.int32) + (tf.float32,) * len(teachers), tuple(shapes)


def build(
    description: Description, optimizer_of: OptimizerOf = tf.train.AdamOptimizer,
    inputs: Optional[Sequence[tf.Tensor]] = None, rank: int = 0, teachers: Sequence[Teacher] = (),
) -> TrainingGraph:
    """Add the network that trains to the current graph.

    optimizer_of: makes the optimiser for a learning rate. inputs: a batch; None: each step is fed one. rank: of this
    worker. The learning rate is a variable that checkpoints leave out, so that steps need no other feed.
    """
    global_step = tf.train.get_or_create_global_step()  # before the network, whose scope dropout would make it in
    inputs = inputs or [tf.placeholder(*one) for one in zip(*batch_spec(description, teachers))]
    features, targets, *theirs = inputs
    rate = tf.get_variable(
        "learning_rate", (), tf.float32, tf.zeros_initializer(), trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
    new_rate = tf.placeholder(tf.float32, (), name="new_rate")
    logits = network.logits_of(
        description, features, training=True, rank=rank, quantization=_quantization(description.train),
        frozen=layers_of(description).frozen,
    )
    taught = [teacher.logits(one) for teacher, one in zip(teachers, theirs)]
    loss = losses.loss(logits, targets, description.train, taught)
    optimizer = optimizer_of(rate)
    gradients = optimizer.compute_gradients(loss)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = optimizer.apply_gradients(gradients, global_step)
    averages = None
    if description.train.weight_averaging:
        averages = Averages(network.variables_of(description), description.train.weight_averaging)
        with tf.control_dependencies([step]):
            step = averages.update()
    return TrainingGraph(
        inputs, tf.assign(rate, new_rate).op, new_rate, step, loss, logits, [gradient for gradient, _ in gradients],
        averages,
    )


def _quantization(settings):
    """What rounds the network that trains; None: it is in floats."""
    if not settings.quantize:
        return None
    return quantization.Quantization(quantization.active_after(settings.steps_before_rounding), training=True)
