"""Sessions on the CPU, which every inference uses."""
import sys

import tensorflow.compat.v1 as tf

from . import npu_adapter

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_eager_execution()  # TensorFlow 2.x: the Saver checks this, not the graph that it is given


def base_config() -> tf.ConfigProto:
    """What the ConfigProtos of all devices but NPUs have in common."""
    proto = tf.ConfigProto(allow_soft_placement=True)
    proto.gpu_options.allow_growth = True
    if "npu_bridge" in sys.modules:
        npu_adapter.keep_off(proto)
    return proto


def config() -> tf.ConfigProto:
    """The ConfigProto of a session on the CPU."""
    proto = base_config()
    proto.device_count["GPU"] = 0
    return proto


def open_session(graph: tf.Graph) -> tf.Session:
    """A session on the CPU, which the caller closes."""
    return tf.Session("", graph, config())
