"""Random changes of training clips: `AUGMENTATIONS` are drawn for a whole batch, then applied to one clip at a time.

To add one, write a subclass of `Augmentation` and put its `draw` into the table. Its hyper-parameters are lines of
`DataSettings`; code outside this package keeps its own, and puts its `draw` into the table before training starts.
"""
import zlib
from typing import Callable, Optional, Sequence, Tuple, Union

import numpy as np

from .acoustics import Microphone, Room
from .augmentation import Augmentation, Batch
from .spec_augment import FrequencyMasks, TimeMasks
from .speed import Speed

# Digital silence takes noise as if it had this power; noise at a ratio to nothing would be nothing.
LEAST_POWER = 1e-8
# Share of the clips of silence that get no background noise, because a muted microphone is silence too.
DIGITAL_SILENCE = 0.2


class TimeShift(Augmentation):
    """Moves a clip in time by up to `time_shift_ms`."""

    def __init__(self, shifts: np.ndarray) -> None:
        self.shifts = shifts  # [n] samples; positive values move the sound to a later time

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> "TimeShift":
        reach = int(batch.settings.time_shift_ms * batch.sample_rate / 1000)
        return cls(rng.randint(-reach, reach + 1, len(batch.silent)))

    def recording(self, row: int, samples: np.ndarray, start: int) -> Tuple[np.ndarray, int]:
        return samples, start - self.shifts[row]


class BackgroundNoise(Augmentation):
    """Mixes a clip with a part of a background recording. A clip of silence is nothing else than such a part."""

    def __init__(
        self, background: Sequence[np.ndarray], volumes: np.ndarray, noises: np.ndarray, positions: np.ndarray,
        ratios: Optional[np.ndarray] = None,
    ) -> None:
        self.background = background  # recordings, int16 [samples]
        self.volumes = volumes  # [n] factor; 0 means no noise
        self.noises = noises  # [n] index of the background recording
        self.positions = positions  # [n] place in that recording, from 0 to 1
        # [n] power of the clip / power of its noise, where that is given instead of the volume; else 0
        self.ratios = np.zeros(len(volumes)) if ratios is None else ratios

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> "BackgroundNoise":
        """Silence gets noise of any volume (with `--sampling reference`: up to background_volume, as other clips)."""
        TimeShift.draw(rng, batch)  # comes before these draws in the stream that both share: see `stream_key`
        settings, count = batch.settings, len(batch.silent)
        chance, volumes = rng.random_sample(count), rng.random_sample(count)
        noises, positions = rng.randint(max(1, len(batch.background)), size=count), rng.random_sample(count)
        noisy, loudest = chance < settings.background_frequency, np.full(count, settings.background_volume)
        ratios = np.zeros(count)
        if settings.noise_snr_db:
            lowest, highest = settings.noise_snr_db
            ratios = np.power(10, (lowest + volumes * (highest - lowest)) / 10)
            ratios[batch.silent | ~noisy | (len(batch.background) == 0)] = 0.0
            noisy = noisy & batch.silent
        if settings.sampling == "epoch":
            noisy = np.where(batch.silent, chance >= DIGITAL_SILENCE, noisy)
            loudest[batch.silent] = 1.0
        volumes = np.where(noisy & (len(batch.background) > 0), volumes * loudest, 0.0)
        return cls(batch.background, volumes, noises, positions, ratios)

    def clip(self, row: int, clip: np.ndarray) -> None:
        if self.volumes[row]:
            piece = self._piece(row, len(clip))
            clip[: len(piece)] += piece * np.float32(self.volumes[row] / 32768)
            if max(clip.max(), -clip.min()) > 1:  # seldom; to look is cheaper than to clip
                np.clip(clip, -1, 1, out=clip)
        elif self.ratios[row]:
            _mix(clip, self._piece(row, len(clip)) * np.float32(1 / 32768), self.ratios[row])

    def _piece(self, row, count):
        noise = self.background[self.noises[row]]
        begin = int(self.positions[row] * max(1, len(noise) - count + 1))
        return noise[begin : begin + count]


class Attenuation(Augmentation):
    """Makes a clip, with its noise, quieter by up to `attenuation_db`: the level of a microphone must not decide."""

    def __init__(self, factors: np.ndarray) -> None:
        self.factors = factors  # [n] float32

    @classmethod
    def draw(cls, rng: np.random.RandomState, batch: Batch) -> Augmentation:
        if not batch.settings.attenuation_db:
            return Augmentation()
        decibels = rng.uniform(0, batch.settings.attenuation_db, len(batch.silent))
        return cls(np.power(10, -decibels / 20).astype(np.float32))

    def clip(self, row: int, clip: np.ndarray) -> None:
        clip *= self.factors[row]


