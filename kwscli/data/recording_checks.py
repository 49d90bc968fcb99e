"""Checks of the recordings of a data set, each on its way into the prepared data."""
import hashlib
import sys
from typing import Callable, Optional, Sequence, Tuple, Union

import numpy as np

from ..files import printable
from ..settings import PrepareSettings
from ..sound import audio
from ..sound.label_track import Spoken
from . import cuts, dataset
from .dataset import BACKGROUND, Problem, Recording
from .layouts import Layout, Place

SILENT_PEAK = 0.002  # of full scale: -54 dB
CLIPPED_SAMPLES = 10  # at full scale
SHORT_MS = 300
LONG_MS = 1500
BACKGROUND_SECONDS = 3600  # that are used of a background recording

Cut = Callable[[np.ndarray, str], np.ndarray]  # the samples of a recording, and its word -> the part that is used


class Examiner:
    """Examines recordings one by one and gives them to the writer, with what is wrong with them.

    cut: gives the part of a recording that is used; None: all of it.
    """

    def __init__(self, settings: PrepareSettings, writer: dataset.Writer, cut: Optional[Cut] = None) -> None:
        self._settings, self._writer, self._cut = settings, writer, cut
        self._paths = []  # of the recordings that the writer has, as they are on disk
        self._first_of = {}  # {SHA-1 of the samples: path of the first recording that has them}

    def leave_out(self, path: str, problem: str) -> None:
        """Note why a recording does not become part of the prepared data."""
        self._writer.problems.append(Problem(printable(path), problem, "left out"))

    def examine(self, path: str, source: Union[str, bytes], word: str) -> None:
        """Examine a recording of a word, or a background recording, given its file or the bytes of it.

        Its split and its speaker are known only when `settle` is called.
        """
        remarks = []
        samples = self._read(path, source, BACKGROUND_SECONDS if word == BACKGROUND else None, remarks)
        if samples is not None:
            self._add(path, samples, word, remarks)

    def examine_parts(self, path: str, source: str, parts: Sequence[Tuple[str, Spoken, Place]]) -> None:
        """Examine the parts (name, label, place) of a long recording, given its file."""
        samples = self._read(path, source, None, [])
        if samples is None:
            return
        spans = cuts.spans([label for _, label, _ in parts], len(samples), self._settings.sample_rate)
        for (name, _, place), (first, last) in zip(parts, spans):
            why = place.why if not place.word else "the label is beyond the end of the recording"
            if place.word and first < last:
                self._add(name, samples[first:last], place.word, [])
            else:
                self.leave_out(name, why)

    def _read(self, path, source, seconds, remarks):
        """The samples [n] int16 of a recording; None, and a problem, if it cannot be read."""
        path = printable(path)
        try:
            return audio.read_int16(source, self._settings.sample_rate, path, seconds, remarks)
        except audio.UnreadableAudio as error:
            self.leave_out(path, "%s: %s" % ("empty" if isinstance(error, audio.EmptyAudio) else "unreadable", error))
            return None

    def _add(self, path, samples, word, remarks):
        """Give a recording to the writer, with what is wrong with it."""
        raw, path = path, printable(path)
        if word == BACKGROUND:
            self._writer.add_background(path, samples)
            self._keep(path, remarks)
            return
        samples = self._cut(samples, word) if self._cut else samples
        peak = max(int(samples.max()), -int(samples.min())) / audio.FULL_SCALE
        duration_ms = 1000 * len(samples) // self._settings.sample_rate
        problems = remarks + list(self._problems(path, samples, peak, duration_ms))
        self._keep(path, problems)
        row = path, printable(word), "", "", duration_ms, round(peak, 4), len(samples), "; ".join(problems)
        self._writer.add(Recording(*row), samples)
        self._paths.append(raw)

    def _keep(self, path, problems):
        self._writer.problems.extend(Problem(path, problem, "kept") for problem in problems)

    def settle(self, layout: Layout) -> None:
        """Give every recording the word, the speaker and the split that the whole layout tells."""
        for index, (path, recording) in enumerate(zip(self._paths, self._writer.recordings)):
            place = layout.places[path]
            word, speaker = sys.intern(printable(place.word)), sys.intern(printable(place.speaker))
            self._writer.recordings[index] = recording._replace(
                word=word, speaker=speaker, split=self._split(recording.path, place.split, speaker, layout.given_splits)
            )

    def _split(self, path, given, speaker, given_splits):
        """The given split of a recording. If a split is missing, some of the training recordings go to it."""
        if given in ("validation", "testing"):
            return given
        percentages = self._settings.validation_percentage, self._settings.testing_percentage
        if given:
            percentages = [
                0 if split in given_splits else percentage for split, percentage in zip(dataset.SPLITS[1:], percentages)
            ]
        return dataset.split_of(path, *percentages, speaker=speaker)

    def _problems(self, path, samples, peak, duration_ms):
        # A microphone that is switched off may give a constant value other than zero.
        offset = float(samples.mean())
        swing = max(int(samples.max()) - offset, offset - int(samples.min())) / audio.FULL_SCALE
        if swing < SILENT_PEAK:
            yield "silent: peak %.4f of full scale" % swing
        if peak >= 1 - 1 / audio.FULL_SCALE:
            count = np.count_nonzero((samples == audio.FULL_SCALE - 1) | (samples == -audio.FULL_SCALE))
            if count > CLIPPED_SAMPLES:
                yield "clipped: %d samples at full scale" % count
        if duration_ms < SHORT_MS:
            yield "very short: %d ms" % duration_ms
        if duration_ms > LONG_MS:
            yield "very long: %d ms, of which one clip, the loudest, is used" % duration_ms
        first = self._first_of.setdefault(hashlib.sha1(samples).digest(), path)
        if first is not path:
            yield "duplicate: the same samples as %s" % first
