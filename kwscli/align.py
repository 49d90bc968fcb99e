"""`kws prepare --align`: keeps the part of a long recording in which a network hears its word."""
import contextlib
from typing import Iterator, Set

import numpy as np

from . import classifiers
from .classifiers.classifier import BATCH, Classifier
from .console import say
from .errors import KwsError
from .labels import folded
from .sound import audio

_STEP_MS = 50  # from one part that is tried to the next
_WEIGHTS = 1, 2, 3, 2, 1  # of the scores of a part and its neighbours: the word is in the middle of the best one


class Aligner:
    """Cuts recordings to the clips of a network. unknown: the words that the network does not know."""

    def __init__(self, model: Classifier, sample_rate: int) -> None:
        self._model, self._rate = model, sample_rate
        self._labels = {folded(label): index for index, label in enumerate(model.labels)}
        self.unknown: Set[str] = set()

    def cut(self, samples: np.ndarray, word: str) -> np.ndarray:
        """The samples [n] int16 of a recording -> those of the clip [clip_samples] with the highest score of its word.

        A recording that is no longer than a clip, or of a word that the network does not know, stays as it is.
        """
        length = self._model.features.clip_samples
        if len(samples) <= length:
            return samples
        if folded(word) not in self._labels:
            self.unknown.add(word)
            return samples
        starts = np.arange(0, len(samples) - length + 1, self._rate * _STEP_MS // 1000)
        scores = np.concatenate([
            self._scores(samples, starts[first : first + BATCH], length) for first in range(0, len(starts), BATCH)
        ])[:, self._labels[folded(word)]]
        together = np.convolve(scores, _WEIGHTS)[len(_WEIGHTS) // 2 :][: len(starts)]
        start = starts[np.argmax(together)]
        return samples[start : start + length]

    def _scores(self, samples, starts, length):
        clips = np.stack([samples[start : start + length] for start in starts])
        return self._model.scores(clips.astype(np.float32) / audio.FULL_SCALE)


@contextlib.contextmanager
def opened(path: str, sample_rate: int) -> Iterator[Aligner]:
    """The Aligner with the network in a model file; says at the end which words it did not know."""
    with classifiers.open(path, light=True) as model:
        if model.features.sample_rate != sample_rate:
            raise KwsError(
                "--align %s takes %d samples per second, but --sample-rate is %d"
                % (path, model.features.sample_rate, sample_rate), "name another network, or change --sample-rate",
            )
        aligner = Aligner(model, sample_rate)
        yield aligner
        if aligner.unknown:
            say("%s does not know: %s. Of their long recordings, the loudest part is used." % (
                path, ", ".join(sorted(aligner.unknown))))
