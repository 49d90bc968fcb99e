"""What TensorFlow Lite gives for an 8-bit network: the integers that the C code must give."""
from typing import Callable, NamedTuple

import numpy as np

from ...classifiers.interpreter import interpreter as open_interpreter
from .tflite_file import Network

try:
    from tflite_micro import runtime as micro  # it has wheels for few Pythons and systems
except ImportError:
    micro = None

_MICRO_ARENA = 16 << 20  # bytes, more than any of our networks needs


class Reference(NamedTuple):
    """scores: features [n, values] int8 -> scores [n, label_count] int8. exact: the C code must give the same ones."""

    name: str
    exact: bool
    scores: Callable[[np.ndarray], np.ndarray]


def of(content: bytes) -> Reference:
    """The best reference on this machine for the content of a .tflite file."""
    if micro:
        return Reference("TensorFlow Lite Micro", True, lambda features: _micro_scores(content, features))
    # TensorFlow's own kernels for dense layers round once, and those for microcontrollers twice. TensorFlow 1.15 also
    # rounds convolutions in other ways.
    return Reference("TensorFlow Lite", False, lambda features: _scores(content, features))


def quantized(features: np.ndarray, network: Network) -> np.ndarray:
    """Features [n, frame_count, channel_count] -> the integers [n, values] that the network takes."""
    integers = np.round(features.reshape(len(features), -1) / network.input.scale) + network.input.zero_point
    return np.clip(integers, -128, 127).astype(np.int8)


def _micro_scores(content, features):
    interpreter, scores = micro.Interpreter.from_bytes(content, arena_size=_MICRO_ARENA), []
    for row in features:
        interpreter.set_input(row[np.newaxis], 0)
        interpreter.invoke()
        scores.append(interpreter.get_output(0)[0].copy())
    return np.array(scores)


def _scores(content, features):
    interpreter, scores = open_interpreter(content, "the network"), []
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    for row in features:
        interpreter.set_tensor(source["index"], row[np.newaxis])
        interpreter.invoke()
        scores.append(interpreter.get_tensor(target["index"])[0].copy())
    return np.array(scores)
