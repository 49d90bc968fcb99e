"""TensorFlow Lite files (.tflite) of kws: features -> scores in 32-bit floats or in 8-bit integers, or clips -> scores.

The file holds model.json and labels.txt as well, as a zip archive at its end: see `export.tflite`.
"""
import dataclasses
import io
import json
import threading
import zipfile
from typing import Any, Dict, Mapping, Optional

import numpy as np

from .. import files
from ..errors import KwsError
from ..runs.description import MODEL, Description
from ..settings import DetectorSettings
from ..sound.features import features as features_of
from .classifier import Classifier, Weights
from .described import WAVEFORM_INPUT, check_labels
from .interpreter import interpreter

# The weights as the training has them: TensorFlow Lite's own are merged with batch norm and have other names.
WEIGHTS = "weights.npz"


class TfliteClassifier(Classifier):
    """A network that TensorFlow Lite's interpreter runs, one clip at a time. Several threads may use it at once."""

    def __init__(self, path: str, description: Description, content: bytes) -> None:
        super().__init__(
            path, description.labels, description.features, description.data, "", description.network,
            description.detector,
        )
        self._content, self._of_thread = content, threading.local()

    @property
    def format(self) -> str:
        """Whether the file takes clips or features, and computes with floats or with 8-bit integers."""
        if not self.takes_features:
            return "tflite-waveform"
        return "tflite-int8" if self._input["dtype"] == np.int8 else "tflite"

    @property
    def takes_features(self) -> bool:
        return WAVEFORM_INPUT not in self._input["name"]

    @property
    def _input(self):
        return self.interpreter.get_input_details()[0]

    def scores(self, clips: np.ndarray) -> np.ndarray:
        if not self.takes_features:
            return scores_of(self.interpreter, clips)
        return self.scores_of_features(features_of(clips, self.features))

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        return scores_of(self.interpreter, features)

    @property
    def interpreter(self) -> Any:
        """The interpreter of this thread."""
        if not hasattr(self._of_thread, "interpreter"):
            self._of_thread.interpreter = interpreter(self._content, self.path)
        return self._of_thread.interpreter


def scores_of(interpreter: Any, inputs: np.ndarray) -> np.ndarray:
    """inputs: features [n, frame_count, channel_count], or clips [n, clip_samples] -> scores [n, label_count]."""
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows, scores = _quantized(inputs.reshape(len(inputs), 1, -1), source), []
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
    description = description_of(path)
    check_labels(path, description, labels_path)
    with open(path, "rb") as file:
        model = TfliteClassifier(path, description, file.read())
    ends = model.interpreter.get_input_details() + model.interpreter.get_output_details()
    shapes = [one["shape"].tolist() for one in ends]
    settings = description.features
    values = settings.feature_count if model.takes_features else settings.clip_samples
    wanted = [[1, values], [1, len(description.labels)]]
    if shapes != wanted:
        raise KwsError(
            "the inputs and outputs of %s have the shapes %s, but its model.json describes %s" % (path, shapes, wanted),
            "freeze it again",
        )
    return model


def weights(path: str) -> Weights:
    """The weights of the training, where the file holds them, as the networks of the package do."""
    description = description_of(path)
    content = member(path, WEIGHTS)
    if content is None:
        raise KwsError("a training cannot start with the weights in %s" % path, "give a run directory or a checkpoint")
    with np.load(io.BytesIO(content)) as values:
        return Weights(path, description.labels, description.features, dict(values))


def weights_content(values: Dict[str, np.ndarray]) -> bytes:
    """The content of the file WEIGHTS for weights {name of a variable: value}."""
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


def description_of(path: str) -> Description:
    """The Description inside a file."""
    text = member(path, MODEL)
    if text is None:
        raise KwsError(
            "%s does not contain the description of a network: it is cut off, or not from kws freeze" % path,
            "freeze or copy it again",
        )
    return Description.from_json(files.parse_json(text, "the description in %s" % path, "freeze it again"), path)


def write_detector(path: str, settings: DetectorSettings) -> None:
    """Write other settings of the detector into a file, and leave the rest as it is."""
    description = dataclasses.replace(description_of(path), detector=settings)
    with zipfile.ZipFile(path) as archive:
        inside = {one.filename: archive.read(one) for one in archive.infolist()}
        end = min(one.header_offset for one in archive.infolist())
    inside[MODEL] = described(description)
    with open(path, "rb") as file:
        content = file.read(end)
    with files.replacing_path(path) as part:
        with open(part, "wb") as file:
            file.write(content)
        add_members(part, inside)


def described(description: Description) -> bytes:
    """The content of MODEL in a file."""
    return json.dumps(description.portable().to_json(), sort_keys=True).encode("utf-8")


def add_members(path: str, members: Mapping[str, bytes]) -> None:
    """Add files {name: content} as a zip archive at the end of a file."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def member(path: str, name: str) -> Optional[bytes]:
    """The content of a file in the zip archive at the end of a .tflite file; None where it is not there."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except FileNotFoundError:
        raise KwsError("there is no model file %s" % path, "check the name")
    except (zipfile.BadZipFile, KeyError, NotImplementedError):
        return None
