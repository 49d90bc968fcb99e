"""What a report keeps of the clips of an evaluation: all scores, but only a few clips, however many there are."""
import heapq
from typing import Any, List, NamedTuple, Sequence

import numpy as np

from .. import files
from ..data.batches import EVALUATION_SEED, rng_of
from ..labels import SILENCE
from .scoring import Batch

_SAMPLE = 3  # its stream of random numbers; `data.batches` has others
SAMPLE_CLIPS, SAMPLE_SECONDS = 500, 1000  # at most
MISTAKES, MISTAKE_SECONDS = 12, 24  # at most, but always one


class Kept(NamedTuple):
    """A clip that was kept, and its row among all clips."""

    row: int
    clip: np.ndarray  # [clip_samples] float32


class Observed(NamedTuple):
    """The clips of an evaluation, in its order."""

    targets: np.ndarray  # [n] index of the label
    scores: np.ndarray  # [n, label_count] float32
    names: Sequence[str]  # [n]; "" for silence made from background recordings
    speakers: Sequence[str]  # [n]; "" where nobody knows
    sample: Sequence[Kept]  # drawn from the clips that are not silence, by their row
    mistakes: Sequence[Kept]  # those with the highest scores, the highest first

    @property
    def answers(self) -> np.ndarray:
        """[n]: the index of the label with the highest score."""
        return self.scores.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """[n] bool: whether the answer is the label."""
        return self.answers == self.targets


class Observer:
    """Collects an Observed: `see` is given each batch of an evaluation."""

    def __init__(self, classifier: Any) -> None:
        seconds, labels = classifier.features.clip_duration_ms / 1000, classifier.labels
        self._silence = labels.index(SILENCE) if SILENCE in labels else -1
        self._sample = _Highest(min(SAMPLE_CLIPS, max(1, int(SAMPLE_SECONDS / seconds))))
        self._mistakes = _Highest(min(MISTAKES, max(1, int(MISTAKE_SECONDS / seconds))))
        self._rng = rng_of(EVALUATION_SEED, _SAMPLE)
        self._targets: List[np.ndarray] = []
        self._scores: List[np.ndarray] = []
        self._names: List[str] = []
        self._speakers: List[str] = []

    def see(self, batch: Batch, scores: np.ndarray) -> None:
        """Take note of a batch and its scores [n, label_count]."""
        begin, answers = len(self._names), scores.argmax(axis=1)
        chances = self._rng.random_sample(len(scores))
        for row, (clip, target, answer) in enumerate(zip(batch.clips, batch.targets, answers)):
            if target != self._silence:
                self._sample.offer(chances[row], begin + row, clip)
            if answer != target:
                self._mistakes.offer(scores[row, answer], begin + row, clip)
        self._targets.append(np.asarray(batch.targets))
        self._scores.append(np.asarray(scores, np.float32))
        self._names += map(files.printable, batch.names)
        self._speakers += map(files.printable, batch.speakers)

    def observed(self) -> Observed:
        """What was seen so far, at least one batch."""
        return Observed(
            np.concatenate(self._targets), np.concatenate(self._scores), self._names, self._speakers,
            sorted(self._sample.kept(), key=lambda kept: kept.row), self._mistakes.kept(),
        )


class _Highest:
    """The clips with the highest values, up to a number of them."""

    def __init__(self, count):
        self._count, self._heap = count, []

    def offer(self, value, row, clip):
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, (value, -row, clip.copy()))
        elif (value, -row) > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (value, -row, clip.copy()))

    def kept(self):
        """As Kept, the highest first."""
        return [Kept(-row, clip) for _, row, clip in sorted(self._heap, key=lambda one: one[:2], reverse=True)]
