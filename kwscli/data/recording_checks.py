"""Checks of the recordings of a data set, each on its way into the prepared data."""
import hashlib
import os
import sys

import numpy as np

from ..files import printable
from ..settings import PrepareSettings
from ..sound import audio
from . import dataset
from .dataset import BACKGROUND, Problem, Recording

SILENT_PEAK = 0.002  # of full scale: -54 dB
CLIPPED_SAMPLES = 10  # at full scale
SHORT_MS = 300
LONG_MS = 1500


class Examiner:
    """Examines recordings one by one and gives them to the writer, with what is wrong with them."""

    def __init__(self, settings: PrepareSettings, writer: dataset.Writer) -> None:
        self._settings, self._writer = settings, writer
        self._first_of = {}  # {SHA-1 of the samples: path of the first recording that has them}

    def leave_out(self, path: str, problem: str) -> None:
        """Note why a recording does not become part of the prepared data."""
        self._writer.problems.append(Problem(printable(path), problem, "left out"))

    def examine(self, path: str, data: bytes) -> None:
        """Examine the recording `.../WORD/name`, given the bytes of its file. Other files are skipped."""
        if not audio.is_sound(path):
            return
        path = printable(path)
        word = sys.intern(os.path.basename(os.path.dirname(path)))
        if not word or word.startswith(("_", ".")) and word != BACKGROUND:
            self.leave_out(path, "not in a word's folder")
            return
        try:
            samples = audio.read_int16(data, self._settings.sample_rate, path)
        except audio.UnreadableAudio as error:
            self.leave_out(path, "%s: %s" % ("empty" if isinstance(error, audio.EmptyAudio) else "unreadable", error))
            return
        if word == BACKGROUND:
            self._writer.add_background(path, samples)
            return
        # float32 holds the magnitude of every int16, also of the lowest, and numpy is fastest at it.
        peak = float(np.abs(samples, dtype=np.float32).max()) / audio.FULL_SCALE
        duration_ms = 1000 * len(samples) // self._settings.sample_rate
        problems = list(self._problems(path, samples, peak, duration_ms))
        self._writer.problems.extend(Problem(path, problem, "kept") for problem in problems)
        split = dataset.split_of(path, self._settings.validation_percentage, self._settings.testing_percentage)
        speaker = sys.intern(dataset.speaker_of(path))
        row = path, word, speaker, split, duration_ms, round(peak, 4), len(samples), "; ".join(problems)
        self._writer.add(Recording(*row), samples)

    def _problems(self, path, samples, peak, duration_ms):
        if peak < SILENT_PEAK:
            yield "silent: peak %.4f of full scale" % peak
        if peak >= 1 - 1 / audio.FULL_SCALE:
            count = np.count_nonzero((samples == audio.FULL_SCALE - 1) | (samples == -audio.FULL_SCALE))
            if count > CLIPPED_SAMPLES:
                yield "clipped: %d samples at full scale" % count
        if duration_ms < SHORT_MS:
            yield "very short: %d ms" % duration_ms
        if duration_ms > LONG_MS:
            yield "very long: %d ms" % duration_ms
        first = self._first_of.setdefault(hashlib.sha1(samples).digest(), path)
        if first is not path:
            yield "duplicate: the same samples as %s" % first
