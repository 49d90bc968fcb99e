"""What kws asks of a device that it trains on. A new device overrides what differs, as cpu.py, gpu.py and npu.py do."""
import abc
import contextlib
from typing import Iterator, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from ..errors import KwsError
from ..settings import flag_of
from . import session
from .device_settings import DeviceSettings
from .optimizer import Adam, OptimizerOf

_NPU_ONLY = ("modify_mixlist", "fusion_switch_file", "op_select_implmode", "aoe_mode", "work_path", "npu_option")


class Device(abc.ABC):
    """A device of this machine, which TensorFlow itself drives.

    number: which one, where the machine has several. why: what made kws choose it.
    """

    kind = ""  # its name in DEVICES
    title = ""  # how messages call it, such as "a GPU"
    uses_hccl = False  # whether its workers exchange gradients by Ascend's HCCL, not by TensorFlow's gRPC
    shares_cores = False  # whether other workers and the threads that make batches compute on it, too
    allows_other_sessions = True  # whether the process may open sessions on the CPU while it trains
    sinks = False  # whether it makes several training steps in one call
    diagnoses_itself = False  # whether it dumps tensors and traces steps itself, so that kws does not

    def __init__(self, number: int, why: str) -> None:
        self.number, self.why = number, why

    @classmethod
    @abc.abstractmethod
    def find(cls, number: int, reasons: Sequence[str]) -> "Device":
        """The device with a number. Raises NotFound.

        reasons: what led here; the option --device, or why this machine lacks the devices before it in DEVICES.
        """

    @property
    def name(self) -> str:
        """How messages call this one."""
        return "%s (device %d)" % (self.title, self.number)

    def config(self, settings: DeviceSettings, folder: str = "") -> tf.ConfigProto:
        """The ConfigProto of its sessions. folder: where it writes dumps and traces, if it does that itself."""
        return session.base_config()

    def open_session(self, graph: tf.Graph, proto: tf.ConfigProto, target: str = "") -> tf.Session:
        """A session on this device, which the caller closes.

        proto: from `config`. target: TensorFlow's server, where several workers train.
        """
        return tf.Session(target, graph, proto)

    def optimizer(
        self, settings: DeviceSettings, rank_count: int = 1, inner: OptimizerOf = Adam
    ) -> OptimizerOf:
        """A function of the learning rate that makes the optimiser `inner` as this device needs it.

        It scales the loss where `scales_loss` says so. A step whose gradients overflow then changes no weight and does
        not count in the global step.
        """
        return inner

    def scales_loss(self, settings: DeviceSettings) -> bool:
        """Whether the optimizer scales the loss, so that gradients in float16 do not vanish."""
        return False

    def sink(self, opened: tf.Session, step: tf.Operation, count: int) -> tf.Operation:
        """An operation that makes `count` training steps in one call. count is 1 unless the device `sinks`.

        Call it when the session is open and before its graph is final.
        """
        return step

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Turns an error of TensorFlow in the block into a KwsError, if `explanation` knows it as the device's."""
        try:
            yield
        except tf.errors.OpError as error:
            explained = self.explanation(error, " ".join(str(error.message).split("[[")[0].split()))
            if explained:
                raise explained
            raise

    def explanation(self, error: tf.errors.OpError, reason: str) -> Optional[KwsError]:
        """The KwsError for an error that this device causes; None for all others. reason: its message in one line."""
        return None

    def notes(self, settings: DeviceSettings) -> List[str]:
        """The options that have no effect on this device, one line each. Refuses options that only NPUs have."""
        for name in _NPU_ONLY:
            if getattr(settings, name) not in (None, ()):
                raise KwsError(
                    "%s is for NPUs only, and this training runs on %s (%s)" % (flag_of(name), self.title, self.why),
                    "leave it out",
                )
        said = options_without_effect(settings) + self.notes_on_precision(settings)
        if settings.loss_scale not in (None, "none") and not self.scales_loss(settings):
            said.append("--loss-scale %s has no effect on %s without float16." % (settings.loss_scale, self.title))
        if settings.iterations_per_loop > 1:
            said.append(
                "--iterations-per-loop %d has no effect on %s, which makes one step per call."
                % (settings.iterations_per_loop, self.title)
            )
        return said

    def notes_on_precision(self, settings: DeviceSettings) -> List[str]:
        """What --precision-mode cannot do on this device, one line each."""
        if settings.precision_mode in (None, "must_keep_origin_dtype", "force_fp32"):
            return []
        return ["--precision-mode %s has no effect on %s, which computes in float32." % (
            settings.precision_mode, self.title
        )]


def options_without_effect(settings: DeviceSettings) -> List[str]:
    """The options that need another one which is not given, one line each."""
    said, defaults = [], DeviceSettings()
    for name in ("data_dump_step", "dump_mode"):
        if getattr(settings, name) != getattr(defaults, name) and not settings.data_dump_flag:
            said.append("%s has no effect without --data-dump-flag." % flag_of(name))
    writes = settings.data_dump_flag or settings.over_dump or settings.profiling or settings.aoe_mode
    if settings.data_save_path and not writes:
        said.append("--data-save-path %s has no effect, because nothing is dumped or traced." % settings.data_save_path)
    return said
