"""Weights to and from files in the format of TensorFlow's Saver."""
import os

import tensorflow.compat.v1 as tf

from ..console import say
from ..devices import session
from ..errors import KwsError
from ..models import network

# The loss scale and its counters, as npu_bridge and TensorFlow name them.
LOSS_SCALING = {"loss_scale", "current_loss_scale", "good_steps", "bad_steps"}


class UnreadableCheckpoint(KwsError):
    """A checkpoint that is not whole."""


class Writer:
    """Saves and restores everything a training needs: weights, averages, the optimiser's state, the step.

    The names in the file are those of a training without loss scaling, whatever this one does; the state of the loss
    scaling comes on top, and a checkpoint without it is read too. Made before the graph is finalised.
    """

    def __init__(self):
        named = {_plain_name(variable): variable for variable in tf.global_variables()}
        scaling = {name: variable for name, variable in named.items() if name in LOSS_SCALING}
        self._scaling = {name: variable.dtype.base_dtype for name, variable in scaling.items()}
        self._saver = tf.train.Saver(named, max_to_keep=None)
        rest = {name: variable for name, variable in named.items() if name not in scaling}
        self._without_scaling = tf.train.Saver(rest) if scaling else self._saver

    def write(self, session, prefix):
        try:
            self._saver.save(session, prefix, write_meta_graph=False, write_state=False)
        except tf.errors.OpError as error:
            raise KwsError("cannot write the checkpoint %s: %s" % (prefix, _reason(error)))

    def read(self, session, prefix):
        found = _reader(prefix).get_variable_to_dtype_map()
        whole = all(found.get(name) == dtype for name, dtype in self._scaling.items())
        _restore(self._saver if whole else self._without_scaling, session, prefix)


def _plain_name(variable):
    """Adam's powers are made inside a condition under loss scaling: cond/beta1_power."""
    name = variable.op.name
    last = name.rpartition("/")[2]
    return last if last in ("beta1_power", "beta2_power") else name


def _reader(prefix):
    try:
        return tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise UnreadableCheckpoint("the checkpoint %s cannot be read: %s" % (prefix, _reason(error)))


def inference_session(description, prefix, batch_size):
    """An open session and the InferenceGraph in it, with the weights of a checkpoint."""
    with tf.Graph().as_default() as graph:
        inference = network.inference(description, batch_size)
    return restored_session(graph, description, prefix), inference


def restored_session(graph, description, prefix):
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
    """TensorFlow 2.x restores a variable of any shape, and fails or misleads later."""
    found = _reader(prefix).get_variable_to_shape_map()
    for variable in variables:
        name, wanted = variable.op.name, variable.shape.as_list()
        if found.get(name) != wanted:
            raise UnreadableCheckpoint(
                "the checkpoint %s is not of the network in model.json: it holds %s as %s, and %s is wanted"
                % (prefix, name, found.get(name, "nothing"), wanted)
            )


def _restore(saver, session, prefix):
    try:
        saver.restore(session, prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise UnreadableCheckpoint("the checkpoint %s cannot be read: %s" % (prefix, _reason(error)))


def _reason(error):
    """What TensorFlow says went wrong: the line before the node it names, which 2.x puts behind a trace."""
    message = str(getattr(error, "message", None) or error).split("[[")[0]
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def start_from(session, prefix, description):
    """Begin with the weights of another run where names and shapes agree; the rest, such as other labels', stay new."""
    shapes = _reader(prefix).get_variable_to_shape_map()
    variables = network.variables_of(description)
    taken = [one for one in variables if shapes.get(one.op.name) == one.shape.as_list()]
    if not taken:
        raise KwsError(
            "%s has no weights for a %s of this size; its variables are: %s"
            % (prefix, description.architecture, ", ".join(sorted(shapes)[:5]) + ", ...")
        )
    _restore(tf.train.Saver(taken), session, prefix)
    left = sorted(set(variables) - set(taken), key=lambda one: one.op.name)
    say("Starting from %s%s." % (
        os.path.basename(prefix), "; new: " + ", ".join(one.op.name for one in left) if left else ""
    ))
