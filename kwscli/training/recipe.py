"""How a network learns: the loss, and the step that the optimiser makes."""
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from ..models import network
from ..runs.run_directory import Description


class TrainingGraph(NamedTuple):
    """The tensors and operations of a training step."""

    features: tf.Tensor  # [batch, frame_count, channel_count] float32
    targets: tf.Tensor  # [batch] int32
    set_rate: tf.Operation  # sets the learning rate to new_rate
    new_rate: tf.Tensor  # []
    step: tf.Operation
    loss: tf.Tensor  # []
    logits: tf.Tensor  # [batch, label_count]
    gradients: Sequence[tf.Tensor]


def batch_spec(description: Description) -> Tuple:
    """(types, shapes) of a training batch: features and targets."""
    batch_size = description.train.batch_size
    return (tf.float32, tf.int32), ((batch_size,) + description.features.shape, (batch_size,))


def training(
    description: Description, optimizer_of: Callable[[tf.Tensor], tf.train.Optimizer] = tf.train.AdamOptimizer,
    inputs: Optional[Sequence[tf.Tensor]] = None, rank: int = 0,
) -> TrainingGraph:
    """Add the network that trains to the current graph, with cross entropy as its loss.

    optimizer_of: makes the optimiser for a learning rate. inputs: features and targets; None: each step is fed a batch.
    rank: of this worker. The learning rate is a variable that checkpoints leave out, so that steps need no other feed.
    """
    global_step = tf.train.get_or_create_global_step()  # before the network, whose scope dropout would make it in
    features, targets = inputs or [tf.placeholder(*one) for one in zip(*batch_spec(description))]
    rate = tf.get_variable(
        "learning_rate", (), tf.float32, tf.zeros_initializer(), trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
    new_rate = tf.placeholder(tf.float32, (), name="new_rate")
    logits = network.logits_of(description, features, training=True, rank=rank)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
    optimizer = optimizer_of(rate)
    gradients = optimizer.compute_gradients(loss)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = optimizer.apply_gradients(gradients, global_step)
    return TrainingGraph(
        features, targets, tf.assign(rate, new_rate).op, new_rate, step, loss, logits,
        [gradient for gradient, _ in gradients],
    )
