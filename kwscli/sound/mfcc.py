"""Mel-frequency cepstral coefficients: the same numbers as TensorFlow's `AudioSpectrogram` and `Mfcc`."""
import functools

import numpy as np

from ..errors import KwsError
from .feature_settings import FeatureSettings
from .features import check_filterbank, log_mel_energies


def channel_count(settings: FeatureSettings) -> int:
    """Values per frame."""
    return settings.dct_coefficient_count


def check(settings: FeatureSettings) -> None:
    """Raise a KwsError if the settings are not possible."""
    if settings.dct_coefficient_count > settings.filterbank_channel_count:
        raise KwsError(
            "--dct-coefficient-count %d is more than the %d mel filters"
            % (settings.dct_coefficient_count, settings.filterbank_channel_count),
            "lower it, or raise --filterbank-channel-count",
        )
    check_filterbank(settings)


def compute(clips: np.ndarray, settings: FeatureSettings, dtype: type) -> np.ndarray:
    """Clips [n, clip_samples] of floats in [-1, 1] -> features [n, frame_count, dct_coefficient_count] float32."""
    dct = dct_matrix(settings.filterbank_channel_count, settings.dct_coefficient_count).astype(dtype)
    found = np.empty((len(clips), settings.frame_count, settings.dct_coefficient_count), np.float32)
    for rows, energies in log_mel_energies(clips, settings, dtype):
        found[rows] = (energies @ dct).reshape(found[rows].shape)
    return found


@functools.lru_cache(maxsize=8)
def dct_matrix(channels: int, coefficients: int) -> np.ndarray:
    """The cosine transform (DCT-II) of log mel energies [channels, coefficients], scaled by sqrt(2 / channels)."""
    return np.sqrt(2.0 / channels) * np.cos(
        np.pi / channels * np.outer(np.arange(channels) + 0.5, np.arange(coefficients))
    )
