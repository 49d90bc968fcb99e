"""Every architecture as a graph: its variables, its two builds, its operations."""

import collections

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from kwscli.errors import KwsError
from kwscli.models import ARCHITECTURES, costs, load, published
from kwscli.models.graph import GraphLayers
from kwscli.sound.feature_settings import FeatureSettings

# What TFLite, ONNX and Ascend's atc all convert: no control flow, no strings, no state.
CONVERTIBLE = set(
    "Placeholder Const Identity Reshape Pad StridedSlice Pack Unpack Split SplitV Conv2D DepthwiseConv2dNative MatMul "
    "BiasAdd FusedBatchNorm FusedBatchNormV3 Add AddV2 Sub Mul Rsqrt Relu Sigmoid Tanh MaxPool Mean Softmax".split()
)


class Network:
    """One architecture at its smallest size, built for training and for inference, and a session with its variables."""

    def __init__(self, architecture, batch_size=2, **training):
        self.architecture = architecture
        self.batch_size = batch_size
        self.size = published(architecture)
        self.settings = FeatureSettings(**self.size.feature_settings)
        with tf.Graph().as_default() as self.graph:
            tf.set_random_seed(1)
            self.features = self.placeholder()
            self.training_logits = self.logits(training=True, **training)
            self.training_variables = [variable.name for variable in tf.global_variables()]
            self.inference_logits = self.logits(training=False)
            self.scores = tf.nn.softmax(self.inference_logits, name="labels_softmax")
            self.variables = tf.global_variables()
            self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
            self.saver = tf.train.Saver(self.variables)
            self.session = tf.Session()
            self.session.run(tf.global_variables_initializer())
        self.clips = np.random.RandomState(0).randn(*self.features.shape.as_list()).astype(np.float32)

    def placeholder(self):
        shape = (self.batch_size, *self.settings.shape)
        return tf.placeholder(tf.float32, shape, name="fingerprint_input")

    def logits(self, training, features=None, **layers):
        with tf.variable_scope(self.architecture, reuse=tf.AUTO_REUSE):
            features = self.features if features is None else features
            build = load(self.architecture).build
            return build(GraphLayers(training, **layers), features, 12, self.size.model_size_info)

    def run(self, fetches):
        return self.session.run(fetches, {self.features: self.clips})


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request):
    built = Network(request.param)
    yield built
    built.session.close()


def test_shapes_are_static(network):
    for logits in (network.training_logits, network.inference_logits):
        assert logits.shape.as_list() == [network.batch_size, 12]
    operations = network.graph.get_operations()
    assert [node.name for node in operations if node.type == "Placeholder"] == ["fingerprint_input"]


def test_training_and_inference_share_variables(network):
    assert [variable.name for variable in network.variables] == network.training_variables
    assert all(name.startswith(network.architecture + "/") for name in network.training_variables)


def test_evaluation_leaves_variables_untouched(network):
    before = network.run(network.variables)
    first, second = network.run(network.scores), network.run(network.scores)
    assert np.array_equal(first, second) and np.allclose(first.sum(axis=1), 1, atol=1e-6)
    after = network.run(network.variables)
    assert all(np.array_equal(*pair) for pair in zip(before, after))


@pytest.mark.parametrize(
    "architecture, size", [(architecture, size) for architecture in ARCHITECTURES for size in load(architecture).SIZES]
)
def test_variables_are_those_counted(architecture, size):
    """Beside the counted weights and biases, batch norm holds averages and, in some, factors that will be folded."""
    model_size_info, features = published(architecture, size)[:2]
    settings = FeatureSettings(**features)
    net = costs.count(architecture, model_size_info, settings, 12)
    with tf.Graph().as_default():
        features = tf.placeholder(tf.float32, (1, *settings.shape))
        logits = load(architecture).build(GraphLayers(training=False), features, 12, model_size_info)
        variables = tf.global_variables()
    assert logits.shape.as_list() == [1, 12]
    values = collections.Counter()
    for variable in variables:
        values[variable.op.name.rsplit("/", 1)[1]] += int(np.prod(variable.shape.as_list()))
    assert values["moving_mean"] == values["moving_variance"] == values["beta"]
    not_folded = sum(layer.weights for layer in net.layers if layer.kind == "sub_spectral_norm")
    folded = values["moving_mean"] + values["moving_variance"] + values["gamma"] - not_folded
    assert sum(values.values()) - folded == net.parameters


def test_save_and_restore(network, tmp_path):
    with network.graph.as_default():
        network.saver.save(network.session, str(tmp_path / "model.ckpt"))
    with tf.Graph().as_default(), tf.Session() as session:
        features = network.placeholder()
        scores = tf.nn.softmax(network.logits(training=False, features=features))
        tf.train.Saver().restore(session, str(tmp_path / "model.ckpt"))
        assert np.array_equal(session.run(scores, {features: network.clips}), network.run(network.scores))


