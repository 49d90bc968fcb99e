"""`kws eval`, and every other accuracy that kws tells: computed in numpy from targets and scores."""
import os

import numpy as np

from . import labels
from .classifiers.classifier import BATCH
from .console import Progress, say
from .data import archive, dataset
from .data.batches import EvaluationSet
from .errors import KwsError
from .metrics import Result
from .sound import audio


def evaluate(classifier, data_path, split=None, data_settings=None):
    """Score a classifier on a split of prepared data, or on a folder or archive whose folders are labels -> Result.

    split: None where there is none to choose from, see `is_labelled`.
    data_settings: the DataSettings that say which words are keywords and how much of the rest belongs to the set.
    """
    if is_labelled(data_path, classifier.labels):
        if split:
            raise KwsError("--split %s is a part of prepared data, and %s is measured whole; leave it out"
                           % (split, data_path))
        return _evaluate_labelled(classifier, data_path)
    if classifier.labels != labels.labels_of(data_settings.wanted_words):
        raise KwsError(
            "the labels of %s (%s) are not %s, %s and keywords; "
            "measure it on a folder or archive of folders named by labels"
            % (classifier.path, ", ".join(classifier.labels), labels.SILENCE, labels.UNKNOWN)
        )
    data = dataset.load(data_path, data_settings.validation_percentage, data_settings.testing_percentage)
    _check_rate(classifier, data)
    clips = EvaluationSet(data, data_settings, classifier.features, split)
    if not len(clips):
        raise KwsError("%s has no %s clips of %s" % (data_path, split, ", ".join(data_settings.wanted_words)))
    scores = []
    with Progress("evaluating", len(clips)) as progress:
        for start in range(0, len(clips), BATCH):
            scores.append(classifier.scores(clips.clips(slice(start, start + BATCH))))
            progress.update(len(scores[-1]))
    return Result.of(classifier.labels, clips.targets, np.concatenate(scores))


def _check_rate(classifier, data):
    if data.sample_rate != classifier.features.sample_rate:
        raise KwsError(
            "%s was prepared at %d samples a second and the network wants %d; run kws prepare --sample-rate %d --force"
            % (data.path, data.sample_rate, classifier.features.sample_rate, classifier.features.sample_rate)
        )


def is_labelled(path, label_names):
    """Whether a path is an archive, or a folder whose sub-folders are labels: all, or _silence_ or _unknown_."""
    if os.path.isfile(path):
        return True
    if not os.path.isdir(path) or dataset.is_prepared(path):
        return False
    found = {name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)) and not name.startswith(".")}
    return bool(found & {labels.SILENCE, labels.UNKNOWN}) or bool(found) and found <= set(label_names)


def _evaluate_labelled(classifier, path):
    """Every sound file in LABEL/name, of a folder or an archive; of one longer than a clip, the loudest part."""
    targets, clips, scores, unreadable = [], [], [], []
    settings = classifier.features
    index_of = {label: index for index, label in enumerate(classifier.labels)}
    with Progress("evaluating %s" % path) as progress:
        for name, data in archive.Archive(path) if os.path.isfile(path) else _labelled_files(path):
            label = os.path.basename(os.path.dirname(name))
            if not audio.is_sound(name):
                continue
            if label not in index_of:
                raise KwsError(
                    "%s holds %s, but %s is no label of the network: %s" % (path, name, label, ", ".join(index_of))
                )
            try:
                samples = audio.read(data, settings.sample_rate, name)
            except audio.UnreadableAudio as error:
                unreadable.append(str(error))
                continue
            targets.append(index_of[label])
            clips.append(audio.loudest_clip(samples, settings.clip_samples, settings.sample_rate)[1])
            if len(clips) == BATCH:
                scores.append(classifier.scores(np.stack(clips)))
                clips = []
            progress.update()
    if clips:
        scores.append(classifier.scores(np.stack(clips)))
    for problem in unreadable:
        say("Left out: %s" % problem)
    if not targets:
        raise KwsError("%s holds no sound file in a folder named by a label (%s)" % (path, ", ".join(index_of)))
    return Result.of(classifier.labels, targets, np.concatenate(scores))


def _labelled_files(folder):
    for label in sorted(os.listdir(folder)):
        inside = os.path.join(folder, label)
        if os.path.isdir(inside) and not label.startswith("."):
            for name in filter(audio.is_sound, sorted(os.listdir(inside))):
                with open(os.path.join(inside, name), "rb") as file:
                    yield os.path.join(label, name), file.read()
