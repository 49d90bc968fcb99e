"""ROC and DET curves: how many clips of a keyword, and how many others, reach each threshold."""
from typing import NamedTuple, Optional

import numpy as np


class Curve(NamedTuple):
    """What each threshold accepts; the thresholds go down. The first is infinite, and accepts nothing.

    false_accepts [m]: the share of the other clips whose score reaches the threshold. hits [m]: that of the keyword's.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    hits: np.ndarray

    @property
    def false_rejects(self) -> np.ndarray:
        """The share of the keyword's clips below each threshold: with `false_accepts`, the DET curve."""
        return 1 - self.hits

    @property
    def area(self) -> float:
        """The area under the ROC curve, by trapezoids.

        It is the chance that a clip of the keyword has a higher score than another clip; equal scores count half.
        """
        steps = np.diff(self.false_accepts)
        return float(np.sum(steps * (self.hits[1:] + self.hits[:-1]) / 2))

    @property
    def equal_error_rate(self) -> float:
        """The error where as large a share is falsely accepted as falsely rejected, on the line between two points."""
        excess = self.false_accepts - self.false_rejects
        after = int(np.argmax(excess >= 0))
        before = after - 1
        part = -excess[before] / (excess[after] - excess[before])
        return float(self.false_accepts[before] + part * (self.false_accepts[after] - self.false_accepts[before]))

    @property
    def corners(self) -> "Curve":
        """The same line with fewer points: those inside of a horizontal or vertical part are left out."""
        inside = [(np.diff(one)[1:] == 0) & (np.diff(one)[:-1] == 0) for one in (self.false_accepts, self.hits)]
        kept = np.flatnonzero(np.concatenate([[True], ~(inside[0] | inside[1]), [True]]))
        return Curve(self.thresholds[kept], self.false_accepts[kept], self.hits[kept])

    def false_rejects_at(self, false_accepts: float) -> float:
        """The lowest share of false rejects among the thresholds with at most this share of false accepts."""
        return float(self.false_rejects[self.false_accepts <= false_accepts].min())


def curve(is_keyword: np.ndarray, scores: np.ndarray) -> Optional[Curve]:
    """The Curve of scores [n] of clips, and whether each is of the keyword [n]; None without clips of both kinds."""
    positives = int(np.count_nonzero(is_keyword))
    negatives = len(is_keyword) - positives
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(is_keyword[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of clips with the same score
    thresholds = np.append(np.inf, scores[last])
    hits = np.append(0, hits[last])
    false_accepts = np.append(0, last + 1) - hits
    return Curve(thresholds, false_accepts / negatives, hits / positives)
