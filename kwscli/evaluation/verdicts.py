"""Whether one network is better than another one. It is said only where a test and an interval show it."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import significance

SMALLEST_DIFFERENCE = 0.01  # of accuracies, for which the number of clips is told


class Difference(NamedTuple):
    """The accuracy of a second network compared with that of a first one."""

    first: str
    second: str
    test: str  # "mcnemar" or "welch"
    difference: float  # accuracy of the second - accuracy of the first
    interval: Tuple[float, float]  # 95 %
    p: float
    adjusted_p: float  # for all comparisons that are made together
    measured: Dict[str, Any]  # what the test compares
    needed: Optional[Tuple[int, float]] = None  # (clips, the difference that they would show)

    @property
    def is_shown(self) -> bool:
        """Whether the interval excludes zero, and the test agrees."""
        low, high = self.interval
        return self.adjusted_p < significance.LEVEL and not low <= 0 <= high

    def __str__(self) -> str:
        low, high = self.interval
        figures = "%+.1f points (%.1f to %.1f), %s, %s" % (
            100 * self.difference, 100 * low, 100 * high, _p(self.adjusted_p), self._sample()
        )
        if self.is_shown:
            return "%s is %s than %s: %s" % (
                self.second, "better" if self.difference > 0 else "worse", self.first, figures
            )
        return "%s and %s: no difference shown: %s%s" % (self.second, self.first, figures, self._advice())

    def _sample(self):
        if self.test == "mcnemar":
            return "N = {:,}".format(self.measured["clips"])
        return "%d and %d seeds" % tuple(map(len, self.measured["accuracies"]))

    def _advice(self):
        if not self.needed:
            return "; more seeds would make the interval narrower"
        clips, difference = self.needed
        points = "1 point" if difference == SMALLEST_DIFFERENCE else "%.1f points" % (100 * difference)
        return "; about {:,} clips would show a difference of {}".format(clips, points)

    def to_json(self) -> Dict[str, Any]:
        clips, difference = self.needed or (None, None)
        return dict(
            self.measured, first=self.first, test=self.test, difference=self.difference,
            interval_95=list(self.interval), p=self.p, adjusted_p=self.adjusted_p, difference_shown=self.is_shown,
            clips_needed=clips, clips_needed_for_difference=difference, text=str(self),
        )


class Incomparable(NamedTuple):
    """A single run, and the runs of several seeds."""

    first: str
    second: str

    def __str__(self) -> str:
        return (
            "%s and %s: not compared, because only one of them has several seeds; train the other one with "
            "kws train --seeds, too, or name one run of each" % (self.second, self.first)
        )

    def to_json(self) -> Dict[str, Any]:
        return {"first": self.first, "test": None, "text": str(self)}


Verdict = Union[Difference, Incomparable]


def of_clips(first: str, second: str, right_first: np.ndarray, right_second: np.ndarray) -> Difference:
    """Compare two networks by which of the same clips [n] bool they label correctly: McNemar's test."""
    count, both = len(right_first), int(np.sum(right_first & right_second))
    only_first, only_second = int(np.sum(right_first)) - both, int(np.sum(right_second)) - both
    p = significance.mcnemar(only_first, only_second)
    difference = (only_second - only_first) / count
    least = max(SMALLEST_DIFFERENCE, abs(difference))
    return Difference(
        first, second, "mcnemar", difference,
        significance.paired_interval(both, only_first, only_second, count - both - only_first - only_second), p, p,
        {"clips": count, "only_first_right": only_first, "only_second_right": only_second},
        (significance.clips_for_difference((only_first + only_second) / count, least), least),
    )


def of_seeds(first: str, second: str, accuracies: Sequence[float], others: Sequence[float]) -> Difference:
    """Compare two networks by the accuracies of several trainings of each, on the same clips: Welch's t-test."""
    p, low, high = significance.welch(accuracies, others)
    difference = float(np.mean(others) - np.mean(accuracies))
    return Difference(
        first, second, "welch", difference, (low, high), p, p, {"accuracies": [list(accuracies), list(others)]}
    )


def adjusted(found: Sequence[Verdict]) -> List[Verdict]:
    """The same comparisons, with p-values that are adjusted for their number (Holm)."""
    p_values = iter(significance.holm([one.p for one in found if isinstance(one, Difference)]))
    return [one._replace(adjusted_p=next(p_values)) if isinstance(one, Difference) else one for one in found]


def notes(found: Sequence[Verdict]) -> List[str]:
    """How the comparisons were made, in lines."""
    compared = [one for one in found if isinstance(one, Difference)]
    tests = {one.test for one in compared}
    lines = []
    if "mcnemar" in tests:
        lines.append("p: McNemar's test, exact. In brackets: the 95 % interval of the difference (Newcombe).")
    if "welch" in tests:
        lines.append("p: Welch's t-test over the seeds. In brackets: the 95 % interval of the difference.")
    if len(compared) > 1:
        lines.append("The p-values are adjusted for %d comparisons (Holm)." % len(compared))
    return lines


def _p(value):
    return "p < 0.001" if value < 0.001 else "p = %.2g" % value
