"""`kws eval`: scores a network on prepared data, or on a folder or archive with a folder per label."""
import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

import numpy as np

from .. import labels
from ..classifiers.classifier import BATCH
from ..console import Progress, listed, say
from ..data import dataset, freshness
from ..data.batches import EvaluationSet
from ..errors import KwsError
from ..metrics import FalseAlarms, Result
from ..settings import DataSettings, EvaluationSettings, flag_of, pick
from ..significance import clips_for_half_width
from . import cautions
from .labelled_clips import SHOWN_LABELS, LabelledClips, is_labelled
from .scoring import Batch, scored

Watch = Callable[[Batch, np.ndarray], None]  # is given each batch and its scores [n, label_count]


class Evaluation(NamedTuple):
    """A Result and the clips that it was measured on."""

    result: Result
    clips: str  # how many clips of what, in one line
    rule: Dict[str, Any]  # how the clips were chosen: {name: value}; None in a folder or archive, which is used whole
    other_words: Optional[FalseAlarms]  # of all recordings of other words, not only the chosen ones; None without any
    answers: np.ndarray  # [n]: the index of the label that the network gives to each clip
    targets: np.ndarray  # [n]: the index of its true label
    data_sha256: str  # of the prepared data's source, of the archive, or of the files in the folder
    cautions: Sequence[str]  # what limits the meaning of the Result, in lines

    def __str__(self) -> str:
        lines = [self.result.summary(), self.clips] + ([str(self.other_words)] if self.other_words else [])
        return "\n".join(lines + ["", self.result.tables()] + (["", *self.cautions] if self.cautions else []))

    @property
    def right(self) -> np.ndarray:
        """[n] bool: whether the network labels each clip correctly."""
        return self.answers == self.targets

    def to_json(self) -> Dict[str, Any]:
        other_words = self.other_words and self.other_words.to_json()
        needed = clips_for_half_width(self.result.accuracy, cautions.HALF_WIDTH)
        return dict(
            self.result.to_json(), other_words=other_words, clips_for_1_point=needed, cautions=list(self.cautions),
            **self.rule
        )


def evaluate(
    classifier: Any, data_path: str, data_settings: DataSettings, split: Optional[str] = None,
    watch: Watch = lambda batch, scores: None, **percentages: Any
) -> Evaluation:
    """Score a classifier on a split of prepared data, or on a folder or archive with a folder per label.

    data_settings: the keywords, and how the speakers are split. split: testing if it is None. watch: sees the clips
    that the Result is about, as they are scored.
    percentages: values of EvaluationSettings, or None for the default.
    """
    if is_labelled(data_path, classifier.labels):
        chosen = {name: value for name, value in dict(percentages, split=split).items() if value is not None}
        for name, value in chosen.items():
            raise KwsError(
                "%s %s chooses from prepared data, but %s is used whole" % (flag_of(name), value, data_path),
                "leave %s out" % flag_of(name),
            )
        return _evaluate_labelled(classifier, data_path, watch)
    if classifier.labels != labels.labels_of(data_settings.wanted_words):
        raise KwsError(
            "the labels of %s (%s) are not %s, %s and keywords"
            % (classifier.path, listed(classifier.labels, SHOWN_LABELS), labels.SILENCE, labels.UNKNOWN),
            "measure it on a folder or archive whose folders are its labels",
        )
    return _evaluate_prepared(
        classifier, data_path, data_settings, split or "testing", watch, pick(EvaluationSettings, percentages)
    )


def settings_of(classifier: Any, data_path: str) -> Dict[str, Any]:
    """{name: value} of what a classifier, and the prepared data that it is measured on, say about its training."""
    known = dict(vars(classifier.features), **vars(classifier.data))
    known.update(zip(("model_architecture", "model_size_info"), classifier.network or (None, None)))
    info = dataset.read_info(data_path) if dataset.is_prepared(data_path) else {}
    for name in ("validation_percentage", "testing_percentage"):
        known[name] = info.get(name) if known[name] is None else known[name]
    return known


