"""The rules of the detector as integers, so that C code detects the same keywords in the same windows.

A score of the network is an integer / 256, and so is its doubt, 1 - score. A product of doubts is an integer, too, and
the largest product that is a detection can be found here, with the arithmetic of `kwscli.detector`.
"""
import math
from fractions import Fraction
from typing import List, NamedTuple, Sequence

import numpy as np

from ...detector import score_of, thresholds_of
from ...errors import KwsError
from ...settings import DetectorSettings
from ...sound.feature_settings import FeatureSettings

_STEPS = 256  # of a score
# The product of more doubts would not be exact in the floats that `kwscli.detector` computes with.
MOST_DOUBTS = 6


class Rules(NamedTuple):
    """What kws_detector.c needs to know. All times are in windows."""

    stride_frames: int  # from one window to the next
    windows: int  # that are remembered
    minimum_windows: int
    doubts: int  # how many are multiplied: the minimum, or as many as are remembered
    suppressed: int  # windows after a detection
    limits: List[int]  # per label: the largest product that is a detection, in 1 / 256 ** doubts; 0 for none
    thresholds: List[int]  # per label: in 1 / 256, rounded up


def rules_of(labels: Sequence[str], features: FeatureSettings, settings: DetectorSettings) -> Rules:
    """The rules for a network. Raises a KwsError where integers of 64 bits do not hold its products."""
    stride_frames = features.stride_frames(settings.stride_ms)
    stride_ms = Fraction(1000 * stride_frames * features.window_stride_samples, features.sample_rate)
    windows = 1 + math.floor(Fraction(settings.smoothing_ms) / stride_ms)
    doubts = min(settings.minimum_windows, windows)
    if doubts > MOST_DOUBTS:
        raise KwsError(
            "the detector of the C kit counts at most %d windows, and model.json has minimum_windows %d"
            % (MOST_DOUBTS, settings.minimum_windows),
            "lower it there, or choose another --format",
        )
    thresholds = thresholds_of(labels, settings)
    return Rules(
        stride_frames, windows, settings.minimum_windows, doubts,
        max(0, math.ceil(Fraction(settings.suppression_ms) / stride_ms) - 1),
        [_limit(threshold, doubts, settings.minimum_windows) for threshold in thresholds],
        [math.ceil(_STEPS * min(threshold, 1.0)) for threshold in thresholds],
    )


def _limit(threshold, doubts, minimum_windows):
    """The largest product of doubts, in 1 / 256 ** doubts, whose score reaches a threshold."""
    low, high = 0, _STEPS ** doubts  # the lower one reaches it
    if not np.isfinite(threshold):
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        if score_of(np.array([middle / _STEPS ** doubts]), minimum_windows)[0] >= threshold:
            low = middle
        else:
            high = middle - 1
    return low
