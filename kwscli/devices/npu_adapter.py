"""npu_bridge, Ascend's adapter for TensorFlow 1.15: everything that imports it or knows its modules.

Importing npu_bridge changes tf.Session for the whole process, so functions import it, and only to train on an NPU.
kws was tested with the fake in tests/fake_npu only.
"""
import importlib
import importlib.util
import json
import os
from typing import Dict, NamedTuple, Optional, Tuple, Union

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from ..errors import KwsError
from . import npu_flags
from .optimizer import OptimizerOf

# A name that each release of npu_bridge added, the newest first, and the last release without it.
_PROBES = (
    ("estimator.npu.npu_plugin", "is_inf_nan_enabled", "r1.12"),
    ("estimator.npu.util", "get_ranksize", "r1.10"),
    ("estimator.npu.npu_config", "decorator_tf_session", "r1.8"),
    ("npu_init", "get_npu_local_rank_size", "r1.7"),
    ("estimator.npu.npu_optimizer", "npu_distributed_optimizer_wrapper", "r1.5"),
    ("npu_init", "npu_config_proto", "r1.2"),
)
# The dynamic loss scale of Huawei's documentation: doubles after 1000 good steps, halves after 2 bad ones.
_DYNAMIC = {"init_loss_scale": 2 ** 32, "incr_every_n_steps": 1000, "decr_every_n_nan_or_inf": 2, "decr_ratio": 0.5}
_FOLDERS = "dump_path", "work_path", "graph_compiler_cache_dir"
_first_options: Dict[str, Tuple] = {}  # process-wide options of the first NPU session, which npu_bridge keeps for all


class Adapter(NamedTuple):
    """npu_bridge on this machine."""

    state: str  # absent, broken, present
    reason: str
    release: Optional[str] = None  # the newest that it can be
    oldest: Optional[str] = None  # the oldest that it can be


def find() -> Adapter:
    """Look for npu_bridge and import it."""
    for name in npu_flags.VARIABLES:
        if os.environ.get(name) == "":
            del os.environ[name]  # for kws an empty variable is unset; npu_bridge would fail to read it as a number
    try:
        if importlib.util.find_spec("npu_bridge") is None:
            return Adapter("absent", "npu_bridge is not installed")
        importlib.import_module("npu_bridge.npu_init")
        oldest, newest = _releases()
        return Adapter("present", "npu_bridge imports", newest, oldest)
    except Exception as error:  # a missing part of CANN is an ImportError, a ValueError or worse
        reason = "npu_bridge is installed but does not import: %s: %s" % (type(error).__name__, error)
        return Adapter("broken", " ".join(reason.split()))


def _releases():
    """(the oldest, the newest) release that npu_bridge can be, by the names that it has."""
    newest = npu_flags.NEWEST
    for module, name, last_without in _PROBES:
        if hasattr(importlib.import_module("npu_bridge." + module), name):
            return npu_flags.RELEASES[npu_flags.RELEASES.index(last_without) + 1], newest
        newest = last_without
    return npu_flags.RELEASES[0], newest


def configure(proto: tf.ConfigProto, options: Dict[str, Tuple]) -> None:
    """Add the options of an NPU's session {key: (field, value)} to its ConfigProto, and make their folders."""
    _keep_to_first(options)
    _add(proto, options)
    folders = [options[key][1] for key in _FOLDERS if key in options]
    if "profiling_options" in options:
        folders.append(json.loads(options["profiling_options"][1])["output"])
    for folder in folders:
        os.makedirs(folder, exist_ok=True)  # npu_bridge needs them to exist


def keep_off(proto: tf.ConfigProto) -> None:
    """Keep a session off the NPU; npu_bridge puts every other session of the process on it."""
    _add(proto, {"use_off_line": ("b", False)})


def _add(proto, options):
    """Add the optimizer that carries npu_bridge's options, and the two settings that it requires."""
    rewriter = proto.graph_options.rewrite_options
    rewriter.remapping = RewriterConfig.OFF
    rewriter.memory_optimization = RewriterConfig.OFF  # 2, which this enum calls MANUAL; npu_bridge compares with 2
    optimizer = rewriter.custom_optimizers.add()
    optimizer.name = "NpuOptimizer"
    for key, (field, value) in options.items():
        setattr(optimizer.parameter_map[key], field, tf.compat.as_bytes(value) if field == "s" else value)


def _keep_to_first(options):
    """Refuse process-wide options that differ from those of the first session."""
    wanted = npu_flags.process_options(options)
    if not _first_options:
        _first_options.update(wanted)
    for key in sorted(set(wanted) | set(_first_options)):
        if wanted.get(key) != _first_options.get(key):
            raise KwsError(
                "the NPU option %s is %s, but it was %s in the first session of this process"
                % (key, wanted.get(key, ("", "unset"))[1], _first_options.get(key, ("", "unset"))[1]),
                "start another process",
            )


def optimizer_of(scale: Union[None, str, float], rank_count: int, inner: OptimizerOf) -> OptimizerOf:
    """A function of the learning rate that makes the optimiser `inner` for NPUs.

    scale: of the loss; a number, "dynamic" or None. rank_count: how many ranks average their gradients.
    """
    from npu_bridge.estimator.npu import npu_loss_scale_manager as managers, npu_loss_scale_optimizer, npu_optimizer

    def optimizer(rate):
        made = inner(rate)
        if rank_count > 1:
            made = npu_optimizer.NPUDistributedOptimizer(made)
        if scale is None:
            return made
        if scale == "dynamic":
            manager = managers.ExponentialUpdateLossScaleManager(**_DYNAMIC)
        else:
            manager = managers.FixedLossScaleManager(scale)
        # With is_distributed, npu_bridge reduces over all ranks even where there is only one.
        return npu_loss_scale_optimizer.NPULossScaleOptimizer(made, manager, is_distributed=rank_count > 1)

    return optimizer


def broadcast(tensor: tf.Tensor) -> tf.Tensor:
    """The value of a tensor on rank 0, by HCCL. All ranks must be NPUs."""
    from npu_bridge.hccl import hccl_ops

    if tensor.dtype == tf.int64:  # some releases cannot send it; a count of steps fits into int32
        return tf.cast(broadcast(tf.cast(tensor, tf.int32)), tf.int64)
    return hccl_ops.broadcast([tensor], 0)[0]


def sink(session: tf.Session, step: tf.Operation, count: int) -> tf.Operation:
    """An operation that makes `count` training steps in one call.

    The step must read its batches from an initialisable iterator; of a feed, all `count` steps would use one batch.
    """
    from npu_bridge.estimator.npu import util

    with session.graph.as_default():
        return util.set_iteration_per_loop(session, step, count)
