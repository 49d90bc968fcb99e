"""A corpus of spoken words without a microphone: the voices of espeak-ng, in the layout of Speech Commands.

It is for demonstrations, tests, and first models of your own words. Recordings of people make better models.
"""
import wave
from pathlib import Path
from typing import Any, Iterator, Sequence, Tuple, Union

import numpy as np
import scipy.signal

from .. import files
from ..console import Progress
from ..errors import KwsError
from ..settings import KEYWORDS
from .dataset import BACKGROUND
from .espeak import Espeak

DEFAULT_WORDS = KEYWORDS + ("bed", "bird", "cat", "dog", "eight", "happy", "house", "marvin", "seven", "wow")
ACCENTS = ("en", "en-us", "en-us-nyc", "en-029", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
# Voices that sound like people and differ from each other. f2, f3, f5 and others with a `breath` line in their file
# are missing: espeak-ng 1.52 computes breath from uninitialised memory, so they sound different in every process.
VARIANTS = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt2", "klatt4", "adam", "Andy", "Michael",
    "f1", "f4", "Andrea", "anika", "Annie", "belinda", "grandma", "linda", "steph",
)
SPEAKERS = tuple((accent, variant) for accent in ACCENTS for variant in VARIANTS)

SAMPLE_RATE = 16000
CLIP_SAMPLES = SAMPLE_RATE
LONGEST_WORD_SAMPLES = int(0.9 * CLIP_SAMPLES)
BACKGROUND_SAMPLES = 60 * SAMPLE_RATE
BABBLE_VOICES = 8


def synthesize(
    folder: Union[str, Path], words: Sequence[str] = DEFAULT_WORDS, seed: int = 59185,
    speakers: Sequence[Tuple[str, str]] = SPEAKERS, takes: int = 2,
) -> Path:
    """Write `folder`/WORD/SPEAKER_nohash_N.wav and `folder`/_background_noise_/*.wav, and return `folder`.

    Every speaker says every word `takes` times. The same seed and the same espeak-ng give the same bytes.
    """
    folder, words = Path(folder), check_words(words)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise KwsError("%s exists already" % folder, "delete it, or choose another folder for the synthesised words")
    try:
        with files.replacing_folder(str(folder)) as made:
            part = Path(made)
            for name in words:
                (part / name).mkdir()
            with Espeak() as espeak:
                voices = _write_words(espeak, part, words, seed, speakers, takes)
            write_backgrounds(part, voices, np.random.default_rng(seed))
    except OSError as error:
        raise KwsError(
            "cannot write the synthesised words to %s: %s" % (folder, error.strerror or error),
            "free some space, or choose another folder",
        )
    return folder


def check_words(words: Sequence[str]) -> Tuple[str, ...]:
    """The words without repetition, with single spaces; each one becomes the name of a folder, so it is checked."""
    words = tuple(dict.fromkeys(" ".join(filter(None, word.split(" "))) for word in words))
    for word in words:
        if not word or word[0] in "_." or set(word) & set("/\\,") or not word.isprintable() or len(word) > 60:
            raise KwsError(
                "%r cannot be a word here, because a folder is named after each word" % word,
                "use 1 to 60 characters without commas, /, \\ and line breaks, and do not begin with _ or .",
            )
    if not words:
        raise KwsError("there is no word to synthesise", "give at least one")
    return words


def _write_words(espeak, part, words, seed, speakers, takes):
    """Write every word of every speaker, and return one clip of each speaker."""
    voices = []
    with Progress("synthesising", total=len(speakers) * len(words) * takes) as progress:
        for number, (accent, variant) in enumerate(speakers):
            rng = np.random.default_rng([seed, number])
            rate, pitch, liveliness = rng.uniform(125, 185), rng.uniform(35, 65), rng.uniform(35, 65)
            kept = words[number % len(words)]
            for word in words:
                for take in range(takes):
                    espeak.set_voice(accent, variant, pitch + rng.uniform(-6, 6), liveliness)
                    clip = recorded(speech(espeak, word, rate * rng.uniform(0.92, 1.08)), rng)
                    write_wav(part / word / ("%s-%s_nohash_%d.wav" % (accent, variant, take)), clip)
                    progress.update()
                if word == kept:
                    voices.append(clip)
    return voices


