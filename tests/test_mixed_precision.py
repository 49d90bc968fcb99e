"""Mixed precision without a GPU: TensorFlow rewrites a training as for a GPU, and the CPU runs the result.

Only the kernels of a GPU are not tested here; see test_gpu.py.
"""
import collections

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.device_properties_pb2 import DeviceProperties, NamedDevice
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.grappler.cluster import Cluster
from tensorflow.python.grappler.tf_optimizer import OptimizeGraph
from test_diagnostics import described

from kwscli import models
from kwscli.devices.device_settings import DeviceSettings
from kwscli.devices.gpu import GPU
from kwscli.models import network
from kwscli.training import training_graph

NAME = "/job:localhost/replica:0/task:0/device:GPU:0"
MIXED = DeviceSettings(precision_mode="allow_mix_precision")
SCALED = DeviceSettings(precision_mode="allow_mix_precision", loss_scale="128")
PLAIN = DeviceSettings(precision_mode="must_keep_origin_dtype")
PRODUCTS = ("MatMul", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
UPDATES = ("ApplyAdam", "ResourceApplyAdam")


def gpu(capability):
    """A machine with a GPU of this compute capability, as TensorFlow's rewriter sees it."""
    properties = DeviceProperties(type="GPU", vendor="NVIDIA", frequency=1530, num_cores=80, bandwidth=900 << 20)
    properties.environment["architecture"] = capability
    return Cluster(devices=[NamedDevice(name=NAME, properties=properties)], disable_detailed_stats=True)


class Training:
    """The training that `kws train --device gpu` would build with these settings, rewritten for such a GPU."""

    def __init__(self, architecture, settings, capability="7.0"):
        device = GPU(0, "test")
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            self.training = training_graph.build(described(architecture), device.optimizer(settings))
            self._initialise = network.initialiser()
            self._variables = {one.op.name: one.value().name for one in tf.global_variables()}
            graph.clear_collection(tf.GraphKeys.TRAIN_OP)
            meta = tf.train.export_meta_graph(graph=graph)
        wanted = [self.training.step.name, self.training.loss.op.name, self.training.set_rate.name]
        wanted += [self._initialise.name] + [name.split(":")[0] for name in self._variables.values()]
        meta.collection_def[tf.GraphKeys.TRAIN_OP].node_list.value.extend(wanted)  # what the rewriter must keep
        for node in meta.graph_def.node:
            node.device = NAME
        config = device.config(settings)
        rewriter = config.graph_options.rewrite_options
        rewriter.min_graph_nodes = -1
        rewriter.layout_optimizer = RewriterConfig.OFF  # a CPU cannot run its result
        name = ("%s %s %s" % (architecture, settings.loss_scale, capability)).encode()
        self.rewritten = OptimizeGraph(config, meta, verbose=False, graph_id=name, cluster=gpu(capability))

    def types(self):
        """{operation: types it computes in}."""
        found = collections.defaultdict(set)
        bodies = [one.node_def for one in self.rewritten.library.function]
        for nodes in [self.rewritten.node] + bodies:
            for node in nodes:
                if "T" in node.attr:
                    found[node.op].add(tf.as_dtype(node.attr["T"].type))
        return found

    def open(self):
        """Open a session on the CPU."""
        for nodes in [self.rewritten.node] + [one.node_def for one in self.rewritten.library.function]:
            for node in nodes:
                node.device = ""
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(self.rewritten, name="")
        config = tf.ConfigProto(allow_soft_placement=True)
        config.graph_options.rewrite_options.disable_meta_optimizer = True  # it has rewritten the graph already
        self._session = tf.Session("", graph, config)
        self._session.run(self._initialise.name)
        self._session.run(self.training.set_rate.name, {self.training.new_rate.name: 0.0001})
        return self

    def loss(self, scale=1.0):
        """One step -> its loss."""
        rng, shape = np.random.RandomState(0), self.training.features.shape.as_list()
        feed = {
            self.training.features.name: scale * rng.randn(*shape), self.training.targets.name: rng.randint(0, 4, 4)
        }
        return self._session.run([self.training.loss.name, self.training.step.name], feed)[0]

    def values(self):
        return self._session.run(self._variables)


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_products_are_float16_and_weights_float32(architecture):
    types = Training(architecture, MIXED).types()
    found = {name: types[name] for name in PRODUCTS if name in types}
    assert found and all(kinds == {tf.float16} for kinds in found.values()), found
    assert {kind for name in UPDATES for kind in types.get(name, ())} == {tf.float32}
    assert not any(tf.float16 in kinds for kinds in Training(architecture, PLAIN).types().values())


# A CPU takes seconds for a step of conv in float16.
@pytest.mark.parametrize("architecture", [name for name in models.ARCHITECTURES if name != "conv"])
def test_it_learns_as_in_float32(architecture):
    mixed, plain = [Training(architecture, settings).open() for settings in (SCALED, PLAIN)]
    losses = np.array([(mixed.loss(), plain.loss()) for _ in range(3)])
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=0.02)
    assert losses[0, 0] != losses[0, 1] and losses[0, 0] != losses[1, 0]


def test_a_step_that_overflows_float16_is_skipped():
    mixed = Training("dnn", MIXED).open()
    mixed.loss()
    before = mixed.values()
    assert not np.isfinite(mixed.loss(scale=1e5))  # more than float16 holds
    after = mixed.values()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed <= {"current_loss_scale", "good_steps"} and "current_loss_scale" in changed, changed
    mixed.loss()
    assert all(np.isfinite(value).all() for value in mixed.values().values())


def test_a_gpu_that_is_slow_in_float16_keeps_float32():
    assert Training("dnn", MIXED, "6.1").types()["MatMul"] == {tf.float32}
