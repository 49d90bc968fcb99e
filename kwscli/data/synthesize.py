"""A corpus of spoken words without a microphone: the voices of espeak-ng, in the layout of Speech Commands.

It is for demonstrations, tests, and first models of your own words. Recordings of people make better models.
"""
import ctypes
import tempfile
import wave
from pathlib import Path
from typing import Any, Sequence, Tuple, Union

import numpy as np
import scipy.signal

from .. import files
from ..console import Progress
from ..errors import KwsError
from ..settings import KEYWORDS
from .dataset import BACKGROUND

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
REINSTALL = "run: pip install --force-reinstall espeakng-loader"


def synthesize(
    folder: Union[str, Path], words: Sequence[str] = DEFAULT_WORDS, seed: int = 59185,
    speakers: Sequence[Tuple[str, str]] = SPEAKERS, takes: int = 2,
) -> Path:
    """Write `folder`/WORD/SPEAKER_nohash_N.wav and `folder`/_background_noise_/*.wav, and return `folder`.

    Every speaker says every word `takes` times. The same seed and the same espeak-ng give the same bytes.
    """
    folder, words = Path(folder), _checked(words)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise KwsError("%s exists already" % folder, "delete it, or choose another folder for the synthesised words")
    try:
        with files.replacing_folder(str(folder)) as made:
            part = Path(made)
            for name in words + (BACKGROUND,):
                (part / name).mkdir()
            with Espeak() as espeak:
                voices = _write_words(espeak, part, words, seed, speakers, takes)
            for name, samples in _backgrounds(voices, np.random.default_rng(seed)):
                _write_wav(part / BACKGROUND / (name + ".wav"), 0.7 * samples / np.abs(samples).max())
    except OSError as error:
        raise KwsError(
            "cannot write the synthesised words to %s: %s" % (folder, error.strerror or error),
            "free some space, or choose another folder",
        )
    return folder


def _checked(words):
    """The words without repetition; each one is checked, because it becomes the name of a folder."""
    words = tuple(dict.fromkeys(word.strip() for word in words))
    for word in words:
        if not word or word[0] in "_." or set(word) & set("/\\") or not word.isprintable() or len(word) > 60:
            raise KwsError(
                "%r cannot be synthesised, because a folder is named after each word" % word,
                "use 1 to 60 characters without /, \\ and line breaks, and do not begin with _ or .",
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
                    clip = _clip(_speech(espeak, word, rate * rng.uniform(0.92, 1.08)), rng)
                    _write_wav(part / word / ("%s-%s_nohash_%d.wav" % (accent, variant, take)), clip)
                    progress.update()
                if word == kept:
                    voices.append(clip)
    return voices


def _speech(espeak, word, rate):
    """A word in the current voice, without silence around it, and faster if it would not fit into a clip."""
    for _ in range(4):
        samples = scipy.signal.resample_poly(espeak.say(word, rate), SAMPLE_RATE, espeak.sample_rate)
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        if not len(loud):
            raise KwsError("espeak-ng says nothing for %r" % word, "spell it like an English word")
        samples = samples[loud[0] : loud[-1] + 1]
        if len(samples) <= LONGEST_WORD_SAMPLES:
            return samples
        rate *= 1.1 * len(samples) / LONGEST_WORD_SAMPLES
    raise KwsError(
        "%r takes %.1f s to say, but a clip lasts %.1f s"
        % (word, len(samples) / SAMPLE_RATE, CLIP_SAMPLES / SAMPLE_RATE),
        "choose something shorter",
    )


def _clip(speech, rng):
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


def _backgrounds(voices, rng):
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


def _write_wav(path, samples):
    """Write samples in [-1, 1] to a 16-bit mono WAV file."""
    with open(str(path), "wb") as stream, wave.open(stream, "wb") as wav:
        wav.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", None))
        wav.writeframes((32767 * samples).astype("<i2").tobytes())


class Espeak:
    """espeak-ng, loaded from its wheel inside the context. It renders to memory and opens no audio device."""

    # From espeak-ng's speak_lib.h, version 1.52.
    _SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
    _RATE, _PITCH, _PITCH_RANGE, _SLOWEST, _FASTEST = 1, 3, 4, 80, 450
    _CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    def __enter__(self) -> "Espeak":
        try:
            import espeakng_loader
        except ImportError:
            raise KwsError("spoken words need espeak-ng, which is missing", 'run: pip install "kwscli[synthesis]"')
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path()
        except (OSError, RuntimeError) as error:
            raise KwsError("espeak-ng cannot be loaded: %s" % error, REINSTALL)
        # A link with a short path, because espeak-ng does not accept paths of 160 characters.
        self._short = tempfile.TemporaryDirectory()
        (Path(self._short.name) / "espeak-ng-data").symlink_to(data)
        self.sample_rate = self._library.espeak_Initialize(
            self._SYNCHRONOUS, 0, self._short.name.encode(), self._DONT_EXIT
        )
        if self.sample_rate <= 0:
            self.__exit__()
            raise KwsError("espeak-ng finds no voices in %s" % data, REINSTALL)
        self._heard = []
        # Kept in an attribute, because ctypes does not keep callbacks alive.
        self._callback = self._CALLBACK(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)
        return self

    def __exit__(self, *error: Any) -> None:
        import _ctypes

        self._library.espeak_Terminate()
        # Unload the library, because espeak-ng's random numbers would otherwise continue in the next corpus.
        _ctypes.dlclose(self._library._handle)
        self._short.cleanup()

    def _hear(self, samples, count, events):
        if samples and count > 0:
            self._heard.append(ctypes.string_at(samples, 2 * count))
        return 0

    def set_voice(self, accent: str, variant: str, pitch: float, pitch_range: float) -> None:
        """Select a voice. pitch and its range go from 0 to 100; 50 is the voice's own."""
        voice = "%s+%s" % (accent, variant)
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise KwsError("this espeak-ng has no voice %s" % voice, REINSTALL)
        self._library.espeak_SetParameter(self._PITCH, int(pitch), 0)
        self._library.espeak_SetParameter(self._PITCH_RANGE, int(pitch_range), 0)

    def say(self, text: str, rate: float) -> np.ndarray:
        """Speak a text at `rate` words per minute: samples in [-1, 1] at `sample_rate`."""
        self._library.espeak_SetParameter(self._RATE, int(min(max(rate, self._SLOWEST), self._FASTEST)), 0)
        self._heard.clear()
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, self._UTF8, None, None)
        return np.frombuffer(b"".join(self._heard), np.int16).astype(np.float32) / 32768