def speech(voice: Any, word: str, rate: float) -> np.ndarray:
    """A word without silence around it [n], at `rate` words per minute, and faster if it would not fit into a clip.

    voice: has say(word, rate) -> samples, and their sample_rate; see Espeak.
    """
    for _ in range(4):
        samples = scipy.signal.resample_poly(voice.say(word, rate), SAMPLE_RATE, voice.sample_rate)
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        if not len(loud):
            raise KwsError("espeak-ng says nothing for %r" % word, "write it as it sounds")
        samples = samples[loud[0] : loud[-1] + 1]
        if len(samples) <= LONGEST_WORD_SAMPLES:
            return samples
        rate *= 1.1 * len(samples) / LONGEST_WORD_SAMPLES
    raise KwsError(
        "%r takes %.1f s to say, but a clip lasts %.1f s"
        % (word, len(samples) / SAMPLE_RATE, CLIP_SAMPLES / SAMPLE_RATE),
        "choose something shorter",
    )


def recorded(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Speech like a recording [CLIP_SAMPLES]: louder or softer, sooner or later, with the noise of a room."""
    peak, hiss = np.exp(rng.uniform(np.log([0.1, 0.0003]), np.log([0.8, 0.003])))
    clip = hiss * _noise(CLIP_SAMPLES, 0.5, rng)
    onset = int((CLIP_SAMPLES - len(speech)) * rng.uniform(0.1, 0.9))
    clip[onset : onset + len(speech)] += peak / np.abs(speech).max() * speech
    return clip


def _noise(count, slope, rng):
    """Noise with a standard deviation of 1 and amplitudes like 1 / f^slope: 0 is white, 0.5 pink, 1 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    # Constant below 20 Hz, where 1 / f would otherwise have nearly all the power, although nobody hears it.
    hertz = np.maximum(20.0, np.fft.rfftfreq(count, 1 / SAMPLE_RATE))
    samples = np.fft.irfft(spectrum / hertz ** slope, count)
    return samples / samples.std()


def write_backgrounds(folder: Union[str, Path], voices: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """Write `folder`/_background_noise_/*.wav. voices: clips of which babble is made."""
    inside = Path(folder) / BACKGROUND
    inside.mkdir()
    for name, samples in _backgrounds(voices, rng):
        write_wav(inside / (name + ".wav"), 0.7 * samples / np.abs(samples).max())


def _backgrounds(voices: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield (name, samples [BACKGROUND_SAMPLES]) of each background recording; the samples have any scale."""
    count = BACKGROUND_SAMPLES
    yield "white_noise", _noise(count, 0, rng)
    yield "pink_noise", _noise(count, 0.5, rng)
    yield "brown_noise", _noise(count, 1, rng)

    seconds = np.arange(count) / SAMPLE_RATE
    hum = 0.1 * _noise(count, 0.5, rng)
    for harmonic in range(1, 13):
        swell = 1 + 0.5 * np.sin(2 * np.pi * (rng.uniform(0.05, 0.5) * seconds + rng.uniform()))
        hum += rng.uniform(0.3, 1) / harmonic * swell * np.sin(2 * np.pi * (50 * harmonic * seconds + rng.uniform()))
    yield "mains_hum", hum

    # A key is pressed every quarter of a second on average, and sounds for some milliseconds.
    hits = rng.uniform(0.2, 1, count) * (rng.uniform(size=count) < 4 / SAMPLE_RATE)
    ringing = rng.standard_normal(800) * np.exp(-np.arange(800) / 120)
    yield "typing", scipy.signal.fftconvolve(hits, ringing)[:count] + 0.03 * _noise(count, 0.5, rng)

    babble = 0.003 * _noise(count, 0.5, rng)
    for _ in range(BABBLE_VOICES * count // CLIP_SAMPLES):
        start = rng.integers(0, count - CLIP_SAMPLES + 1)
        babble[start : start + CLIP_SAMPLES] += voices[rng.integers(len(voices))]
    yield "babble", babble


def write_wav(path: Union[str, Path], samples: np.ndarray) -> None:
    """Write samples in [-1, 1] to a 16-bit mono WAV file."""
    with open(str(path), "wb") as stream, wave.open(stream, "wb") as wav:
        wav.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", None))
        wav.writeframes((32767 * samples).astype("<i2").tobytes())
