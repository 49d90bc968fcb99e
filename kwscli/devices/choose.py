"""`--device` and `--device-id` -> the device to train on. Imports TensorFlow only when it looks for a device."""
import importlib.util
import subprocess
import sys
from typing import Any

from ..console import say
from ..errors import KwsError
from . import DEVICES, NotFound, load, npu_flags
from .device_settings import DeviceSettings


def choose(settings: DeviceSettings) -> Any:
    """The `device.Device` to train on. With `auto`, the first of DEVICES that this machine has."""
    number = npu_flags.device_number(settings.device_id)
    if settings.device != "auto":
        return load(settings.device).find(number, ["--device " + settings.device])
    reasons = []
    for name in DEVICES:
        try:
            return load(name).find(number, reasons)
        except NotFound as error:
            if error.unexpected:
                say("No %s: %s." % (name.upper(), error.reason))
            reasons.append(error.reason)
    raise KwsError("this machine has no device to train on: " + "; ".join(reasons))


def workers_use_hccl(device: str) -> bool:
    """Whether workers that start with this --device train on NPUs, which Ascend's HCCL connects.

    Another process imports npu_bridge to find out, because an import of it cannot be undone.
    """
    if device != "auto":
        return device == "npu"
    if importlib.util.find_spec("npu_bridge") is None:
        return False
    ask = "import sys; from kwscli.devices import npu_adapter; sys.exit(npu_adapter.find().state != 'present')"
    nowhere = subprocess.DEVNULL
    return subprocess.run([sys.executable, "-c", ask], stdout=nowhere, stderr=nowhere).returncode == 0
