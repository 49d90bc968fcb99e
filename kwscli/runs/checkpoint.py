"""Weights to and from files in the format of TensorFlow's Saver."""
from typing import Dict, Mapping, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from ..devices import session
from ..errors import KwsError
from ..models import network
from .description import Description

# The loss scale and its counters, as npu_bridge and TensorFlow name them.
LOSS_SCALING = {"loss_scale", "current_loss_scale", "good_steps", "bad_steps"}


class UnreadableCheckpoint(KwsError):
    """A checkpoint that is damaged or belongs to another network."""


class Writer:
    """Saves and restores all that a training needs: weights, moving averages, the optimiser's state and the step.

    The names in the file are those of a training without loss scaling. The state of the loss scaling is added to them,
    and a checkpoint without it can be read as well. Make the writer before the graph is finalised.

    renamed: {name of a variable: its name in the file}, where they differ.
    """

    def __init__(self, renamed: Mapping[str, str] = {}) -> None:
        named = {_plain_name(variable): variable for variable in tf.global_variables()}
        named = {renamed.get(name, name): variable for name, variable in named.items()}
        scaling = {name: variable for name, variable in named.items() if name in LOSS_SCALING}
        self._scaling = {name: variable.dtype.base_dtype for name, variable in scaling.items()}
        self._saver = tf.train.Saver(named, max_to_keep=None)
        rest = {name: variable for name, variable in named.items() if name not in scaling}
        self._without_scaling = tf.train.Saver(rest) if scaling else self._saver

    def write(self, session: tf.Session, prefix: str) -> None:
        """Write the variables of a session to a checkpoint."""
        try:
            self._saver.save(session, prefix, write_meta_graph=False, write_state=False)
        except tf.errors.OpError as error:
            raise KwsError("cannot write the checkpoint %s: %s" % (prefix, _reason(error)))

    def read(self, session: tf.Session, prefix: str) -> None:
        """Give the variables of a session the values in a checkpoint. Raises UnreadableCheckpoint."""
        found = _reader(prefix).get_variable_to_dtype_map()
        has_scaling = all(found.get(name) == dtype for name, dtype in self._scaling.items())
        _restore(self._saver if has_scaling else self._without_scaling, session, prefix)


def _plain_name(variable):
    """Under loss scaling, Adam's powers are made inside a condition: `cond/beta1_power`, `cond/beta1_power_1`."""
    name = variable.op.name
    last = name.rpartition("/")[2]
    return last if last.startswith(("beta1_power", "beta2_power")) else name


def _reader(prefix):
    try:
        return tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise UnreadableCheckpoint("the checkpoint %s cannot be read: %s" % (prefix, _reason(error)))


def values(prefix: str) -> Dict[str, np.ndarray]:
    """{name: value} of all variables in a checkpoint. Raises UnreadableCheckpoint."""
    reader = _reader(prefix)
    try:
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, ValueError) as error:
        raise UnreadableCheckpoint("the checkpoint %s cannot be read: %s" % (prefix, _reason(error)))


def check(description: Description, prefix: str) -> None:
    """Raise UnreadableCheckpoint if a checkpoint lacks the variables of the described network."""
    with tf.Graph().as_default():
        network.inference(description, 1)
        _check_shapes(network.variables_of(description), prefix)


def inference_session(description: Description, prefix: str) -> Tuple[tf.Session, network.InferenceGraph]:
    """An open session with the weights of a checkpoint, and the InferenceGraph in it, for batches of any size."""
    with tf.Graph().as_default() as graph:
        inference = network.inference(description, None)
    return restored_session(graph, description, prefix), inference


def restored_session(graph: tf.Graph, description: Description, prefix: str) -> tf.Session:
    """An open session on a graph whose network has the weights of a checkpoint."""
    with graph.as_default():
        variables = network.variables_of(description)
        saver = tf.train.Saver(variables)
    _check_shapes(variables, prefix)
    opened = session.open_session(graph)
    try:
        _restore(saver, opened, prefix)
    except BaseException:
        opened.close()
        raise
    return opened


def _check_shapes(variables, prefix):
    """TensorFlow 2.x restores a variable of any shape, and fails or gives wrong results later."""
    found = _reader(prefix).get_variable_to_shape_map()
    for variable in variables:
        name, wanted = variable.op.name, variable.shape.as_list()
        if found.get(name) != wanted:
            raise UnreadableCheckpoint(
                "the checkpoint %s does not belong to the network in model.json: the shape of %s is %s, not %s"
                % (prefix, name, found.get(name, "missing"), wanted)
            )


def _restore(saver, session, prefix):
    try:
        saver.restore(session, prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise UnreadableCheckpoint("the checkpoint %s cannot be read: %s" % (prefix, _reason(error)))


def _reason(error):
    """What TensorFlow says went wrong: the line before the node that it names; 2.x puts a trace before that line."""
    message = str(getattr(error, "message", None) or error).split("[[")[0]
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
