"""A norm whose averages are constants is a factor and an offset per channel, which other layers can take up."""
from typing import Callable, Tuple

import numpy as np


def norm(value_of: Callable[[str], np.ndarray], scale: bool, epsilon: float) -> Tuple[np.ndarray, np.ndarray]:
    """(factor, offset) of a norm, in float32. value_of(name): the value of a variable of the norm."""
    beta, mean, variance = [
        value_of(name).astype(np.float64) for name in ("beta", "moving_mean", "moving_variance")
    ]
    factor = (value_of("gamma") if scale else 1.0) / np.sqrt(variance + epsilon)
    return factor.astype(np.float32), (beta - mean * factor).astype(np.float32)
