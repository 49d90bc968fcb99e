"""What every model file becomes when it is opened."""
import abc
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np

from .. import files
from ..settings import DataSettings, DetectorSettings
from ..sound.feature_settings import FeatureSettings

BATCH = 100  # clips that are scored at once


class Weights(NamedTuple):
    """The weights in a model file, and what they were trained for."""

    path: str
    labels: Tuple[str, ...]
    features: FeatureSettings
    values: Dict[str, np.ndarray]  # {name of a variable of our networks: its value}


class Classifier(abc.ABC):
    """A model that names clips. It is a context manager that closes the model at the end.

    path: its file. labels: what it tells apart. features: how its clips are made. data: which words are keywords.
    data_path: the folder of its training data, "" where the file does not say it. network: its architecture and size,
    None where the file does not say them. detector: how kws listen finds keywords in its scores. format: what kind of
    file it is.
    """

    format = ""
    takes_features = False  # whether it has scores_of_features; a graph that computes its features itself has not

    def __init__(
        self, path: str, labels: Tuple[str, ...], features: FeatureSettings, data: DataSettings, data_path: str = "",
        network: Optional[Tuple[str, Tuple[int, ...]]] = None, detector: DetectorSettings = DetectorSettings(),
    ) -> None:
        self.path, self.labels, self.features, self.data, self.data_path = path, labels, features, data, data_path
        self.network, self.detector = network, detector

    @abc.abstractmethod
    def scores(self, clips: np.ndarray) -> np.ndarray:
        """Clips [n, clip_samples] float32 in [-1, 1] -> scores [n, label_count]; each row sums to 1."""

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return files.size_of(self.path)

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        """Features [n, frame_count, channel_count] float32 -> what `scores` gives for their clips."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what the model holds."""

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def in_batches(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """function(rows[up to `batch`, ...]) over all rows, joined."""
    return np.concatenate([function(rows[start : start + batch]) for start in range(0, len(rows), batch)])


def in_full_batches(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """As `in_batches`, but for a function that takes exactly `batch` rows: the last batch is padded with zeros."""
    padding = np.zeros((-len(rows) % batch,) + rows.shape[1:], rows.dtype)
    return in_batches(function, np.concatenate([rows, padding]), batch)[: len(rows)]
