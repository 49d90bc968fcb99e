"""`kws record`: clips of a word through the microphone, cut, checked and named so that speakers can be told apart."""
import os
import re
import time
from typing import Callable, Iterator, List, NamedTuple, Optional

import numpy as np
import soundfile

from .data.recording_checks import CLIPPED_SAMPLES
from .data.synthesize import check_words
from .errors import KwsError
from .listening import microphone
from .sound import audio

SAMPLE_RATE = 16000
SECONDS = 2.0  # that are recorded per clip
CLIP_SECONDS = 1.0
COUNTDOWN = 3
SECONDS_BETWEEN_NUMBERS = 0.7
_FRAME_SECONDS = 0.02
_MARGIN_SECONDS = 0.1  # of silence that is kept before and after a word
_ABOVE_NOISE_DB = 12.0  # how much louder than its pauses a word is
_QUIETEST_PEAK = 0.03  # of full scale: -30 dB
_EDGE_SECONDS = 0.06  # from the start or the end, where a word is taken as cut off
_METER_WIDTH, _METER_DB = 30, 60.0
_MOST_TRIES = 5  # for one clip


class Take(NamedTuple):
    """A recording of a word: the clip [n] float32 without the silence around it, and what is wrong with it, or ""."""

    clip: np.ndarray
    problem: str


def examine(samples: np.ndarray) -> Take:
    """Find the word in a recording [n] float32, and judge it."""
    loud = _loud_frames(samples)
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    if peak < _QUIETEST_PEAK or not len(loud):
        return Take(samples, "too quiet: come nearer, speak louder, or raise the level of the microphone")
    if np.count_nonzero(np.abs(samples) >= 1 - 1 / audio.FULL_SCALE) > CLIPPED_SAMPLES:
        return Take(samples, "clipped: go away from the microphone, or lower its level")
    frame, edge = int(_FRAME_SECONDS * SAMPLE_RATE), int(_EDGE_SECONDS * SAMPLE_RATE)
    begin, end = loud[0] * frame, (loud[-1] + 1) * frame
    if begin < edge:
        return Take(samples, "cut off at the start: wait until it says to speak")
    if end > len(samples) - edge:
        return Take(samples, "cut off at the end: speak sooner, or not as slowly")
    margin = int(_MARGIN_SECONDS * SAMPLE_RATE)
    return Take(_at_least_a_clip(samples, max(0, begin - margin), min(len(samples), end + margin)), "")


def _loud_frames(samples):
    """The numbers of the frames that are much louder than the quietest tenth."""
    frame = int(_FRAME_SECONDS * SAMPLE_RATE)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-9)
    return np.flatnonzero(levels > np.percentile(levels, 10) + _ABOVE_NOISE_DB) if len(frames) else np.zeros(0, int)


def _at_least_a_clip(samples, begin, end):
    """The samples from begin to end, with as much of what is around them as a clip needs."""
    missing = max(0, int(CLIP_SECONDS * SAMPLE_RATE) - (end - begin))
    begin = max(0, min(begin - missing // 2, len(samples) - (end - begin) - missing))
    return samples[begin : max(end, begin + int(CLIP_SECONDS * SAMPLE_RATE))]


def meter(samples: np.ndarray) -> str:
    """The level of some samples as a bar, from -60 dB to full scale."""
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    level = 20 * np.log10(max(peak, 1e-6))
    filled = int(round(_METER_WIDTH * min(1.0, max(0.0, 1 + level / _METER_DB))))
    return "[%s] %4.0f dB" % (("#" * filled).ljust(_METER_WIDTH), level)


class Recorder:
    """Records clips of a word into `folder`/WORD/SPEAKER_nohash_N.wav, and overwrites none.

    device: the microphone, "" for the default one. say: shows a line; show: replaces the last line.
    """

    def __init__(
        self, word: str, folder: str, speaker: str, device: str, say: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        self._word, = check_words([word])
        self._folder, self._speaker = os.path.join(folder, self._word), speaker
        self._device, self._say, self._show = device, say, show

    def record(self, count: int) -> Iterator[str]:
        """Record `count` clips, and yield the path of each as soon as it is written."""
        blocks = microphone.blocks(self._device, SAMPLE_RATE, self._say)
        for number in range(1, count + 1):
            take = self._take(blocks, "%d of %d" % (number, count))
            os.makedirs(self._folder, exist_ok=True)
            path = self._new_path()
            soundfile.write(path, audio.to_int16(take.clip), SAMPLE_RATE, subtype="PCM_16")
            yield path

    def _take(self, blocks, which):
        """A Take without a problem."""
        for _ in range(_MOST_TRIES):
            take = examine(self._heard(blocks, which))
            if not take.problem:
                return take
            self._say("%s  Once more." % (take.problem[0].upper() + take.problem[1:] + "."))
        raise KwsError("%d recordings in a row are %s" % (_MOST_TRIES, take.problem.partition(":")[0]),
                       "check the microphone in the settings of the system, or choose another with --microphone")

    def _heard(self, blocks, which):
        """What the microphone hears after a countdown [n]."""
        for number in range(COUNTDOWN, 0, -1):
            self._show("%s: say %r in %d" % (which, self._word, number))
            _skip(blocks, SECONDS_BETWEEN_NUMBERS)
        found: List[np.ndarray] = []
        while sum(map(len, found)) < SECONDS * SAMPLE_RATE:
            found.append(next(blocks))
            self._show("%s: say %r now  %s" % (which, self._word, meter(found[-1])))
        self._show("")
        return np.concatenate(found)

    def _new_path(self):
        """The first path that no recording has."""
        number = 0
        while True:
            path = os.path.join(self._folder, "%s_nohash_%d.wav" % (self._speaker, number))
            if not os.path.exists(path):
                return path
            number += 1


def _skip(blocks, seconds):
    """Pass over some seconds of sound, which takes as long."""
    heard = 0
    while heard < seconds * SAMPLE_RATE:
        heard += len(next(blocks))


def check_speaker(name: Optional[str]) -> str:
    """The name of a speaker in file names. Raises a KwsError for one that cannot be in a file name."""
    name = name or time.strftime("speaker%Y%m%d")
    if not re.fullmatch(r"[\w-]{1,40}", name) or "_nohash_" in name:
        raise KwsError("%r cannot be the name of a speaker in file names" % name, "use letters, digits and dashes")
    return name
