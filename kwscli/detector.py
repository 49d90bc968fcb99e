"""The scores of windows that slide over a stream -> detections: what was said, and when.

At 4 windows per second, one to three windows hear a word well: those that have it in their middle. The mean of all
scores in half a second, which TensorFlow's example compares with a threshold, halves a word that one window hears, and
misses it (tensorflow#28516). The highest score alone misses nothing, but detects whatever a single window takes for a
keyword. This detector lets windows count as much as they are sure:

- The doubt of a window is 1 - its score. A keyword is detected as soon as the `minimum_windows` smallest doubts of the
  last `smoothing_ms` have a geometric mean of at most 1 - threshold. With 2 windows and a threshold of 0.9, scores of
  0.9 and 0.9 are enough, and so is 0.995 in one window, whatever the others say. In 30 minutes with 623 keywords
  and 408 other words, this finds 485 keywords with 41 false accepts; the highest score alone finds 490 with 112, the
  mean of half a second 399 with 100, and the mean of two windows 478 with 54.
- After a detection, nothing is detected for `suppression_ms`, and what was heard before does not count any more.
- A keyword that was detected counts again after a window with a score below its threshold. For this reason a long word,
  or a hum that resembles one, is detected once, and a word that is said twice is detected twice.

A detector needs the last windows only. The C kit has the same one in integers, see `export.c_kit.detector`.
"""
import collections
from typing import Deque, List, NamedTuple, Sequence, Tuple

import numpy as np

from .errors import KwsError
from .labels import SILENCE, UNKNOWN
from .settings import DetectorSettings

_NO_KEYWORDS = (SILENCE, UNKNOWN)


class Detection(NamedTuple):
    """A keyword that was detected. time_ms: that of the window that made it certain. score: of all its windows."""

    time_ms: float
    keyword: str
    score: float


class Detector:
    """Finds keywords in the scores of windows, which arrive in order of time."""

    def __init__(self, labels: Sequence[str], settings: DetectorSettings) -> None:
        self._labels, self._settings = tuple(labels), settings
        self._thresholds = thresholds_of(labels, settings)
        self._recent: Deque[Tuple[float, np.ndarray]] = collections.deque()  # (time, doubts [label_count]) of windows
        self._counts = np.ones(len(labels), bool)  # whether a label was not heard since it was detected
        self._silent_until = -np.inf

    def reached(self, scores: np.ndarray) -> np.ndarray:
        """Scores [n, label_count] -> [n]: whether a window reaches the threshold of a keyword."""
        return (scores >= self._thresholds).any(axis=1)

    def feed(self, times_ms: Sequence[float], scores: np.ndarray) -> List[Detection]:
        """The times of the next windows [n] and their scores [n, label_count] -> what they detect."""
        detections = []
        for time, row in zip(times_ms, scores):
            self._counts |= row < self._thresholds
            if time < self._silent_until:
                continue
            detection = self._window(float(time), row)
            if detection:
                detections.append(detection)
        return detections

    def _window(self, time, row):
        """What is detected at a window, or None."""
        recent, count = self._recent, self._settings.minimum_windows
        recent.append((time, np.where(self._counts, 1.0 - row, 1.0)))
        while recent[0][0] < time - self._settings.smoothing_ms:
            recent.popleft()
        doubts = np.array([doubts for _, doubts in recent])
        smoothed = score_of(np.prod(np.sort(doubts, axis=0)[:count], axis=0), count)
        smoothed[~self._counts | (smoothed < self._thresholds)] = -1.0
        index = int(np.argmax(smoothed))
        if smoothed[index] < 0:
            return None
        self._counts[index] = False
        self._silent_until = time + self._settings.suppression_ms
        recent.clear()
        return Detection(time, self._labels[index], float(smoothed[index]))


def score_of(product: np.ndarray, count: int) -> np.ndarray:
    """Products of doubts -> 1 - their geometric mean over `count` windows; absent windows have a doubt of 1."""
    return 1.0 - product ** (1.0 / count)


def thresholds_of(labels: Sequence[str], settings: DetectorSettings) -> np.ndarray:
    """The threshold of each label [label_count]; that of silence and of other words is infinite."""
    own = settings.keyword_thresholds()
    unknown = [word for word in own if word not in labels or word in _NO_KEYWORDS]
    if unknown:
        raise KwsError(
            "--thresholds names %s, which is not a keyword of the network" % ", ".join(unknown),
            "its keywords are %s" % ", ".join(label for label in labels if label not in _NO_KEYWORDS),
        )
    return np.array([np.inf if label in _NO_KEYWORDS else own.get(label, settings.threshold) for label in labels])
