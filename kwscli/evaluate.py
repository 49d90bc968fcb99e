"""`kws eval`: scores a network on prepared data, or on a folder or archive whose folders are labels."""
import functools
import itertools
import os
from typing import Any, Dict, NamedTuple, Optional, Sequence

import numpy as np

from . import labels
from .classifiers.classifier import BATCH
from .console import Progress, say
from .data import dataset, freshness, recordings
from .data.archive import Archive
from .data.batches import EvaluationSet
from .errors import KwsError
from .metrics import Result
from .settings import DataSettings, EvaluationSettings, flag_of, pick
from .sound import audio


class Evaluation(NamedTuple):
    """A Result and the clips that it was measured on."""

    result: Result
    clips: str  # how many clips of what, in one line
    rule: Dict[str, Any]  # how the clips were chosen: {name: value}; None in a folder or archive, which is used whole

    def __str__(self) -> str:
        return "%s\n%s\n\n%s" % (self.result.summary(), self.clips, self.result.tables())

    def to_json(self) -> Dict[str, Any]:
        return dict(self.result.to_json(), **self.rule)


def evaluate(
    classifier: Any, data_path: str, data_settings: DataSettings, split: Optional[str] = None, **percentages: Any
) -> Evaluation:
    """Score a classifier on a split of prepared data, or on a folder or archive whose folders are labels.

    data_settings: the keywords, and how the speakers are split. split: testing if it is None.
    percentages: values of EvaluationSettings, or None for the default.
    """
    if is_labelled(data_path, classifier.labels):
        chosen = {name: value for name, value in dict(percentages, split=split).items() if value is not None}
        for name, value in chosen.items():
            raise KwsError(
                "%s %s chooses from prepared data, but %s is used whole" % (flag_of(name), value, data_path),
                "leave %s out" % flag_of(name),
            )
        return _evaluate_labelled(classifier, data_path)
    if classifier.labels != labels.labels_of(data_settings.wanted_words):
        raise KwsError(
            "the labels of %s (%s) are not %s, %s and keywords"
            % (classifier.path, ", ".join(classifier.labels), labels.SILENCE, labels.UNKNOWN),
            "measure it on a folder or archive whose folders are its labels",
        )
    return _evaluate_prepared(
        classifier, data_path, data_settings, split or "testing", pick(EvaluationSettings, percentages)
    )


def _evaluate_prepared(classifier, data_path, data_settings, split, settings):
    outdated = freshness.outdated(data_path) if dataset.is_prepared(data_path) else None
    if outdated:
        say("%s. The network is measured on the prepared data." % outdated)
    data = dataset.load(data_path, data_settings.validation_percentage, data_settings.testing_percentage)
    dataset.check_sample_rate(data, classifier.features.sample_rate)
    clips = EvaluationSet(data, data_settings.wanted_words, classifier.features, split, settings)
    if not len(clips):
        raise KwsError(
            "%s has no %s clips of %s" % (data_path, split, ", ".join(data_settings.wanted_words)),
            "choose another --split, or prepare the data with a larger percentage of it",
        )
    scores = []
    with Progress("evaluating", len(clips)) as progress:
        for start in range(0, len(clips), BATCH):
            scores.append(classifier.scores(clips.clips(slice(start, start + BATCH))))
            progress.update(len(scores[-1]))
    result = Result.of(classifier.labels, clips.targets, np.concatenate(scores))
    return Evaluation(result, str(clips), dict(vars(settings), split=split))


def is_labelled(path: str, label_names: Sequence[str]) -> bool:
    """Whether a path is an archive, or a folder whose sub-folders are labels: all, or _silence_ or _unknown_."""
    if os.path.isfile(path):
        return True
    if not os.path.isdir(path) or dataset.is_prepared(path):
        return False
    found = {name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)) and not name.startswith(".")}
    return bool(found & {labels.SILENCE, labels.UNKNOWN}) or bool(found) and found <= set(label_names)


def _evaluate_labelled(classifier, path):
    """Score every sound file in LABEL/name; of a file that is longer than a clip, the loudest part."""
    targets, scores, left_out = [], [], []
    clips = _labelled_clips(classifier, path, left_out)
    with Progress("evaluating %s" % path) as progress:
        for batch in iter(lambda: list(itertools.islice(clips, BATCH)), []):
            targets += [target for target, _ in batch]
            scores.append(classifier.scores(np.stack([clip for _, clip in batch])))
            progress.update(len(batch))
    for problem in left_out:
        say("Left out: %s" % problem)
    if not targets:
        raise KwsError(
            "%s holds no sound file in a label's folder" % path,
            "name its folders after the labels: %s" % ", ".join(classifier.labels),
        )
    result = Result.of(classifier.labels, targets, np.concatenate(scores))
    rule = dict.fromkeys(list(vars(EvaluationSettings())) + ["split"])
    return Evaluation(result, "{:,} clips: all of {}".format(result.count, path), rule)


def _labelled_clips(classifier, path, left_out):
    """Yield (label index, clip [clip_samples]) of every sound file; what cannot be read is added to `left_out`."""
    settings, index_of = classifier.features, {label: index for index, label in enumerate(classifier.labels)}
    for name, read in _contents(path, left_out):
        label = os.path.basename(os.path.dirname(name))
        if label not in index_of:
            raise KwsError(
                "%s holds %s, but %s is not a label of the network" % (path, name, label or "its folder"),
                "name the folders after the labels: %s" % ", ".join(index_of),
            )
        try:
            samples = audio.read(read(), settings.sample_rate, name)
        except audio.UnreadableAudio as error:
            left_out.append(error)
            continue
        yield index_of[label], audio.loudest_clip(samples, settings.clip_samples, settings.sample_rate)[1]


def _contents(path, left_out):
    """Yield (name, function that reads its bytes) of every sound file in an archive or a folder."""
    if os.path.isfile(path):
        archive = Archive(path)
        for name, data in archive:
            if audio.is_sound(name):
                yield name, lambda: data
        left_out += ["%s is a link" % link.name for link in archive.links if audio.is_sound(link.name)]
    else:
        for name in recordings.recordings(path):
            yield name, functools.partial(recordings.read, path, name)
