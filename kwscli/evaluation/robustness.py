"""How accurate a network is when noise, a shift in time or another level changes its clips."""
import functools
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from .. import significance
from ..classifiers.classifier import BATCH
from ..console import Progress
from ..data.batches import EVALUATION_SEED, rng_of
from ..sound import audio
from ..sound.augment import BackgroundNoise
from .scoring import Batch, scored

RATIOS_DB = 20, 15, 10, 5, 0, -5
SHIFTS_MS = -300, -200, -100, 100, 200, 300  # positive: later
GAINS_DB = -40, -30, -20, -10, 10, 20
_NOISE = 4  # the stream of random numbers; `data.batches` and `observer` have others
_WHITE_SECONDS, _WHITE_LEVEL = 10, 3000  # of the white noise; its level does not matter


class Condition(NamedTuple):
    """How many of the clips are labelled correctly when all are changed in the same way."""

    kind: str  # clean, background noise, white noise, time shift or gain
    value: float  # in dB or ms; 0 for clean
    right: int
    clips: int

    @property
    def accuracy(self) -> float:
        return self.right / self.clips

    @property
    def interval(self) -> Tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return significance.wilson_interval(self.right, self.clips)


def measure(
    classifier: Any, clips: np.ndarray, targets: np.ndarray, background: Sequence[np.ndarray]
) -> List[Condition]:
    """Score clips [n, clip_samples] with label indices [n] under all conditions.

    background: recordings, int16 [samples] each; without any, there is white noise only.
    """
    changes = list(_changes(len(clips), classifier.features.sample_rate, background))
    found = []
    with Progress("measuring robustness", len(changes) * len(clips)) as progress:
        for kind, value, change in changes:
            right = 0
            for batch, scores in scored(classifier, _changed(clips, targets, change)):
                right += np.count_nonzero(scores.argmax(axis=1) == batch.targets)
                progress.update(len(scores))
            found.append(Condition(kind, value, int(right), len(clips)))
    return found


def _changed(clips, targets, change):
    """Yield the clips in Batches. change(row, clip): changes a clip in place."""
    for start in range(0, len(clips), BATCH):
        some = clips[start : start + BATCH].copy()
        for row, clip in enumerate(some, start):
            change(row, clip)
        nothing = [""] * len(some)
        yield Batch(some, targets[start : start + BATCH], nothing, nothing, nothing)


def _changes(count, sample_rate, background) -> Iterator[Tuple[str, float, Callable[[int, np.ndarray], None]]]:
    """Yield (kind, value, change(row, clip)) of each condition."""
    yield "clean", 0, lambda row, clip: None
    rng = rng_of(EVALUATION_SEED, _NOISE)
    white = rng.normal(0, _WHITE_LEVEL, _WHITE_SECONDS * sample_rate).astype(np.int16)
    for kind, recordings in (("background noise", background), ("white noise", [white])):
        if not len(recordings):
            continue
        noises, positions = rng.randint(len(recordings), size=count), rng.random_sample(count)
        for ratio in RATIOS_DB:  # the same noise at each level
            powers = np.full(count, 10 ** (ratio / 10))
            yield kind, ratio, BackgroundNoise(recordings, np.zeros(count), noises, positions, powers).clip
    for shift in SHIFTS_MS:
        yield "time shift", shift, functools.partial(_shift, sample_rate * shift // 1000)
    for gain in GAINS_DB:
        yield "gain", gain, functools.partial(_gain, 10 ** (gain / 20))


def _shift(samples, row, clip):
    """Move a clip to a later time, or to an earlier one. What has no sound becomes zero."""
    kept = max(0, len(clip) - abs(samples))
    moved = np.zeros_like(clip)
    if samples >= 0:
        moved[len(clip) - kept :] = clip[:kept]
    else:
        moved[:kept] = clip[len(clip) - kept :]
    clip[:] = moved


def _gain(factor, row, clip):
    """Change the level of a clip as a recording in 16 bits has it: rounded, and clipped at full scale."""
    clip[:] = audio.to_int16(clip * np.float32(factor)) / np.float32(audio.FULL_SCALE)
