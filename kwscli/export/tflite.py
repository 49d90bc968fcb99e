"""A TensorFlow Lite file in 32-bit floats: `fingerprint_input`, the features of a clip -> scores [1, label_count].

model.json and labels.txt are at the end of the file, as a zip archive. TensorFlow Lite ignores them.
"""
import contextlib
import os
import sys
from typing import Iterator, Mapping

import tensorflow.compat.v1 as tf

from .. import console
from ..classifiers import tflite
from ..classifiers.described import FEATURES_INPUT, OUTPUT, WAVEFORM_INPUT
from ..devices import session
from ..errors import Unavailable
from ..runs.description import MODEL, Description
from ..runs.run_directory import LABELS
from . import frozen_graph, tflite_metadata

SUFFIX = ".tflite"
SUMMARY = "%s -> scores, 32-bit floats" % FEATURES_INPUT
ON_TENSORFLOW_1 = tf.__version__.startswith("1.")
NEWER = "freeze the same checkpoint on Python 3.9 or newer"


def write(path: str, description: Description, prefix: str, extra: Mapping[str, bytes] = {}) -> None:
    """Write the file. extra: more files {name: content} for the archive at its end."""
    graph_def = frozen_graph.frozen(description, prefix, frozen_graph.features_input)
    save(path, in_floats(graph_def, description, FEATURES_INPUT), description, FEATURES_INPUT, extra)


def in_floats(graph_def: "tf.GraphDef", description: Description, source: str) -> bytes:
    """The content of a file in 32-bit floats. source: the name of the graph's input."""
    with converter(graph_def, source) as float_converter:
        float_converter.allow_custom_ops = source == WAVEFORM_INPUT  # AudioSpectrogram and Mfcc
        if ON_TENSORFLOW_1:  # its other converter gives wrong scores of cnn, and crashes at bc_resnet
            float_converter.experimental_enable_mlir_converter = True
        return converted(float_converter, description)


@contextlib.contextmanager
def converter(graph_def: "tf.GraphDef", source: str = FEATURES_INPUT) -> Iterator["tf.lite.TFLiteConverter"]:
    """TensorFlow Lite's converter of a frozen graph with this input."""
    with tf.Graph().as_default() as graph, session.open_session(graph) as opened:
        tf.import_graph_def(graph_def, name="")
        ends = [graph.get_tensor_by_name(name + ":0") for name in (source, OUTPUT)]
        yield tf.lite.TFLiteConverter.from_session(opened, ends[:1], ends[1:])


def converted(converter: "tf.lite.TFLiteConverter", description: Description) -> bytes:
    """The content of a .tflite file."""
    try:
        with _interpreters_folder_in_path(), console.libraries_silenced():
            return converter.convert()
    except Exception as error:  # the converters raise many types
        reason = str(error).strip().splitlines()[-1]
        raise Unavailable(
            "TensorFlow %s cannot convert a %s: %s" % (tf.__version__, description.architecture, reason),
            NEWER if ON_TENSORFLOW_1 else "choose another --format",
        )


def save(
    path: str, content: bytes, description: Description, source: str = FEATURES_INPUT, extra: Mapping[str, bytes] = {}
) -> None:
    """Write a file with its description.

    source: the name of its input. extra: more files {name: content} for the archive at its end.
    """
    with open(path, "wb") as file:
        file.write(tflite_metadata.added(content, description, source))
    labels = "".join(label + "\n" for label in description.labels)
    tflite.add_members(path, {MODEL: tflite.described(description), LABELS: labels.encode("utf-8"), **extra})


@contextlib.contextmanager
def _interpreters_folder_in_path():
    """TensorFlow 1.15 looks for its program toco_from_protos, which is beside Python's, in $PATH."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + before
    try:
        yield
    finally:
        os.environ["PATH"] = before
