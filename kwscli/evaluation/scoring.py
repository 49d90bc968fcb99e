"""Batches of clips -> their scores, on all cores."""
from typing import Any, Iterable, Iterator, NamedTuple, Sequence, Tuple

import numpy as np

from ..data.batches import Ahead
from ..workers import cores


class Batch(NamedTuple):
    """Some clips, and what is known about them."""

    clips: np.ndarray  # [n, clip_samples] float32
    targets: np.ndarray  # [n] index of the label
    words: Sequence[str]  # [n]; without a meaning for silence
    names: Sequence[str]  # [n] file; "" for silence that is made from background recordings
    speakers: Sequence[str]  # [n]; "" where nobody knows


def scored(classifier: Any, batches: Iterable[Batch]) -> Iterator[Tuple[Batch, np.ndarray]]:
    """Yield (batch, scores [n, label_count]) for each batch, in order. Each core scores a batch of its own."""
    count = len(cores.usable())
    return Ahead(lambda batch: (batch, classifier.scores(batch.clips)), batches, count, count)
