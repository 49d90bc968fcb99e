"""Rooms and microphones: filters that are applied to the spectrum of a clip.

Their spectra are made once per process, from a fixed seed, because that takes longer than to apply them.
"""
import functools
from typing import Tuple

import numpy as np

from .augmentation import Augmentation, Batch

BANK = 64  # rooms, and microphones
_ROOMS, _MICROPHONES = 0, 1  # seeds of the banks

REVERBERATION_SECONDS = (0.1, 0.6)  # until the reverberation is quieter by 60 decibels (RT60)
RESPONSE_SECONDS = 0.28  # later reverberation is left out: it is quieter by at least 28 decibels
FIRST_REFLECTION = (0.001, 0.006)  # seconds after the direct path
DIRECT_TO_REVERBERANT_DB = (0.0, 12.0)

LOW_PASS_HERTZ, HIGH_PASS_HERTZ = (2500.0, 7000.0), (100.0, 400.0)
QUIETEST_LIMIT_DB = -12.0  # of a clipped clip, relative to its peak


class Room(Augmentation):
    """Adds the reverberation of a room to `room_frequency` of the clips. The direct sound stays as it is."""

    def __init__(self, rooms: np.ndarray, sample_rate: int) -> None:
        self.rooms = rooms  # [n] index of the room; -1: none
        self.sample_rate = sample_rate

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> Augmentation:
        if not batch.settings.room_frequency:
            return Augmentation()
        chosen = (rng.random_sample(len(batch.silent)) < batch.settings.room_frequency) & ~batch.silent
        return cls(np.where(chosen, rng.randint(BANK, size=len(chosen)), -1), batch.sample_rate)

    def clip(self, row: int, clip: np.ndarray) -> None:
        if self.rooms[row] >= 0:
            length, spectra = rooms(len(clip), self.sample_rate)
            _filter(clip, length, spectra[self.rooms[row]])


class Microphone(Augmentation):
    """Makes `microphone_frequency` of the clips sound like a cheap microphone: muffled, thin, clipped."""

    def __init__(self, microphones: np.ndarray, limits: np.ndarray, sample_rate: int) -> None:
        self.microphones = microphones  # [n] index of the microphone; -1: a good one
        self.limits = limits  # [n] share of the peak at which the clip is clipped
        self.sample_rate = sample_rate

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> Augmentation:
        """Half of these microphones clip."""
        if not batch.settings.microphone_frequency:
            return Augmentation()
        count = len(batch.silent)
        chosen = rng.random_sample(count) < batch.settings.microphone_frequency
        microphones = np.where(chosen, rng.randint(BANK, size=count), -1)
        clips, decibels = rng.random_sample(count) < 0.5, rng.uniform(QUIETEST_LIMIT_DB, 0, count)
        limits = np.where(clips, np.power(10, decibels / 20), 1.0)
        return cls(microphones, limits.astype(np.float32), batch.sample_rate)

    def clip(self, row: int, clip: np.ndarray) -> None:
        if self.microphones[row] < 0:
            return
        if self.limits[row] < 1:
            limit = max(clip.max(), -clip.min()) * self.limits[row]
            np.clip(clip, -limit, limit, out=clip)
        length, spectra = microphones(len(clip), self.sample_rate)
        _filter(clip, length, spectra[self.microphones[row]])


def _filter(clip, length, spectrum):
    """Multiply the spectrum of a clip in place. A sum that would be clipped becomes quieter."""
    import scipy.fft  # 0.1 s that commands without features do not wait for

    found = scipy.fft.irfft(scipy.fft.rfft(clip, length) * spectrum, length)[: len(clip)]
    np.divide(found, max(np.float32(1), found.max(), -found.min()), out=clip)


def _fft_length(least):
    import scipy.fft

    return scipy.fft.next_fast_len(least, real=True)


@functools.lru_cache(maxsize=2)
def rooms(clip_samples: int, sample_rate: int) -> Tuple[int, np.ndarray]:
    """(length of the FFT, spectra [BANK, length // 2 + 1] complex64 of the impulse responses)."""
    import scipy.fft

    samples = max(1, int(RESPONSE_SECONDS * sample_rate))
    length = _fft_length(clip_samples + samples - 1)
    rng = np.random.RandomState(_ROOMS)
    responses = [impulse_response(rng, samples, sample_rate) for _ in range(BANK)]
    return length, scipy.fft.rfft(np.array(responses, np.float32), length)


def impulse_response(rng: np.random.RandomState, samples: int, sample_rate: int) -> np.ndarray:
    """The direct path, which is 1, and noise that decays exponentially after it."""
    seconds = np.arange(samples) / sample_rate
    noise = rng.standard_normal(samples) * np.power(10, -3 * seconds / rng.uniform(*REVERBERATION_SECONDS))
    noise[: 1 + int(rng.uniform(*FIRST_REFLECTION) * sample_rate)] = 0
    energy = np.power(10, -rng.uniform(*DIRECT_TO_REVERBERANT_DB) / 10)
    response = noise * np.sqrt(energy / max(np.sum(noise ** 2), 1e-12))
    response[0] = 1
    return response


@functools.lru_cache(maxsize=2)
def microphones(clip_samples: int, sample_rate: int) -> Tuple[int, np.ndarray]:
    """(length of the FFT, gains [BANK, length // 2 + 1] float32): low-pass, high-pass, or both."""
    length = _fft_length(clip_samples + sample_rate // 50)  # room for the end of a filter's response
    hertz = np.arange(length // 2 + 1) * sample_rate / length
    rng = np.random.RandomState(_MICROPHONES)
    gains = np.ones((BANK, len(hertz)))
    for number, gain in enumerate(gains):
        low_pass, high_pass = rng.uniform(*LOW_PASS_HERTZ), rng.uniform(*HIGH_PASS_HERTZ)
        if number % 3 != 0:
            gain *= _butterworth(hertz / low_pass)
        if number % 3 != 1:
            gain *= _butterworth(high_pass / np.maximum(hertz, 1e-3))
    return length, gains.astype(np.float32)


def _butterworth(ratio):
    """The gain of a second-order low-pass filter at a frequency of `ratio` times its cut-off."""
    return 1 / np.sqrt(1 + ratio ** 4)
