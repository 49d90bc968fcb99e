"""An NVIDIA GPU, which TensorFlow drives by CUDA."""
import os
import re
from typing import Any, List, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.client import device_lib

from ..errors import KwsError
from . import NotFound, npu_flags
from .device import Device
from .device_settings import DeviceSettings
from .optimizer import Adam, OptimizerOf

# Below this compute capability TensorFlow does not compute in float16, and says so only in its log.
_FAST_IN_FLOAT16 = 7, 0
_EVEN_IF_SLOW = "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_IGNORE_PERFORMANCE"


def gpus() -> List[Any]:
    """The GPUs that TensorFlow sees. Takes no memory on them."""
    return tf.config.experimental.list_physical_devices("GPU")


class GPU(Device):
    """One GPU. It computes in float16 where --precision-mode allow_mix_precision asks for it."""

    kind, title = "gpu", "a GPU"

    @classmethod
    def find(cls, number: int, reasons: Sequence[str]) -> Device:
        count = len(gpus())
        if number < count:
            return cls(number, "; ".join([*reasons, "GPUs that TensorFlow sees: %d" % count]))
        problem = "device %d is not a GPU: TensorFlow %s sees %d GPUs" % (number, tf.__version__, count)
        advice = "choose another --device-id, fewer --workers, or --device cpu"
        if count:
            raise KwsError(problem, advice)
        raise NotFound(problem, advice, "TensorFlow sees no GPU")

    def config(self, settings: DeviceSettings, folder: str = "") -> tf.ConfigProto:
        proto = super().config(settings, folder)
        proto.gpu_options.visible_device_list = str(self.number)
        if _is_mixed(settings):
            proto.graph_options.rewrite_options.auto_mixed_precision = RewriterConfig.ON
        return proto

    def open_session(self, graph: tf.Graph, proto: tf.ConfigProto, target: str = "") -> tf.Session:
        opened = super().open_session(graph, proto, target)
        if not has_gpu(opened):
            opened.close()
            raise KwsError(
                "TensorFlow lists GPU %d, but does not use it" % self.number,
                "set TF_CPP_MIN_LOG_LEVEL=0 to see why, or use --device cpu",
            )
        return opened

    def optimizer(
        self, settings: DeviceSettings, rank_count: int = 1, inner: OptimizerOf = Adam
    ) -> OptimizerOf:
        if not self.scales_loss(settings):
            return inner
        scale = npu_flags.loss_scale_of(settings)
        return lambda rate: tf.train.experimental.MixedPrecisionLossScaleOptimizer(inner(rate), scale)

    def scales_loss(self, settings: DeviceSettings) -> bool:
        return _is_mixed(settings) and npu_flags.loss_scale_of(settings) is not None

    def explanation(self, error: tf.errors.OpError, reason: str) -> Optional[KwsError]:
        if isinstance(error, tf.errors.ResourceExhaustedError):
            return KwsError("%s has too little memory: %s" % (self.name, reason), "use a smaller --batch-size")
        return None

    def notes_on_precision(self, settings: DeviceSettings) -> List[str]:
        if not _is_mixed(settings):
            advice = " Use --precision-mode allow_mix_precision for float16."
            return [note + advice for note in super().notes_on_precision(settings)]
        capability = self._compute_capability(settings)
        if os.environ.get(_EVEN_IF_SLOW) or not capability or capability >= _FAST_IN_FLOAT16:
            return []
        return [
            "--precision-mode %s has no effect on a GPU of compute capability %d.%d, which is slow in float16; "
            "set %s=1 to use float16 anyway." % ((settings.precision_mode,) + capability + (_EVEN_IF_SLOW,))
        ]

    def _compute_capability(self, settings) -> Optional[Tuple[int, int]]:
        """(major, minor) of an NVIDIA GPU; None for others."""
        for one in device_lib.list_local_devices(self.config(settings)):
            found = re.search(r"compute capability: (\d+)\.(\d+)", one.physical_device_desc)
            if found:
                return int(found.group(1)), int(found.group(2))
        return None


def _is_mixed(settings):
    return settings.precision_mode == "allow_mix_precision"


def has_gpu(opened: tf.Session) -> bool:
    """Whether a session uses a GPU. Without CUDA's libraries, or on a small GPU, it runs on the CPU instead."""
    return any(one.device_type == "GPU" for one in opened.list_devices())
