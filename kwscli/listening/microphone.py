"""The microphone, through the package sounddevice. One that is unplugged is waited for."""
import queue
import time
from typing import Any, Callable, Iterator, Optional, Tuple

import numpy as np

from ..errors import KwsError
from .conversion import Resampler

_BLOCK_SECONDS = 0.05
_GONE_SECONDS = 2.0  # without a sound from a device, after which it is taken as gone
_SECONDS_BETWEEN_TRIES = 1.0
_WAITING_BLOCKS = 600  # that a slow network may leave unheard: half a minute


def blocks(name: str, sample_rate: int, say: Callable[[str], None]) -> Iterator[np.ndarray]:
    """Yield blocks [n] float32 of the microphone for ever. name: a part of its name, or its number; "": the default.

    say: is called when the microphone goes away, when it is back, and when sound is lost.
    """
    sounddevice = _sounddevice()
    device, rate = _device(sounddevice, name, sample_rate)
    while True:
        say("Listening to the microphone. Ctrl-C ends it.")
        yield from _until_gone(sounddevice, device, rate, sample_rate, say)
        say("The microphone is gone; waiting for it.")
        device, rate = _wait_for(sounddevice, name, sample_rate)


def _sounddevice():
    try:
        import sounddevice
    except ImportError:
        raise KwsError("the microphone needs the package sounddevice", "install it: pip install sounddevice")
    except OSError as error:  # its library is missing
        raise KwsError(
            "the package sounddevice cannot be used: %s" % error,
            "install PortAudio, for example with apt install libportaudio2",
        )
    return sounddevice


def _device(sounddevice, name: str, sample_rate: int) -> Tuple[Optional[Any], int]:
    """(the device as sounddevice takes it, the rate to open it with)."""
    device = int(name) if name.isdigit() else name or None
    try:
        found = sounddevice.query_devices(device, "input")
    except (ValueError, sounddevice.PortAudioError) as error:
        raise KwsError(
            "there is no microphone %s" % name if name else "there is no microphone",
            "connect one; python -m sounddevice lists the devices (%s)" % error,
        )
    try:
        sounddevice.check_input_settings(device=device, channels=1, dtype="float32", samplerate=sample_rate)
        return device, sample_rate
    except (ValueError, sounddevice.PortAudioError):  # not every device converts its rate
        return device, int(found["default_samplerate"])


def _until_gone(sounddevice, device, rate, sample_rate, say):
    """Yield what the device hears until it gives nothing any more."""
    waiting: "queue.Queue[np.ndarray]" = queue.Queue(_WAITING_BLOCKS)
    lost = []

    def hear(samples, frame_count, times, status):  # in a thread of PortAudio
        try:
            waiting.put_nowait(samples[:, 0].copy())
        except queue.Full:
            lost.append(frame_count)

    resampler = Resampler(rate, sample_rate)
    try:
        with sounddevice.InputStream(
            samplerate=rate, blocksize=int(rate * _BLOCK_SECONDS), device=device, channels=1, dtype="float32",
            callback=hear,
        ):
            while True:
                yield resampler.feed(waiting.get(timeout=_GONE_SECONDS))
                if lost:
                    say("This machine is too slow for the network: %.1f s of sound are lost." % (sum(lost) / rate))
                    lost.clear()
    except (queue.Empty, sounddevice.PortAudioError):
        return


def _wait_for(sounddevice, name, sample_rate):
    while True:
        time.sleep(_SECONDS_BETWEEN_TRIES)
        # PortAudio looks for devices only when it starts. sounddevice has no public functions for it.
        sounddevice._terminate()
        sounddevice._initialize()
        try:
            return _device(sounddevice, name, sample_rate)
        except KwsError:
            continue
