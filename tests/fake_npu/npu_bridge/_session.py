"""tf.Session once npu_bridge is imported: every session is one on the NPU, and is looked at when it first runs."""
import re

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.client import session as tf_session

from . import _control, _validate
from ._control import FakeNpuFatal, FakeStrictError

HOST_ONLY = re.compile(
    "DecodeWav|AudioSpectrogram|Mfcc|Encode.*|Decode.*|PyFunc.*|EagerPyFunc|ReadFile|WriteFile|String.*|AsString"
    "|.*Summary|.*Queue.*|.*Reader.*"
    "|StatelessRandomUniform"  # of which Ascend's own operators know the kind that draws integers
)
# Operations the fake itself makes of Python functions.
OURS = ("HcomAllReduce", "HcomBroadcast", "NpuGetFloatStatus")
ITERATIONS = "fake_npu_iterations"  # the collection in which util puts n
_NOT_GIVEN = object()


def add_npu_optimizer(config):
    """What the real adapter does to the config of a session, in place."""
    rewriter = config.graph_options.rewrite_options
    if not any(one.name == "NpuOptimizer" for one in rewriter.custom_optimizers):
        rewriter.custom_optimizers.add().name = "NpuOptimizer"
        rewriter.memory_optimization = RewriterConfig.OFF
    rewriter.remapping = RewriterConfig.OFF
    config.allow_soft_placement, config.log_device_placement = True, False
    return config


def install():
    """Replace methods of TensorFlow's sessions, for good."""
    for kind in (tf_session.Session, tf_session.InteractiveSession):
        _wrap_init(kind)
    for name, new in (("run", _run), ("make_callable", _make_callable), ("close", _close)):
        setattr(tf_session.BaseSession, name, new(getattr(tf_session.BaseSession, name)))


def _wrap_init(kind):
    original = kind.__init__

    def init(self, target="", graph=None, config=_NOT_GIVEN):
        config = tf.ConfigProto() if config is _NOT_GIVEN else config
        if _control.since("r1.9"):
            add_npu_optimizer(config)  # AttributeError for config=None, as in the real one
        original(self, target, graph, config)
        self._fake_config, self._fake_options, self._fake_closed = config, None, False
        _control.record("session_created", config)

    kind.__init__ = init


def _options(session):
    """The session's options, checked at its first run; {"use_off_line": False} for one on the host."""
    if session._fake_options is None:
        options = _validate.parameters(session._fake_config or tf.ConfigProto())
        if options is None or not options.get("use_off_line", True):
            session._fake_options = {"use_off_line": False}
        else:
            _validate.validate(session._fake_config, options)
            session._fake_options = options
    return session._fake_options


def _run(original):
    def run(self, fetches, feed_dict=None, options=None, run_metadata=None):
        npu = _options(self)
        feeds = {_tensor(self.graph, key): value for key, value in (feed_dict or {}).items()}
        operations = _closure(self.graph, fetches, feeds)
        on_npu = npu.get("use_off_line", True) and not any(one.type == "MakeIterator" for one in operations)
        names = sorted(one.name for one in _fetched(self.graph, fetches))
        _control.record("run", (names, "npu" if on_npu else "host"))
        if on_npu:
            _check_graph(operations, feeds, npu)
            _check_shapes(self.graph, names, feeds)
            for _ in range(_loops(operations, feeds, npu) - 1):
                original(self, fetches, feed_dict)
        for name in names:
            if name.startswith(("InitializeSystem", "ShutdownSystem")):
                _control.initialised = name.startswith("Init")
                _control.record("init" if _control.initialised else "shutdown")
        return original(self, fetches, feed_dict, options, run_metadata)

    return run


def _make_callable(original):
    def make_callable(self, fetches, feed_list=None, accept_options=False):
        return lambda *values: self.run(fetches, dict(zip(feed_list or (), values)))

    return make_callable


def _close(original):
    def close(self):
        if not self._fake_closed:
            _control.record("close")
        self._fake_closed = True
        return original(self)

    return close


def _tensor(graph, one):
    return one if isinstance(one, tf.Tensor) else graph.as_graph_element(one, allow_operation=False)


def _fetched(graph, fetches):
    if isinstance(fetches, dict):
        fetches = list(fetches.values())
    if isinstance(fetches, (list, tuple)):
        return [one for fetch in fetches for one in _fetched(graph, fetch)]
    one = graph.as_graph_element(fetches)
    return [one if isinstance(one, tf.Operation) else one.op]


def _closure(graph, fetches, feeds):
    """Every operation that a run executes."""
    fed = {tensor.op for tensor in feeds}
    found, left = set(), _fetched(graph, fetches)
    while left:
        one = left.pop()
        if one not in found and one not in fed:
            found.add(one)
            left += [tensor.op for tensor in one.inputs] + list(one.control_inputs)
    return found


def _check_graph(operations, feeds, options):
    if any(one.type in ("SaveV2", "RestoreV2") for one in operations):
        return
    _check_fed(feeds)
    collectives = [one for one in operations if one.name.split("/")[-1].startswith("HcomAllReduce")]
    _control.broadcast |= any(one.name.split("/")[-1].startswith("HcomBroadcast") for one in operations)
    if collectives and _control.rank_size() > 1 and not _control.broadcast:
        raise FakeStrictError("ranks reduce gradients before the weights were broadcast")
    for one in operations:
        if one.type == "OneShotIterator" and options.get("iterations_per_loop", 1) != 1:
            raise FakeNpuFatal("OneShotIterator with iterations_per_loop")
        if one.name.split("/")[-1].startswith(OURS):
            continue
        if HOST_ONLY.fullmatch(one.type):
            raise FakeStrictError("%s (%s) belongs on the host" % (one.name, one.type))
        for tensor in one.outputs:
            if tensor.dtype.base_dtype in (tf.float64, tf.complex64, tf.complex128):
                raise FakeStrictError("%s is %s" % (tensor.name, tensor.dtype.name))


def _check_fed(feeds):
    for tensor in feeds:
        if tensor.dtype.base_dtype in (tf.float64, tf.complex64, tf.complex128, tf.string):
            raise FakeStrictError("%s is fed as %s" % (tensor.name, tensor.dtype.name))


def _check_shapes(graph, names, feeds):
    shapes = tuple(sorted((tensor.name, np.shape(value)) for tensor, value in feeds.items()))
    first = _control.signatures.setdefault((id(graph), tuple(names)), shapes)
    if first != shapes:
        raise FakeStrictError("shapes change from %s to %s: the NPU compiles anew" % (first, shapes))


def _loops(operations, feeds, options):
    """How many steps one run makes."""
    wanted = options.get("iterations_per_loop", 1)
    sunk = [one for one in operations if one.name == "IterationOp"]
    if not sunk:
        if wanted > 1 and any(one.type in ("ApplyAdam", "ResourceApplyAdam") for one in operations):
            raise FakeStrictError("iterations_per_loop is %d, and a step was run that did not sink" % wanted)
        return 1
    count = sunk[0].graph.get_collection(ITERATIONS)[-1]
    if count != wanted:
        raise FakeStrictError("set_iteration_per_loop has %d, the session's options %d" % (count, wanted))
    if feeds:
        raise FakeStrictError("a loop of %d steps would use one fed batch for all of them" % count)
    return count
