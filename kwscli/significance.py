"""What a number of clips, trainings or false accepts can show: intervals, tests, and how many clips a claim needs.

Functions import scipy, because not every command waits for it.
"""
import math
from typing import List, Sequence, Tuple

Z = 1.959964  # of a standard normal variable, 95 % lie between -Z and Z
_Z_POWER = 0.841621  # and 80 % lie below this
LEVEL = 0.05  # a p-value below this counts


def wilson_interval(right: int, count: int) -> Tuple[float, float]:
    """The 95 % confidence interval of a share: Wilson's score interval (JASA 22, 1927)."""
    n = max(1, count)
    p = right / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def clips_for_half_width(share: float, half_width: float) -> int:
    """The number of clips for which Wilson's 95 % interval of a share has at most this half width, below 0.5.

    The half width h of n clips is z / (1 + u) * sqrt(p (1 - p) / n + z^2 / (4 n^2)) with u = z^2 / n, so that u solves
    (h^2 - 1/4) u^2 + (2 h^2 - p (1 - p)) u + h^2 = 0, which has one positive solution.
    """
    square = half_width ** 2
    a, b = square - 0.25, 2 * square - share * (1 - share)
    u = (-b - math.sqrt(b * b - 4 * a * square)) / (2 * a)
    return math.ceil(Z * Z / u)


def mean_interval(values: Sequence[float]) -> Tuple[float, float, float]:
    """The mean of accuracies, and the ends of its 95 % confidence interval by Student's t (Biometrika 6, 1908)."""
    mean, variance = _mean_and_variance(values)
    half = _t(len(values) - 1) * math.sqrt(variance / len(values))
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's test (Psychometrika 12, 1947), by the exact binomial distribution.

    only_first, only_second: clips that only one of two networks labels correctly. Without a difference between the
    networks, each of these clips is as likely to be one of the first as one of the second.
    """
    from scipy import special

    count = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), count, 0.5))) if count else 1.0


def paired_interval(both: int, only_first: int, only_second: int, neither: int) -> Tuple[float, float]:
    """The 95 % confidence interval of accuracy of the second network - accuracy of the first, on the same clips.

    Newcombe, Statistics in Medicine 17 (1998), 2635 to 2650, method 10: Wilson's intervals of both accuracies, and
    their correlation phi with his correction for continuity. The arguments count the clips that the networks label
    correctly.
    """
    n = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    cross = both * neither - only_first * only_second
    cross = max(0.0, cross - n / 2) if cross > 0 else cross
    product = first * (n - first) * second * (n - second)
    phi = cross / math.sqrt(product) if product else 0.0
    below_1, above_1 = _distances(first, n)
    below_2, above_2 = _distances(second, n)
    difference = (second - first) / n
    return (
        difference - math.sqrt(below_2 ** 2 - 2 * phi * below_2 * above_1 + above_1 ** 2),
        difference + math.sqrt(above_2 ** 2 - 2 * phi * above_2 * below_1 + below_1 ** 2),
    )


def clips_for_difference(discordant: float, difference: float) -> int:
    """The number of clips with which McNemar's test shows a difference of accuracies in 80 % of all cases.

    discordant: the share of clips that only one of the two networks labels correctly; it is at least the difference.
    Connor, Biometrics 43 (1987), 207 to 211, without a correction for continuity.
    """
    share = max(discordant, difference)
    root = Z * math.sqrt(share) + _Z_POWER * math.sqrt(share - difference ** 2)
    return math.ceil((root / difference) ** 2)


def welch(first: Sequence[float], second: Sequence[float]) -> Tuple[float, float, float]:
    """Mean of the second values - mean of the first ones: (p-value, ends of its 95 % confidence interval).

    Welch's t-test (Biometrika 34, 1947), for two samples of at least two values, which may have different variances.
    """
    from scipy import special

    (mean_1, variance_1), (mean_2, variance_2) = map(_mean_and_variance, (first, second))
    parts = variance_1 / len(first), variance_2 / len(second)
    difference, error = mean_2 - mean_1, math.sqrt(sum(parts))
    if not error:  # all values of a sample are equal
        return (0.0 if difference else 1.0), difference, difference
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1))
    half = _t(freedom) * error
    return 2 * float(special.stdtr(freedom, -abs(difference) / error)), difference - half, difference + half


def holm(p_values: Sequence[float]) -> List[float]:
    """The p-values of several tests, adjusted so that all together they keep the level of one test.

    Holm, Scandinavian Journal of Statistics 6 (1979), 65 to 70.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def poisson_interval(count: int, confidence: float = 0.95) -> Tuple[float, float]:
    """The exact interval of the mean of a Poisson distribution that gave this count (Garwood, Biometrika 28, 1936)."""
    from scipy import special

    tail = (1 - confidence) / 2
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    return low, float(special.gammaincinv(count + 1, 1 - tail))


def poisson_upper_bound(count: int, confidence: float = 0.95) -> float:
    """What the mean of a Poisson distribution that gave this count does not exceed; of 0, it is about 3."""
    return poisson_interval(count, 2 * confidence - 1)[1]


def _mean_and_variance(values):
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _t(freedom):
    """The point that 97.5 % of Student's t distribution lie below."""
    from scipy import special

    return float(special.stdtrit(freedom, 0.975))


def _distances(right, count):
    """How far below and above a share the ends of its interval are."""
    low, high = wilson_interval(right, count)
    return right / count - low, high - right / count
