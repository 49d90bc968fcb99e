"""espeak-ng, a speech synthesizer of more than a hundred languages, called through ctypes."""
import ctypes
import itertools
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from ..errors import KwsError

REINSTALL = "run: pip install --force-reinstall espeakng-loader"


class _Voice(ctypes.Structure):
    """The beginning of espeak_VOICE in speak_lib.h. languages: a byte of priority, and a tag that ends with a zero."""

    _fields_ = [("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p)]


class Espeak:
    """espeak-ng, loaded from its wheel inside the context. It renders to memory and opens no audio device."""

    # From espeak-ng's speak_lib.h, version 1.52.
    _SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
    _RATE, _PITCH, _PITCH_RANGE, _SLOWEST, _FASTEST = 1, 3, 4, 80, 450
    _SEPARATED = ord("_") << 8  # between two phonemes
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

    def accents(self) -> Dict[str, str]:
        """{tag of a language: the accent that speaks it, for `set_voice`}, such as {"en-gb": "en"}."""
        listed = self._library.espeak_ListVoices
        listed.restype, listed.argtypes = ctypes.POINTER(ctypes.POINTER(_Voice)), [ctypes.c_void_p]
        voices = listed(None)
        found = (voice.contents for voice in itertools.takewhile(bool, (voices[index] for index in itertools.count())))
        return {
            ctypes.string_at(voice.languages + 1).decode(): voice.identifier.decode().rpartition("/")[2]
            for voice in found
        }

    def phonemes(self, text: str) -> List[str]:
        """The phonemes of a text in the current voice, with stress and length; [] if the voice cannot say it."""
        convert = self._library.espeak_TextToPhonemes
        convert.restype = ctypes.c_char_p
        convert.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
        encoded = ctypes.create_string_buffer(text.encode())
        rest, found = ctypes.c_void_p(ctypes.addressof(encoded)), []
        before = None
        while rest.value not in (None, before):  # each call converts a clause, but none of "!!!", for example
            before = rest.value
            clause = convert(ctypes.byref(rest), self._UTF8, self._SEPARATED) or b""
            found += clause.decode().replace(" ", "_").split("_")
        return [phoneme for phoneme in found if phoneme]

    def say(self, text: str, rate: float) -> np.ndarray:
        """Speak a text at `rate` words per minute: samples in [-1, 1] at `sample_rate`."""
        self._library.espeak_SetParameter(self._RATE, int(min(max(rate, self._SLOWEST), self._FASTEST)), 0)
        self._heard.clear()
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, self._UTF8, None, None)
        return np.frombuffer(b"".join(self._heard), np.int16).astype(np.float32) / 32768
