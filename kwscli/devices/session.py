"""The device a graph runs on, its sessions and its optimiser; the only module that knows npu_bridge, Ascend's adapter.

What it does on an NPU was run against the fake in tests/fake_npu only.
"""
import contextlib
import importlib
import importlib.util
import json
import os
import re
import sys
from typing import NamedTuple, Optional

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.client import device_lib

from ..console import say
from ..errors import KwsError
from . import npu_flags
from .device_settings import DeviceSettings

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_eager_execution()  # TensorFlow 2.x: Saver and FileWriter look at this, not at the graph they are given

NAMES = {"npu": "an NPU", "gpu": "a GPU", "cpu": "the CPU"}
# A name that each release of the adapter brought, the newest first, and the last release without it.
_PROBES = (
    ("estimator.npu.npu_plugin", "is_inf_nan_enabled", "r1.12"),
    ("estimator.npu.util", "get_ranksize", "r1.10"),
    ("estimator.npu.npu_config", "decorator_tf_session", "r1.8"),
    ("npu_init", "get_npu_local_rank_size", "r1.7"),
    ("estimator.npu.npu_optimizer", "npu_distributed_optimizer_wrapper", "r1.5"),
    ("npu_init", "npu_config_proto", "r1.2"),
)
# Dynamic loss scale as Huawei's documentation has it: doubled after 1000 good steps, halved after 2 bad ones.
_DYNAMIC = {"init_loss_scale": 2 ** 32, "incr_every_n_steps": 1000, "decr_every_n_nan_or_inf": 2, "decr_ratio": 0.5}
# Below this compute capability TensorFlow leaves mixed precision out, and says so only in a log that few see.
_FAST_IN_FLOAT16 = 7, 0
_EVEN_IF_SLOW = "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_IGNORE_PERFORMANCE"
_NPU_ONLY = ("modify_mixlist", "fusion_switch_file", "op_select_implmode", "aoe_mode", "work_path", "npu_option")
_first_options = {}  # process-wide options of the first NPU session: the adapter keeps them for all


class Device(NamedTuple):
    """What a graph runs on."""

    kind: str  # npu, gpu, cpu
    number: int
    why: str
    release: Optional[str] = None  # of npu_bridge: the newest it can be
    oldest: Optional[str] = None  # and the oldest

    @property
    def name(self):
        return NAMES[self.kind] + ("" if self.kind == "cpu" else " (device %d)" % self.number)


class Adapter(NamedTuple):
    """npu_bridge as found here."""

    state: str  # absent, broken, present
    reason: str
    release: Optional[str] = None  # the newest it can be
    oldest: Optional[str] = None


def adapter():
    """Look for npu_bridge. It cannot be un-imported, and changes tf.Session: call it only to run on an NPU."""
    for name in npu_flags.VARIABLES:
        if os.environ.get(name) == "":
            del os.environ[name]  # for kws an empty one is unset; the adapter would try to make a number of it
    try:
        if importlib.util.find_spec("npu_bridge") is None:
            return Adapter("absent", "npu_bridge is not installed")
        importlib.import_module("npu_bridge.npu_init")
        oldest, newest = _releases()
        return Adapter("present", "npu_bridge imports", newest, oldest)
    except Exception as error:  # what is missing of CANN shows as ImportError, ValueError or worse
        reason = "npu_bridge is installed but does not import: %s: %s" % (type(error).__name__, error)
        return Adapter("broken", " ".join(reason.split()))


def _releases():
    """(the oldest, the newest) that the adapter can be, by the names that it has."""
    newest = npu_flags.NEWEST
    for module, name, last_without in _PROBES:
        if hasattr(importlib.import_module("npu_bridge." + module), name):
            return npu_flags.RELEASES[npu_flags.RELEASES.index(last_without) + 1], newest
        newest = last_without
    return npu_flags.RELEASES[0], newest


def gpus():
    """The GPUs that TensorFlow sees, none of their memory taken."""
    return tf.config.experimental.list_physical_devices("GPU")


def choose(settings):
    """--device and --device-id -> Device."""
    number = npu_flags.device_number(settings.device_id)
    if settings.device == "cpu":
        return Device("cpu", number, "--device cpu")
    reasons = []
    if settings.device in ("auto", "npu"):
        found = adapter()
        if found.state == "present":
            return Device("npu", number, found.reason, found.release, found.oldest)
        if settings.device == "npu":
            raise KwsError("--device npu: %s; set up CANN (source its set_env.sh; its tfplugin belongs on "
                           "PYTHONPATH), or use --device auto" % found.reason)
        if found.state == "broken":
            say("No NPU: %s." % found.reason)
        reasons.append(found.reason)
    count = len(gpus())
    if number < count:
        return Device("gpu", number, "; ".join(reasons + ["GPUs that TensorFlow sees: %d" % count]))
    if count or settings.device == "gpu":
        raise KwsError("device %d is no GPU: TensorFlow %s sees %d of them; choose another --device-id, fewer "
                       "--workers, or --device cpu" % (number, tf.__version__, count))
    return Device("cpu", number, "; ".join(reasons + ["TensorFlow sees no GPU"]))