def _evaluate_prepared(classifier, data_path, data_settings, split, watch, settings):
    if os.path.isdir(data_path) and not dataset.is_prepared(data_path):
        raise KwsError(
            "%s holds no prepared data" % data_path,
            "run kws prepare --data-path %s first, or give a folder with sub-folders that are named after labels (%s)"
            % (data_path, listed(classifier.labels, SHOWN_LABELS)),
        )
    outdated = freshness.outdated(data_path) if dataset.is_prepared(data_path) else None
    if outdated:
        say("%s. The network is measured on the prepared data." % outdated)
    data = dataset.load(data_path, data_settings.validation_percentage, data_settings.testing_percentage)
    dataset.check_sample_rate(data, classifier.features.sample_rate)
    clips = EvaluationSet(data, data_settings.wanted_words, classifier.features, split, settings)
    if not len(clips):
        raise KwsError(
            "%s has no %s clips of %s" % (data_path, split, listed(data_settings.wanted_words, SHOWN_LABELS)),
            "choose another --split, or prepare the data with a larger percentage of it",
        )
    # The clips of other words above are a sample; how often a network takes other words for keywords needs all of them.
    others = EvaluationSet(
        data, data_settings.wanted_words, classifier.features, split, EvaluationSettings(0.0, 100.0 * len(data.words))
    )
    rows = np.flatnonzero(others.targets == labels.UNKNOWN_INDEX)
    with Progress("evaluating", len(clips) + len(rows)) as progress:
        scores = _scores(classifier, _batches(clips, np.arange(len(clips))), progress, watch)
        result = Result.of(classifier.labels, clips.targets, scores)
        false_alarms = FalseAlarms.of(
            classifier.labels, others.words[rows], _scores(classifier, _batches(others, rows), progress)
        ) if len(rows) else None
    rule = dict(vars(settings), split=split)
    limits = cautions.of_result(result) + (cautions.of_data(data, split) if split != "training" else [])
    return Evaluation(
        result, str(clips), rule, false_alarms, scores.argmax(axis=1), clips.targets, data.info["sha256"], limits
    )


def _batches(clips, rows):
    """Yield some clips of an EvaluationSet as Batches."""
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        yield Batch(
            clips.clips(some), clips.targets[some], clips.words[some], clips.names[some], clips.speakers[some]
        )


def _scores(classifier, batches, progress, watch=lambda batch, scores: None):
    """The scores [n, label_count] of all clips of some Batches."""
    found = []
    for batch, scores in scored(classifier, batches):
        watch(batch, scores)
        found.append(scores)
        progress.update(len(scores))
    return np.concatenate(found) if found else np.zeros((0, len(classifier.labels)), np.float32)


def _evaluate_labelled(classifier, path, watch):
    """Score every sound file of a folder or an archive; of a file that is longer than a clip, the loudest part."""
    contents, targets, words = LabelledClips(classifier, path), [], []

    def noted(batches):
        for batch in batches:
            targets.extend(batch.targets)
            words.extend(batch.words)
            yield batch

    with Progress("evaluating %s" % path) as progress:
        scores = _scores(classifier, noted(contents.batches()), progress, watch)
    for note in contents.notes():
        say(note)
    if not targets:
        raise KwsError(
            "%s holds no sound file in a label's folder" % path,
            "name its folders after the labels: %s" % listed(classifier.labels, SHOWN_LABELS),
        )
    result, clips = Result.of(classifier.labels, targets, scores), "{:,} clips: all of {}".format(len(targets), path)
    unknown = [index for index, target in enumerate(targets) if classifier.labels[target] == labels.UNKNOWN]
    false_alarms = FalseAlarms.of(classifier.labels, [words[index] for index in unknown], scores[unknown])
    rule = dict.fromkeys(list(vars(EvaluationSettings())) + ["split"])
    return Evaluation(
        result, clips, rule, false_alarms if unknown else None, scores.argmax(axis=1), np.array(targets),
        contents.sha256, cautions.of_result(result),
    )
