"""False accepts against false rejects: operating curves, and thresholds for a rate of false accepts.

The network runs once. Its scores are kept, and the detector of `kws listen` runs on them for each threshold.
"""
import dataclasses
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import significance
from ..detector import Detector
from ..errors import KwsError
from ..labels import SILENCE, UNKNOWN
from ..listening import truth
from ..settings import DetectorSettings, StreamSettings

# From the highest to the lowest. Some networks are seldom sure to more than 0.95, others are to 0.9999.
_DOUBTS = np.geomspace(1e-5, 0.01, 25), np.arange(0.015, 0.0975, 0.005), np.arange(0.1, 0.505, 0.01)
THRESHOLDS = (1.0,) + tuple(round(1 - doubt, 6) for doubt in np.concatenate(_DOUBTS).tolist())
TOLERANCE_MS = StreamSettings.tolerance_ms
_SLACK = 1e-6  # far more than the rounding errors of a detector


class ScoredStream(NamedTuple):
    """The scores that a network gives to the windows of a stream, and what was said in it."""

    times_ms: np.ndarray  # [n]: the middle of each window
    scores: np.ndarray  # [n, label_count]
    seconds: float
    spoken: Sequence[truth.Spoken] = ()  # in seconds; other words than keywords may be among them


class Point(NamedTuple):
    """What a detector with this threshold for all keywords does. words: keywords that were said."""

    threshold: float
    words: int
    hits: int
    wrong_words: int
    false_accepts: int
    hours: float

    @property
    def false_rejects(self) -> Optional[float]:
        """The share of the words that are not found: misses and wrong words; None if nothing was said."""
        return 1 - self.hits / self.words if self.words else None

    @property
    def interval(self) -> Tuple[float, float]:
        """The 95 % interval of the false accepts per hour."""
        return tuple(end / self.hours for end in significance.poisson_interval(self.false_accepts))

    def to_json(self) -> Dict[str, Any]:
        return dict(
            self._asdict(), false_accepts_per_hour=self.false_accepts / self.hours,
            false_accepts_per_hour_interval_95=list(self.interval), false_rejects=self.false_rejects,
        )


def keywords_of(labels: Sequence[str]) -> List[str]:
    """The labels that can be detected."""
    return [label for label in labels if label not in (SILENCE, UNKNOWN)]


def heard(labels: Sequence[str], stream: ScoredStream, settings: DetectorSettings) -> List[truth.Heard]:
    """What the detector hears in a stream. It sees only the windows that can change that."""
    detector = Detector(labels, settings)
    rows = _near(stream, detector.reached(stream.scores + _SLACK), settings)
    found = detector.feed(stream.times_ms[rows], stream.scores[rows])
    return [truth.Heard(one.time_ms / 1000, one.keyword) for one in found]


def _near(stream, reached, settings):
    """[n]: whether a window is within `smoothing_ms` of one that reaches a threshold, or next to it.

    No other window takes part in a detection. A detected keyword counts again after a window below its threshold; the
    window next to the last one that reaches it is such a window.
    """
    reach = settings.smoothing_ms + 1.0
    times = stream.times_ms[reached]
    if not len(times):
        return reached
    first = np.searchsorted(times, stream.times_ms - reach)
    near = times[np.minimum(first, len(times) - 1)] <= stream.times_ms + reach
    near &= first < len(times)
    near[1:] |= reached[:-1]
    near[:-1] |= reached[1:]
    return near


def compare(
    labels: Sequence[str], stream: ScoredStream, settings: DetectorSettings, tolerance_ms: float = TOLERANCE_MS
) -> truth.Comparison:
    """What the detector hears in a stream, against what was said in it."""
    found = heard(labels, stream, settings)
    return truth.compare(keywords_of(labels), stream.spoken, found, stream.seconds, tolerance_ms / 1000)


def curve(
    labels: Sequence[str], streams: Sequence[ScoredStream], settings: DetectorSettings,
    tolerance_ms: float = TOLERANCE_MS, thresholds: Sequence[float] = THRESHOLDS,
) -> List[Point]:
    """What the detector does on all streams together, for each threshold; all keywords have the same one."""
    points = []
    for threshold in thresholds:
        common = dataclasses.replace(settings, threshold=threshold, thresholds=())
        points.append(_point(threshold, [compare(labels, one, common, tolerance_ms) for one in streams]))
    return points


def _point(threshold, comparisons):
    hits, wrong, misses, false = (
        sum(len(getattr(one, name)) for one in comparisons) for name in ("hits", "wrong", "misses", "false_accepts")
    )
    return Point(threshold, hits + wrong + misses, hits, wrong, false, sum(one.hours for one in comparisons))


def at_rate(points: Sequence[Point], false_accepts_per_hour: float) -> Optional[Point]:
    """The point with the lowest threshold whose false accepts do not exceed a rate, nor those of any higher threshold.

    None if there is none. points: as `curve` returns them, from the highest threshold to the lowest.
    """
    within = _within([one.false_accepts for one in points], false_accepts_per_hour * points[0].hours)
    return points[within - 1] if within else None