def notes(device, settings):
    """What the flags of a training cannot do on this device, a line each; a flag that only an NPU has is refused."""
    said = list(_without_effect(settings))
    if device.kind == "npu":
        options = npu_flags.options_of(settings, os.curdir, device.release)
        said += npu_flags.doubts(options, device.oldest or device.release)
        if settings.profiling_steps is not None:
            said.append("An NPU profiles every step: --profiling-steps %s changes nothing." % settings.profiling_steps)
        return said
    here = NAMES[device.kind]
    for name in _NPU_ONLY:
        if getattr(settings, name) not in (None, ()):
            raise KwsError("--%s acts on an NPU only, and this runs on %s (%s); leave it out"
                           % (name.replace("_", "-"), here, device.why))
    mode = settings.precision_mode
    if mode and device.kind == "cpu" and mode not in ("must_keep_origin_dtype", "force_fp32"):
        said.append("The CPU keeps float32: --precision-mode %s changes nothing here." % mode)
    if mode and device.kind == "gpu" and mode not in ("allow_mix_precision", "must_keep_origin_dtype", "force_fp32"):
        said.append("A GPU knows allow_mix_precision, else float32: --precision-mode %s changes nothing here." % mode)
    if _mixed_on_gpu(device, settings) and not os.environ.get(_EVEN_IF_SLOW):
        capability = _compute_capability(device, settings)
        if capability and capability < _FAST_IN_FLOAT16:
            said.append("A GPU of compute capability %d.%d is slow in float16, and TensorFlow keeps float32: "
                        "--precision-mode %s changes nothing here; %s=1 has it anyway."
                        % (capability + (mode, _EVEN_IF_SLOW)))
    if settings.loss_scale not in (None, "none") and not _mixed_on_gpu(device, settings):
        said.append("Nothing is float16 on %s here: --loss-scale %s changes nothing." % (here, settings.loss_scale))
    if settings.iterations_per_loop > 1:
        said.append("A loop sinks into an NPU only: --iterations-per-loop %d is one step a call on %s."
                    % (settings.iterations_per_loop, here))
    return said


def _without_effect(settings):
    """Flags that only say more of others that are not given."""
    defaults = DeviceSettings()
    for name in ("data_dump_step", "dump_mode"):
        if getattr(settings, name) != getattr(defaults, name) and not settings.data_dump_flag:
            yield "--%s changes nothing without --data-dump-flag." % name.replace("_", "-")
    if settings.data_save_path and not (
        settings.data_dump_flag or settings.over_dump or settings.profiling or settings.aoe_mode
    ):
        yield "Nothing is dumped or traced: --data-save-path %s stays as it is." % settings.data_save_path


def _mixed_on_gpu(device, settings):
    return device.kind == "gpu" and settings.precision_mode == "allow_mix_precision"


def _compute_capability(device, settings):
    """(major, minor) of an NVIDIA GPU; None of another."""
    for one in device_lib.list_local_devices(config(device, settings)):
        found = re.search(r"compute capability: (\d+)\.(\d+)", one.physical_device_desc)
        if found:
            return int(found.group(1)), int(found.group(2))
    return None


def scales_loss(device, settings):
    """Whether a training on a device scales its loss, so that gradients of float16 do not vanish."""
    return (device.kind == "npu" or _mixed_on_gpu(device, settings)) and npu_flags.loss_scale_of(settings) is not None


def config(device=None, settings=None, folder=""):
    """The ConfigProto of a session on a device; of one for inference, on the CPU, where none is given.

    folder: where dumps and traces go.
    """
    proto = tf.ConfigProto(allow_soft_placement=True)
    proto.gpu_options.allow_growth = True
    if device and device.kind == "npu":
        options = npu_flags.options_of(settings, folder or os.curdir, device.release)
        _keep_to_first(options)
        _npu(proto, options)
    elif "npu_bridge" in sys.modules:  # makes every session one on the NPU, unless told not to
        _npu(proto, {"use_off_line": ("b", False)})
    if not device or device.kind == "cpu":
        proto.device_count["GPU"] = 0
    if device and device.kind == "gpu":
        proto.gpu_options.visible_device_list = str(device.number)
        if _mixed_on_gpu(device, settings):
            proto.graph_options.rewrite_options.auto_mixed_precision = RewriterConfig.ON
    return proto


