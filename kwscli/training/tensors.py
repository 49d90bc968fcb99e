"""The operations and tensors of a training step, for dumps and numeric checks."""
from typing import Iterable, List

import tensorflow.compat.v1 as tf

from .training_graph import TrainingGraph


def operations_of(training: TrainingGraph) -> List[tf.Operation]:
    """Every operation from the features to the loss and the gradients, in the order in which they were made."""
    waiting, found = [tensor.op for tensor in [training.loss, *training.gradients]], set()
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return [op for op in training.loss.graph.get_operations() if op in found]


def floats_of(operations: Iterable[tf.Operation]) -> List[tf.Tensor]:
    """The outputs of operations that can be infinite or not a number."""
    return [
        tensor for op in operations for tensor in op.outputs
        if tensor.dtype in (tf.float16, tf.float32) and not _is_scratch(tensor)
    ]


def _is_scratch(tensor):
    """Scratch space of a GPU for the gradient of batch norm. On a CPU it is never filled, and can hold anything."""
    return tensor.op.type == "FusedBatchNormV3" and tensor.value_index == 5


def needs_no_one_else(operations: Iterable[tf.Operation]) -> List[tf.Operation]:
    """The operations that run without other workers, because they come before every collective operation."""
    after = set()
    for op in operations:
        before = [tensor.op for tensor in op.inputs] + list(op.control_inputs)
        if op.type.startswith("Collective") or not after.isdisjoint(before):
            after.add(op)
    return [op for op in operations if op not in after]


def numeric_checks(training: TrainingGraph) -> tf.Operation:
    """An operation that fails if a tensor from the features to the gradients is not finite. The error names the tensor.

    (`tf.add_check_numerics_ops` would run every operation of the graph, the initialisers too.)
    """
    return tf.group(*[tf.check_numerics(tensor, "in " + tensor.name) for tensor in floats_of(operations_of(training))])
