"""TensorFlow Lite files (.tflite) of kws: features -> scores, in 32-bit floats or in 8-bit integers.

The file holds model.json and labels.txt as well, as a zip archive at its end: see `export.tflite`.
"""
import warnings
import zipfile
from typing import Optional

import numpy as np
import tensorflow.compat.v1 as tf

from .. import files
from ..errors import KwsError
from ..runs.description import MODEL, Description
from ..sound.features import features as features_of
from .classifier import Classifier
from .described import check_labels


class TfliteClassifier(Classifier):
    """A network that TensorFlow Lite's interpreter runs, one clip at a time."""

    takes_features = True

    def __init__(self, path: str, description: Description, interpreter: "tf.lite.Interpreter") -> None:
        super().__init__(
            path, description.labels, description.features, description.data, "", description.network,
            description.detector,
        )
        self._interpreter = interpreter
        self.format = "tflite-int8" if interpreter.get_input_details()[0]["dtype"] == np.int8 else "tflite"

    def scores(self, clips: np.ndarray) -> np.ndarray:
        return self.scores_of_features(features_of(clips, self.features))

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        return scores_of(self._interpreter, features)


def scores_of(interpreter: "tf.lite.Interpreter", features: np.ndarray) -> np.ndarray:
    """features [n, frame_count, channel_count] -> scores [n, label_count]."""
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows, scores = _quantized(features.reshape(len(features), 1, -1), source), []
    for row in rows:
        interpreter.set_tensor(source["index"], row)
        interpreter.invoke()
        scores.append(interpreter.get_tensor(target["index"]))
    return _dequantized(np.concatenate(scores), target)


def _quantized(values, tensor):
    """Numbers in the type of a tensor of the network."""
    scale, zero = tensor["quantization"]
    if not scale:
        return values.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(tensor["dtype"])


def _dequantized(values, tensor):
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values


def open_model(path: str, labels_path: Optional[str] = None) -> TfliteClassifier:
    """The classifier in a .tflite file."""
    description = _description(path)
    check_labels(path, description, labels_path)
    with open(path, "rb") as file:
        opened = interpreter(file.read(), path)
    shapes = [one["shape"].tolist() for one in opened.get_input_details() + opened.get_output_details()]
    wanted = [[1, description.features.feature_count], [1, len(description.labels)]]
    if shapes != wanted:
        raise KwsError(
            "the inputs and outputs of %s have the shapes %s, but its model.json describes %s" % (path, shapes, wanted),
            "freeze it again",
        )
    return TfliteClassifier(path, description, opened)


def _description(path):
    """The Description inside a file."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(MODEL)
    except FileNotFoundError:
        raise KwsError("there is no model file %s" % path, "check the name")
    except (zipfile.BadZipFile, KeyError, NotImplementedError):
        raise KwsError(
            "%s does not contain the description of a network: it is cut off, or not from kws freeze" % path,
            "freeze or copy it again",
        )
    return Description.from_json(files.parse_json(text, "the description in %s" % path, "freeze it again"), path)


def interpreter(content: bytes, path: str) -> "tf.lite.Interpreter":
    """TensorFlow Lite's interpreter of the content of a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow 2.x recommends another package
            opened = tf.lite.Interpreter(model_content=content, **_kernels("BUILTIN_WITHOUT_DEFAULT_DELEGATES"))
            if opened.get_input_details()[0]["dtype"] == np.int8:
                # Faster kernels round in other ways, and the microcontrollers that such files are for have these.
                opened = tf.lite.Interpreter(model_content=content, **_kernels("BUILTIN_REF"))
        opened.allocate_tensors()
        return opened
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise KwsError("%s cannot be run: %s" % (path, reason), "freeze or copy it again")


def _kernels(name):
    """The argument that chooses the kernels; TensorFlow 1.15 has no choice."""
    types = getattr(tf.lite.experimental, "OpResolverType", None)
    return {"experimental_op_resolver_type": getattr(types, name)} if types else {}
