"""Checks of tests/fake_npu itself, which npu_cases.py runs: it refuses what the real npu_bridge cannot use."""
import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig


def config(field="b", **options):
    """A valid ConfigProto, with options."""
    proto = tf.ConfigProto()
    rewriter = proto.graph_options.rewrite_options
    rewriter.remapping = rewriter.memory_optimization = RewriterConfig.OFF
    made = rewriter.custom_optimizers.add()
    made.name = "NpuOptimizer"
    for key, value in options.items():
        setattr(made.parameter_map[key], field, value)
    return proto


def outcome(proto, build=lambda: (tf.constant(1.0), None), feeds=(None,)):
    """The name of the exception that a session raises, None if it runs."""
    with tf.Graph().as_default():
        fetch, placeholder = build()
        with tf.Session(config=proto) as session:
            try:
                for feed in feeds:
                    session.run(fetch, None if feed is None else {placeholder: feed})
            except BaseException as error:
                return type(error).__name__
    return None


def the_fake_is_strict(folder):
    from npu_bridge import _control, npu_init  # noqa: F401

    def fresh(*arguments):
        _control.reset()
        return outcome(*arguments)

    strict, fatal = "FakeStrictError", "FakeNpuFatal"
    assert fresh(config()) is None
    for field, options, wanted in [
        ("b", {"min_group_size": True}, strict), ("b", {"precision_mode": True}, strict),
        ("s", {"use_off_line": b"1"}, strict), ("s", {"op_debug_level": b"1"}, strict),
        ("b", {"jit_compile": True}, strict),
        ("s", {"precision_mode": b"fp16"}, "InvalidArgumentError"),
        ("s", {"precision_mode": b"force_fp16", "precision_mode_v2": b"fp16"}, "InternalError"),
        ("b", {"enable_dump": True}, "InternalError"), ("s", {"op_select_implmode": b"best"}, fatal),
        ("s", {"optypelist_for_implmode": b"Pooling"}, fatal), ("i", {"iterations_per_loop": 0}, fatal),
        ("i", {"graph_run_mode": 2}, fatal), ("i", {"session_device_id": -1}, fatal),
        ("s", {"aoe_mode": b"3"}, "InternalError"), ("s", {"work_path": b"/none"}, fatal),
        ("s", {"input_shape": b"x:1"}, fatal),
    ]:
        found = fresh(config(field, **options))
        assert found == wanted, (options, found)
    proto = config()
    proto.graph_options.rewrite_options.remapping = RewriterConfig.ON
    assert fresh(tf.ConfigProto()) is None  # the adapter adds what is missing,
    assert fresh(proto) is None  # and corrects remapping,
    proto.graph_options.rewrite_options.memory_optimization = RewriterConfig.ON
    assert fresh(proto) == strict  # but not the memory optimisation of a config that has NpuOptimizer

    _graphs(fresh)
    _control.reset()
    assert outcome(config()) is None and outcome(config("s", precision_mode=b"force_fp16")) == strict


def _graphs(fresh):
    """Check that it refuses operations that an NPU cannot run."""
    strict = "FakeStrictError"

    def floats(width):
        placeholder = tf.placeholder(tf.float32, [None, width])
        return placeholder * 2, placeholder

    assert fresh(config(), lambda: floats(2), [np.ones((3, 2)), np.ones((3, 2))]) is None
    assert fresh(config(), lambda: floats(2), [np.ones((3, 2)), np.ones((4, 2))]) == strict
    for build in (
        lambda: (tf.summary.scalar("loss", 1.0), None), lambda: (tf.constant(1.0, tf.float64), None),
        lambda: (tf.random.stateless_uniform((2,), (1, 2)), None),
        lambda: (tf.py_func(lambda: np.float32(1), [], tf.float32), None), lambda: (tf.read_file("none"), None),
        lambda: (tf.audio.decode_wav(tf.constant("")), None), lambda: (tf.strings.join(["a", "b"]), None),
    ):
        assert fresh(config(), build) == strict
    host = config(use_off_line=False)
    assert fresh(host, lambda: (tf.constant(1.0, tf.float64), None)) is None
