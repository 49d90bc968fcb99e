"""The CPU, which every machine has."""
from typing import Sequence

import tensorflow.compat.v1 as tf

from . import session
from .device import Device
from .device_settings import DeviceSettings


class CPU(Device):
    """All cores of this machine together. Its number has no meaning."""

    kind, title, shares_cores = "cpu", "the CPU", True

    @classmethod
    def find(cls, number: int, reasons: Sequence[str]) -> Device:
        return cls(number, "; ".join(reasons))

    @property
    def name(self) -> str:
        return self.title

    def config(self, settings: DeviceSettings, folder: str = "") -> tf.ConfigProto:
        return session.config()
