"""The formats that `kws freeze` writes. Each is one file or one folder.

To add one, write a module with

    SUFFIX = "_int8.tflite"    what is added to the name of the file
    SUMMARY = "..."            one line for --help and for the output
    write(path, description, prefix)
        writes the network of a checkpoint to a file
    note(path) -> str
        optional: what to do with the file
    check(exported, original, description) -> str
        optional: compares the file's Classifier with that of the checkpoint and says how they agree in one line;
        raises a KwsError if the file must not be kept
    FOLDER = True              optional: the format is a folder
    finish(path, original, description, clips) -> (difference, str)
        optional, for what `classifiers.open` does not open: completes the file or folder and checks it; the largest
        difference from the checkpoint's scores on these clips, and what check() returns

and put its name below. The file counts when `classifiers.open` opens it and its scores are those of the checkpoint. The
scores of a format with its own check() may differ.
"""
import importlib
from types import ModuleType
from typing import Dict, Sequence

from ..errors import KwsError

FORMATS: Dict[str, str] = {
    "pb": "kwscli.export.pb",
    "pb-features": "kwscli.export.pb_features",
    "tflite": "kwscli.export.tflite",
    "tflite-int8": "kwscli.export.tflite_int8",
    "c": "kwscli.export.c_kit",
}
DEFAULT_FORMATS = ("pb", "pb-features")
ALL = "all"


def load(name: str) -> ModuleType:
    """The module of a format, imported only now."""
    return importlib.import_module(FORMATS[name])


def chosen(names: Sequence[str]) -> Sequence[str]:
    """The names of formats that --format means."""
    for name in names:
        if name not in FORMATS and name != ALL:
            raise KwsError("there is no format %s" % name, "choose from %s, %s" % (", ".join(FORMATS), ALL))
    return tuple(FORMATS) if ALL in names else tuple(dict.fromkeys(names))
