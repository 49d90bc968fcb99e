"""Synthesizers: who can say the words of a language. To add one, write a class like PiperVoices; `opened` opens it.

A synthesizer has `speakers`, names for files; `person(speaker)`, who must not be in two splits; and
`voice(speaker, rng)`, which has say(text, rate) -> samples, and their sample_rate.
"""
import contextlib
import difflib
import os
from typing import Any, Dict, Iterator, List, Sequence

import numpy as np
import scipy.signal

from ..data.espeak import Espeak
from ..data.synthesize import VARIANTS
from ..errors import KwsError
from .phrases import Phonemes, sounds

_TRACTS = 17, 24  # twentieths: how much shorter or longer a vocal tract is than the voice's own
_LANGUAGE_SWITCH = "("  # espeak-ng's phonemes of a word of another language begin with (en), for example
_PIPER_RATE = 160  # words per minute of a piper voice, about


class EspeakVoices:
    """espeak-ng's voices of a language: each of its accents with each variant. espeak: an open Espeak."""

    def __init__(self, espeak: Espeak, language: str) -> None:
        self._espeak, self._accents = espeak, accents(espeak.accents(), language)
        self.speakers = ["%s-%s" % (accent, variant) for accent in self._accents for variant in VARIANTS]

    def person(self, speaker: str) -> str:
        """A variant is one person, whatever the accent."""
        return speaker.rpartition("-")[2]

    def voice(self, speaker: str, rng: np.random.Generator) -> "EspeakVoice":
        """The voice of a speaker, with a pitch and a vocal tract of its own each time."""
        accent, _, variant = speaker.rpartition("-")
        self._espeak.set_voice(accent, variant, rng.uniform(25, 75), rng.uniform(30, 70))
        return EspeakVoice(self._espeak, int(rng.integers(*_TRACTS, endpoint=True)))

    def sounds_of(self, text: str) -> Phonemes:
        """What tells a text from others when the first accent says it."""
        self._espeak.set_voice(self._accents[0], VARIANTS[0], 50, 50)
        return sounds(self._espeak.phonemes(text))

    def check(self, word: str) -> None:
        """Raise a KwsError if the voices cannot say a word."""
        said = self.sounds_of(word)
        language = self._accents[0]
        if not said:
            raise KwsError("espeak-ng's voice %s says nothing for %r" % (language, word), "write it in letters")
        if any(phoneme.startswith(_LANGUAGE_SWITCH) for phoneme in said):
            raise KwsError("espeak-ng's voice %s reads %r as a word of another language" % (language, word),
                           "write it in the letters of %s, or give its language with --language" % language)
        spelled = sum((self.sounds_of(letter) for letter in word if not letter.isspace()), ())
        if said == spelled and len(word) > 1 and not word.isupper():
            raise KwsError(
                "espeak-ng's voice %s spells %r letter by letter" % (language, word),
                "write it as it sounds, in capitals if its letters are what you say, or choose another --language",
            )


class EspeakVoice:
    """espeak-ng's current voice, as if the vocal tract was shorter (tract > 20) or longer (tract < 20)."""

    def __init__(self, espeak: Espeak, tract: int) -> None:
        self._espeak, self._tract = espeak, tract
        self.sample_rate = espeak.sample_rate

    def say(self, text: str, rate: float) -> np.ndarray:
        """Speak a text at `rate` words per minute: samples at `sample_rate`."""
        # To play a sound faster moves its formants up, as a shorter vocal tract does, and its pitch with them.
        return scipy.signal.resample_poly(self._espeak.say(text, rate * 20 / self._tract), 20, self._tract)


class PiperVoices:
    """The speakers of a voice of piper, NAME.onnx with its NAME.onnx.json."""

    def __init__(self, path: str) -> None:
        try:
            import piper
        except ImportError:
            raise KwsError("--piper-voice needs the package piper-tts, which is missing", "run: pip install piper-tts")
        if not os.path.isfile(path):
            raise KwsError("there is no voice %s" % path, "give the .onnx file of a voice of piper")
        self._options, self._voice = piper.SynthesisConfig, piper.PiperVoice.load(path)
        self._count = self._voice.config.num_speakers
        name = os.path.splitext(os.path.basename(path))[0]
        self.speakers = ["%s-%d" % (name, number) for number in range(self._count)]

    def person(self, speaker: str) -> str:
        """Each speaker is a person."""
        return speaker

    def voice(self, speaker: str, rng: np.random.Generator) -> "PiperVoice":
        """The voice of a speaker, as lively as the random numbers say."""
        number = int(speaker.rpartition("-")[2]) if self._count > 1 else None
        liveliness = rng.uniform(0.4, 0.9)

        def options(rate: float) -> Any:
            return self._options(speaker_id=number, length_scale=_PIPER_RATE / rate, noise_scale=liveliness)

        return PiperVoice(self._voice, options)


class PiperVoice:
    """A speaker of a voice of piper. options: words per minute -> piper's SynthesisConfig."""

    def __init__(self, voice: Any, options: Any) -> None:
        self._voice, self._options = voice, options
        self.sample_rate = voice.config.sample_rate

    def say(self, text: str, rate: float) -> np.ndarray:
        """Speak a text at about `rate` words per minute: samples at `sample_rate`."""
        chunks = [chunk.audio_float_array for chunk in self._voice.synthesize(text, self._options(rate))]
        return np.concatenate(chunks) if chunks else np.zeros(1, np.float32)


@contextlib.contextmanager
def opened(language: str, piper_voices: Sequence[str] = ()) -> Iterator[List[Any]]:
    """The synthesizers of a language; espeak-ng, which also knows the phonemes, is the first one."""
    with Espeak() as espeak:
        yield [EspeakVoices(espeak, language)] + [PiperVoices(path) for path in piper_voices]


def accents(known: Dict[str, str], language: str) -> List[str]:
    """The accents of a language: en -> en, en-US, en-029...; other scripts (en-shaw) only by their full tag.

    known: {tag: accent}.
    """
    wanted = language.lower().replace("_", "-")
    same = [tag for tag in known if tag.lower() == wanted]
    others = [tag for tag in sorted(known) if tag.lower().startswith(wanted + "-") and not _names_script(tag)]
    if not same + others:
        near = difflib.get_close_matches(wanted, known, n=5, cutoff=0.4) or sorted({tag.split("-")[0] for tag in known})
        raise KwsError("espeak-ng has no voice for the language %s" % language, "choose one: %s" % ", ".join(near))
    return list(dict.fromkeys(known[tag] for tag in same + others))


def _names_script(tag):
    """Whether a tag says a script, which is a part of four letters (RFC 5646)."""
    return any(len(part) == 4 and part.isalpha() for part in tag.split("-")[1:])
