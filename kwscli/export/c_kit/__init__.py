"""A folder of portable C for microcontrollers: 16-bit samples -> scores, with the network in 8-bit integers.

The network is that of the format tflite-int8, and its C code gives the same integers as TensorFlow Lite's reference
kernels. The files in sources/ are copied as they are; the others are made for the network.
"""
import contextlib
import json
import os
import shutil
import tempfile
from typing import Optional, Tuple

import numpy as np

from ...classifiers import tflite as runtime
from ...classifiers.classifier import Classifier
from ...errors import KwsError
from ...labels import write_labels
from ...runs.description import MODEL, Description
from ...runs.run_directory import LABELS
from ...sound import audio
from ...sound.features import features as features_of
from .. import tflite_int8
from . import model, tables, toolchain

SUFFIX = "_c"
SUMMARY = "16-bit samples -> scores, in C"
FOLDER = True
RECURRENT = ("basic_lstm", "lstm", "gru", "crnn")
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sources")
NETWORK = "model.tflite"
VECTORS = 4  # clips in test_vectors.h


def write(path: str, description: Description, prefix: str) -> None:
    """Write the kit of a checkpoint to the folder `path`."""
    if description.architecture in RECURRENT:
        raise KwsError(
            "the C kit has no kernels for the recurrent layers of a %s" % description.architecture,
            "use --format tflite-int8, or train another --model-architecture",
        )
    network = os.path.join(path, NETWORK)
    tflite_int8.write(network, description, prefix)
    with open(network, "rb") as file:
        content = file.read()
    made = model.model_of(content, description.labels, description.features)
    for name in os.listdir(SOURCES):
        shutil.copyfile(os.path.join(SOURCES, name), os.path.join(path, name))
    _write(path, "kws_model.h", made.header)
    _write(path, "kws_model.c", made.source)
    _write(path, "kws_tables.h", tables.source(description.features))
    _write(path, MODEL, json.dumps(description.portable().to_json(), indent=1, sort_keys=True) + "\n")
    write_labels(os.path.join(path, LABELS), description.labels)
