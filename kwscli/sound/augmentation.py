"""What an augmentation is. The table of them is in `augment`."""
from typing import NamedTuple, Sequence, Tuple

import numpy as np

from ..settings import DataSettings


class Batch(NamedTuple):
    """What an augmentation may look at when it is drawn: the clips of all workers in one training step."""

    silent: np.ndarray  # [n] bool: which clips are silence
    background: Sequence[np.ndarray]  # background recordings, int16 [samples]
    sample_rate: int
    clip_samples: int
    settings: DataSettings


class Augmentation:
    """What was drawn for each clip of a batch. A subclass overrides one of these methods (or more of them).

    row: the clip's place in the batch.
    """

    def recording(self, row: int, samples: np.ndarray, start: int) -> Tuple[np.ndarray, int]:
        """The recording, int16, and the sample at which its clip starts. Is not called for clips of silence."""
        return samples, start

    def clip(self, row: int, clip: np.ndarray) -> None:
        """Change a clip [clip_samples] float32 in place; it must stay in [-1, 1]."""

    def features(self, row: int, features: np.ndarray) -> None:
        """Change the features [frame_count, channel_count] float32 of a clip in place."""
