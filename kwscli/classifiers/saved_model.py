"""Folders of TensorFlow's SavedModel that `kws freeze` wrote: features, a waveform or a WAV file -> scores."""
import os
from typing import Any, Optional

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from ..devices import session
from ..errors import KwsError
from ..runs.description import MODEL, Description, read_description
from ..sound.features import features as features_of
from .classifier import Classifier, in_batches
from .described import check_labels

ASSETS = "assets.extra"  # for files that TensorFlow leaves alone
SCORES = "scores"


class SavedModelClassifier(Classifier):
    """A model in a session. signatures: {name: its SignatureDef}."""

    format = "saved_model"
    takes_features = True

    def __init__(self, path: str, description: Description, opened: "tf.Session", signatures: Any) -> None:
        super().__init__(
            path, description.labels, description.features, description.data, "", description.network,
            description.detector,
        )
        self._session, self.signatures = opened, signatures

    def scores(self, clips: np.ndarray) -> np.ndarray:
        return self.scores_of_features(features_of(clips, self.features))

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        return in_batches(lambda rows: self.run("features", rows), features.reshape(len(features), -1))

    def run(self, name: str, value: Any) -> np.ndarray:
        """The scores that the signature of this name gives for its input of the same name."""
        signature = self.signatures[name]
        return self._session.run(signature.outputs[SCORES].name, {signature.inputs[name].name: value})

    def close(self) -> None:
        self._session.close()


def open_model(path: str, labels_path: Optional[str] = None) -> SavedModelClassifier:
    """The classifier in a folder."""
    if not os.path.exists(os.path.join(path, ASSETS, MODEL)):
        raise KwsError(
            "%s has no %s/%s, which describes its network: it is not from kws freeze" % (path, ASSETS, MODEL),
            "name another folder",
        )
    description = read_description(os.path.join(path, ASSETS, MODEL))
    check_labels(path, description, labels_path)
    opened = session.open_session(tf.Graph())
    try:
        with opened.graph.as_default():
            loaded = tf.saved_model.loader.load(opened, [tf.saved_model.tag_constants.SERVING], path)
        model = SavedModelClassifier(path, description, opened, dict(loaded.signature_def))
        model.run("features", np.zeros((1, description.features.feature_count), np.float32))
        return model
    except (tf.errors.OpError, OSError, DecodeError, RuntimeError, ValueError, KeyError) as error:
        opened.close()
        raise KwsError(
            "%s cannot be loaded: %s" % (path, str(error).strip().splitlines()[0]), "freeze or copy it again"
        )
