"""`kws prepare --check-labels RUN`: recordings whose word is doubtful, in a table and on a page to listen to them.

Five networks like that of the run are trained, each without the recordings of a fifth of the speakers, which it then
scores. The weights of the run itself are not used: it may have learned the wrong words, too.
"""
import collections
import csv
import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from . import classifiers, console, files
from .classifiers.classifier import BATCH
from .console import listed, say
from .data import dataset
from .data.batches import EvaluationSet, rng_of
from .data.dataset import DOUBTFUL_PAGE, DOUBTFUL_TABLE, PACKED
from .errors import KwsError, Unavailable
from .evaluation import label_errors
from .evaluation.report import page
from .labels import UNKNOWN_INDEX, folded
from .settings import EvaluationSettings
from .sound import audio
from .sound.features import features
from .training import folds

MIN_CLIPS = 10  # of a word that is checked
PAGE_CLIPS = 100
_SHOWN = 10
_SEED = 59185
_ALL = "all"  # the split that all recordings are in here
_COLUMNS = "file", "word", "suggested", "score_of_word", "score_of_suggested"


class Doubtful(NamedTuple):
    """A recording that may have another word than its own."""

    number: int  # in the data set
    file: str
    word: str
    suggested: str
    score_of_word: float
    score_of_suggested: float


class Report(NamedTuple):
    """The doubtful recordings, the most doubtful first."""

    found: Tuple[Doubtful, ...]
    checked: int  # recordings
    accuracy: float  # the share of these that a network which did not know their speaker gives their own word
    table: str
    page: Optional[str]  # None where the page could not be made

    def __str__(self) -> str:
        lines = [
            "{:,} of {:,} words are doubtful; the most doubtful come first. Networks that did not know the speaker "
            "recognized {:.1f} % of all words".format(len(self.found), self.checked, 100 * self.accuracy)
        ]
        if self.found:
            rows = [(one.file, one.word, one.suggested, "%.2f" % one.score_of_word, "%.2f" % one.score_of_suggested)
                    for one in self.found[:_SHOWN]]
            lines.append(console.table([("file", "word", "suggested", "score of word", "of suggested")] + rows, "<<<>"))
        lines.append("All of them: %s" % self.table)
        if self.page:
            lines.append("To listen to the first %d: %s" % (min(PAGE_CLIPS, len(self.found)), self.page))
        return "\n".join(lines)

    def to_json(self) -> Dict[str, Any]:
        found = [{name: value for name, value in one._asdict().items() if name != "number"} for one in self.found]
        return {
            "doubtful": found, "checked": self.checked, "accuracy": self.accuracy, "table": self.table,
            "page": self.page,
        }


def check(data_path: str, model_path: str) -> Report:
    """Find doubtful words in prepared data, and write them to its folder.

    model_path: a model, whose architecture, size and features are used.
    """
    with classifiers.open(model_path) as model:
        network, feature_settings = model.network, model.features
    if network is None:
        raise KwsError("%s does not say which network it is" % model_path, "name a run directory or a checkpoint")
    data = dataset.load(data_path)
    dataset.check_sample_rate(data, feature_settings.sample_rate)
    fold_of = _folds(data)
    words = _words(data, fold_of)
    data.splits = np.full(len(data.words), _ALL)
    clips = EvaluationSet(data, words, feature_settings, _ALL, EvaluationSettings(0.0, 0.0))
    targets = clips.targets - UNKNOWN_INDEX - 1
    scores = folds.scores(
        _features(clips, feature_settings), targets, fold_of[clips.numbers], words, network, feature_settings
    )
    found = tuple(_doubtful(one, data, clips.numbers, words, targets, scores)
                  for one in label_errors.find(targets, scores))
    accuracy = float(np.mean(scores.argmax(axis=1) == targets))
    folder = os.path.join(data_path, PACKED)
    table = _write_table(os.path.join(folder, DOUBTFUL_TABLE), found)
    return Report(found, len(targets), accuracy, table, _write_page(os.path.join(folder, DOUBTFUL_PAGE), data, found))


def _features(clips, settings):
    """The features [n, frame_count, channel_count] of all clips."""
    found = np.empty((len(clips),) + settings.shape, np.float32)
    with console.Progress("computing features", len(clips)) as progress:
        for start in range(0, len(clips), BATCH):
            some = slice(start, start + BATCH)
            found[some] = features(clips.clips(some), settings)
            progress.update(len(found[some]))
    return found


def _doubtful(one, data, numbers, words, targets, scores):
    number, own = int(numbers[one.clip]), targets[one.clip]
    return Doubtful(
        number, data.paths[number], words[own], words[one.suggested], float(scores[one.clip, own]),
        float(scores[one.clip, one.suggested]),
    )


def _folds(data):
    """The fold [n] of each recording; all recordings of a speaker are in the same one."""
    speakers = np.array([folded(str(name)) for name in data.speakers])
    known = set(speakers) - {""}
    if len(known) < folds.FOLDS:
        say("%s names %d speakers, which is too few to divide them: a voice may be in training and in the check."
            % (data.path, len(known)))
        speakers[:] = ""
    groups = np.where(speakers == "", np.array(data.paths), speakers)
    names, group_of = np.unique(groups, return_inverse=True)
    return (rng_of(_SEED).permutation(len(names)) % folds.FOLDS)[group_of]


def _words(data, fold_of):
    """The words that can be checked: they have enough recordings, in more than one fold."""
    counts, folds_of = collections.Counter(data.words.tolist()), collections.defaultdict(set)
    for word, fold in zip(data.words.tolist(), fold_of.tolist()):
        folds_of[word].add(fold)
    words = tuple(
        word for word in sorted(counts) if counts[word] >= MIN_CLIPS and len(folds_of[word]) > 1 and word[0] != "_"
    )
    others = sorted(set(counts) - set(words))
    if len(words) < 2:
        raise KwsError(
            "%s has fewer than two words with %d recordings by several speakers" % (data.path, MIN_CLIPS),
            "record more of them",
        )
    if others:
        say("Not checked, because they have fewer than %d recordings by several speakers: %s."
            % (MIN_CLIPS, listed(others)))
    return words


def _write_table(path, found):
    with files.replacing(path) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for one in found:
            writer.writerow((
                one.file, one.word, one.suggested, "%.4f" % one.score_of_word, "%.4f" % one.score_of_suggested
            ))
    return path


def _write_page(path, data, found):
    """The path of the page with the first doubtful recordings; None without Jinja2."""
    try:
        text = page.clips_page(
            "Doubtful words in %s" % data.path,
            "%d words are doubtful. These are the first %d: the most doubtful ones." % (
                len(found), min(PAGE_CLIPS, len(found))
            ),
            [_clip(data, one) for one in found[:PAGE_CLIPS]],
        )
    except Unavailable as error:
        say("No page to listen to them: %s." % error)
        return None
    with files.replacing(path) as file:
        file.write(text)
    return path


def _clip(data, one):
    return page.Clip(
        "%s, or %s?" % (one.word, one.suggested), data.recording(one.number) / np.float32(audio.FULL_SCALE),
        data.sample_rate,
        "%s: the score of %s is %.2f, that of %s is %.2f" % (
            one.file, one.word, one.score_of_word, one.suggested, one.score_of_suggested
        ),
    )
