"""The page of a report: measurements and figures -> index.html."""
import json
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ..measurements import LabelScore, Measurements
from . import figures, tables
from .page import Clip, percent, render

MAX_ROWS = 50  # of a table; of more, only the worst are shown
WORST = 20
MAX_CHARACTERS = 500  # of a setting, such as the labels
SPEAKERS = 10  # with the most mistakes


def html(measured: Measurements, pictures: Dict[str, Optional[bytes]], names: Sequence[str]) -> str:
    """The page. pictures: {name: PNG}, as `figures.all_figures` gives them. names: the other files of the report."""
    evaluation, observed = measured.evaluation, measured.observed
    return render(
        "report.html", title="Report of %s" % measured.path, measured=measured, evaluation=evaluation,
        result=evaluation.result, pictures=pictures, names=names, matrix=len(measured.labels) <= figures.MATRIX_LABELS,
        labels=_labels(measured.label_scores), confusions=measured.confusions(figures.CONFUSIONS),
        keywords=_keywords(measured), rate=percent(tables.RATE, 0), mistakes=_mistakes(measured),
        mistake_count=int(np.count_nonzero(~observed.right)), conditions=list(map(_condition, measured.conditions)),
        speakers=[(one.name, one.clips, one.clips - one.right) for one in measured.speakers[:SPEAKERS]],
        bins=[_bin(one) for one in measured.calibration.bins if one.clips], cost=_cost(measured.cost),
        description=_settings(measured.description),
        validation=figures.series(measured.training, "validation_accuracy"),
    )


def _labels(scores: Sequence[LabelScore]) -> List[Sequence[Any]]:
    """The rows of the labels; of very many, those with the lowest F1 that have clips."""
    if len(scores) > MAX_ROWS:
        there = [one for one in scores if one.clips]
        scores = sorted(there, key=lambda one: one.f1 or 0.0)[:WORST]
    return [(one.label, one.clips, percent(one.precision), percent(one.recall), percent(one.f1)) for one in scores]


def _keywords(measured: Measurements):
    rows = tables.keywords(measured)
    if len(rows) > MAX_ROWS:
        rows = sorted(rows[:-1], key=lambda row: row[1])[:WORST] + rows[-1:]
    return [(name, "%.4f" % area, percent(equal), percent(rejects)) for name, area, equal, rejects in rows]


def _mistakes(measured: Measurements) -> List[Clip]:
    observed, found = measured.observed, []
    for row, clip in observed.mistakes:
        answer, target = int(observed.scores[row].argmax()), int(observed.targets[row])
        name = observed.names[row] or "silence, made from a background recording"
        title = "%s, taken for %s" % (measured.labels[target], measured.labels[answer])
        scores = "%s %s, %s %s" % (
            measured.labels[answer], percent(float(observed.scores[row, answer])),
            measured.labels[target], percent(float(observed.scores[row, target])),
        )
        found.append(Clip(
            title, clip, measured.sample_rate, "%s. %s" % (scores, name),
            figures.spectrogram(clip, measured.sample_rate), "Spectrogram of %s" % name,
        ))
    return found


def _condition(one):
    return (one.kind, "" if one.kind == "clean" else "%g" % one.value, percent(one.accuracy), "%s to %s" % tuple(
        percent(end) for end in one.interval
    ))


def _bin(one):
    return "%.2f to %.2f" % (one.low, one.high), one.clips, percent(one.confidence), percent(one.accuracy)


def _cost(cost):
    known = (
        ("time per clip on this machine, with its features, one clip at a time", "%.2f ms" % cost.milliseconds),
        ("size of the file", _number(cost.file_bytes, "bytes")),
        ("parameters", _number(cost.parameters)),
        ("multiply-accumulate operations per clip", _number(cost.macs)),
        ("weights as 32-bit floats", _number(cost.float32_bytes, "bytes")),
        ("weights as 8-bit integers", _number(cost.int8_bytes, "bytes")),
        ("activations as 8-bit integers, at one time", _number(cost.activation_bytes, "bytes")),
    )
    return [row for row in known if row[1]]


def _number(value, unit=""):
    return "" if value is None else "{:,} {}".format(value, unit).strip()


def _settings(description: Dict[str, Any]):
    """[(group, [(name, value as text)])]; what has no group comes first."""
    alone = [(name, _shown(value)) for name, value in description.items() if not isinstance(value, dict)]
    groups = [(name, [(key, _shown(one)) for key, one in value.items()])
              for name, value in description.items() if isinstance(value, dict) and value]
    return [("network", alone)] + groups


def _shown(value):
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > MAX_CHARACTERS:
        return "%s ... (report.json has the rest)" % text[:MAX_CHARACTERS]
    return "none" if text in ("", "null") else text
