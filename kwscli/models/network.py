"""A network as two TensorFlow graphs over the same variables: one trains, the other one infers."""
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from .. import models
from .graph import NETWORK_VARIABLES, GraphLayers

Description = Any  # a `runs.run_directory.Description`; that package builds on this one


class TrainingGraph(NamedTuple):
    """The inputs and outputs of a training step."""

    features: tf.Tensor  # [batch, frame_count, channel_count] float32
    targets: tf.Tensor  # [batch] int32
    set_rate: tf.Operation  # sets the learning rate to new_rate
    new_rate: tf.Tensor  # []
    step: tf.Operation
    loss: tf.Tensor  # []
    logits: tf.Tensor  # [batch, label_count]
    gradients: Sequence[tf.Tensor]


class InferenceGraph(NamedTuple):
    """The input and output of an inference."""

    features: tf.Tensor  # [batch, frame_count, channel_count] float32
    scores: tf.Tensor  # [batch, label_count], each row sums to 1


def logits_of(description: Description, features: tf.Tensor, training: bool, rank: int = 0) -> tf.Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count] of the described network."""
    with tf.variable_scope(description.architecture, reuse=tf.AUTO_REUSE):
        layers = GraphLayers(training, description.train.dropout_rate, rank)
        build = models.load(description.architecture).build
        return build(layers, features, len(description.labels), description.model_size_info)


def inference(description: Description, batch_size: Optional[int]) -> InferenceGraph:
    """Add the network that infers to the current graph. batch_size None: batches of any size."""
    features = tf.placeholder(tf.float32, (batch_size,) + description.features.shape, name="features")
    return InferenceGraph(features, tf.nn.softmax(logits_of(description, features, training=False)))


def batch_spec(description: Description) -> Tuple[Tuple[tf.DType, ...], Tuple[Tuple[int, ...], ...]]:
    """(types, shapes) of a training batch: features and targets."""
    batch_size = description.train.batch_size
    return (tf.float32, tf.int32), ((batch_size,) + description.features.shape, (batch_size,))


def training(
    description: Description, optimizer_of: Callable[[tf.Tensor], Any] = tf.train.AdamOptimizer,
    inputs: Optional[Sequence[tf.Tensor]] = None, rank: int = 0,
) -> TrainingGraph:
    """Add the network that trains to the current graph: cross entropy, Adam, one step per execution.

    optimizer_of: learning rate -> tf.train.Optimizer. inputs: features and targets; None means that a batch is fed.
    rank: number of this worker, if several train together.
    The learning rate is a variable that is not in checkpoints, so that only the batch has to be fed.
    """
    global_step = tf.train.get_or_create_global_step()  # before dropout asks for it inside of the network's scope
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


def initialiser() -> tf.Operation:
    """The operation that gives every variable of the current graph its first value."""
    return tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())


def operations_of(training: TrainingGraph) -> List[tf.Operation]:
    """Every operation from the features to the loss and the gradients, in the order in which they were made."""
    waiting, found = [tensor.op for tensor in [training.loss, *training.gradients]], set()
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return [op for op in training.loss.graph.get_operations() if op in found]


def floats_of(operations: Sequence[tf.Operation]) -> List[tf.Tensor]:
    """The outputs of operations that could be infinite or not a number."""
    return [
        tensor for op in operations for tensor in op.outputs
        if tensor.dtype in (tf.float16, tf.float32) and not _is_scratch(tensor)
    ]


def needs_no_one_else(operations: Sequence[tf.Operation]) -> List[tf.Operation]:
    """The operations that run without other workers, because they depend on no collective operation.

    operations: in the order in which they were made.
    """
    after = set()
    for op in operations:
        before = [tensor.op for tensor in op.inputs] + list(op.control_inputs)
        if op.type.startswith("Collective") or not after.isdisjoint(before):
            after.add(op)
    return [op for op in operations if op not in after]


def _is_scratch(tensor):
    """Whether a GPU keeps notes for a gradient of batch norm here. On a CPU, this tensor holds arbitrary values."""
    return tensor.op.type == "FusedBatchNormV3" and tensor.value_index == 5


def numeric_checks(training: TrainingGraph) -> tf.Operation:
    """An operation that fails and names the tensor if anything from features to gradients is not a finite number.

    (`tf.add_check_numerics_ops` would run every operation of the graph, even the initialisers.)
    """
    return tf.group(*[tf.check_numerics(tensor, "in " + tensor.name) for tensor in floats_of(operations_of(training))])


def variables_of(description: Description) -> List[tf.Variable]:
    """The variables of the network itself: its weights and moving averages, without those of an optimiser."""
    return tf.get_collection(NETWORK_VARIABLES, scope=description.architecture + "/")
