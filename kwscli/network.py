"""A network as TensorFlow graphs over one set of variables: one that trains, one that infers, never mixed up."""
from typing import NamedTuple, Sequence

import tensorflow.compat.v1 as tf

from . import models
from .models.graph import GraphLayers


class TrainingGraph(NamedTuple):
    """What a training step feeds and fetches."""

    features: tf.Tensor  # [batch, frame_count, dct_coefficient_count] float32
    targets: tf.Tensor  # [batch] int32
    learning_rate: tf.Tensor  # []
    step: tf.Operation
    loss: tf.Tensor  # []
    logits: tf.Tensor  # [batch, label_count]
    gradients: Sequence[tf.Tensor]


class InferenceGraph(NamedTuple):
    """What an inference feeds and fetches."""

    features: tf.Tensor  # [batch, frame_count, dct_coefficient_count] float32
    scores: tf.Tensor  # [batch, label_count], each row sums to 1


def logits_of(description, features, training):
    """features [batch, frame_count, dct_coefficient_count] -> logits [batch, label_count] of the described network."""
    with tf.variable_scope(description.architecture, reuse=tf.AUTO_REUSE):
        return models.load(description.architecture).build(
            GraphLayers(training, description.train.dropout_rate), features, len(description.labels), description.model_size_info
        )


def _features_placeholder(description, batch_size):
    settings = description.features
    shape = batch_size, settings.frame_count, settings.dct_coefficient_count
    return tf.placeholder(tf.float32, shape, name="features")


def inference(description, batch_size):
    """Add the network that infers to the current graph."""
    features = _features_placeholder(description, batch_size)
    return InferenceGraph(features, tf.nn.softmax(logits_of(description, features, training=False)))


def training(description, optimizer_of=tf.train.AdamOptimizer):
    """Add the network that trains to the current graph: cross entropy, Adam, one step an execution.

    optimizer_of: learning rate -> tf.train.Optimizer.
    """
    batch_size = description.train.batch_size
    features = _features_placeholder(description, batch_size)
    targets = tf.placeholder(tf.int32, (batch_size,), name="targets")
    learning_rate = tf.placeholder(tf.float32, (), name="learning_rate")
    logits = logits_of(description, features, training=True)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
    optimizer = optimizer_of(learning_rate)
    gradients = optimizer.compute_gradients(loss)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = optimizer.apply_gradients(gradients, tf.train.get_or_create_global_step())
    return TrainingGraph(features, targets, learning_rate, step, loss, logits, [gradient for gradient, _ in gradients])


def numeric_checks(training):
    """An operation that fails, naming the tensor, if anything from the features to the gradients is not a number.

    (`tf.add_check_numerics_ops` would run every operation of the graph, the initialisers among them.)
    """
    waiting, seen, checks = [tensor.op for tensor in [training.loss, *training.gradients]], set(), []
    while waiting:
        op = waiting.pop()
        if op not in seen:
            seen.add(op)
            waiting += [tensor.op for tensor in op.inputs]
            floats = [tensor for tensor in op.outputs if tensor.dtype in (tf.float16, tf.float32)]
            checks += [tf.check_numerics(tensor, "in " + tensor.name) for tensor in floats]
    return tf.group(*checks)


def variables_of(description):
    """The variables of the network itself: weights and moving averages, without the optimiser's."""
    mine = tf.global_variables(scope=description.architecture + "/")
    return [variable for variable in mine if "/Adam" not in variable.op.name]
