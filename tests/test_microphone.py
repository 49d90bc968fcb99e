"""The microphone, with an imitation of the package sounddevice."""
import sys
import types

import numpy as np
import pytest

from kwscli.errors import KwsError
from kwscli.listening import microphone
from kwscli.sound import audio

SOUND = (0.1 * np.random.RandomState(0).randn(16000)).astype(np.float32)


class PortAudioError(Exception):
    pass


class Sounddevice(types.ModuleType):
    """Devices {name: rates that they open with}; each stream that opens gives the next of `sounds`, then nothing."""

    PortAudioError = PortAudioError

    def __init__(self, devices, sounds=()):
        super().__init__("sounddevice")
        self.devices, self.sounds, self.opened, self.restarts = devices, list(sounds), [], 0
        self.InputStream = lambda **how: Stream(self, how)

    def query_devices(self, device, kind):
        assert kind == "input"
        names = list(self.devices)
        found = names[:1] if device is None else [name for name in names if str(device) in name]
        if isinstance(device, int):
            found = names[device : device + 1]
        if not found:
            raise ValueError("No input device matching %r" % device)
        return {"name": found[0], "default_samplerate": float(self.devices[found[0]][0])}

    def check_input_settings(self, device, channels, dtype, samplerate):
        name = self.query_devices(device, "input")["name"]
        if samplerate not in self.devices[name]:
            raise PortAudioError("Invalid sample rate")

    def _terminate(self):
        self.restarts += 1

    def _initialize(self):
        pass


class Stream:
    def __init__(self, sounddevice, how):
        self.sounddevice, self.how = sounddevice, how
        sounddevice.check_input_settings(how["device"], how["channels"], how["dtype"], how["samplerate"])

    def __enter__(self):
        self.sounddevice.opened.append(self.how)
        sound = self.sounddevice.sounds.pop(0)
        for start in range(0, len(sound), self.how["blocksize"]):
            block = sound[start : start + self.how["blocksize"], np.newaxis]
            self.how["callback"](block, len(block), None, None)
            block = block * 0  # PortAudio uses its memory again
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def fake(monkeypatch):
    def install(*args):
        module = Sounddevice(*args)
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        monkeypatch.setattr(microphone, "_GONE_SECONDS", 0.05)
        monkeypatch.setattr(microphone, "_SECONDS_BETWEEN_TRIES", 0.0)
        return module

    return install


def heard(count, name="", said=None):
    """The first samples of the microphone."""
    found = np.zeros(0, np.float32)
    for block in microphone.blocks(name, 16000, [].append if said is None else said.append):
        found = np.concatenate([found, block])
        if len(found) >= count:
            return found
    raise AssertionError("it ended")


def test_the_default_device(fake):
    fake_module = fake({"built-in": [16000], "usb": [16000]}, [SOUND])
    assert np.array_equal(heard(16000), SOUND)
    assert fake_module.opened[0]["device"] is None and fake_module.opened[0]["samplerate"] == 16000


@pytest.mark.parametrize("name, device", [("usb", "usb"), ("1", 1)])
def test_a_device_by_name_or_number(fake, name, device):
    fake_module = fake({"built-in": [16000], "usb": [16000]}, [SOUND])
    heard(16000, name)
    assert fake_module.opened[0]["device"] == device


def test_a_device_with_another_rate(fake):
    sound = np.tile(SOUND, 3)
    fake({"usb": [48000]}, [sound])
    found = heard(15000)
    np.testing.assert_allclose(found[:15000], audio.resample(sound, 48000, 16000)[:15000], atol=1e-5)


def test_a_microphone_that_is_unplugged_is_waited_for(fake, monkeypatch):
    fake_module, said = fake({"usb": [16000]}, [SOUND[:8000], SOUND[8000:]]), []
    devices = fake_module.devices
    tries = []

    def restarted():
        tries.append(1)
        fake_module.devices = devices if len(tries) == 3 else {}

    fake_module._initialize = restarted
    assert np.array_equal(heard(16000, "usb", said), SOUND)
    assert said == [
        "Listening to the microphone. Ctrl-C ends it.", "The microphone is gone; waiting for it.",
        "Listening to the microphone. Ctrl-C ends it.",
    ]
    assert len(tries) == fake_module.restarts == 3


def test_a_stream_that_does_not_open_any_more_is_waited_for(fake):
    fake_module, said = fake({"usb": [16000]}, [SOUND]), []
    open_stream, fails = fake_module.InputStream, [True]

    def fail_once(**how):
        if fails:
            fails.pop()
            raise PortAudioError("Device unavailable")
        return open_stream(**how)

    fake_module.InputStream = fail_once
    assert np.array_equal(heard(16000, "", said), SOUND) and said[1].startswith("The microphone is gone")


def test_a_machine_that_is_too_slow(fake, monkeypatch):
    monkeypatch.setattr(microphone, "_WAITING_BLOCKS", 10)
    fake({"usb": [16000]}, [SOUND])
    said = []
    assert np.array_equal(heard(8000, "", said), SOUND[:8000])
    assert said[1] == "This machine is too slow for the network: 0.5 s of sound are lost."


@pytest.mark.parametrize("name, message", [("", "there is no microphone; connect one"),
                                           ("usb", "there is no microphone usb; connect one")])
def test_no_device(fake, name, message):
    fake({})
    with pytest.raises(KwsError, match=message):
        heard(1, name)


def test_no_package(monkeypatch, kws):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # its import fails
    with pytest.raises(KwsError, match="needs the package sounddevice; install it: pip install sounddevice"):
        heard(1)


def test_no_portaudio(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(KwsError, match="PortAudio library not found; install PortAudio, for example"):
        heard(1)
