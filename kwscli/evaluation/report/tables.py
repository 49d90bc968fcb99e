"""The numbers of a report as tables for CSV, and as one JSON object."""
from typing import Any, Dict, List, Sequence

from ..measurements import Measurements
from .figures import drawn_keywords

POOLED = "(pooled)"
RATE = 0.01  # of false accepts, at which false rejects are told
Rows = List[Sequence[Any]]


def all_tables(measured: Measurements) -> Dict[str, Rows]:
    """{name: rows, the first of which are the headings}."""
    lines = measured.training
    columns = list(dict.fromkeys(name for line in lines for name in line))
    tables = {
        "labels": [("label", "clips", "precision", "recall", "f1")] + list(measured.label_scores),
        "confusion": [("true", "predicted", "clips")] + _right(measured) + measured.confusions(),
        "keywords": [("keyword", "area", "equal_error_rate", "false_rejects_at_1_percent_false_accepts")]
        + keywords(measured),
        "curves": [("keyword", "threshold", "false_accepts", "hits", "false_rejects")] + _points(measured),
        "robustness": [("condition", "value", "clips", "right", "accuracy", "low", "high")] + [
            (one.kind, one.value, one.clips, one.right, one.accuracy) + one.interval for one in measured.conditions
        ],
        "speakers": [("speaker", "clips", "right")] + list(measured.speakers),
        "calibration": [("low", "high", "clips", "confidence", "accuracy")] + list(measured.calibration.bins),
        "training": [columns] + [[line.get(name) for name in columns] for line in lines],
        "clips": [("file", "speaker", "true", "predicted", "score", "right")] + _clips(measured),
    }
    return {name: rows for name, rows in tables.items() if len(rows) > 1}


def keywords(measured: Measurements) -> Rows:
    """(keyword, area under ROC, equal error rate, false rejects at RATE) of each keyword, and of all together."""
    found = list(measured.curves.items()) + ([(POOLED, measured.pooled)] if measured.pooled else [])
    return [(name, one.area, one.equal_error_rate, one.false_rejects_at(RATE)) for name, one in found]


def _right(measured):
    """The diagonal of the confusion matrix, without zeros, as `confusions` gives the rest."""
    right = zip(measured.labels, measured.evaluation.result.confusion.diagonal().tolist())
    return [(label, label, clips) for label, clips in right if clips]


def _points(measured):
    """The corners of the curves that are drawn."""
    found = [(name, measured.curves[name]) for name in drawn_keywords(measured.curves)]
    found += [(POOLED, measured.pooled)] if measured.pooled else []
    return [
        (name, None if index == 0 else float(one.thresholds[index]), float(one.false_accepts[index]),
         float(one.hits[index]), float(one.false_rejects[index]))
        for name, one in ((name, one.corners) for name, one in found) for index in range(len(one.thresholds))
    ]


def _clips(measured):
    observed = measured.observed
    answers, highest = observed.answers, observed.scores.max(axis=1)
    return [
        (name, speaker, measured.labels[target], measured.labels[answer], float(score), int(target == answer))
        for name, speaker, target, answer, score in
        zip(observed.names, observed.speakers, observed.targets, answers, highest)
    ]


def to_json(measured: Measurements, tables: Dict[str, Rows]) -> Dict[str, Any]:
    """All numbers but those of single clips, as plain JSON values. tables: those of `all_tables`."""
    evaluation = measured.evaluation
    result = evaluation.result
    return {
        "kws": measured.version, "command": measured.command, "checkpoint": measured.path, "format": measured.format,
        "data_path": measured.data_path, "data_sha256": evaluation.data_sha256, **evaluation.rule,
        "accuracy": result.accuracy, "interval_95": list(result.interval), "clips": result.count,
        "cautions": list(evaluation.cautions),
        "other_words": evaluation.other_words and evaluation.other_words.to_json(),
        "expected_calibration_error": measured.calibration.error, "robustness_clips": len(measured.observed.sample),
        "cost": measured.cost._asdict(), "settings": measured.description,
        **{name: _objects(rows) for name, rows in tables.items() if name != "clips"},
    }


def _objects(rows):
    return [dict(zip(rows[0], row)) for row in rows[1:]]