def _within(counts, allowed):
    """How many of the first counts do not exceed what is allowed."""
    over = [index for index, count in enumerate(counts) if count > allowed + 1e-9]
    return over[0] if over else len(counts)


def thresholds_for(
    labels: Sequence[str], streams: Sequence[ScoredStream], settings: DetectorSettings,
    max_false_accepts_per_hour: float, tolerance_ms: float = TOLERANCE_MS,
) -> Dict[str, float]:
    """{keyword: threshold} with which all keywords together keep to a rate of false accepts.

    streams: with keywords, without, or both; the false accepts and the hours of all of them count.
    max_false_accepts_per_hour: 0 or more.

    A threshold that just keeps out a false accept of these streams lets one more through in as much other sound, on
    average. So each threshold that is chosen counts as one false accept, beside those that it makes. Where the rate
    allows less than two false accepts per keyword, all keywords get the same threshold: the lowest one that is within
    the rate. Otherwise each keyword may make an equal share of the false accepts; what is left of the division goes,
    one each, to the keywords for which it finds the most. Among the thresholds that keep to this share, a keyword gets
    the one with the fewest misses and wrong words, and the highest of several; it gets the lowest where it is said in
    no stream.

    Raises a KwsError where even a threshold of 1 leaves too many false accepts.
    """
    keywords = keywords_of(labels)
    hours = sum(one.seconds for one in streams) / 3600
    allowed = int(max_false_accepts_per_hour * hours + 1e-9)
    points = curve(labels, streams, settings, tolerance_ms)
    if points[0].false_accepts > allowed:
        raise KwsError(
            "even with a threshold of 1, there are %d false accepts in %.2f hours, more than %g per hour"
            % (points[0].false_accepts, hours, max_false_accepts_per_hour),
            "train the network with more of what it takes for keywords, or allow more false accepts",
        )
    if allowed >= 2 * len(keywords):
        alone = {word: _alone(labels, word, streams, settings, tolerance_ms) for word in keywords}
        for share in range(allowed - len(keywords), -1, -1):
            found = _shared(alone, share)
            # Keywords change one another's detections a little: nothing is detected soon after a detection.
            chosen = with_thresholds(settings, found)
            together = sum(len(compare(labels, one, chosen, tolerance_ms).false_accepts) for one in streams)
            if together + len(keywords) <= allowed:
                return found
    within = _within([one.false_accepts for one in points], max(0, allowed - 1))
    return dict.fromkeys(keywords, points[max(0, within - 1)].threshold)


def hours_for_own_thresholds(keyword_count: int, max_false_accepts_per_hour: float) -> float:
    """How long streams have to be so that `thresholds_for` finds a threshold for each keyword."""
    return 2 * keyword_count / max_false_accepts_per_hour if max_false_accepts_per_hour else math.inf


def with_thresholds(settings: DetectorSettings, thresholds: Dict[str, float]) -> DetectorSettings:
    """The same settings with these thresholds of keywords."""
    return dataclasses.replace(settings, thresholds=tuple("%s=%r" % item for item in thresholds.items()))


def _alone(labels, keyword, streams, settings, tolerance_ms):
    """[(false accepts, misses and wrong words)] of a keyword without the others, for each of THRESHOLDS.

    The second is None for all if the keyword is said in no stream.
    """
    others = [label for label in keywords_of(labels) if label != keyword]
    column = [list(labels).index(keyword)]
    found = []
    for threshold in THRESHOLDS:
        own = dataclasses.replace(settings, threshold=threshold, thresholds=())
        false = missed = said = 0
        for stream in streams:
            detected = heard([keyword], stream._replace(scores=stream.scores[:, column]), own)
            compared = truth.compare(
                [keyword] + others, stream.spoken, detected, stream.seconds, tolerance_ms / 1000
            )
            words = [word for word, _ in compared.hits + compared.wrong] + compared.misses
            mine = sum(one.word == keyword for one in words)
            said += mine
            missed += mine - len(compared.hits) + len(compared.wrong)
            false += len(compared.false_accepts)
        found.append((false, missed if said else None))
    return found


def _shared(alone, allowed):
    """{keyword: threshold} if so many false accepts are allowed in all."""
    share, rest = divmod(allowed, len(alone))
    chosen = {word: _best(points, share) for word, points in alone.items()}
    gains = {word: _gain(points, share) for word, points in alone.items()}
    for word in sorted(gains, key=gains.get, reverse=True)[:rest]:
        chosen[word] = _best(alone[word], share + 1)
    return {word: THRESHOLDS[index] for word, index in chosen.items()}


def _best(points, allowed):
    """The index of the threshold to choose among those that make no more false accepts than allowed."""
    within = points[: max(1, _within([false for false, _ in points], allowed))]
    if within[0][1] is None:
        return len(within) - 1
    return min(range(len(within)), key=lambda index: within[index][1])


def _gain(points, allowed):
    """What one more false accept is good for: how many mistakes it saves, and how far it lowers the threshold."""
    before, after = _best(points, allowed), _best(points, allowed + 1)
    return (points[before][1] or 0) - (points[after][1] or 0), after - before