# {name: draw(random numbers, batch) -> Augmentation}, applied in this order: all of them to recordings, then to clips,
# then to features. Frequency masks come first, because they do not change the means of the channels.
AUGMENTATIONS = {
    "time_shift": TimeShift.draw,
    "speed": Speed.draw,
    "room": Room.draw,
    "background_noise": BackgroundNoise.draw,
    "microphone": Microphone.draw,
    "attenuation": Attenuation.draw,
    "frequency_masks": FrequencyMasks.draw,
    "time_masks": TimeMasks.draw,
}


def stream_key(name: str) -> Tuple[int, ...]:
    """What makes the random stream of an augmentation its own, beside the seed and the step.

    Other augmentations may come and go without a change of its draws. The first two share a stream, because they
    did before there were others, and a seed must keep giving the same batches.
    """
    return () if name in ("time_shift", "background_noise") else (zlib.crc32(name.encode()),)


class Drawn:
    """The augmentations drawn for a batch, and which of its rows these clips are."""

    def __init__(self, augmentations: Sequence[Augmentation], rows: np.ndarray) -> None:
        self._augmentations, self._rows = augmentations, rows

    def part(self, rows: Union[slice, np.ndarray]) -> "Drawn":
        """The same for some of the clips."""
        return Drawn(self._augmentations, self._rows[rows])

    def clips(
        self, recordings: Sequence[Optional[np.ndarray]], starts: np.ndarray, clip_samples: int
    ) -> np.ndarray:
        """Augmented clips [n, clip_samples] float32 in [-1, 1].

        recordings: n int16 arrays, None for silence. starts [n]: the sample at which the clip starts in each.
        """
        clips = np.zeros((len(recordings), clip_samples), np.float32)
        # One clip at a time stays in the processor's cache.
        for clip, row, samples, start in zip(clips, self._rows.tolist(), recordings, starts):
            if samples is not None:
                for one in self._augmentations:
                    samples, start = one.recording(row, samples, start)
                _place(clip, samples, start)
            for one in self._augmentations:
                one.clip(row, clip)
        return clips

    def change_features(self, features: np.ndarray) -> None:
        """Augment the features [n, frame_count, channel_count] of the clips in place."""
        for row, of_clip in zip(self._rows.tolist(), features):
            for one in self._augmentations:
                one.features(row, of_clip)


def draw(stream_of: Callable[[str], np.random.RandomState], batch: Batch) -> Drawn:
    """Draw every augmentation for a batch.

    stream_of: name of an augmentation -> its random numbers, which are its own until the next name is asked for.
    """
    return Drawn([one(stream_of(name), batch) for name, one in AUGMENTATIONS.items()], np.arange(len(batch.silent)))


def for_evaluation(rng: np.random.RandomState, silent: np.ndarray, background: Sequence[np.ndarray]) -> Drawn:
    """Leaves recordings as they are. Clips of silence get noise of any volume, or none."""
    count = len(silent)
    volumes = np.where(rng.random_sample(count) < DIGITAL_SILENCE, 0.0, rng.random_sample(count))
    volumes = np.where(silent & (len(background) > 0), volumes, 0.0)
    noises = rng.randint(max(1, len(background)), size=count)
    return Drawn([BackgroundNoise(background, volumes, noises, rng.random_sample(count))], np.arange(count))


def _mix(clip, noise, ratio):
    """Add noise whose power has this ratio to that of the clip. A sum that would be clipped becomes quieter."""
    power, noise_power = (np.dot(one, one) / len(one) for one in (clip, noise))
    if noise_power:
        noise *= np.float32(np.sqrt(max(power, LEAST_POWER) / ratio / noise_power))
        clip[: len(noise)] += noise
        peak = max(clip.max(), -clip.min())
        if peak > 1:
            clip /= peak


def _place(clip, recording, begin):
    """clip[t] = recording[begin + t] / 32768 for every t where both exist."""
    first = max(0, -begin)
    piece = recording[begin + first : max(0, begin + len(clip))]
    np.multiply(piece, np.float32(1 / 32768), out=clip[first : first + len(piece)], dtype=np.float32)
