"""What is done to a clip before it is learned: moved in time, mixed with noise. Drawn for a batch at once."""
from typing import NamedTuple

import numpy as np

# Of the clips of silence that could have noise, this share is digital silence: a muted microphone is silence too.
DIGITAL_SILENCE = 0.2


class Augmentation(NamedTuple):
    """What happens to each of n clips. Arrays [n]."""

    shifts: np.ndarray  # samples to move the clip; later is positive
    volumes: np.ndarray  # factor of the background noise; 0 is none
    noises: np.ndarray  # which background recording
    positions: np.ndarray  # where in it, 0 to 1

    def part(self, rows):
        """The augmentation of some of the clips."""
        return Augmentation(*(column[rows] for column in self))


def draw(rng, silent, settings, sample_rate, background_count):
    """An Augmentation of len(silent) training clips, from a numpy RandomState.

    silent [n] bool: the clips of silence, which are background noise of any loudness and nothing else (with
    `--sampling reference`: at most background_volume, as the reference has it).
    """
    count = len(silent)
    reach = int(settings.time_shift_ms * sample_rate / 1000)
    shifts = rng.randint(-reach, reach + 1, count)
    chance, volume, noises, positions = rng.random_sample(count), rng.random_sample(count), rng.randint(
        max(1, background_count), size=count
    ), rng.random_sample(count)
    noisy, loudest = chance < settings.background_frequency, np.full(count, settings.background_volume)
    if settings.sampling == "epoch":
        noisy = np.where(silent, chance >= DIGITAL_SILENCE, noisy)
        loudest[silent] = 1.0
    volumes = np.where(noisy & (background_count > 0), volume * loudest, 0.0)
    return Augmentation(shifts, volumes, noises, positions)


def for_evaluation(rng, silent, background_count):
    """An Augmentation that leaves recordings as they are; clips of silence get noise of any loudness, or none."""
    count = len(silent)
    volumes = np.where(rng.random_sample(count) < DIGITAL_SILENCE, 0.0, rng.random_sample(count))
    volumes = np.where(silent & (background_count > 0), volumes, 0.0)
    noises = rng.randint(max(1, background_count), size=count)
    return Augmentation(np.zeros(count, np.int64), volumes, noises, rng.random_sample(count))


def mix(recordings, starts, augmentation, background, clip_samples):
    """The augmented clips [n, clip_samples] float32 in [-1, 1].

    recordings: n int16 arrays, None for silence; starts [n]: where in each its clip begins; background: int16 arrays.
    """
    clips = np.zeros((len(recordings), clip_samples), np.float32)
    for row, (recording, start) in enumerate(zip(recordings, starts)):
        clip = clips[row]
        if recording is not None:
            _place(clip, recording, start - augmentation.shifts[row])
        if augmentation.volumes[row]:
            noise = background[augmentation.noises[row]]
            begin = int(augmentation.positions[row] * max(1, len(noise) - clip_samples + 1))
            piece = noise[begin : begin + clip_samples]
            # One clip at a time stays in the processor's cache.
            clip[: len(piece)] += piece * np.float32(augmentation.volumes[row] / 32768)
            if max(clip.max(), -clip.min()) > 1:  # seldom; to look is cheaper than to clip
                np.clip(clip, -1, 1, out=clip)
    return clips


def _place(clip, recording, begin):
    """clip[t] = recording[begin + t] / 32768 for every t where both exist."""
    first = max(0, -begin)
    piece = recording[begin + first : max(0, begin + len(clip))]
    np.multiply(piece, np.float32(1 / 32768), out=clip[first : first + len(piece)], dtype=np.float32)
