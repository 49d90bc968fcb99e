"""A long recording that is made of clips and background noise, so that it is known what is said in it, and when."""
import os
from typing import Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import soundfile

from .. import files
from ..console import say
from ..data.batches import Selection, rng_of
from ..data.dataset import Dataset, check_sample_rate
from ..errors import KwsError
from ..listening.truth import Spoken
from ..settings import StreamSettings
from ..sound import audio
from ..sound.feature_settings import FeatureSettings

SOUND, TRUTH = "stream.flac", "stream.txt"  # the files that `save` writes
BLOCK = 1 << 18  # samples; as of files that kws listen reads, so that it gets the same scores
_SPEECH_DB = -30.0  # the level of a clip: its mean power, in decibels of full scale
_WORD = 0.95  # the share of the energy of a clip that is in its word


class _Sound(NamedTuple):
    """A recording in the stream."""

    start: int  # its first sample
    samples: np.ndarray  # int16
    factor: np.float32


class MadeStream:
    """Words at random times over background noise, the same ones for the same settings.

    Half of the words are keywords. All clips have the same level, and the background recordings, one after the other,
    have a level of their own, so that the mean powers of clip and noise have the ratio `stream_snr_db`.
    """

    def __init__(
        self, dataset: Dataset, keywords: Sequence[str], features: FeatureSettings, split: str,
        settings: StreamSettings,
    ) -> None:
        check_sample_rate(dataset, features.sample_rate)
        self._dataset, self._split, self._settings = dataset, split, settings
        self._rate, self._clip_samples = features.sample_rate, features.clip_samples
        self._length = int(60 * settings.stream_minutes * self._rate)
        selection = Selection(dataset, keywords, split, 0.0, 0.0)
        self._keywords, self._others = self._drawn(selection)
        self._words, self._spoken = self._placed()
        self._noises = self._background()

    def __str__(self) -> str:
        noise = "at %g dB over background noise" % self._settings.stream_snr_db if self._noises else "over silence"
        return "%g minutes made of %s clips: %s and %s %s (seed %d)" % (
            self._settings.stream_minutes, self._split, _counted("keywords", self._keywords),
            _counted("other words", self._others), noise, self._settings.stream_seed,
        )

    def spoken(self, seconds: float = 0.0, keywords: Sequence[str] = ()) -> List[Spoken]:
        """What is said, in order. The start and the end of a word enclose 95 % of the energy of its clip.

        It needs no seconds or keywords, as `Recording.spoken` does.
        """
        return self._spoken

    def _drawn(self, selection):
        """The numbers of the recordings of keywords and of other words, each as often as any other of its kind."""
        rng, where = rng_of(self._settings.stream_seed, 0), (self._dataset.path, self._split)
        count = int(round(self._settings.stream_minutes * self._settings.words_per_minute))
        if count and not len(selection.keywords):
            raise KwsError(
                "%s has no %s clips of keywords" % where,
                "choose another --split, or prepare the data with a larger percentage of it",
            )
        if count and not len(selection.unknown):
            say("%s has no %s clips of other words: the stream has keywords only." % where)
        others = count // 2 if len(selection.unknown) else 0
        shares = (selection.keywords, count - others), (selection.unknown, others)
        return [np.resize(rng.permutation(numbers), share) for numbers, share in shares]

    def _placed(self) -> Tuple[List[_Sound], List[Spoken]]:
        """The words as sounds, and as they are spoken."""
        rng = rng_of(self._settings.stream_seed, 1)
        numbers = rng.permutation(np.concatenate([self._keywords, self._others]))
        free = self._length - len(numbers) * self._clip_samples
        if free < 0:
            raise KwsError(
                "--words-per-minute %g leaves no room between the clips" % self._settings.words_per_minute,
                "choose at most %d" % (self._length // self._clip_samples / self._settings.stream_minutes),
            )
        starts = np.sort(rng.randint(0, free + 1, len(numbers))) + np.arange(len(numbers)) * self._clip_samples
        of_clips = self._dataset.starts(self._clip_samples)
        words, spoken = [], []
        for number, start in zip(numbers.tolist(), starts.tolist()):
            clip = self._dataset.recording(number)[of_clips[number] :][: self._clip_samples]
            words.append(_Sound(start, clip, _factor(clip, _SPEECH_DB)))
            first, last = _word_in(clip)
            word = str(self._dataset.words[number])
            spoken.append(Spoken((start + first) / self._rate, (start + last) / self._rate, word))
        return words, spoken

    def _background(self):
        """Background recordings in random order, one after the other."""
        level = _SPEECH_DB - self._settings.stream_snr_db
        found = [(samples, _factor(samples, level)) for samples in self._dataset.background if np.any(samples)]
        if not found:
            say("%s has no background recordings: between the words, the stream is silent." % self._dataset.path)
            return []
        rng, start, sounds = rng_of(self._settings.stream_seed, 2), 0, []
        while start < self._length:
            for index in rng.permutation(len(found)):
                sounds.append(_Sound(start, *found[index]))
                start += len(found[index][0])
        return sounds

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the stream as blocks [n] float32, with the values that a 16-bit file has."""
        layers = [(np.array([one.start for one in sounds]), sounds) for sounds in (self._noises, self._words)]
        for begin in range(0, self._length, BLOCK):
            block = np.zeros(min(BLOCK, self._length - begin), np.float32)
            for starts, sounds in layers:
                first = max(0, int(np.searchsorted(starts, begin, side="right")) - 1)
                for sound in sounds[first : int(np.searchsorted(starts, begin + len(block)))]:
                    _add(sound, block, begin)
            yield audio.to_int16(block) / np.float32(audio.FULL_SCALE)

    def save(self, folder: str) -> None:
        """Write the stream and what is said in it, as a label track of Audacity."""
        paths = [os.path.join(folder, name) for name in (SOUND, TRUTH)]
        for path in paths:
            if os.path.exists(path):
                raise KwsError("%s is there already" % path, "choose another folder for --save-stream, or delete it")
        os.makedirs(folder, exist_ok=True)
        with files.replacing_path(paths[0]) as part, soundfile.SoundFile(part, "w", self._rate, 1, "PCM_16") as sound:
            for block in self.blocks():
                sound.write(audio.to_int16(block))
        with files.replacing(paths[1]) as track:
            track.writelines("%.6f\t%.6f\t%s\n" % one for one in self._spoken)


def _counted(what, numbers):
    """`600 keywords` of recordings with these numbers, and how many there are of them if some are repeated."""
    different = len(np.unique(numbers))
    return "%d %s%s" % (len(numbers), what, "" if different == len(numbers) else " (of %d recordings)" % different)


def _add(sound: _Sound, block: np.ndarray, begin: int) -> None:
    """Add what is heard of a sound in the block of a stream that starts at the sample `begin`."""
    place = max(0, sound.start - begin)
    piece = sound.samples[max(0, begin - sound.start) :][: len(block) - place]
    block[place : place + len(piece)] += piece * (sound.factor / audio.FULL_SCALE)


def _factor(samples, level_db):
    """What to multiply samples int16 by, so that their mean power is at a level."""
    parts = (samples[begin : begin + BLOCK].astype(np.float64) for begin in range(0, len(samples), BLOCK))
    power = sum(np.dot(part, part) for part in parts) / max(1, len(samples)) / audio.FULL_SCALE ** 2
    return np.float32(np.sqrt(10 ** (level_db / 10) / power)) if power else np.float32(0)


def _word_in(clip: np.ndarray) -> Tuple[int, int]:
    """Where the word in a clip starts and ends: its first sample, and the first one behind it."""
    energy = np.cumsum(np.square(clip.astype(np.float64) - clip.mean())) if len(clip) else np.zeros(1)
    ends = np.searchsorted(energy, energy[-1] * np.array([(1 - _WORD) / 2, (1 + _WORD) / 2]))
    return int(ends[0]), int(min(ends[1] + 1, len(clip)))
