"""How well a network labels clips: accuracy, its interval, precision and recall, computed in numpy on the host."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import console, significance
from .labels import SILENCE, UNKNOWN

# A matrix of more labels is wider than a terminal.
_MAX_MATRIX_LABELS = 20
_MIN_HEADING = 7  # characters
_CONFUSIONS = 20  # that are listed instead of a matrix
_MAX_ROWS = 50  # A table of more labels shows only the worst of them.
_WORST_LABELS = 20
_MAX_JSON_LABELS = 1000  # A matrix of more labels would fill gigabytes of JSON.


class Result(NamedTuple):
    """How well a network labels clips. confusion[i, j]: clips of label i that the network labels j."""

    labels: Tuple[str, ...]
    confusion: np.ndarray  # [label_count, label_count] int

    @classmethod
    def of(cls, label_names: Sequence[str], targets: Sequence[int], scores: np.ndarray) -> "Result":
        """The Result of targets [n] int and scores [n, label_count]."""
        confusion = np.zeros((len(label_names), len(label_names)), np.int64)
        np.add.at(confusion, (np.asarray(targets), np.argmax(scores, axis=1)), 1)
        return cls(tuple(label_names), confusion)

    @property
    def count(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion)) / max(1, self.count)

    @property
    def interval(self) -> Tuple[float, float]:
        """The 95 % confidence interval of the accuracy."""
        return significance.wilson_interval(int(np.trace(self.confusion)), self.count)

    def per_label(self) -> List[Tuple[str, int, Optional[float], Optional[float]]]:
        """[(label, clips, precision, recall)]; None instead of a division by zero."""
        right, predicted, clips = np.diag(self.confusion), self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return [
            (label, int(clips[i]), _ratio(right[i], predicted[i]), _ratio(right[i], clips[i]))
            for i, label in enumerate(self.labels)
        ]

    def to_json(self) -> Dict[str, Any]:
        low, high = self.interval
        return {
            "accuracy": self.accuracy,
            "interval_95": [low, high],
            "clips": self.count,
            "labels": [
                {"label": label, "clips": clips, "precision": precision, "recall": recall}
                for label, clips, precision, recall in self.per_label()
            ],
            "confusion": self.confusion.tolist() if len(self.labels) <= _MAX_JSON_LABELS else None,
            "confusions": [
                {"label": self.labels[true], "predicted": self.labels[predicted], "clips": clips}
                for true, predicted, clips in self.confusions()
            ],
        }

    def confusions(self) -> List[Tuple[int, int, int]]:
        """[(true label, predicted label, clips)] of all mistakes, the most frequent first. The labels are indices."""
        true, predicted = np.nonzero(self.confusion)
        wrong = true != predicted
        true, predicted = true[wrong], predicted[wrong]
        clips = self.confusion[true, predicted]
        order = np.argsort(-clips, kind="stable")
        return list(zip(true[order].tolist(), predicted[order].tolist(), clips[order].tolist()))

    def summary(self) -> str:
        """The accuracy, its interval and the number of clips, in one line."""
        low, high = self.interval
        return "accuracy %.2f %% (95 %% interval %.2f to %.2f, %d clips)" % (
            100 * self.accuracy, 100 * low, 100 * high, self.count
        )

    def tables(self) -> str:
        """Precision and recall of each label, and the confusion matrix; of many labels, only the worst."""
        heading, labels = "", self.per_label()
        if len(labels) > _MAX_ROWS:
            there = [one for one in labels if one[1]]
            labels = sorted(there, key=lambda one: one[3])[:_WORST_LABELS]
            heading = "labels with the lowest recall (--json prints all %d labels)\n" % len(self.labels)
        rows = [(label, clips, _percent(precision), _percent(recall)) for label, clips, precision, recall in labels]
        confusions = self._matrix() if len(self.labels) <= _MAX_MATRIX_LABELS else self._frequent_confusions()
        table = console.table([("label", "clips", "precision", "recall")] + rows, "<>")
        return "%s%s\n\n%s" % (heading, table, confusions)

    def _matrix(self):
        longest = max(map(len, self.labels))
        width = next(
            width for width in range(_MIN_HEADING, max(longest, _MIN_HEADING) + 1)
            if width >= longest or len({label[:width] for label in self.labels}) == len(self.labels)
        )
        cells = [[label] + [count or "." for count in row] for label, row in zip(self.labels, self.confusion.tolist())]
        return "confusion matrix: one row per true label, one column per predicted label\n" + console.table(
            [[""] + [label[:width] for label in self.labels]] + cells, "<>"
        )

    def _frequent_confusions(self):
        rows = [
            (self.labels[true], self.labels[predicted], clips, _percent(_ratio(clips, self.confusion[true].sum())))
            for true, predicted, clips in self.confusions()[:_CONFUSIONS]
        ]
        if not rows:
            return "no confusions"
        return "most frequent confusions (--json prints those of all %d labels)\n%s" % (
            len(self.labels), console.table([("true label", "predicted label", "clips", "of its clips")] + rows, "<<>")
        )

    def __str__(self) -> str:
        return "%s\n\n%s" % (self.summary(), self.tables())


_WORST_SHOWN = 5  # words


class FalseAlarms(NamedTuple):
    """How often recordings of words that are not keywords are taken for a keyword."""

    by_word: Tuple[Tuple[str, int, int], ...]  # (word, clips taken for a keyword, clips), the worst first

    @classmethod
    def of(cls, label_names: Sequence[str], words: Sequence[str], scores: np.ndarray) -> "FalseAlarms":
        """The FalseAlarms of recordings with these words [n], none of them a keyword, and scores [n, label_count]."""
        is_keyword = np.array([label not in (SILENCE, UNKNOWN) for label in label_names])
        taken = is_keyword[np.argmax(scores, axis=1)]
        names, of_name = np.unique(np.asarray(words, str), return_inverse=True)
        counts = zip(names.tolist(), np.bincount(of_name, taken).astype(int).tolist(), np.bincount(of_name).tolist())
        return cls(tuple(sorted(counts, key=lambda one: (-one[1], -one[1] / one[2], one[0]))))

    @property
    def taken(self) -> int:
        return sum(taken for _, taken, _ in self.by_word)

    @property
    def count(self) -> int:
        return sum(count for _, _, count in self.by_word)

    def __str__(self) -> str:
        worst = ["%s (%d of %d)" % one for one in self.by_word[:_WORST_SHOWN] if one[1]]
        return "other words: {:,} of {:,} clips ({:.1f} %) are taken for a keyword{}".format(
            self.taken, self.count, 100 * self.taken / self.count, worst and "; most often " + ", ".join(worst) or ""
        )

    def to_json(self) -> Dict[str, Any]:
        return {
            "clips": self.count,
            "taken_for_keywords": self.taken,
            "share": self.taken / self.count,
            "words": [{"word": word, "taken": taken, "clips": clips} for word, taken, clips in self.by_word],
        }


def _ratio(part, whole):
    return float(part) / float(whole) if whole else None


def _percent(ratio):
    return None if ratio is None else "%.1f %%" % (100 * ratio)
