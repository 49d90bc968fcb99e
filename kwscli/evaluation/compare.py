"""`kws eval` of several models: each is measured on the same clips, in one table, and compared with the first.

The train dir of `kws train --seeds` counts as one model that was trained several times.
"""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import classifiers, console
from ..classifiers.classifier import Classifier
from ..console import say
from ..errors import KwsError
from ..runs import run_directory
from ..significance import mean_interval
from . import cost, evaluate, verdicts

_HEADINGS = "model", "format", "bytes", "accuracy", "95 % interval", "as the first", "ms per clip"


class Row(NamedTuple):
    """What is known about one model."""

    path: str
    format: str
    size: int  # bytes
    evaluation: evaluate.Evaluation
    agreement: float  # the share of the clips to which it gives the same label as the first model
    milliseconds: float  # per clip, with its features, one clip at a time

    def cells(self) -> Tuple:
        """The columns of the table."""
        result = self.evaluation.result
        return _cells(
            self.path, self.format, self.size, result.accuracy, result.interval, self.agreement, self.milliseconds
        )

    def to_json(self) -> Dict[str, Any]:
        return dict(
            self.evaluation.to_json(), checkpoint=self.path, format=self.format, bytes=self.size,
            agreement=self.agreement, milliseconds_per_clip=self.milliseconds,
        )


class Seeds(NamedTuple):
    """What is known about the trainings of one network that differ in their seed."""

    path: str
    rows: Tuple[Row, ...]

    @property
    def evaluation(self) -> evaluate.Evaluation:
        """That of the first seed."""
        return self.rows[0].evaluation

    @property
    def accuracies(self) -> List[float]:
        return [row.evaluation.result.accuracy for row in self.rows]

    def cells(self) -> Tuple:
        """The columns of the table: means, and the median time."""
        agreement, milliseconds = zip(*((row.agreement, row.milliseconds) for row in self.rows))
        mean, low, high = mean_interval(self.accuracies)
        return _cells(
            self.path, "%d seeds" % len(self.rows), self.rows[0].size, mean, (low, high), np.mean(agreement),
            np.median(milliseconds),
        )

    def to_json(self) -> Dict[str, Any]:
        mean, low, high = mean_interval(self.accuracies)
        return {
            "checkpoint": self.path, "seeds": [row.to_json() for row in self.rows], "accuracy": mean,
            "interval_95": [low, high], "clips": self.evaluation.result.count,
        }


def _cells(path, kind, size, accuracy, interval, agreement, milliseconds):
    low, high = interval
    return (
        path, kind, size, "%.2f %%" % (100 * accuracy), "%.2f to %.2f" % (100 * low, 100 * high),
        "%.1f %%" % (100 * agreement), "%.2f" % milliseconds,
    )


def is_seeds(path: str) -> bool:
    """Whether a path is the train dir of `kws train --seeds`."""
    return bool(run_directory.seed_runs(path))


def compare(
    paths: Sequence[str], labels: Optional[str], data_path: Optional[str], split: Optional[str],
    check: Callable[[Classifier, str], None], **percentages: Any
) -> List[Any]:
    """Measure models, in their order, each a Row or a Seeds. All are measured on the data of the first, unless
    data_path names other data.

    check(model, data_path): called before each measurement; it may raise a KwsError.
    """
    rows: Dict[str, Row] = {}
    runs = [_runs(path) or [path] for path in paths]
    first = None
    for path in [one for group in runs for one in group]:
        if path in rows:
            continue
        with classifiers.open(path, labels) as model:
            first = first or model
            if model.labels != first.labels:
                theirs, ours = (console.listed(one.labels, evaluate.SHOWN_LABELS) for one in (model, first))
                raise KwsError(
                    "%s has other labels (%s) than %s (%s)" % (path, theirs, paths[0], ours), "measure it alone"
                )
            data_path = data_path or first.data_path or "data"
            check(model, data_path)
            evaluation = evaluate.evaluate(model, data_path, first.data, split, **percentages)
            before = next(iter(rows.values())).evaluation if rows else evaluation
            agreement = float(np.mean(evaluation.answers == before.answers))
            rows[path] = Row(path, model.format, model.size, evaluation, agreement, cost.milliseconds_per_clip(model))
    return [
        Seeds(path, tuple(rows[one] for one in group)) if group != [path] else rows[path]
        for path, group in zip(paths, runs)
    ]


def _runs(path):
    """The runs in the train dir of `kws train --seeds`; [] if a path is something else."""
    found = run_directory.seed_runs(path)
    if len(found) == 1:
        raise KwsError("%s holds the run of one seed, which has no interval" % path, "name the run %s" % found[0])
    for run in found:
        if not run_directory.read_state(run)[0]:
            say("The training in %s is not finished: its best checkpoint so far is measured." % run)
    return found


def verdicts_of(models: Sequence[Any]) -> List[verdicts.Verdict]:
    """Each model but the first, compared with the first."""
    first, others = models[0], models[1:]
    return verdicts.adjusted([_verdict(first, other) for other in others])


def _verdict(first, second):
    names = first.path, second.path
    if isinstance(first, Seeds) != isinstance(second, Seeds):
        return verdicts.Incomparable(*names)
    if isinstance(first, Seeds):
        return verdicts.of_seeds(*names, first.accuracies, second.accuracies)
    return verdicts.of_clips(*names, first.evaluation.right, second.evaluation.right)


def to_json(models: Sequence[Any]) -> List[Dict[str, Any]]:
    """The models as plain JSON values; each but the first has its comparison with the first."""
    found = [None] + [one.to_json() for one in verdicts_of(models)]
    return [dict(model.to_json(), against_first=one) for model, one in zip(models, found)]


def page(models: Sequence[Any]) -> str:
    """The models in a table, what they were measured on, and which of them are better than the first."""
    parts = [models[0].evaluation.clips, console.table([_HEADINGS] + [model.cells() for model in models], "<<>")]
    if any(isinstance(model, Seeds) for model in models):
        parts.append("The accuracy of several seeds is their mean; its interval is for other seeds and the same clips "
                     "(Student's t).")
    found = verdicts_of(models)
    if found:
        parts.append("\n".join([str(one) for one in found] + verdicts.notes(found)))
    cautions = [set(model.evaluation.cautions) for model in models]
    common = [line for line in models[0].evaluation.cautions if all(line in one for one in cautions)]
    return "\n\n".join(parts + (["\n".join(common)] if common else []))
