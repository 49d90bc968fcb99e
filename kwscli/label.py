"""`kws label`: says which label a network gives to sound files."""
import math
import os
import sys
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .classifiers.classifier import BATCH
from .errors import KwsError
from .labels import SILENCE
from .sound import audio
from .workers import cores

STDIN = "-"
# The peak, in decibels of full scale, below which networks lose accuracy. A DS-CNN that names 90 % of clips right does
# so with 86 % of clips with peaks of -30 to -25 dB, 78 % at -40 to -35 dB, and 63 % at -55 to -50 dB. With
# --attenuation-db, the limit is lower by as much.
QUIET_DB = -30.0
COLUMNS = "file", "label", "score", "start_ms", "duration_ms", "peak_db", "too_quiet", "error"  # of CSV


class Labelled(NamedTuple):
    """The scores of a file, as (label, score) from the most to the least likely, and which part of it was scored."""

    file: str
    start_ms: int = 0
    duration_ms: int = 0
    scores: Tuple[Tuple[str, float], ...] = ()
    peak_db: Optional[float] = None  # of full scale; None for digital silence
    too_quiet: bool = False  # for the network to be reliable
    error: str = ""  # why there are no scores
    recognized: bool = True  # whether the highest score is high enough

    def __str__(self) -> str:
        if self.error:
            return "Error: " + self.error
        scores = "  ".join("%s %.1f %%" % (name, 100 * score) for name, score in self.scores)
        line = "%s  %s" % (self.file, scores if self.recognized else "not recognized (%s)" % scores)
        return line + ("  (not reliable: its peak is only %.0f dB)" % self.peak_db if self.too_quiet else "")

    def to_json(self) -> Dict[str, Any]:
        if self.error:
            return {"file": self.file, "error": self.error}
        found = {name: getattr(self, name) for name in ("file", "start_ms", "duration_ms", "peak_db", "too_quiet")}
        return dict(found, label=self.label, scores=dict(self.scores))

    @property
    def label(self) -> Optional[str]:
        """The most likely label; None for a recording that is not recognized."""
        return self.scores[0][0] if self.recognized and self.scores else None

    def to_row(self) -> List[Any]:
        """The values of COLUMNS; None where there is none."""
        if self.error:
            return [self.file] + [None] * (len(COLUMNS) - 2) + [self.error]
        found = [self.file, self.label, "%.4f" % self.scores[0][1], self.start_ms, self.duration_ms, self.peak_db]
        return found + [str(self.too_quiet).lower(), None]


def expand(paths: Iterable[str]) -> Iterator[str]:
    """Yield files as they are, and the sound files of folders in a fixed order."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        from .data.recordings import sound_files

        found = [os.path.join(path, name) for name in sound_files(path)]
        if not found:
            raise KwsError("%s holds no sound files" % path, "give a sound file, or a folder with sound files in it")
        yield from found


def label(
    classifier: Any, paths: Sequence[str], top: Optional[int] = None, min_score: Optional[float] = None
) -> Iterator[Labelled]:
    """Yield the Labelled of each file (`-`: standard input), in order. A file that cannot be read has an error.

    A file that is longer than a clip is scored by its loudest part. Batches are read and scored on all cores. top: how
    many labels to give. min_score: a file whose highest score is lower is not recognized.
    """
    starts = range(0, len(paths), BATCH)

    def batch(start):
        return _label_batch(classifier, paths[start : start + BATCH], top, min_score)

    if len(starts) < 2:
        results = map(batch, starts)
    else:
        from .data.batches import Ahead  # a single file does not wait for what it imports

        count = len(cores.usable())
        results = Ahead(batch, starts, count, count)
    for labelled in results:
        yield from labelled


def _label_batch(classifier, paths, top, min_score):
    """The Labelled of each file, scored together."""
    clips: List[np.ndarray] = []
    labelled = [_read(classifier.features, path, clips) for path in paths]
    scores = iter(classifier.scores(np.stack(clips)) if clips else ())
    limit = QUIET_DB - classifier.data.attenuation_db
    own = classifier.detector.keyword_thresholds() if min_score is None else {}
    least = {name: own.get(name, min_score or 0.0) for name in classifier.labels}
    return [one if one.error else _scored(one, _ranked(classifier.labels, next(scores)), limit, top, least)
            for one in labelled]


def _scored(labelled, ranked, limit, top, least):
    (name, score), quiet = ranked[0], labelled.peak_db is not None and labelled.peak_db < limit
    return labelled._replace(
        scores=ranked[:top], too_quiet=quiet and name != SILENCE, recognized=score >= least[name]
    )


def _read(settings, path, clips):
    """Add the clip of a file to `clips`, and return its Labelled, which still has no scores."""
    try:
        samples = _samples(path, settings.sample_rate)
    except audio.UnreadableAudio as error:
        return Labelled(path, error=str(error))
    start, clip = audio.loudest_clip(samples, settings.clip_samples, settings.sample_rate)
    clips.append(clip)
    scored = min(len(samples), settings.clip_samples)
    milliseconds = 1000 / settings.sample_rate
    peak = float(np.abs(clip).max())
    peak_db = round(20 * math.log10(peak), 1) if peak else None
    return Labelled(path, round(start * milliseconds), round(scored * milliseconds), peak_db=peak_db)


def _samples(path, sample_rate):
    if path != STDIN:
        return audio.read(path, sample_rate, path)
    sound = sys.stdin.buffer.read()
    if not sound:
        raise audio.UnreadableAudio("standard input is empty", "pipe a sound file into it")
    return audio.read(sound, sample_rate, "standard input")


def _ranked(labels, scores):
    """((label, score), ...) from the most to the least likely."""
    return tuple((labels[index], float(scores[index])) for index in np.argsort(-scores, kind="stable"))
