"""The scores of windows that slide over a stream -> detections: what was said, and when.

A window hears a keyword if its score reaches the threshold of the keyword. At 4 windows per second, often only one or
two windows hear a short word. The mean of all scores in half a second, which TensorFlow's example compares with a
threshold, halves such a word and misses it (tensorflow#28516). Here, a smoothed score is the mean of the
`minimum_windows` highest scores in the last `smoothing_ms`: windows that hear nothing do not count against a word, and
with two or more as the minimum, a single window that is wrong does not count for it.

- A detection is a peak. A window whose smoothed score reaches a threshold opens a candidate. While the smoothed scores
  rise, the best keyword and its time replace it: the beginning of a word often sounds like another word. The first
  window that does not rise, or `smoothing_ms` after the first candidate, makes it a detection.
- After a detection there is silence until `suppression_ms` after its time.
- A keyword that was detected counts again once a window does not hear it. For this reason a long word, or a hum that
  resembles one, is reported once, and a word that is said twice is reported twice.
"""
import collections
from typing import Deque, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .errors import KwsError
from .labels import SILENCE, UNKNOWN
from .settings import DetectorSettings

_NO_KEYWORDS = (SILENCE, UNKNOWN)


class Detection(NamedTuple):
    """A keyword that was heard. time_ms: that of the window with its highest smoothed score."""

    time_ms: float
    keyword: str
    score: float


class Detector:
    """Finds keywords in the scores of windows, which arrive in order of time."""

    def __init__(self, labels: Sequence[str], settings: DetectorSettings) -> None:
        self._labels, self._settings = tuple(labels), settings
        self._thresholds = thresholds_of(labels, settings)
        self._recent: Deque[Tuple[float, np.ndarray]] = collections.deque()  # (time, scores) of the last windows
        self._counts = np.ones(len(labels), bool)  # which labels were not heard since they were detected
        self._candidate: Optional[Detection] = None
        self._opened = 0.0  # when the first candidate for the next detection was heard
        self._silent_until = -np.inf

    def feed(self, times_ms: Sequence[float], scores: np.ndarray) -> List[Detection]:
        """The times of windows [n] and their scores [n, label_count] -> the detections that are now certain."""
        found: List[Detection] = []
        for time, row in zip(times_ms, scores):
            found += self._window(float(time), row)
        return found

    def finish(self) -> List[Detection]:
        """The detections that are certain because the stream ends."""
        return self._detect() if self._candidate else []

    def _window(self, time, row):
        found = []
        self._counts |= row < self._thresholds
        best = self._best(time, row)
        if self._candidate and not self._rises(time, best):
            found = self._detect()
            self._counts |= row < self._thresholds
            best = self._best(time, row)  # what this window says about the next word
        if best:
            self._opened = self._opened if self._candidate else time
            self._candidate = best
        return found

    def _rises(self, time, best):
        """Whether a window replaces the candidate."""
        in_time = time - self._opened <= self._settings.smoothing_ms
        return best is not None and best.score > self._candidate.score and in_time

    def _best(self, time, row):
        """Take the scores of a window, and return the best keyword whose smoothed score reaches its threshold."""
        recent, settings = self._recent, self._settings
        if time < self._silent_until:
            return None
        recent.append((time, np.where(self._counts, row, 0)))
        while recent[0][0] < time - settings.smoothing_ms:
            recent.popleft()
        if len(recent) < settings.minimum_windows:
            return None
        highest = np.sort([scores for _, scores in recent], axis=0)[-settings.minimum_windows :]
        smoothed = highest.mean(axis=0)
        smoothed[smoothed < self._thresholds] = -1
        index = int(np.argmax(smoothed))
        return Detection(time, self._labels[index], float(smoothed[index])) if smoothed[index] >= 0 else None

    def _detect(self):
        """Make the candidate a detection."""
        detection, self._candidate = self._candidate, None
        self._counts[self._labels.index(detection.keyword)] = False
        self._silent_until = detection.time_ms + self._settings.suppression_ms
        self._recent.clear()
        return [detection]


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
