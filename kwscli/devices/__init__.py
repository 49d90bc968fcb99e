"""The devices that a network trains on. Only this package knows Ascend's npu_bridge.

To add a device, write a subclass of `device.Device` and add its name to DEVICES; `--device` follows.
"""
import importlib
from typing import Dict

from ..errors import KwsError

# {name for --device: "module:class"}, in the order in which `--device auto` looks for them.
# A module is imported only when kws looks for its device, because it needs TensorFlow.
DEVICES: Dict[str, str] = {
    "npu": "kwscli.devices.npu:NPU",
    "gpu": "kwscli.devices.gpu:GPU",
    "cpu": "kwscli.devices.cpu:CPU",
}


class NotFound(KwsError):
    """This machine does not have a device.

    reason: why, in a few words. unexpected: whether `--device auto` reports the reason before it looks further.
    """

    def __init__(self, problem: str, advice: str, reason: str, unexpected: bool = False) -> None:
        super().__init__(problem, advice)
        self.reason, self.unexpected = reason, unexpected


def load(name: str) -> type:
    """The class of a device, a subclass of `device.Device`."""
    module, _, class_name = DEVICES[name].partition(":")
    return getattr(importlib.import_module(module), class_name)
