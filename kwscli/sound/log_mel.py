"""Logarithms of mel energies: what a frame's magnitude spectrum has in each mel filter. (MFCC without the DCT.)"""
import numpy as np

from .feature_settings import FeatureSettings
from .features import check_filterbank, log_mel_energies

UNUSED = ("dct_coefficient_count",)


def channel_count(settings: FeatureSettings) -> int:
    """Values per frame."""
    return settings.filterbank_channel_count


def check(settings: FeatureSettings) -> None:
    """Raise a KwsError if the settings are not possible."""
    check_filterbank(settings)


def compute(clips: np.ndarray, settings: FeatureSettings, dtype: type) -> np.ndarray:
    """Clips [n, clip_samples] of floats in [-1, 1] -> features [n, frame_count, filterbank_channel_count] float32."""
    found = np.empty((len(clips), settings.frame_count, settings.filterbank_channel_count), np.float32)
    for rows, energies in log_mel_energies(clips, settings, dtype):
        found[rows] = energies.reshape(found[rows].shape)
    return found