def _npu(proto, options):
    """Add the adapter's options, and the two settings of the rewriter it demands."""
    rewriter = proto.graph_options.rewrite_options
    rewriter.remapping = RewriterConfig.OFF
    rewriter.memory_optimization = RewriterConfig.OFF  # 2, though this enum calls it MANUAL: what the adapter compares
    optimizer = rewriter.custom_optimizers.add()
    optimizer.name = "NpuOptimizer"
    for key, (field, value) in options.items():
        setattr(optimizer.parameter_map[key], field, tf.compat.as_bytes(value) if field == "s" else value)
    folders = [options[key][1] for key in ("dump_path", "work_path", "graph_compiler_cache_dir") if key in options]
    if "profiling_options" in options:
        folders.append(json.loads(options["profiling_options"][1])["output"])
    for folder in folders:
        os.makedirs(folder, exist_ok=True)  # the adapter wants them to be there


def _keep_to_first(options):
    wanted = npu_flags.process_options(options)
    if not _first_options:
        _first_options.update(wanted)
    for key in sorted(set(wanted) | set(_first_options)):
        if wanted.get(key) != _first_options.get(key):
            raise KwsError("the NPU option %s is %s, but %s in the first session of this process; start another process"
                           % (key, wanted.get(key, ("", "unset"))[1], _first_options.get(key, ("", "unset"))[1]))


def open_session(graph, device=None, proto=None, target=""):
    """A session on the graph; the caller closes it. The adapter itself lets go of an NPU when the process exits.

    proto: what `config` gave for the device. target: of TensorFlow's server, where several workers train.
    """
    session = tf.Session(target, graph, proto or config())
    if device and device.kind == "gpu" and not _has_gpu(session):
        session.close()
        raise KwsError("TensorFlow lists GPU %d, but does not use it; TF_CPP_MIN_LOG_LEVEL=0 in the environment "
                       "shows why, --device cpu goes without" % device.number)
    return session


def _has_gpu(session):
    """Whether a session got its GPU: without CUDA's libraries, or with too small a GPU, it runs on the CPU instead."""
    return any(one.device_type == "GPU" for one in session.list_devices())


class _Adam(tf.train.AdamOptimizer):
    """Adam that counts the steps it makes: npu_bridge forgets the global step on chips that know infinity (r1.13)."""

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        return super().apply_gradients(grads_and_vars, tf.train.get_or_create_global_step(), name)


@contextlib.contextmanager
def blamed(device):
    """What goes wrong inside on an NPU is told in one line, as is a GPU's lack of memory; all else stays as it is."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split("[[")[0].split())
        if device.kind == "npu":
            raise KwsError("%s failed: %s; see npu-smi info, and what CANN wrote under ~/ascend/log"
                           % (device.name, reason))
        if device.kind == "gpu" and isinstance(error, tf.errors.ResourceExhaustedError):
            raise KwsError("%s has too little memory: %s; lower --batch_size" % (device.name, reason))
        raise


def optimizer_of(device, settings, rank_count=1):
    """Adam as the device needs it, as a function of the learning rate: averaged over ranks, its loss scaled.

    A step whose gradients overflow changes no weight and does not count in the global step.
    """
    if _mixed_on_gpu(device, settings):
        scale = npu_flags.loss_scale_of(settings)
        return lambda rate: _Adam(rate) if scale is None else tf.train.experimental.MixedPrecisionLossScaleOptimizer(
            _Adam(rate), scale
        )
    return _npu_optimizer_of(settings, rank_count) if device.kind == "npu" else _Adam


def _npu_optimizer_of(settings, rank_count):
    from npu_bridge.estimator.npu import npu_loss_scale_manager as managers, npu_loss_scale_optimizer, npu_optimizer

    scale = npu_flags.loss_scale_of(settings)

    def optimizer(rate):
        made = _Adam(rate)
        if rank_count > 1:
            made = npu_optimizer.NPUDistributedOptimizer(made)
        if scale is None:
            return made
        if scale == "dynamic":
            manager = managers.ExponentialUpdateLossScaleManager(**_DYNAMIC)
        else:
            manager = managers.FixedLossScaleManager(scale)
        # With one rank the adapter would still reduce over all of them: is_distributed must be False then.
        return npu_loss_scale_optimizer.NPULossScaleOptimizer(made, manager, is_distributed=rank_count > 1)

    return optimizer


def broadcast(tensor):
    """A tensor as it is on rank 0, by Ascend's own collectives; all ranks are NPUs."""
    from npu_bridge.hccl import hccl_ops

    if tensor.dtype == tf.int64:  # which not every release carries; a count of steps is small enough
        return tf.cast(broadcast(tf.cast(tensor, tf.int32)), tf.int64)
    return hccl_ops.broadcast([tensor], 0)[0]


def sink(device, session, step, count):
    """The operation that makes `count` of a training step in one run, on an NPU; anywhere else the step itself.

    The step must read its batches from an initialisable iterator, not from a feed: `count` steps would use one batch.
    Call it after the session is open and before the graph is final.
    """
    if device.kind != "npu" or count == 1:
        return step
    from npu_bridge.estimator.npu import util

    with session.graph.as_default():
        return util.set_iteration_per_loop(session, step, count)


def skipped_steps(session, step):
    """How many of the first `step` steps were left out because gradients overflowed."""
    return step - int(session.run(tf.train.get_global_step(session.graph)))
