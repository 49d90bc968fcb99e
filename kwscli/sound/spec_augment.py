"""SpecAugment (arXiv 1904.08779): hides some frames and some channels of the features."""
import numpy as np

from ..errors import KwsError
from ..settings import DataSettings, flag_of
from .augmentation import Augmentation, Batch
from .feature_settings import FeatureSettings


class _Masks(Augmentation):
    """Replaces neighbouring frames or channels by the mean that each channel has in the clip."""

    axis = 0

    def __init__(self, widths: np.ndarray, places: np.ndarray) -> None:
        self.widths = widths  # [n, masks]
        self.places = places  # [n, masks] from 0 to 1: where the mask lies among the places that it can have

    @classmethod
    def _draw(cls, rng, batch, masks, widest):
        if not masks:
            return Augmentation()
        shape = len(batch.silent), masks
        return cls(rng.randint(widest + 1, size=shape), rng.random_sample(shape))

    def features(self, row: int, features: np.ndarray) -> None:
        masked = features.T if self.axis else features
        means = features.sum(axis=0) / len(features)
        for width, place in zip(self.widths[row].tolist(), self.places[row].tolist()):
            begin = int(place * (len(masked) - width + 1))
            hidden = slice(begin, begin + width)
            masked[hidden] = means[hidden, np.newaxis] if self.axis else means


class TimeMasks(_Masks):
    """Hides frames: `time_masks` times up to `time_mask_frames`."""

    axis = 0

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> Augmentation:
        return cls._draw(rng, batch, batch.settings.time_masks, batch.settings.time_mask_frames)


class FrequencyMasks(_Masks):
    """Hides channels: `frequency_masks` times up to `frequency_mask_channels`."""

    axis = 1

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> Augmentation:
        return cls._draw(rng, batch, batch.settings.frequency_masks, batch.settings.frequency_mask_channels)


def check(data: DataSettings, features: FeatureSettings) -> None:
    """Raise a KwsError if a mask could hide all of the features."""
    for name, count, unit in (
        ("time_mask_frames", features.frame_count, "frames"),
        ("frequency_mask_channels", features.channel_count, "channels"),
    ):
        width = getattr(data, name)
        if width >= count:
            raise KwsError(
                "%s %d is too wide for the features, which have %d %s" % (flag_of(name), width, count, unit),
                "choose at most %d" % (count - 1),
            )
