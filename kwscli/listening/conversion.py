"""Blocks of samples of any rate and number of channels -> blocks of mono samples at the rate of the network."""
from typing import Callable, Iterable, Iterator

import numpy as np

from ..sound import audio

# How much sound on both sides of a block the filter of `audio.resample` gets. It reaches less far.
_CONTEXT_SECONDS = 0.05
_LEAST_SECONDS = 0.02  # resampled at once, because each call costs the design of a filter


def convert(
    blocks: Iterable[np.ndarray], rate: int, new_rate: int, say: Callable[[str], None], name: str
) -> Iterator[np.ndarray]:
    """Blocks [n, channels] float32 at `rate` -> blocks [m] float32 at `new_rate`; together the same as `audio.read`.

    say: is called with what is unusual about the samples. name: what it calls the sound.
    """
    mixer, resampler = _Mixer(say, name), Resampler(rate, new_rate)
    heard, finite = 0, True
    for block in blocks:
        if not np.isfinite(block).all():
            if finite:
                first = int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                say("%s has samples that are not finite numbers, the first at %.2f s; they are taken as silence."
                    % (name, (heard + first) / rate))
            finite = False
            block = np.where(np.isfinite(block), block, np.float32(0))
        heard += len(block)
        yield resampler.feed(mixer.mix(block))
    yield resampler.finish()


class _Mixer:
    """The mean of channels, or the loudest channel if they cancel each other out in the sound so far."""

    def __init__(self, say, name):
        self._say, self._name, self._cancel = say, name, False
        self._count, self._sums, self._squares = 0, 0.0, 0.0  # of each channel, and of their mean last

    def mix(self, block):
        if block.shape[1] == 1:
            return block[:, 0]
        mean = block.mean(axis=1)
        values = np.concatenate([block, mean[:, np.newaxis]], axis=1).astype(np.float64)
        self._count += len(values)
        self._sums = self._sums + values.sum(axis=0)
        self._squares = self._squares + np.square(values).sum(axis=0)
        levels = np.sqrt(np.maximum(0, self._squares / max(1, self._count) - (self._sums / max(1, self._count)) ** 2))
        loudest = int(np.argmax(levels[:-1]))
        if not levels[-1] < audio.CANCELLED * levels[loudest]:
            return mean
        if not self._cancel:
            self._say("The channels of %s cancel each other out: only channel %d of %d is used."
                      % (self._name, loudest + 1, block.shape[1]))
        self._cancel = True
        return block[:, loudest]


class Resampler:
    """`audio.resample` for a sound that arrives in blocks: the blocks that it returns are parts of the same result."""

    def __init__(self, rate: int, new_rate: int) -> None:
        self._rate, self._new_rate = rate, new_rate
        ratio = audio.resampling_ratio(rate, new_rate)
        self._up, self._down = ratio.numerator, ratio.denominator
        # Parts that begin at a multiple of `down` have the phase of the whole.
        self._context = self._down * (1 + int(_CONTEXT_SECONDS * rate) // self._down)
        self._waiting = np.zeros(0, np.float32)  # what is not resampled yet, behind what was resampled last
        self._behind = 0  # how many samples of `_waiting` were resampled

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """The next samples [n] -> the next samples at the new rate, as far as they are certain."""
        if self._rate == self._new_rate:
            return samples
        self._waiting = np.concatenate([self._waiting, samples])
        ready = (len(self._waiting) - self._behind - self._context) // self._down * self._down
        if ready < max(1, _LEAST_SECONDS * self._rate):
            return np.zeros(0, np.float32)
        found = self._resampled(self._waiting[: self._behind + ready + self._context])[: self._converted(ready)]
        behind = min(self._context, self._behind + ready)
        self._waiting = self._waiting[self._behind + ready - behind :]
        self._behind = behind
        return found

    def finish(self) -> np.ndarray:
        """The samples at the end, which no others follow."""
        if self._rate == self._new_rate or not len(self._waiting):
            return np.zeros(0, np.float32)
        return self._resampled(self._waiting)

    def _resampled(self, samples):
        return audio.resample(samples, self._rate, self._new_rate)[self._converted(self._behind) :]

    def _converted(self, count):
        return count // self._down * self._up
