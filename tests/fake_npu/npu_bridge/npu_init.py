"""The names that `from npu_bridge.npu_init import *` brings, as far as kws could meet them."""
import os  # noqa: F401  shadows the user's, as in the real one

import tensorflow as tf  # noqa: F401
from hccl.manage.api import get_local_rank_id, get_rank_id, get_rank_size  # noqa: F401
from hccl.split.api import set_split_strategy_by_idx, set_split_strategy_by_size  # noqa: F401
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig  # noqa: F401
from tensorflow.python.client import session  # noqa: F401

from . import _control, _session
from .estimator import npu_ops  # noqa: F401
from .estimator.npu import npu_hook, npu_plugin, npu_scope, util  # noqa: F401
from .estimator.npu.npu_config import *  # noqa: F401,F403
from .estimator.npu.npu_loss_scale_manager import ExponentialUpdateLossScaleManager, FixedLossScaleManager  # noqa: F401
from .estimator.npu.npu_loss_scale_optimizer import NPULossScaleOptimizer  # noqa: F401
from .estimator.npu.npu_optimizer import *  # noqa: F401,F403
from .hccl import hccl_ops  # noqa: F401

if _control.since("r1.3"):

    def npu_config_proto(config_proto=None):
        return _session.add_npu_optimizer(config_proto or tf.ConfigProto())

    def init_resource(config=None):
        opened = tf.Session(config=npu_config_proto(config))
        opened.run(npu_ops.initialize_system())
        return opened, npu_ops.shutdown_system()

    def shutdown_resource(opened, npu_shutdown):
        opened.run(npu_shutdown)

    def close_session(opened):
        opened.close()

    def get_npu_rank_id():
        return _control.rank()

    def get_npu_rank_size():
        return _control.rank_size()


if _control.since("r1.8"):

    def get_npu_local_rank_size():
        return _control.rank_size()


_session.install()
