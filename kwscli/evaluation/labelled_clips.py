"""The clips of a folder or an archive with a folder per label, which are measured whole."""
import collections
import functools
import hashlib
import itertools
import os
from typing import Any, Iterator, Sequence

import numpy as np

from .. import labels
from ..classifiers.classifier import BATCH
from ..console import listed
from ..data import dataset, layouts, recordings
from ..data.archive import Archive
from ..errors import KwsError
from ..sound import audio
from .scoring import Batch

SHOWN_LABELS = 50  # in a message


def is_labelled(path: str, label_names: Sequence[str]) -> bool:
    """Whether a path is used whole: an archive, or a folder without prepared data that has a sub-folder named after a
    label.
    """
    if os.path.isfile(path):
        return True
    if not os.path.isdir(path) or dataset.is_prepared(path):
        return False
    known = {labels.folded(label) for label in label_names}
    return any(labels.folded(name) in known and os.path.isdir(os.path.join(path, name)) for name in os.listdir(path))


class LabelledClips:
    """The clips of all sound files in a folder or an archive; of a longer file, the loudest part."""

    def __init__(self, classifier: Any, path: str) -> None:
        self._path, self._settings, self._labels = path, classifier.features, classifier.labels
        self._index_of = {labels.folded(label): index for index, label in enumerate(classifier.labels)}
        self._left_out, self._passed_over, self._others = [], collections.Counter(), collections.Counter()
        self.sha256 = ""  # of an archive, or of the names and the content of files in a folder; known at the end

    def batches(self) -> Iterator[Batch]:
        """Yield every sound file, in Batches."""
        clips = self._clips()
        for some in iter(lambda: list(itertools.islice(clips, BATCH)), []):
            found, targets, words, names = zip(*some)
            yield Batch(np.stack(found), np.array(targets), words, names, [dataset.speaker_of(name) for name in names])

    def _clips(self):
        """Yield (clip [clip_samples], label index, word, name) of every sound file."""
        for name, read in self._sound_files():
            target, word = self._place(name)
            if target is None:
                self._passed_over[word] += 1
                continue
            try:
                samples = audio.read(read(), self._settings.sample_rate, name)
            except audio.UnreadableAudio as error:
                self._left_out.append(error)
                continue
            if labels.folded(word) not in self._index_of:
                self._others[word] += 1
            clip = audio.loudest_clip(samples, self._settings.clip_samples, self._settings.sample_rate)[1]
            yield clip, target, word, name

    def _sound_files(self):
        """Yield (name, function that reads its bytes) of every sound file in the archive or the folder."""
        if not os.path.isfile(self._path):
            yield from self._files_in_folder()
            return
        archive = Archive(self._path)
        for name, data in archive:
            if audio.is_sound(name):
                yield name, lambda: data
        self._left_out += ["%s is a link" % link.name for link in archive.links if audio.is_sound(link.name)]
        self.sha256 = archive.sha256

    def _files_in_folder(self):
        sha256 = hashlib.sha256()

        def read(name):
            data = recordings.read(self._path, name)
            sha256.update(name.encode("utf-8", "surrogateescape") + b"\0" + data)
            return data

        for name in recordings.recordings(self._path):
            yield name, functools.partial(read, name)
        self.sha256 = sha256.hexdigest()

    def _place(self, name):
        """(label index, word) of a file; the index is None, and the word its folder, if it is passed over."""
        folder = os.path.basename(os.path.dirname(name))
        target = self._index_of.get(labels.folded(folder))
        if target is not None:
            return target, self._labels[target]
        word = layouts.word_of(name)
        if folder and word in ("", layouts.BACKGROUND):
            return None, folder
        if not folder or labels.UNKNOWN not in self._index_of:
            raise KwsError(
                "%s holds %s, but %s is not a label of the network" % (self._path, name, folder or "its folder"),
                "name the folders after the labels: %s" % listed(self._labels, SHOWN_LABELS),
            )
        return self._index_of[labels.UNKNOWN], word

    def notes(self) -> Iterator[str]:
        """What the user should know about the files, in lines; after the last batch."""
        for problem in self._left_out:
            yield "Left out: %s" % problem
        for folder, count in self._passed_over.items():
            yield "Passed over: %s in %s, which does not name a word." % (_files(count), folder)
        if self._others:
            counted = ["%s (%d)" % item for item in sorted(self._others.items())]
            yield "Counted as %s: %s." % (labels.UNKNOWN, listed(counted, SHOWN_LABELS))


def _files(count):
    return "1 file" if count == 1 else "%d files" % count
