"""Clips -> features: Mel-frequency cepstral coefficients, the same numbers as TensorFlow's `AudioSpectrogram` + `Mfcc`.

TensorFlow's ops compute one clip a session call; these compute a batch, on any number of threads.
"""
import functools

import numpy as np
import scipy.fft

# Frames of a few clips at a time stay in the processor's cache: twice as fast as a whole batch at once.
CLIPS_AT_ONCE = 4
# TensorFlow's floor for the energy of a filter before the logarithm (mfcc.cc, kFilterbankFloor).
ENERGY_FLOOR = 1e-12


def mfcc(clips, settings, dtype=np.float64):
    """Clips [n, clip_samples] float32 in [-1, 1] -> features [n, frame_count, dct_coefficient_count] float32.

    dtype: what is computed in. float64 agrees with TensorFlow, which uses it inside, to 1e-4. float32 takes less than
    half the time, and blurs the quiet bands of loud frames: by less than 1e-3 on speech, good enough to train on.
    """
    window, first_bin, filters, dct = _tables(settings, dtype)
    frames = _frames(clips, settings)
    features = np.empty((len(clips), settings.frame_count, settings.dct_coefficient_count), np.float32)
    windowed = np.zeros((CLIPS_AT_ONCE, settings.frame_count, _fft_length(settings)), dtype)  # the padding stays zero
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        some = frames[start : start + CLIPS_AT_ONCE]
        np.multiply(some, window, out=windowed[: len(some), :, : len(window)])
        spectrum = scipy.fft.rfft(windowed[: len(some)], axis=-1)
        magnitude = np.abs(spectrum[..., first_bin : first_bin + len(filters)])
        energy = magnitude.reshape(-1, len(filters)) @ filters
        np.maximum(energy, ENERGY_FLOOR, out=energy)
        np.log(energy, out=energy)
        features[start : start + len(some)] = (energy @ dct).reshape(len(some), settings.frame_count, -1)
    return features


def _frames(clips, settings):
    """A view [n, frame_count, window_size_samples] of clips; overlapping frames share memory."""
    per_clip, per_sample = clips.strides
    return np.lib.stride_tricks.as_strided(
        clips,
        (len(clips), settings.frame_count, settings.window_size_samples),
        (per_clip, per_sample * settings.window_stride_samples, per_sample),
        writeable=False,
    )


def _fft_length(settings):
    """The power of two that holds a window."""
    return 1 << (settings.window_size_samples - 1).bit_length()


def _mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@functools.lru_cache(maxsize=8)
def _tables(settings, dtype):
    """(periodic Hann window, first FFT bin used, mel filters [bins used, channels], DCT [channels, coefficients])."""
    size = settings.window_size_samples
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)

    bin_hertz = np.arange(_fft_length(settings) // 2 + 1) * settings.sample_rate / _fft_length(settings)
    edges = np.linspace(
        _mel(settings.lower_edge_hertz), _mel(settings.upper_edge_hertz), settings.filterbank_channel_count + 2
    )
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(bin_hertz)[:, np.newaxis]
    filters = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    # The bins that TensorFlow uses (mfcc_mel_filterbank.cc): rounded up from the lower edge, never the constant one.
    hertz_per_bin = settings.sample_rate / _fft_length(settings)
    first = int(1.5 + settings.lower_edge_hertz / hertz_per_bin)
    filters = filters[first : int(settings.upper_edge_hertz / hertz_per_bin) + 1]

    channels = settings.filterbank_channel_count
    dct = np.sqrt(2.0 / channels) * np.cos(
        np.pi / channels * np.outer(np.arange(channels) + 0.5, np.arange(settings.dct_coefficient_count))
    )
    return window.astype(dtype), first, filters.astype(dtype), dct.astype(dtype)
