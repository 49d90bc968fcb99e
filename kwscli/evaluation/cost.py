"""What a network costs: parameters, operations, bytes and time."""
from typing import Any, NamedTuple, Optional

import numpy as np

from ..models import costs
from ..timing import lower_quartile, seconds_per_call

CALLS_TIMED = 50
LOUDNESS = 0.3  # of the noise in the clips that are timed


class Cost(NamedTuple):
    """None where the model file does not say which network it has."""

    milliseconds: float  # per clip, with its features, one clip at a time
    file_bytes: int
    parameters: Optional[int] = None
    macs: Optional[int] = None  # multiply-accumulate operations per clip, without those of the features
    float32_bytes: Optional[int] = None
    int8_bytes: Optional[int] = None
    activation_bytes: Optional[int] = None  # in 8-bit integers, at one time


def measure(classifier: Any) -> Cost:
    """The Cost of an open classifier."""
    milliseconds, size = milliseconds_per_clip(classifier), classifier.size
    if not classifier.network:
        return Cost(milliseconds, size)
    net = costs.count(*classifier.network, classifier.features, len(classifier.labels))
    return Cost(
        milliseconds, size, net.parameters, net.macs, net.float32_bytes, net.int8_bytes, net.activation_bytes
    )


def milliseconds_per_clip(classifier: Any) -> float:
    """The time for one clip, as `kws bench` measures it."""
    clip = noise(classifier, 1)
    classifier.scores(clip)  # a first call may be slower
    return 1000 * lower_quartile(seconds_per_call(lambda: classifier.scores(clip), CALLS_TIMED)[:, 0])


def noise(classifier: Any, count: int) -> np.ndarray:
    """Clips [count, clip_samples] to time a classifier with: what is in a clip does not change the time."""
    shape = count, classifier.features.clip_samples
    return np.random.RandomState(0).uniform(-LOUDNESS, LOUDNESS, shape).astype(np.float32)
