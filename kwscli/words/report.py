"""Thresholds for a rate of false accepts, and what the network then does: the last step of `kws words`."""
from typing import Any, Dict, List, NamedTuple

import numpy as np

from .. import classifiers
from ..console import table
from ..data.dataset import SPLITS
from ..evaluation import operating_points
from ..settings import DetectorSettings
from . import measuring
from .measuring import FalseAccepts, Found
from .project import Material

_TRAINING, _VALIDATION, _TESTING = SPLITS
_KEPT = {
    "splits": "your recordings in the testing split",
    "speakers": "your recordings of speakers that training has not heard",
    "recordings": "your recordings that training has not heard, of the same speakers",
}
_SYNTHETIC = "synthesised voices that training has not heard"


class Report(NamedTuple):
    """What a network does with its thresholds."""

    run: str
    thresholds: Dict[str, float]
    wanted_rate: float  # of false accepts per hour
    hours: float  # of sound without keywords that the thresholds were found on
    found: List[Found]
    false_accepts: List[FalseAccepts]
    alike_taken: int  # phrases that sound alike, taken for a keyword
    alike: int  # of how many
    is_real: Dict[str, bool]  # whether a keyword was measured on recordings of people

    def to_json(self) -> Dict[str, Any]:
        """The report as plain JSON values."""
        return dict(
            self._asdict(),
            found=[dict(one._asdict(), false_rejects=one.false_rejects) for one in self.found],
            false_accepts=[dict(one._asdict(), per_hour=one.per_hour, at_most_per_hour_95=one.at_most_per_hour)
                           for one in self.false_accepts],
        )

    def __str__(self) -> str:
        rows = [("keyword", "threshold", "clips", "found", "false rejects", "measured on")]
        rows += [(one.keyword, "%.4f" % self.thresholds[one.keyword], one.said, one.found,
                  "%.1f %%" % (100 * one.false_rejects), one.source) for one in self.found]
        others = [("false accepts", "hours", "per hour", "at most", "measured on")]
        others += [(one.count, "%.2f" % one.hours, "%.1f" % one.per_hour, "%.1f" % one.at_most_per_hour, one.source)
                   for one in self.false_accepts]
        lines = [table(rows, "<>>>><"), "", table(others, ">>>><"), "", self._on_alike(), self._on_thresholds()]
        return "\n".join(lines + self._warnings() + self._next())

    def _on_thresholds(self):
        return "The thresholds are for at most %g false accepts per hour, found on %.2f hours; \"at most\" has 95 %% " \
            "confidence." % (self.wanted_rate, self.hours)

    def _on_alike(self):
        return "%d of %d synthesised phrases that sound alike are taken for a keyword." % (self.alike_taken, self.alike)

    def _warnings(self):
        only = [word for word, real in self.is_real.items() if not real]
        if not only:
            return []
        return [
            "No recording of a person measured: %s. People are missed more often than synthesised voices." %
            ", ".join(only),
            "Record some, for example with kws record, and give them with --recordings.",
        ]

    def _next(self):
        return ["", "kws listen --checkpoint %s --microphone" % self.run, "kws freeze --checkpoint %s" % self.run]


def finish(run: str, material: Material, max_false_accepts_per_hour: float) -> Report:
    """Choose the thresholds of a run, write them into it, and measure it."""
    others = _Others(material)
    with classifiers.open(run, light=True) as model:
        streams = others.streams(model, _VALIDATION)
        found = operating_points.thresholds_for(model.labels, streams, model.detector, max_false_accepts_per_hour)
        settings = operating_points.with_thresholds(model.detector, found)
        rejects = _false_rejects(model, material, settings)
        accepts = others.false_accepts(model, settings)
        alike = material.synthetic.of(_TESTING, material.phrases.hard)
        taken = measuring.false_accepts(model.labels, [measuring.speech(model, alike)], settings, "").count
    classifiers.detector_writer(run)(settings)
    real = {word: any(one.keyword == word and one.source != _SYNTHETIC for one in rejects)
            for word in material.keywords}
    return Report(run, found, max_false_accepts_per_hour, sum(one.seconds for one in streams) / 3600, rejects, accepts,
                  taken, len(alike.rows), real)


def _false_rejects(model, material, settings):
    sources = [(_real(material), "recordings in %s" % material.other.dataset.path)] if material.other else []
    if material.kept:
        sources.append((material.own.of(_TESTING, material.keywords), _KEPT[material.kept]))
    sources.append((material.synthetic.of(_TESTING, material.keywords), _SYNTHETIC))
    return [one for part, source in sources if len(part.rows)
            for one in measuring.found(model, part, settings, source)]


def _real(material):
    """The recordings of keywords in the data path. Nothing is trained on them, but the network that the training starts
    with may have heard the speakers of the training split.
    """
    other = material.other
    return other.chosen((other.splits != _TRAINING) & np.isin(other.words, material.keywords))


class _Others:
    """Sound without keywords: speech of people where there is some, else synthesised words; and noise."""

    def __init__(self, material: Material) -> None:
        self._material, other = material, material.other
        self._speech = other or material.synthetic
        self._words = sorted(set(other.words) - set(material.keywords)) if other else material.phrases.others
        self._name = "recordings of other words in %s" % other.dataset.path if other else "other words, synthesised"

    def streams(self, model: Any, split: str) -> List[operating_points.ScoredStream]:
        """The scores of speech of a split and of noise."""
        return [measuring.speech(model, self._speech.of(split, self._words)), self._noise(model)]

    def _noise(self, model):
        return measuring.noise(model, self._speech.dataset.background or self._material.synthetic.dataset.background)

    def false_accepts(self, model: Any, settings: DetectorSettings) -> List[FalseAccepts]:
        """The false accepts in speech and in noise."""
        sources = [
            (self._name, measuring.speech(model, self._speech.of(_TESTING, self._words))),
            ("background noise, which training has mixed in", self._noise(model)),
        ]
        return [measuring.false_accepts(model.labels, [stream], settings, name) for name, stream in sources]
