"""A model file of any kind -> a `Classifier`, which knows its labels and features and scores clips.

To add a kind, write a module with a function open_model(path, labels_path) -> Classifier and put its suffix below, or
the name of a file that only such a folder holds. If a training can start with the weights in it, add functions
weights(path) -> Weights, and description_of(path) -> its Description, or None if it does not hold one.
"""
import importlib
import os
from typing import Callable, Optional

from .. import imports, pretrained
from ..console import say
from ..errors import KwsError
from ..runs import run_directory
from ..runs.description import Description
from ..settings import DetectorSettings
from .classifier import Classifier, Weights

BY_SUFFIX = {
    ".pb": "kwscli.classifiers.frozen_graph",
    ".tflite": "kwscli.classifiers.tflite",
    ".onnx": "kwscli.classifiers.onnx",
    ".om": "kwscli.classifiers.om",
}
BY_FILE_IN_FOLDER = {
    "saved_model.pb": "kwscli.classifiers.saved_model",
    "kws_model.h": "kwscli.classifiers.c_kit",
}
OTHERWISE = "kwscli.classifiers.checkpoint"


def open(path: Optional[str] = None, labels_path: Optional[str] = None, light: bool = False) -> Classifier:
    """Open a model; None: the newest run under output/, or a network of the package where there is no run.

    labels_path: the labels.txt of a model file that does not contain its labels. light: take the light model of a run
    or a checkpoint, where it is there. Its scores differ by up to 1e-4, and it does not wait for TensorFlow.
    """
    path = located(path)
    if light and not is_exported(path):
        from . import light as light_models

        path = light_models.find(path) or path
    return _module_of(path).open_model(path, labels_path)


def located(path: Optional[str]) -> str:
    """The path of a model: a model file, a checkpoint, a run directory, or the name of a network in the package.

    A file or a folder with such a name comes first. None: the model that `open` opens then.
    """
    if not path:
        return _default()
    if path.endswith(tuple(BY_SUFFIX)) or os.path.exists(path) or run_directory.is_there(path):
        _check_kind(path)
        return path
    if path in pretrained.names():
        return pretrained.path(path)
    raise KwsError(
        "there is no checkpoint %s" % path,
        "check the path, or name a network of the package: %s" % ", ".join(pretrained.names()),
    )


def _default():
    """The path of the model where the user names none."""
    run = run_directory.find_newest()
    if run:
        return run
    name = pretrained.names()[0]
    say("There is no run under %s/, so this uses the packaged network %s; see kws models --pretrained."
        % (run_directory.OUTPUT, name))
    return pretrained.path(name)


def weights(path: str) -> Weights:
    """The weights in a model; see `located`."""
    return _startable(path).weights(located(path))


def _startable(path):
    """The module of a model that a training can start with."""
    module = _module_of(located(path))
    if not hasattr(module, "weights"):
        raise KwsError("a training cannot start with the weights in %s" % path, "give a run directory or a checkpoint")
    return module


def description(path: str) -> Optional[Description]:
    """What a training that starts with the weights in a model must keep; None for the graph of another tool."""
    return _startable(path).description_of(located(path))


def weights_file(path: str) -> str:
    """The file that holds the weights of a model; see `located`."""
    path = located(path)
    if not is_exported(path):
        return run_directory.weights_file(run_directory.resolve(path)[1])
    if not os.path.isfile(path):
        raise KwsError("there is no model file %s" % path, "check the name")
    return path


def detector_writer(path: str) -> Callable[[DetectorSettings], None]:
    """What writes other settings of the detector into a model; see `located`. A KwsError if nothing can."""
    path = located(path)
    if not is_exported(path):
        from . import light as light_models

        return lambda settings: light_models.write_detector(path, settings)
    if pretrained.is_inside(path):
        raise KwsError("the settings of the network in the package stay as they are", "give a copy of %s" % path)
    if not path.endswith(".tflite"):
        raise KwsError(
            "kws does not change the settings in %s" % path,
            "give the run that it was frozen from, and freeze it again; of exported files, only .tflite can be changed",
        )
    from . import tflite

    return lambda settings: tflite.write_detector(path, settings)


def is_exported(path: str) -> bool:
    """Whether a path names a model file or folder that `kws freeze` or another tool wrote."""
    return _module_name_of(path) != OTHERWISE


def _module_name_of(path):
    if os.path.isdir(path):
        found = (module for name, module in BY_FILE_IN_FOLDER.items() if os.path.exists(os.path.join(path, name)))
    else:
        found = (module for suffix, module in BY_SUFFIX.items() if path.endswith(suffix))
    return next(found, OTHERWISE)


def _check_kind(path):
    """Refuse a file of another kind."""
    is_file = os.path.isfile(path) and not run_directory.is_checkpoint_file(path)
    if is_file and not is_exported(path) and not run_directory.is_there(path):
        raise KwsError(
            "%s is not a model that kws knows" % path,
            "name a run directory, a checkpoint, a folder with a %s, or a file that ends in %s"
            % (" or ".join(BY_FILE_IN_FOLDER), ", ".join(BY_SUFFIX)),
        )


def _module_of(path):
    """The module that opens a file, imported only now."""
    with imports.guarded():  # TensorFlow takes seconds
        return importlib.import_module(_module_name_of(path))
