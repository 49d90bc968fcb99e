"""A network as TensorFlow graphs over one set of variables: one that trains, one that infers, never mixed up."""
from typing import NamedTuple, Sequence

import tensorflow.compat.v1 as tf

from .. import models
from .graph import GraphLayers


class TrainingGraph(NamedTuple):
    """What a training step is given and what it gives."""

    features: tf.Tensor  # [batch, frame_count, dct_coefficient_count] float32
    targets: tf.Tensor  # [batch] int32
    set_rate: tf.Operation  # gives the learning rate the value of new_rate
    new_rate: tf.Tensor  # []
    step: tf.Operation
    loss: tf.Tensor  # []
    logits: tf.Tensor  # [batch, label_count]
    gradients: Sequence[tf.Tensor]


class InferenceGraph(NamedTuple):
    """What an inference feeds and fetches."""

    features: tf.Tensor  # [batch, frame_count, dct_coefficient_count] float32
    scores: tf.Tensor  # [batch, label_count], each row sums to 1


def logits_of(description, features, training, rank=0):
    """features [batch, frame_count, dct_coefficient_count] -> logits [batch, label_count] of the described network."""
    with tf.variable_scope(description.architecture, reuse=tf.AUTO_REUSE):
        layers = GraphLayers(training, description.train.dropout_rate, rank)
        build = models.load(description.architecture).build
        return build(layers, features, len(description.labels), description.model_size_info)


def inference(description, batch_size):
    """Add the network that infers to the current graph; batch_size None: it takes batches of any size."""
    settings = description.features
    shape = batch_size, settings.frame_count, settings.dct_coefficient_count
    features = tf.placeholder(tf.float32, shape, name="features")
    return InferenceGraph(features, tf.nn.softmax(logits_of(description, features, training=False)))


def batch_spec(description):
    """(types, shapes) of a training batch: features and targets."""
    settings, batch_size = description.features, description.train.batch_size
    shapes = (batch_size, settings.frame_count, settings.dct_coefficient_count), (batch_size,)
    return (tf.float32, tf.int32), shapes


def training(description, optimizer_of=tf.train.AdamOptimizer, inputs=None, rank=0):
    """Add the network that trains to the current graph: cross entropy, Adam, one step an execution.

    optimizer_of: learning rate -> tf.train.Optimizer. inputs: the tensors a batch comes from; None: it is fed.
    rank: of this worker, where several train together.
    The learning rate is a variable of its own, outside the checkpoint, so that nothing but the batch is fed.
    """
    global_step = tf.train.get_or_create_global_step()  # now, outside the network's scope: dropout asks for it inside
    features, targets = inputs or [tf.placeholder(*one) for one in zip(*batch_spec(description))]
    rate = tf.get_variable(
        "learning_rate", (), tf.float32, tf.zeros_initializer(), trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
    new_rate = tf.placeholder(tf.float32, (), name="new_rate")
    logits = logits_of(description, features, training=True, rank=rank)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
    optimizer = optimizer_of(rate)
    gradients = optimizer.compute_gradients(loss)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = optimizer.apply_gradients(gradients, global_step)
    return TrainingGraph(
        features, targets, tf.assign(rate, new_rate).op, new_rate, step, loss, logits,
        [gradient for gradient, _ in gradients],
    )


def initialiser():
    """The operation that gives every variable of the current graph its first value."""
    return tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())


def operations_of(training):
    """Every operation from the features to the loss and the gradients, in the order they were made."""
    waiting, found = [tensor.op for tensor in [training.loss, *training.gradients]], set()
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return [op for op in training.loss.graph.get_operations() if op in found]


def floats_of(operations):
    """What operations give, as far as it could be no number."""
    return [
        tensor for op in operations for tensor in op.outputs
        if tensor.dtype in (tf.float16, tf.float32) and not _is_scratch(tensor)
    ]


def needs_no_one_else(operations):
    """Those of some operations, in the order they were made, that run without other workers: before any collective."""
    after = set()
    for op in operations:
        before = [tensor.op for tensor in op.inputs] + list(op.control_inputs)
        if op.type.startswith("Collective") or not after.isdisjoint(before):
            after.add(op)
    return [op for op in operations if op not in after]


def _is_scratch(tensor):
    """A GPU's notes for the gradient of a batch norm; on a CPU it is never filled and holds anything."""
    return tensor.op.type == "FusedBatchNormV3" and tensor.value_index == 5


def numeric_checks(training):
    """An operation that fails, naming the tensor, if anything from the features to the gradients is not a number.

    (`tf.add_check_numerics_ops` would run every operation of the graph, the initialisers among them.)
    """
    return tf.group(*[tf.check_numerics(tensor, "in " + tensor.name) for tensor in floats_of(operations_of(training))])


def variables_of(description):
    """The variables of the network itself: weights and moving averages, without the optimiser's."""
    mine = tf.global_variables(scope=description.architecture + "/")
    return [variable for variable in mine if "/Adam" not in variable.op.name]
