"""False rejects and false accepts of a network, on clips that are joined to a stream as `kws listen` would hear it."""
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from ..console import Progress
from ..data.batches import rng_of
from ..evaluation import operating_points
from ..evaluation.operating_points import ScoredStream
from ..listening.stream import WindowScores
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
    """How often a keyword was detected where none was said."""

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
        return operating_points.upper_bound(self.count) / self.hours


def speech(classifier: Any, parts: Sequence[Part]) -> ScoredStream:
    """The scores of clips without keywords, one after the other without pauses."""
    return _scored(classifier, parts, 0.0, said=False)


def background(classifier: Any, noises: Sequence[np.ndarray]) -> ScoredStream:
    """The scores of background recordings [n] int16."""
    return _stream(classifier, (noise / np.float32(audio.FULL_SCALE) for noise in noises), [])


def keywords(classifier: Any, part: Part) -> ScoredStream:
    """The scores of clips of keywords, with a pause around each."""
    return _scored(classifier, [part], _PAUSE_SECONDS, said=True)


def _scored(classifier, parts, pause_seconds, said):
    rate, spoken, at = classifier.features.sample_rate, [], 0
    pause = (_HISS * rng_of(0).randn(int(pause_seconds * rate))).astype(np.float32)
    clips = [(part, index) for part in parts for index in range(len(part.rows))]
    for part, index in clips if said else ():
        length = int(part.dataset.counts[part.rows[index]])
        spoken.append(Spoken((at + len(pause)) / rate, (at + len(pause) + length) / rate, str(part.words[index])))
        at += len(pause) + length

    def blocks():
        with Progress("measuring", len(clips)) as progress:
            for start in range(0, len(clips), _CLIPS_AT_ONCE):
                block = []
                for part, index in clips[start : start + _CLIPS_AT_ONCE]:
                    block += [pause, part.dataset.recording(part.rows[index]) / np.float32(audio.FULL_SCALE)]
                progress.update(len(block) // 2)
                yield np.concatenate(block)
            yield pause

    return _stream(classifier, blocks(), spoken)


def _stream(classifier, blocks, spoken):
    windows = WindowScores(classifier, classifier.detector.stride_ms)
    scores = [windows.feed(block.astype(np.float32)) for block in blocks] + [windows.finish()]
    joined = np.concatenate(scores)
    times_ms = np.arange(len(joined)) * windows.stride_ms + classifier.features.clip_duration_ms / 2
    return ScoredStream(times_ms, joined, windows.sample_count / classifier.features.sample_rate, spoken)


def found(labels: Sequence[str], stream: ScoredStream, settings: DetectorSettings, source: str) -> List[Found]:
    """How often each keyword of a stream was found."""
    comparison = operating_points.compare(labels, stream, settings)
    said: Dict[str, List[int]] = {one.word: [0, 0] for one in stream.spoken}
    for one in stream.spoken:
        said[one.word][0] += 1
    for one, _ in comparison.hits:
        said[one.word][1] += 1
    return [Found(word, source, *counts) for word, counts in said.items()]


def false_accepts(
    labels: Sequence[str], streams: Sequence[ScoredStream], settings: DetectorSettings, source: str
) -> FalseAccepts:
    """How often a keyword was detected in streams without keywords."""
    count = sum(len(operating_points.compare(labels, one, settings).false_accepts) for one in streams)
    return FalseAccepts(source, count, sum(one.seconds for one in streams) / 3600)
