"""False rejects and false accepts of a network, on clips that are joined to a stream as `kws listen` would hear it."""
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

from .. import significance
from ..data.batches import rng_of
from ..evaluation import operating_points, streaming
from ..evaluation.operating_points import ScoredStream
from ..listening.truth import Spoken
from ..settings import DetectorSettings
from ..sound import audio
from .mixture import Part

_PAUSE_SECONDS = 1.0  # around each clip of a keyword
_HISS = 0.0005  # standard deviation of the noise in pauses
_CLIPS_AT_ONCE = 50


class Found(NamedTuple):
    """How often a keyword was found in recordings of it. source: what kind of recordings these are."""

    keyword: str
    source: str
    said: int
    found: int

    @property
    def false_rejects(self) -> float:
        """The share of the recordings in which it was not found."""
        return 1 - self.found / self.said


class FalseAccepts(NamedTuple):
    """How often a keyword was detected where none was said. source: what was said instead."""

    source: str
    count: int
    hours: float

    @property
    def per_hour(self) -> float:
        """The rate."""
        return self.count / self.hours

    @property
    def at_most_per_hour(self) -> float:
        """What the rate does not exceed, with a confidence of 95 %."""
        return significance.poisson_upper_bound(self.count) / self.hours


class Clips:
    """Clips in a row, as a source for `streaming.score`. said: they are keywords, with a pause around each."""

    def __init__(self, part: Part, sample_rate: int, said: bool) -> None:
        self._part, self._said = part, said
        count = int(_PAUSE_SECONDS * sample_rate) if said else 0
        self._pause = (_HISS * rng_of(0).randn(count)).astype(np.float32)

    def __str__(self) -> str:
        return "%d clips of %s" % (len(self._part.rows), self._part.dataset.path)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the stream as blocks [n] float32."""
        for start in range(0, len(self._part.rows), _CLIPS_AT_ONCE):
            block = []
            for row in self._part.rows[start : start + _CLIPS_AT_ONCE]:
                block += [self._pause, self._part.dataset.recording(row) / np.float32(audio.FULL_SCALE)]
            yield np.concatenate(block)
        yield self._pause

    def spoken(self, seconds: float, keywords: Sequence[str]) -> List[Spoken]:
        """The keywords and their times; none of other words."""
        if not self._said:
            return []
        data, rows = self._part.dataset, self._part.rows
        lengths = data.counts[rows]
        starts = np.cumsum(lengths + len(self._pause)) - lengths
        return [
            Spoken(start / data.sample_rate, (start + length) / data.sample_rate, str(word))
            for start, length, word in zip(starts.tolist(), lengths.tolist(), self._part.words)
        ]


class Noises:
    """Background recordings [n] int16 in a row, as a source for `streaming.score`."""

    def __init__(self, noises: Sequence[np.ndarray]) -> None:
        self._noises = noises

    def __str__(self) -> str:
        return "%d background recordings" % len(self._noises)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the stream as blocks [n] float32."""
        return (noise / np.float32(audio.FULL_SCALE) for noise in self._noises)

    def spoken(self, seconds: float, keywords: Sequence[str]) -> List[Spoken]:
        """Nothing."""
        return []


def speech(classifier: Any, part: Part) -> ScoredStream:
    """The scores of clips without keywords, one after the other without pauses."""
    return streaming.score(classifier, Clips(part, classifier.features.sample_rate, said=False))


def noise(classifier: Any, noises: Sequence[np.ndarray]) -> ScoredStream:
    """The scores of background recordings."""
    return streaming.score(classifier, Noises(noises))


def found(classifier: Any, part: Part, settings: DetectorSettings, source: str) -> List[Found]:
    """How often the keywords in these clips are found."""
    stream = streaming.score(classifier, Clips(part, classifier.features.sample_rate, said=True))
    comparison = operating_points.compare(classifier.labels, stream, settings)
    counts: Dict[str, List[int]] = {one.word: [0, 0] for one in stream.spoken}
    for one in stream.spoken:
        counts[one.word][0] += 1
    for one, _ in comparison.hits:
        counts[one.word][1] += 1
    return [Found(word, source, *both) for word, both in counts.items()]


def false_accepts(
    labels: Sequence[str], streams: Sequence[ScoredStream], settings: DetectorSettings, source: str
) -> FalseAccepts:
    """How often a keyword is detected in streams without keywords."""
    count = sum(len(operating_points.compare(labels, one, settings).false_accepts) for one in streams)
    return FalseAccepts(source, count, sum(one.seconds for one in streams) / 3600)
