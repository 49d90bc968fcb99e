"""A model file of any kind -> a `Classifier`, which knows its labels and features and scores clips.

To add a kind, write a module with a function open_model(path, labels_path) -> Classifier and put its suffix below.
"""
import importlib
from typing import Optional

from .. import imports
from ..runs import run_directory
from .classifier import Classifier

BY_SUFFIX = {".pb": "kwscli.classifiers.frozen_graph"}
OTHERWISE = "kwscli.classifiers.checkpoint"


def open(path: Optional[str] = None, labels_path: Optional[str] = None) -> Classifier:
    """Open a model file, a checkpoint or a run directory; None: the newest run under output/.

    labels_path: the labels.txt of a model file that does not contain its labels.
    """
    path = path or run_directory.newest()
    name = next((module for suffix, module in BY_SUFFIX.items() if path.endswith(suffix)), OTHERWISE)
    with imports.guarded():  # TensorFlow takes seconds
        module = importlib.import_module(name)
    return module.open_model(path, labels_path)
