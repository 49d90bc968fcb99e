"""What every exported file must prove before it counts: the scores of the checkpoint."""
import numpy as np

from .. import classifiers
from ..classifiers.classifier import Classifier
from ..errors import KwsError

# The largest difference from the checkpoint's scores that counts as the same network.
TOLERANCE = 1e-4


def difference(path: str, original: Classifier, clips: np.ndarray) -> float:
    """The largest difference of the scores of a file from the checkpoint's."""
    with classifiers.open(path) as exported:
        return float(np.abs(exported.scores(clips) - original.scores(clips)).max())


def agreement(path: str, difference: float) -> str:
    """How scores agree in one line. Scores that are not those of the checkpoint are an error, which names `path`."""
    if not difference <= TOLERANCE:
        raise KwsError("the scores of %s are not those of the checkpoint: they differ by %.2g" % (path, difference))
    return "scores within %.1g of the checkpoint's" % difference
