"""A folder of portable C for microcontrollers: 16-bit samples -> scores, with the network in 8-bit integers.

The network is that of the format tflite-int8, and its C code gives the same integers as TensorFlow Lite for
microcontrollers. The files in sources/ are copied as they are; the others are made for the network.
"""
import json
import os
import shutil
from typing import Tuple

import numpy as np

from ... import toolchain
from ...classifiers import c_kit
from ...classifiers.classifier import Classifier
from ...errors import KwsError, Unavailable
from ...labels import write_labels
from ...runs.description import MODEL, Description
from ...runs.run_directory import LABELS
from ...sound import audio
from ...sound.features import features as features_of
from .. import tflite_int8
from . import model, reference, tables, tflite_file

SUFFIX = "_c"
SUMMARY = "16-bit samples -> scores, in C"
FOLDER = True
RECURRENT = ("basic_lstm", "lstm", "gru", "crnn")
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sources")
NETWORK = "model.tflite"
VECTORS = 4  # clips in test_vectors.h
# How far the scores may be from those of a reference that rounds in other ways: on average, in 1/256.
STEPS_ALLOWED = 1.0


def write(path: str, description: Description, prefix: str) -> None:
    """Write the kit of a checkpoint to the folder `path`."""
    if description.architecture in RECURRENT:
        raise Unavailable(
            "the C kit has no kernels for the recurrent layers of a %s" % description.architecture,
            "use --format tflite-int8, or train another --model-architecture",
        )
    network = os.path.join(path, NETWORK)
    tflite_int8.write(network, description, prefix)
    made = model.model_of(_content(path), description)
    for name in os.listdir(SOURCES):
        shutil.copyfile(os.path.join(SOURCES, name), os.path.join(path, name))
    for name, text in (
        ("kws_model.h", made.header),
        ("kws_model.c", made.source),
        ("kws_tables.h", tables.source(description.features)),
        (MODEL, json.dumps(description.portable().to_json(), indent=1, sort_keys=True) + "\n"),
    ):
        _write(path, name, text)
    write_labels(os.path.join(path, LABELS), description.labels)
    c_kit.seal(path)


def check(path: str, description: Description, original: Classifier, clips: np.ndarray) -> Tuple[float, str]:
    """Write the test vectors, compile the kit, and compare it with TensorFlow Lite and with the checkpoint.

    Returns the largest difference from the checkpoint's scores, and how the kit agrees in one line.
    """
    content = _content(path)
    _, told = tflite_int8.check(os.path.join(path, NETWORK), description, original, clips)
    network = tflite_file.read(content)
    features = reference.quantized(features_of(clips, description.features), network)
    wanted = reference.of(content)
    scores = wanted.scores(features)
    if toolchain.compiler():
        with c_kit.Kit(path) as kit:
            found = kit.run(features)
        agreed = _compared(found, scores, wanted)
        scores = found
    else:
        agreed = "not compiled, because no C compiler (%s) is in $PATH" % ", ".join(toolchain.COMPILERS)
    samples = audio.to_int16(clips[0])
    _write(path, "test_vectors.h", model.vectors(features[:VECTORS], scores[:VECTORS], samples))
    difference = float(np.abs((scores + 128.0) / 256 - original.scores(clips)).max())
    return difference, "%s; %s" % (told, agreed)


def note(path: str) -> str:
    """What the kit needs: on a Cortex-M4 where its compiler is installed, otherwise on this machine."""
    core = toolchain.CORES["m4"]
    try:
        if toolchain.cross_compiler(core):
            return "\n".join(
                [_sizes(path, "a " + core.name, toolchain.cross_compiler(core), toolchain.CROSS + "size")]
                + _instructions(path, core)
            )
        if toolchain.host_compiler():
            return _sizes(path, "this machine", toolchain.host_compiler(), "size")
    except KwsError as error:
        return "The needs of the C code were not measured: %s" % error
    return ""


def _sizes(path, machine, command, size):
    sizes = toolchain.sizes(path, command, size)
    arena = toolchain.numbers_of(path)["ARENA_BYTES"]
    return (
        "Flash on {}: {:,} bytes of network, {:,} of tables for the features, {:,} of code. "
        "RAM: {:,} bytes of activations, {:,} of samples, features and the detector."
    ).format(machine, sizes.weights, sizes.tables, sizes.code, arena, sizes.state - arena)


def _instructions(path, core):
    """One line about what an emulated core counts; no line without an emulator."""
    printed = toolchain.emulated(path, core)
    if not printed:
        return []
    counts = toolchain.instructions(printed)
    return [
        "Instructions per clip on an emulated {}, which are not cycles: {:,} of the network, {:,} of the features."
        .format(core.name, counts["network"], counts["features"])
    ]


def _compared(found, scores, wanted):
    """How the scores of the C code agree with a Reference; a KwsError if they do not."""
    equal = int((found == scores).all(axis=1).sum())
    off = np.abs(found.astype(int) - scores)
    if off.mean() > STEPS_ALLOWED or (wanted.exact and off.any()):
        raise KwsError(
            "the compiled C code does not give the scores of %s: they are equal on %d of %d clips and differ by up to "
            "%d/256" % (wanted.name, equal, len(found), off.max()),
            "choose another C compiler with $CC",
        )
    return "compiled, with the integers of %s on %d of %d clips" % (wanted.name, equal, len(found))


def _content(path):
    with open(os.path.join(path, NETWORK), "rb") as file:
        return file.read()


def _write(path, name, text):
    with open(os.path.join(path, name), "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
