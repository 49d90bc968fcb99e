"""What a network costs: parameters, operations, bytes and time."""
import time
from typing import Any, NamedTuple, Optional

import numpy as np

from ..models import costs

CLIPS_TIMED = 50


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
    """The median time for one clip. It does not depend on what is in the clip."""
    clip = np.random.RandomState(0).uniform(-0.3, 0.3, (1, classifier.features.clip_samples)).astype(np.float32)
    times = []
    for _ in range(CLIPS_TIMED):
        began = time.perf_counter()
        classifier.scores(clip)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
