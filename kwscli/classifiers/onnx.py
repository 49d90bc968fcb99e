"""ONNX files (.onnx) of kws: features -> scores. The metadata properties of a file contain its model.json."""
from typing import Any, Optional

import numpy as np

from .. import files, imports
from ..errors import KwsError
from ..runs.description import MODEL, Description
from ..sound.features import features as features_of
from .classifier import Classifier, in_batches
from .described import FEATURES_INPUT, OUTPUT, check_labels

EXTRA = "onnx"


class OnnxClassifier(Classifier):
    """A network that onnxruntime runs."""

    format = "onnx"
    takes_features = True

    def __init__(self, path: str, description: Description, session: Any) -> None:
        super().__init__(
            path, description.labels, description.features, description.data, "", description.network,
            description.detector,
        )
        self._session = session

    def scores(self, clips: np.ndarray) -> np.ndarray:
        return self.scores_of_features(features_of(clips, self.features))

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        rows = features.reshape(len(features), -1)
        return in_batches(lambda some: self._session.run([OUTPUT], {FEATURES_INPUT: some})[0], rows)


def open_model(path: str, labels_path: Optional[str] = None) -> OnnxClassifier:
    """The classifier in a .onnx file."""
    session = _session(path)
    text = session.get_modelmeta().custom_metadata_map.get(MODEL)
    if text is None:
        raise KwsError(
            "%s does not contain the description of a network: it is not from kws freeze" % path, "name another file"
        )
    description = Description.from_json(files.parse_json(text, "the description in %s" % path, "freeze it again"), path)
    check_labels(path, description, labels_path)
    ends = [(one.name, one.shape[1:]) for one in session.get_inputs() + session.get_outputs()]
    wanted = [(FEATURES_INPUT, [description.features.feature_count]), (OUTPUT, [len(description.labels)])]
    if ends != wanted:
        raise KwsError(
            "the inputs and outputs of %s are %s, but its model.json describes %s" % (path, ends, wanted),
            "freeze it again",
        )
    return OnnxClassifier(path, description, session)


def _session(path):
    runtime = imports.optional("onnxruntime", EXTRA)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise KwsError("there is no model file %s" % path, "check the name")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more only cost time for such small networks
    options.log_severity_level = 4  # all errors are exceptions
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many types, without a common base
        raise KwsError("%s cannot be run: %s" % (path, str(error).splitlines()[0]), "freeze or copy it again")
