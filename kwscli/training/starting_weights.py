"""The weights that `--start-checkpoint` gives to a training, label by label."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from ..classifiers.classifier import Weights
from ..console import say
from ..errors import KwsError
from ..models import ARCHITECTURES, network
from ..runs.description import Description
from ..settings import flag_of
from .layers import layers_of


def start_from(session: tf.Session, source: Weights, description: Description) -> None:
    """Give the variables of a session the weights of another network, where name and shape agree.

    The weights of a label go to the place of the label with the same name. All others, such as those of new labels,
    keep their random values.
    """
    taken, new = _fitting(session, source, description)
    if not any(value.ndim > 1 for _, value in taken):  # biases fit into networks of any size
        raise _unfit(source, description)
    _check_features(source, description)
    _check_frozen(source, description, new)
    # In one call, because each call of other operations takes TensorFlow as long as all of them together.
    session.run([variable.initializer for variable, _ in taken],
                {variable.initializer.inputs[1]: value for variable, value in taken})
    unknown = [label for label in description.labels if label not in source.labels]
    say("Starting from %s%s." % (os.path.basename(source.path), "".join(
        "; %s: %s" % (what, ", ".join(names)) for what, names in (("new", unknown), ("new variables", new)) if names
    )))


def _fitting(session, source, description):
    """([(variable, the value that the source gives it)], names of the variables that it has no value for)."""
    axes = network.label_axes(description)
    known = [label for label in description.labels if label in source.labels]
    to, of = ([labels.index(label) for label in known] for labels in (description.labels, source.labels))
    variables = network.variables_of(description)
    random = session.run({variable.op.name: variable for variable in variables if variable.op.name in axes})
    taken, new = [], []
    for variable in variables:
        name, axis = variable.op.name, axes.get(variable.op.name)
        shape = variable.shape.as_list()
        value = source.values.get(name)
        if axis is not None:
            shape[axis] = len(source.labels)
        if value is None or list(value.shape) != shape:
            new += [name] if shape else []  # the scalars are ranges of --quantize, which need no mention
            continue
        if axis is not None:
            moved = np.array(random[name])
            np.moveaxis(moved, axis, 0)[to] = np.moveaxis(value, axis, 0)[of]
            value = moved
        taken.append((variable, value))
    return taken, new


def _check_frozen(source, description, new):
    """Refuse to freeze layers with random weights. new: the variables that the source has no weights for."""
    frozen = network.scopes_of(description, layers_of(description).frozen)
    without = [name for name in new if name.rpartition("/")[0] in frozen]
    if without:
        raise KwsError("%s has no weights for the frozen variable %s" % (source.path, without[0]),
                       "freeze fewer layers, or start from a run of the same size")


def _unfit(source, description):
    """The error that there is nothing to take."""
    theirs = sorted({name.partition("/")[0] for name in source.values} & set(ARCHITECTURES))
    if theirs and theirs != [description.architecture]:
        return KwsError(
            "%s has the weights of a %s, not of a %s" % (source.path, theirs[0], description.architecture),
            "add --model-architecture %s" % theirs[0],
        )
    return KwsError(
        "%s has no weights for a %s of this size; its variables are: %s, ..."
        % (source.path, description.architecture, ", ".join(sorted(source.values)[:5])),
        "start from a run of the same architecture and size",
    )


def _check_features(source, description):
    """Graphs of other tools say their features, but not their network, so that nothing before this compares them."""
    for name, mine in vars(description.features).items():
        theirs = getattr(source.features, name)
        if mine != theirs:
            raise KwsError(
                "%s is %s, but that of %s is %s" % (flag_of(name), mine, source.path, theirs),
                "give %s %s" % (flag_of(name), theirs),
            )
