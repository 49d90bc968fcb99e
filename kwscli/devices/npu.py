"""An Ascend NPU. npu_bridge drives it, and dumps tensors and traces steps itself."""
import os
from typing import List, Optional, Sequence

import tensorflow.compat.v1 as tf

from ..errors import KwsError
from . import NotFound, npu_adapter, npu_flags
from .device import Device, options_without_effect
from .device_settings import DeviceSettings
from .optimizer import Adam, OptimizerOf


class NPU(Device):
    """One NPU. npu_bridge releases it when the process exits.

    release, oldest: the newest and the oldest release that npu_bridge can be.
    """

    kind, title, uses_hccl, sinks, diagnoses_itself = "npu", "an NPU", True, True, True
    allows_other_sessions = False  # none was tried beside that of a training

    def __init__(self, number: int, why: str, release: Optional[str] = None, oldest: Optional[str] = None) -> None:
        super().__init__(number, why)
        self.release = release or npu_flags.NEWEST
        self.oldest = oldest or self.release

    @classmethod
    def find(cls, number: int, reasons: Sequence[str]) -> Device:
        found = npu_adapter.find()
        if found.state != "present":
            raise NotFound(
                "this machine has no NPU that kws can use: " + found.reason,
                "set up CANN (source its set_env.sh and add its tfplugin to PYTHONPATH), or use --device auto",
                found.reason, unexpected=found.state == "broken",
            )
        return cls(number, "; ".join([*reasons, found.reason]), found.release, found.oldest)

    def config(self, settings: DeviceSettings, folder: str = "") -> tf.ConfigProto:
        proto = tf.ConfigProto(allow_soft_placement=True)
        proto.gpu_options.allow_growth = True
        npu_adapter.configure(proto, npu_flags.options_of(settings, folder or os.curdir, self.release))
        return proto

    def optimizer(
        self, settings: DeviceSettings, rank_count: int = 1, inner: OptimizerOf = Adam
    ) -> OptimizerOf:
        return npu_adapter.optimizer_of(npu_flags.loss_scale_of(settings), rank_count, inner)

    def scales_loss(self, settings: DeviceSettings) -> bool:
        return npu_flags.loss_scale_of(settings) is not None

    def sink(self, opened: tf.Session, step: tf.Operation, count: int) -> tf.Operation:
        return step if count == 1 else npu_adapter.sink(opened, step, count)

    def explanation(self, error: tf.errors.OpError, reason: str) -> Optional[KwsError]:
        return KwsError("%s failed: %s" % (self.name, reason), "see npu-smi info, and CANN's log under ~/ascend/log")

    def notes(self, settings: DeviceSettings) -> List[str]:
        options = npu_flags.options_of(settings, os.curdir, self.release)
        said = options_without_effect(settings) + list(npu_flags.doubts(options, self.oldest))
        if settings.profiling_steps is not None:
            said.append("--profiling-steps %s has no effect on an NPU, which profiles every step."
                        % settings.profiling_steps)
        return said
