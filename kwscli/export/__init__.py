"""The formats that `kws freeze` writes. Each is one file or one folder.

To add one, write a module with

    SUFFIX = "_int8.tflite"    what is added to the name of the file
    SUMMARY = "..."            one line for --help and for the output
    FOLDER = True              optional: it is a folder, and write() gets an empty one
    write(path, description, prefix)
        writes the network of a checkpoint to a file; raises Unavailable if this network or this machine cannot
    note(path) -> str
        optional: what to do with the file
    check(path, description, original, clips) -> (difference of scores, how the file agrees in one line)
        optional: compares the file with the checkpoint's Classifier; raises a KwsError if the file must not be kept
    instead() -> str
        optional: the format to write instead on this machine, "" for none

and put its name below. The file counts when `classifiers.open` opens it and its scores on the clips are those of the
checkpoint. A format with its own check() may have other scores, or files that only other machines can open.
"""
import importlib
from types import ModuleType
from typing import Dict, Sequence

from .. import imports
from ..errors import KwsError

FORMATS: Dict[str, str] = {
    "pb": "kwscli.export.pb",
    "pb-features": "kwscli.export.pb_features",
    "saved_model": "kwscli.export.saved_model",
    "tflite": "kwscli.export.tflite",
    "tflite-waveform": "kwscli.export.tflite_waveform",
    "tflite-int8": "kwscli.export.tflite_int8",
    "onnx": "kwscli.export.onnx",
    "c": "kwscli.export.c_kit",
    "om": "kwscli.export.om",
}
# {format that users look for: why there is none}
IMPOSSIBLE = {
    "esphome": "micro_wake_word takes a streaming network on 40 channels of its own front end that ends in a sigmoid, "
    "and it has no Softmax, so it cannot load a network of kws",
}
DEFAULT_FORMATS = ("pb", "pb-features")
ALL = "all"


def load(name: str) -> ModuleType:
    """The module of a format, imported only now."""
    with imports.guarded():
        return importlib.import_module(FORMATS[name])


def chosen(names: Sequence[str]) -> Sequence[str]:
    """The names of formats that --format means."""
    for name in names:
        if name in IMPOSSIBLE:
            raise KwsError(
                "there is no format %s: %s" % (name, IMPOSSIBLE[name]), "see kws guide formats, or leave %s out" % name
            )
        if name not in FORMATS and name != ALL:
            raise KwsError("there is no format %s" % name, "choose from %s, %s" % (", ".join(FORMATS), ALL))
    return tuple(FORMATS) if ALL in names else tuple(dict.fromkeys(names))
