"""Changes the speed of a clip, and its pitch with it, by resampling.

A speed is STEPS plus a whole number, divided by STEPS. So each group of STEPS new samples comes from the same number of
old samples, with the same weights, and one matrix product resamples a clip.
"""
import functools
from typing import Tuple

import numpy as np

from ..settings import SPEED_STEP
from .augmentation import Augmentation, Batch

STEPS = int(100 / SPEED_STEP)
TAPS = 16  # old samples that make up a new one


class Speed(Augmentation):
    """Makes a clip faster or slower by up to `speed_percentage`. What is at its centre stays there."""

    def __init__(self, speeds: np.ndarray, clip_samples: int) -> None:
        self.speeds = speeds  # [n] int: old samples per STEPS new ones
        self.clip_samples = clip_samples

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> Augmentation:
        if not batch.settings.speed_percentage:
            return Augmentation()
        reach = int(batch.settings.speed_percentage / SPEED_STEP)
        return cls(STEPS + rng.randint(-reach, reach + 1, len(batch.silent)), batch.clip_samples)

    def recording(self, row: int, samples: np.ndarray, start: int) -> Tuple[np.ndarray, int]:
        speed = int(self.speeds[row])
        if speed == STEPS:
            return samples, start
        groups = -(-self.clip_samples // STEPS)
        begin = int(start) + round((self.clip_samples - 1) * (1 - speed / STEPS) / 2)
        needed = _part(samples, begin - TAPS // 2, groups * speed + TAPS)
        step = needed.strides[0]
        # A view, because groups overlap. (np.lib.stride_tricks does the same in five times the time.)
        by_group = np.ndarray((groups, speed + TAPS), needed.dtype, needed, strides=(speed * step, step))
        resampled = by_group.astype(np.float32) @ _weights(speed)
        np.clip(resampled, -32768, 32767, out=resampled)
        return resampled.astype(np.int16).reshape(-1)[: self.clip_samples], 0


def _part(samples, begin, count):
    """samples[begin : begin + count], with zeros where there are no samples."""
    part = np.zeros(count, samples.dtype)
    first = max(0, -begin)
    found = samples[begin + first : max(0, begin + count)]
    part[first : first + len(found)] = found
    return part


@functools.lru_cache(maxsize=None)
def _weights(speed):
    """A sinc in a Hann window [speed + TAPS, STEPS]; low-pass where the clip gets faster. Each column adds up to 1."""
    distance = np.arange(speed + TAPS)[:, np.newaxis] - (TAPS // 2 + np.arange(STEPS) * speed / STEPS)
    window = np.where(np.abs(distance) < TAPS / 2, 0.5 + 0.5 * np.cos(2 * np.pi * distance / TAPS), 0.0)
    weights = np.sinc(distance * min(1.0, STEPS / speed)) * window
    return (weights / weights.sum(axis=0)).astype(np.float32)
