"""Calibration: whether a network that says 90 % is right in 90 % of such cases."""
from typing import NamedTuple, Sequence

import numpy as np

BINS = 15


class Bin(NamedTuple):
    """The clips whose highest score is above `low` and at most `high`. Without clips, the means are 0."""

    low: float
    high: float
    clips: int
    confidence: float  # the mean of their highest scores
    accuracy: float


class Calibration(NamedTuple):
    """The highest scores of all clips, in bins of equal width, and the accuracy in each bin."""

    bins: Sequence[Bin]

    @classmethod
    def of(cls, scores: np.ndarray, right: np.ndarray) -> "Calibration":
        """The Calibration of scores [n, label_count], and whether each answer is right [n] bool."""
        confidence = scores.max(axis=1).astype(np.float64)
        of_bin = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        clips = np.bincount(of_bin, minlength=BINS)
        sums = [np.bincount(of_bin, weights, BINS) / np.maximum(1, clips) for weights in (confidence, right)]
        return cls([
            Bin(index / BINS, (index + 1) / BINS, int(clips[index]), float(sums[0][index]), float(sums[1][index]))
            for index in range(BINS)
        ])

    @property
    def error(self) -> float:
        """The expected calibration error: sum over bins of clips / n * |accuracy - confidence| (arXiv 1706.04599)."""
        count = sum(one.clips for one in self.bins)
        return sum(one.clips * abs(one.accuracy - one.confidence) for one in self.bins) / count
