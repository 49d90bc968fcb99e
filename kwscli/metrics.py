"""How well a network names clips: accuracy, its interval, precision and recall, computed in numpy on the host."""
import math
from typing import NamedTuple, Tuple

import numpy as np


class Result(NamedTuple):
    """How well a network names clips. confusion[i, j]: clips of label i that were named j."""

    labels: Tuple[str, ...]
    confusion: np.ndarray  # [label_count, label_count] int

    @classmethod
    def of(cls, label_names, targets, scores):
        """targets [n] int, scores [n, label_count] -> Result."""
        count = len(label_names)
        cells = np.asarray(targets) * count + np.argmax(scores, axis=1)
        return cls(tuple(label_names), np.bincount(cells, minlength=count * count).reshape(count, count))

    @property
    def count(self):
        return int(self.confusion.sum())

    @property
    def accuracy(self):
        return float(np.trace(self.confusion)) / max(1, self.count)

    @property
    def interval(self):
        """The 95 % confidence interval of the accuracy: Wilson's score interval (JASA 22, 1927)."""
        z, n, p = 1.959964, max(1, self.count), self.accuracy
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def per_label(self):
        """[(label, clips, precision, recall)]; None where there is nothing to divide by."""
        right, named, there = np.diag(self.confusion), self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return [
            (label, int(there[i]), _share(right[i], named[i]), _share(right[i], there[i]))
            for i, label in enumerate(self.labels)
        ]

    def to_json(self):
        low, high = self.interval
        return {
            "accuracy": self.accuracy,
            "interval_95": [low, high],
            "clips": self.count,
            "labels": [
                {"label": label, "clips": clips, "precision": precision, "recall": recall}
                for label, clips, precision, recall in self.per_label()
            ],
            "confusion": self.confusion.tolist(),
        }

    def __str__(self):
        low, high = self.interval
        width = max(map(len, self.labels))
        lines = [
            "accuracy %.2f %% (95 %% interval %.2f to %.2f, %d clips)"
            % (100 * self.accuracy, 100 * low, 100 * high, self.count),
            "",
            "%-*s  clips  precision  recall" % (width, "label"),
        ]
        for label, clips, precision, recall in self.per_label():
            lines.append("%-*s  %5d  %9s  %6s" % (width, label, clips, _percent(precision), _percent(recall)))
        column = max(5, len(str(self.confusion.max())) + 1, *(len(label[:7]) + 1 for label in self.labels))
        lines += ["", "confusion: rows are what was said, columns what was heard"]
        lines.append(" " * width + "".join("%*s" % (column, label[:7]) for label in self.labels))
        for label, row in zip(self.labels, self.confusion):
            lines.append("%-*s" % (width, label) + "".join("%*s" % (column, count or ".") for count in row))
        return "\n".join(lines)


def _share(part, whole):
    return float(part) / float(whole) if whole else None


def _percent(share):
    return "-" if share is None else "%.1f %%" % (100 * share)
