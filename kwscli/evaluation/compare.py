"""`kws eval` of several models: each is measured on the same clips, in one table."""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import classifiers, console
from ..classifiers.classifier import Classifier
from ..errors import KwsError
from . import cost, evaluate


class Row(NamedTuple):
    """What is known about one model."""

    path: str
    format: str
    size: int  # bytes
    evaluation: evaluate.Evaluation
    agreement: float  # the share of the clips to which it gives the same label as the first model
    milliseconds: float  # per clip, with its features, one clip at a time

    def to_json(self) -> Dict[str, Any]:
        return dict(
            self.evaluation.to_json(), checkpoint=self.path, format=self.format, bytes=self.size,
            agreement=self.agreement, milliseconds_per_clip=self.milliseconds,
        )


def compare(
    paths: Sequence[str], labels: Optional[str], data_path: Optional[str], split: Optional[str],
    check: Callable[[Classifier, str], None], **percentages: Any
) -> List[Row]:
    """Measure models, in their order. All are measured on the data of the first, unless data_path names other data.

    check(model, data_path): called before each measurement; it may raise a KwsError.
    """
    rows, first = [], None
    for path in paths:
        with classifiers.open(path, labels) as model:
            first = first or model
            if model.labels != first.labels:
                raise KwsError(
                    "%s has other labels (%s) than %s (%s)"
                    % (path, ", ".join(model.labels), paths[0], ", ".join(first.labels)), "measure it alone",
                )
            data_path = data_path or first.data_path or "data"
            check(model, data_path)
            evaluation = evaluate.evaluate(model, data_path, first.data, split, **percentages)
            agreement = np.mean(evaluation.answers == (rows[0].evaluation if rows else evaluation).answers)
            rows.append(Row(path, model.format, model.size, evaluation, float(agreement), cost.milliseconds_per_clip(model)))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as text, and what they were measured on."""
    cells = [("model", "format", "bytes", "accuracy", "95 % interval", "as the first", "ms per clip")]
    for row in rows:
        result = row.evaluation.result
        low, high = result.interval
        cells.append((
            row.path, row.format, row.size, "%.2f %%" % (100 * result.accuracy),
            "%.2f to %.2f" % (100 * low, 100 * high), "%.1f %%" % (100 * row.agreement), "%.2f" % row.milliseconds,
        ))
    return "%s\n\n%s" % (rows[0].evaluation.clips, console.table(cells, "<<>"))
