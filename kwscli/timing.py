"""How long calls take, on a machine whose other programs slow some measurements down."""
import time
from typing import Any, Callable, Sequence

import numpy as np


def seconds_per_call(function: Callable[[], Any], calls: int, each: int = 10) -> np.ndarray:
    """[calls / each, 2]: seconds, and processor seconds of all threads here, of a call. A row is a mean of `each`."""
    found = []
    for _ in range(calls // each):
        began = time.perf_counter(), time.process_time()
        for _ in range(each):
            function()
        found.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return np.array(found) / each


def lower_quartile(values: Sequence[float]) -> float:
    """The limit below which a quarter of the values are: other programs slow some measurements down."""
    return float(np.percentile(values, 25))