def test_inference_is_plain_operations(network):
    with tf.Graph().as_default() as inference, tf.Session() as session:
        tf.nn.softmax(network.logits(training=False, features=network.placeholder()), name="labels_softmax")
        session.run(tf.global_variables_initializer())
        frozen = tf.graph_util.convert_variables_to_constants(session, inference.as_graph_def(), ["labels_softmax"])
    assert {node.op for node in frozen.node} <= CONVERTIBLE


def test_every_variable_is_trained(network):
    with network.graph.as_default():
        trained = tf.trainable_variables()
        gradients = tf.gradients(tf.reduce_sum(network.training_logits ** 2), trained)
    assert [variable.name for variable, gradient in zip(trained, gradients) if gradient is None] == []
    assert all(np.isfinite(value).all() for value in network.run(gradients))


@pytest.mark.parametrize("architecture", ["cnn", "bc_resnet"])
def test_training_updates_move_the_averages(architecture, monkeypatch):
    """With the averages of this very batch, inference computes what training does."""
    update = GraphLayers._update
    monkeypatch.setattr(GraphLayers, "_update", lambda net, averages, batch, decay: update(net, averages, batch, 0.0))
    network = Network(architecture, batch_size=50, dropout_rate=0.0)
    averages = [variable for variable in network.variables if "moving_" in variable.name]
    assert len(network.updates) == len(averages) > 0
    before = network.run(averages)
    network.run(network.updates)
    assert all(not np.array_equal(*pair) for pair in zip(before, network.run(averages)))
    trained, inferred = network.run([network.training_logits, network.inference_logits])
    # TensorFlow keeps the unbiased variance, n / (n - 1) of the batch's own, which shows where n is the 50 clips.
    assert np.abs(trained - inferred).max() < 0.03 * np.abs(trained).max()
    network.session.close()


def test_dropout_is_a_rate_of_units_dropped_while_training():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        ones = tf.ones((1, 1, 100, 1000))
        step = tf.train.get_or_create_global_step()
        session.run(step.initializer)
        layer = GraphLayers(training=True).dropout(ones, 0.2)
        dropped, again = session.run(layer), session.run(layer)
        session.run(tf.assign_add(step, 1))
        next_step = session.run(layer)
        whole = session.run(GraphLayers(training=True).dropout(ones, 0.2, whole_channels=True))
        other = session.run(GraphLayers(training=True, rank=1).dropout(ones, 0.2))
        assert GraphLayers(training=False).dropout(ones, 0.2) is ones
        assert GraphLayers(training=True, dropout_rate=0.0).dropout(ones, 0.2) is ones
    assert (dropped == again).all() and (dropped != next_step).any(), "a function of the seed and the step"
    assert 0.3 < ((next_step == 0) != (other == 0)).mean() < 0.34, "every worker drops units of its own"
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert set(np.unique((whole == 0).mean(axis=(0, 1, 2)))) == {0.0, 1.0}


@pytest.mark.parametrize("dilation", [2, 4, 8])
@pytest.mark.parametrize("frames", [97, 98])
def test_dilation_is_a_kernel_with_gaps(frames, dilation):
    random = np.random.RandomState(dilation)
    x, kernel = random.randn(1, frames, 2, 3), random.randn(3, 1, 3, 1)
    expected = np.zeros_like(x)
    for tap in range(3):
        shift = (tap - 1) * dilation
        part = slice(max(0, -shift), frames - max(0, shift))
        source = slice(max(0, shift), frames + min(0, shift))
        expected[:, part] += x[:, source] * kernel[tap, :, :, 0]
    with tf.Graph().as_default(), tf.Session() as session:
        y = GraphLayers(training=False).depthwise_conv(tf.constant(x, tf.float32), (3, 1), dilation=dilation)
        weights = tf.global_variables()[0]
        weights.load(kernel, session)
        assert np.abs(session.run(y) - expected).max() < 1e-5


@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_unequal_strides_of_a_depthwise_convolution(stride, padding):
    """Against a full convolution whose filters see one channel each."""
    random = np.random.RandomState(0)
    x, kernel = random.randn(1, 11, 8, 3).astype(np.float32), random.randn(3, 4, 3, 1).astype(np.float32)
    full = np.einsum("hwc,cd->hwcd", kernel[..., 0], np.eye(3, dtype=np.float32))
    with tf.Graph().as_default(), tf.Session() as session:
        y = GraphLayers(training=False).depthwise_conv(tf.constant(x), (3, 4), stride, padding)
        expected = tf.nn.conv2d(tf.constant(x), tf.constant(full), strides=(1,) + stride + (1,), padding=padding)
        tf.global_variables()[0].load(kernel, session)
        assert np.abs(np.subtract(*session.run([y, expected]))).max() < 1e-5


def test_a_map_that_shrinks_to_nothing_names_its_layer():
    with tf.Graph().as_default(), tf.variable_scope("cnn"), pytest.raises(KwsError, match="nothing in cnn/conv_2"):
        features = tf.placeholder(tf.float32, (1, 49, 5))
        load("cnn").build(GraphLayers(training=False), features, 12, published("cnn").model_size_info)
