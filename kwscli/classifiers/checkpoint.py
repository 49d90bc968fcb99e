"""A checkpoint, or the best one of a run directory, as a classifier."""
from typing import Any, Optional

import numpy as np

from .. import files
from ..errors import KwsError
from ..labels import read_labels
from ..runs import checkpoint, run_directory
from ..runs.description import Description
from ..sound.features import features
from .classifier import Classifier, Weights, in_batches


class CheckpointClassifier(Classifier):
    """The weights of a checkpoint, in the network that model.json describes."""

    format = "checkpoint"
    takes_features = True

    def __init__(self, path: str, description: Description, session: Any, inference: Any) -> None:
        super().__init__(
            path, description.labels, description.features, description.data, description.data_path,
            description.network, description.detector,
        )
        self._session, self._inference = session, inference

    def scores(self, clips: np.ndarray) -> np.ndarray:
        return self.scores_of_features(features(clips, self.features))

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        return in_batches(self._scores, features)

    def _scores(self, features):
        return self._session.run(self._inference.scores, {self._inference.features: features})

    @property
    def size(self) -> int:
        """The size of the file with the weights, and with what only a training needs."""
        return files.size_of(run_directory.weights_file(self.path))

    def close(self) -> None:
        self._session.close()


def open_model(path: str, labels_path: Optional[str] = None) -> CheckpointClassifier:
    """The classifier in a run directory or a checkpoint."""
    description, prefix = run_directory.resolve(path)
    if labels_path and read_labels(labels_path) != description.labels:
        raise KwsError(
            "%s has other labels than model.json of %s (%s)" % (labels_path, path, ", ".join(description.labels)),
            "leave --labels out",
        )
    session, inference = checkpoint.inference_session(description, prefix)
    return CheckpointClassifier(prefix, description, session, inference)


def description_of(path: str) -> Description:
    """The Description of a run directory or a checkpoint."""
    return run_directory.resolve(path)[0]


def weights(path: str) -> Weights:
    """The weights in a run directory or a checkpoint."""
    description, prefix = run_directory.resolve(path)
    return Weights(prefix, description.labels, description.features, checkpoint.values(prefix))
