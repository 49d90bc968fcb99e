"""Labels that a network doubts which has not been trained on their clips: confident learning."""
from typing import List, NamedTuple

import numpy as np


class Doubt(NamedTuple):
    """A clip whose label is doubtful."""

    clip: int  # its row
    suggested: int  # the label that the network gives it
    margin: float  # score of that label - score of the given label


def find(targets: np.ndarray, scores: np.ndarray) -> List[Doubt]:
    """The doubtful ones among the given labels [n] int of clips, those with the largest margin first.

    scores [n, label_count]: of networks that did not see these clips in training. The rule is that of confident
    learning (Northcutt, Jiang, Chuang, JAIR 70, 2021, equations 1 and 2), with which a network that is often
    unsure about a label doubts it less. The threshold of a label is the mean of its score over the clips that have it.
    A clip is doubtful if the score of its own label is below the threshold of that label, while the score of another
    one reaches its threshold; of several others, the one with the highest score is suggested.
    """
    rows = np.arange(len(targets))
    own = scores[rows, targets]
    counts = np.bincount(targets, minlength=scores.shape[1])
    thresholds = np.bincount(targets, own, minlength=scores.shape[1]) / np.maximum(counts, 1)
    thresholds[counts == 0] = np.inf
    others = np.where(scores >= thresholds, scores, -np.inf)
    others[rows, targets] = -np.inf
    suggested = others.argmax(axis=1)
    margins = others[rows, suggested] - own
    doubtful = rows[(own < thresholds[targets]) & np.isfinite(margins)]
    ranked = doubtful[np.argsort(-margins[doubtful], kind="stable")]
    return [Doubt(int(row), int(suggested[row]), float(margins[row])) for row in ranked]
