"""Clips -> features of the kind that the settings name, and what the kinds share: frames, spectra and mel filters.

TensorFlow's operations compute one clip per session call; these functions compute a batch, on any number of threads.
"""
import functools
from typing import Iterator, Tuple

import numpy as np

from ..errors import KwsError
from .feature_settings import FeatureSettings, load

# Frames of a few clips at a time stay in the processor's cache: twice as fast as a whole batch at once.
CLIPS_AT_ONCE = 4
# TensorFlow's floor for the energy of a filter before the logarithm (mfcc.cc, kFilterbankFloor).
ENERGY_FLOOR = 1e-12


def features(clips: np.ndarray, settings: FeatureSettings, dtype: type = np.float64) -> np.ndarray:
    """Clips [n, clip_samples] of floats in [-1, 1] -> features [n, frame_count, channel_count] float32.

    dtype: the type to compute in. float64 agrees with TensorFlow, which computes in it too, to 1e-4. float32 takes less
    than half the time and changes the quiet bands of loud frames by less than 1e-3 on speech, good enough to train on.
    """
    clips = np.asarray(clips)
    if clips.ndim != 2 or clips.shape[1] != settings.clip_samples:
        raise ValueError("clips have the shape %s, but the settings describe clips of %d samples: [n, %d]"
                         % (list(clips.shape), settings.clip_samples, settings.clip_samples))
    if clips.dtype.kind != "f":
        raise ValueError("clips are %s, but features are computed from floats in [-1, 1]" % clips.dtype)
    return load(settings.features).compute(clips, settings, dtype)


def features_of_frames(samples: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """A sound [n] of any length -> the features of its whole frames [frames, channel_count], the same as in clips.

    A frame begins every `window_stride_samples`.
    """
    count = (len(samples) - settings.window_size_samples) // settings.window_stride_samples + 1
    if count <= 0:
        return np.zeros((0, settings.channel_count), np.float32)
    clip_count = -(-count // settings.frame_count)  # side by side: each begins one frame after the last one of another
    step = settings.frame_count * settings.window_stride_samples
    padding = max(0, (clip_count - 1) * step + settings.clip_samples - len(samples))
    samples = np.concatenate([samples, np.zeros(padding, samples.dtype)])
    clips = np.stack([samples[start : start + settings.clip_samples] for start in range(0, clip_count * step, step)])
    return features(clips, settings).reshape(-1, settings.channel_count)[:count]


def check_filterbank(settings: FeatureSettings) -> None:
    """Raise a KwsError if the mel filters are not possible at this sample rate."""
    if not settings.lower_edge_hertz < settings.upper_edge_hertz <= settings.sample_rate / 2:
        raise KwsError(
            "the mel filters cannot go from %g to %g Hz at %d samples per second"
            % (settings.lower_edge_hertz, settings.upper_edge_hertz, settings.sample_rate),
            "choose a --lower-edge-hertz below --upper-edge-hertz, and an --upper-edge-hertz of at most %g"
            % (settings.sample_rate / 2),
        )


def fft_length(settings: FeatureSettings) -> int:
    """The power of two that holds a window."""
    return 1 << (settings.window_size_samples - 1).bit_length()


@functools.lru_cache(maxsize=8)
def mel_filterbank(settings: FeatureSettings, dtype: type = np.float64) -> Tuple[int, np.ndarray]:
    """(the first FFT bin that is used, triangular filters [bins that are used, filterbank_channel_count])."""
    hertz_per_bin = settings.sample_rate / fft_length(settings)
    bin_hertz = np.arange(fft_length(settings) // 2 + 1) * settings.sample_rate / fft_length(settings)
    edges = np.linspace(
        _mel(settings.lower_edge_hertz), _mel(settings.upper_edge_hertz), settings.filterbank_channel_count + 2
    )
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(bin_hertz)[:, np.newaxis]
    filters = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    # The bins that TensorFlow uses (mfcc_mel_filterbank.cc): rounded up from the lower edge, and never bin 0.
    first = int(1.5 + settings.lower_edge_hertz / hertz_per_bin)
    filters = filters[first : int(settings.upper_edge_hertz / hertz_per_bin) + 1]
    return first, filters.astype(dtype)


def log_mel_energies(
    clips: np.ndarray, settings: FeatureSettings, dtype: type
) -> Iterator[Tuple[slice, np.ndarray]]:
    """Yield (rows, energies [their frames one after the other, filterbank_channel_count]) for a few clips at a time.

    An energy is the logarithm of what a mel filter passes of a frame's magnitude spectrum.
    """
    rfft = _rfft(dtype)
    first, filters = mel_filterbank(settings, dtype)
    frames, window = _frames(clips, settings), hann_window(settings.window_size_samples).astype(dtype)
    windowed = np.zeros((CLIPS_AT_ONCE, settings.frame_count, fft_length(settings)), dtype)  # the padding stays zero
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        some = frames[start : start + CLIPS_AT_ONCE]
        np.multiply(some, window, out=windowed[: len(some), :, : len(window)])
        spectrum = rfft(windowed[: len(some)])
        magnitude = np.abs(spectrum[..., first : first + len(filters)])
        energies = magnitude.reshape(-1, len(filters)) @ filters
        np.maximum(energies, ENERGY_FLOOR, out=energies)
        np.log(energies, out=energies)
        yield slice(start, start + len(some)), energies


def _rfft(dtype):
    """The Fourier transform of real numbers that suits a type.

    In float64, numpy's is as fast and as exact as scipy's, whose import takes up to 0.1 s. In float32, numpy's takes
    several times as long, and its results are other ones.
    """
    if dtype == np.float64:
        return np.fft.rfft
    import scipy.fft

    return scipy.fft.rfft


def _frames(clips, settings):
    """A view [n, frame_count, window_size_samples] of clips; overlapping frames share memory."""
    per_clip, per_sample = clips.strides
    return np.lib.stride_tricks.as_strided(
        clips,
        (len(clips), settings.frame_count, settings.window_size_samples),
        (per_clip, per_sample * settings.window_stride_samples, per_sample),
        writeable=False,
    )


def hann_window(size: int) -> np.ndarray:
    """The window that each frame is multiplied by: the periodic one, [size]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def _mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)
