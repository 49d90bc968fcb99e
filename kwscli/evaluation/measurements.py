"""Everything that a report shows about a network. It is measured once; the page and the files only render it."""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import __version__, settings
from ..console import say
from ..data import dataset
from ..labels import SILENCE, UNKNOWN
from ..runs import run_directory
from . import cost, evaluate, robustness
from .calibration import Calibration
from .cost import Cost
from .curves import Curve, curve
from .evaluate import Evaluation
from .observer import Observed, Observer
from .robustness import Condition


class LabelScore(NamedTuple):
    """How well one label is recognized; None instead of a division by zero."""

    label: str
    clips: int
    precision: Optional[float]
    recall: Optional[float]
    f1: Optional[float]  # 2 tp / (2 tp + fp + fn)


class Speaker(NamedTuple):
    """How many clips of a speaker are labelled correctly."""

    name: str
    clips: int
    right: int


class Measurements(NamedTuple):
    """The evaluation of a network and what else was measured in the same run."""

    path: str  # of the model
    format: str
    labels: Tuple[str, ...]
    sample_rate: int
    data_path: str
    command: str  # that repeats all this
    description: Dict[str, Any]  # the settings that the model file knows, by their group
    evaluation: Evaluation
    observed: Observed
    label_scores: Sequence[LabelScore]
    curves: Dict[str, Curve]  # of each keyword that has clips
    pooled: Optional[Curve]  # of all keywords together
    calibration: Calibration
    conditions: Sequence[Condition]  # none if all clips are silence
    has_background: bool  # whether there were background recordings for them
    speakers: Sequence[Speaker]  # the most mistakes first
    training: Sequence[Dict[str, Any]]  # the lines of metrics.jsonl, if the model is a run
    cost: Cost
    version: str = __version__

    def confusions(self, count: Optional[int] = None) -> List[Tuple[str, str, int]]:
        """(true label, predicted label, clips) of the mistakes, the most frequent first. count: at most so many."""
        found = self.evaluation.result.confusions()[:count]
        return [(self.labels[true], self.labels[predicted], clips) for true, predicted, clips in found]


def measure(
    classifier: Any, data_path: str, command: str, split: Optional[str] = None, **percentages: Any
) -> Measurements:
    """Measure an open classifier; see `evaluate.evaluate`."""
    observer = Observer(classifier)
    evaluation = evaluate.evaluate(classifier, data_path, classifier.data, split, observer.see, **percentages)
    observed = observer.observed()
    background = _background(classifier, data_path)
    return Measurements(
        classifier.path, classifier.format, tuple(classifier.labels), classifier.features.sample_rate, data_path,
        command, _description(classifier), evaluation, observed, _label_scores(evaluation.result),
        *_curves(classifier.labels, observed), Calibration.of(observed.scores, observed.right),
        _conditions(classifier, observed, background), bool(background), _speakers(observed), _training(classifier),
        cost.measure(classifier),
    )


def _label_scores(result):
    right, predicted = np.diag(result.confusion), result.confusion.sum(axis=0)
    found = []
    for index, (label, clips, precision, recall) in enumerate(result.per_label()):
        both = clips + int(predicted[index])  # 2 tp + fp + fn
        found.append(LabelScore(label, clips, precision, recall, 2 * int(right[index]) / both if both else None))
    return found


def _curves(labels, observed):
    """({keyword: Curve}, the Curve of all keywords together): each keyword's score of each clip is one case."""
    keywords = [index for index, label in enumerate(labels) if label not in (SILENCE, UNKNOWN)]
    is_keyword = observed.targets[:, np.newaxis] == np.array(keywords, int)
    found = {
        labels[index]: curve(is_keyword[:, column], observed.scores[:, index])
        for column, index in enumerate(keywords)
    }
    pooled = curve(is_keyword.ravel(), observed.scores[:, keywords].ravel())
    return {label: one for label, one in found.items() if one}, pooled


def _background(classifier, data_path):
    """The background recordings of the data, or of what the network was trained on; [] without any."""
    for path in filter(None, (data_path, classifier.data_path)):
        if dataset.is_prepared(path):
            data = dataset.load(path)
            if data.background and data.sample_rate == classifier.features.sample_rate:
                return data.background
    return []


def _conditions(classifier, observed, background):
    if not observed.sample:
        return []
    rows = [kept.row for kept in observed.sample]
    clips = np.stack([kept.clip for kept in observed.sample])
    return robustness.measure(classifier, clips, observed.targets[rows], background)


def _speakers(observed):
    names, of_name = np.unique(np.array(observed.speakers, str), return_inverse=True)
    clips = np.bincount(of_name, minlength=len(names)).tolist()
    right = np.bincount(of_name, observed.right, len(names)).astype(int).tolist()
    found = [Speaker(*one) for one in zip(names.tolist(), clips, right) if one[0]]
    return sorted(found, key=lambda one: (one.right - one.clips, one.clips, one.name))


def _run_of(classifier):
    """The run directory of a checkpoint; None for other models."""
    return os.path.dirname(classifier.path) if classifier.format == "checkpoint" else None


def _training(classifier):
    run = _run_of(classifier)
    if run is None or not os.path.exists(os.path.join(run, run_directory.METRICS)):
        return []
    try:
        return run_directory.read_metrics(run)
    except ValueError as error:
        say("The report has no training curves: %s is damaged: %s." % (
            os.path.join(run, run_directory.METRICS), error
        ))
        return []


def _description(classifier):
    if _run_of(classifier) is not None:
        return run_directory.resolve(classifier.path)[0].to_json()
    architecture, size = classifier.network or (None, None)
    groups = {name: settings.to_json(getattr(classifier, name)) for name in ("features", "data", "detector")}
    return dict(groups, architecture=architecture, model_size_info=size, data_path=classifier.data_path)
