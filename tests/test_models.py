"""Every architecture as a graph: its variables, its two builds, its operations; and the published networks themselves."""
import io
import os
import tarfile
import wave

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf

from kwscli.errors import KwsError
from kwscli.features import mfcc
from kwscli.models import ARCHITECTURES, bc_resnet, costs, load, published
from kwscli.models.graph import GraphLayers
from kwscli.settings import FeatureSettings

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "..", "shared", "data")
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
        shape = self.batch_size, self.settings.frame_count, self.settings.dct_coefficient_count
        return tf.placeholder(tf.float32, shape, name="fingerprint_input")

    def logits(self, training, features=None, **layers):
        with tf.variable_scope(self.architecture, reuse=tf.AUTO_REUSE):
            return load(self.architecture).build(
                GraphLayers(training, **layers), self.features if features is None else features, 12, self.size.model_size_info
            )

    def run(self, fetches):
        return self.session.run(fetches, {self.features: self.clips})


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request):
    built = Network(request.param)
    yield built
    built.session.close()


def test_shapes_are_static(network):
    assert network.training_logits.shape.as_list() == network.inference_logits.shape.as_list() == [network.batch_size, 12]
    placeholders = [operation.name for operation in network.graph.get_operations() if operation.type == "Placeholder"]
    assert placeholders == ["fingerprint_input"]


def test_training_and_inference_share_variables(network):
    assert [variable.name for variable in network.variables] == network.training_variables
    assert all(name.startswith(network.architecture + "/") for name in network.training_variables)


def test_evaluation_leaves_variables_untouched(network):
    before = network.run(network.variables)
    first, second = network.run(network.scores), network.run(network.scores)
    assert np.array_equal(first, second) and np.allclose(first.sum(axis=1), 1, atol=1e-6)
    after = network.run(network.variables)
    assert all(np.array_equal(*pair) for pair in zip(before, after))


def test_variables_are_those_counted(network):
    """Beside the counted weights and biases, batch norm holds averages and, in some, factors that will be folded."""
    net = costs.count(network.architecture, network.size.model_size_info, network.settings, 12)
    values = {"": 0}
    for variable in network.variables:
        name = variable.op.name.rsplit("/", 1)[1]
        values[name] = values.get(name, 0) + int(np.prod(variable.shape.as_list()))
    averages = values.pop("moving_mean", 0), values.pop("moving_variance", 0)
    assert averages == 2 * (values.get("beta", 0),)
    not_folded = sum(layer.weights for layer in net.layers if layer.kind == "sub_spectral_norm")
    assert sum(values.values()) - values.get("gamma", 0) + not_folded == net.parameters


def test_save_and_restore(network, tmp_path):
    with network.graph.as_default():
        network.saver.save(network.session, str(tmp_path / "model.ckpt"))
    with tf.Graph().as_default(), tf.Session() as session:
        features = network.placeholder()
        scores = tf.nn.softmax(network.logits(training=False, features=features))
        tf.train.Saver().restore(session, str(tmp_path / "model.ckpt"))
        assert np.array_equal(session.run(scores, {features: network.clips}), network.run(network.scores))


def test_inference_is_plain_operations(network):
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.nn.softmax(network.logits(training=False, features=network.placeholder()), name="labels_softmax")
        session.run(tf.global_variables_initializer())
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["labels_softmax"])
    assert {node.op for node in frozen.node} <= CONVERTIBLE


def test_every_variable_is_trained(network):
    with network.graph.as_default():
        trained = tf.trainable_variables()
        gradients = tf.gradients(tf.reduce_sum(network.training_logits ** 2), trained)
    assert [variable.name for variable, gradient in zip(trained, gradients) if gradient is None] == []
    assert all(np.isfinite(value).all() for value in network.run(gradients))


@pytest.mark.parametrize("architecture", ["cnn", "bc_resnet"])
def test_training_updates_move_the_averages(architecture):
    network = Network(architecture, batch_size=20, dropout_rate=0.0)
    averages = [variable for variable in network.variables if "moving_" in variable.name]
    assert len(network.updates) == len(averages) > 0
    before = network.run(averages)
    for _ in range(150):
        network.run(network.updates)
    assert all(not np.array_equal(*pair) for pair in zip(before, network.run(averages)))
    # With the averages of this very batch, inference computes what training does.
    trained, inferred = network.run([network.training_logits, network.inference_logits])
    assert np.abs(trained - inferred).max() < 0.05 * np.abs(trained).max()
    network.session.close()


def test_dropout_is_a_rate_of_units_dropped_while_training():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        ones = tf.ones((1, 1, 100, 1000))
        dropped = session.run(GraphLayers(training=True).dropout(ones, 0.2))
        whole = session.run(GraphLayers(training=True).dropout(ones, 0.2, whole_channels=True))
        assert GraphLayers(training=False).dropout(ones, 0.2) is ones
        assert GraphLayers(training=True, dropout_rate=0.0).dropout(ones, 0.2) is ones
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


def test_cosine_transform_is_undone():
    clips = np.random.RandomState(0).uniform(-1, 1, (1, 16000)).astype(np.float32)
    few, all_of_them = [FeatureSettings(dct_coefficient_count=count) for count in (10, 40)]
    log_mel = mfcc(clips, all_of_them) @ bc_resnet.inverse_dct(40)
    orders, channels = np.arange(10)[:, np.newaxis], np.arange(40) + 0.5
    dct = np.sqrt(2 / 40) * np.cos(np.pi / 40 * orders * channels)
    assert np.abs(log_mel @ dct.T - mfcc(clips, few)).max() < 1e-3


def test_a_map_that_shrinks_to_nothing_names_its_layer():
    with tf.Graph().as_default(), tf.variable_scope("cnn"), pytest.raises(KwsError, match="nothing in cnn/conv_2"):
        features = tf.placeholder(tf.float32, (1, 49, 5))
        load("cnn").build(GraphLayers(training=False), features, 12, published("cnn").model_size_info)


# The networks that ARM published, their weights moved into ours.


def dense(theirs, weights, biases):
    return {"weights": theirs[weights], "biases": theirs[biases]}


def norm(theirs, scope, weights, biases):
    """A layer with its batch norm; the bias of the layer moves into the average that the norm subtracts."""
    moved = {"weights": theirs[weights], "moving_mean": theirs[scope + "/moving_mean"] - theirs[biases]}
    moved.update({name: theirs["%s/%s" % (scope, name)] for name in ("beta", "moving_variance")})
    moved.update({"gamma": theirs[scope + "/gamma"]} if scope + "/gamma" in theirs else {})
    return moved


def lstm(theirs, scope, inputs):
    """An LSTM cell of TensorFlow; it opens the forget gate by adding 1, ours has that in the bias."""
    kernel, bias = theirs[scope + "/kernel"], theirs[scope + "/bias"]
    units = len(bias) // 4
    moved = {
        "input_weights": kernel[:inputs],
        "recurrent_weights": kernel[inputs:],
        "biases": bias + np.repeat([0, 0, 1, 0], units),
    }
    if scope + "/projection/kernel" in theirs:
        moved["projection_weights"] = theirs[scope + "/projection/kernel"]
        for gate in ("input", "forget", "output"):
            moved["peephole_" + gate] = theirs["%s/w_%s_diag" % (scope, gate[0])]
    return moved


def gru(theirs, layer, inputs):
    gates, candidate = ["rnn/multi_rnn_cell/cell_%d/gru_cell/%s/" % (layer, part) for part in ("gates", "candidate")]
    parts = theirs[gates + "kernel"], theirs[candidate + "kernel"]
    return {
        "input_weights": np.concatenate([part[:inputs] for part in parts], axis=1),
        "gate_weights": parts[0][inputs:],
        "candidate_weights": parts[1][inputs:],
        "biases": np.concatenate([theirs[gates + "bias"], theirs[candidate + "bias"]]),
    }


def ds_cnn(theirs):
    moved = {"conv_1": norm(theirs, "MobileNet/conv_1/batch_norm", "MobileNet/conv_1/weights", "MobileNet/conv_1/biases")}
    for layer in range(1, 5):
        scope = "MobileNet/conv_ds_%d" % layer
        for ours, conv, prefix, weights in (
            ("depthwise", "depthwise_conv", "dw", "depthwise_weights"),
            ("pointwise", "pointwise_conv", "pw", "weights"),
        ):
            conv = "%s/%s/" % (scope, conv)
            moved["conv_ds_%d/%s" % (layer, ours)] = norm(
                theirs, "%s/%s_batch_norm" % (scope, prefix), conv + weights, conv + "biases"
            )
    return dict(moved, fc1=dense(theirs, "MobileNet/fc1/weights", "MobileNet/fc1/biases"))


PUBLISHED = {
    "DNN_S": lambda theirs: dict(
        {"fc%d" % layer: dense(theirs, "fc%d/W" % layer, "fc%d/b" % layer) for layer in (1, 2, 3)},
        logits=dense(theirs, "final_fc", "Variable"),
    ),
    "CNN_S": lambda theirs: {
        "conv_1": norm(theirs, "bn1", "Variable", "Variable_1"),
        "conv_2": norm(theirs, "bn2", "Variable_2", "Variable_3"),
        "linear": dense(theirs, "W", "b"),
        "fc1": norm(theirs, "bn3", "Variable_4", "Variable_5"),
        "logits": dense(theirs, "Variable_6", "Variable_7"),
    },
    "Basic_LSTM_S": lambda theirs: {
        "lstm": lstm(theirs, "lstm/rnn/basic_lstm_cell", 10),
        "logits": dense(theirs, "W_o", "b_o"),
    },
    "LSTM_S": lambda theirs: {
        "lstm": lstm(theirs, "lstm/rnn/lstm_cell", 10),
        "logits": dense(theirs, "W_o", "b_o"),
    },
    "GRU_S": lambda theirs: {"gru/layer_1": gru(theirs, 0, 10), "logits": dense(theirs, "W_o", "b_o")},
    "CRNN_S": lambda theirs: {
        "conv_1": dense(theirs, "W", "Variable"),
        "gru/layer_1": gru(theirs, 0, 192),
        "gru/layer_2": gru(theirs, 1, 60),
        "fc1": dense(theirs, "fcw", "Variable_1"),
        "logits": dense(theirs, "Variable_2", "Variable_3"),
    },
    "DS_CNN_S": ds_cnn,
}


@pytest.fixture(scope="module")
def clips():
    """Real recordings, int16 [samples] each: two of some keywords and of some other words."""
    if not os.path.isdir(DATA):
        pytest.skip("no recordings: ../shared/data is absent")
    found = []
    for word in ("yes", "no", "left", "stop", "cat", "seven"):
        with tarfile.open(os.path.join(DATA, "flac", word + ".tar")) as archive:
            members = [member for member in archive if member.isfile()][:2]
            found += [soundfile.read(io.BytesIO(archive.extractfile(member).read()), dtype="int16")[0] for member in members]
    return found


def published_graph(name, clips):
    """ARM's frozen graph -> (its constants, the FeatureSettings of its audio operations, its scores of the clips)."""
    graph_def = tf.GraphDef()
    with open(os.path.join(DATA, "pretrained", name + ".pb"), "rb") as file:
        graph_def.ParseFromString(file.read())
    nodes = {node.name: node for node in graph_def.node}
    constants = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph_def.node if node.op == "Const"}
    spectrogram = nodes["AudioSpectrogram"].attr
    settings = FeatureSettings(
        window_size_ms=spectrogram["window_size"].i / 16.0,
        window_stride_ms=spectrogram["stride"].i / 16.0,
        dct_coefficient_count=nodes["Mfcc"].attr["dct_coefficient_count"].i,
        upper_edge_hertz=nodes["Mfcc"].attr["upper_frequency_limit"].f,
    )
    with tf.Graph().as_default(), tf.Session() as session:
        (softmax,) = tf.import_graph_def(graph_def, name="", return_elements=["labels_softmax:0"])
        return constants, settings, np.concatenate([session.run(softmax, {"wav_data:0": wav(clip)}) for clip in clips])


def wav(clip):
    """A WAV file's bytes."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16000, len(clip), "NONE", ""))
        writer.writeframes(clip.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_weights_give_the_published_scores(name, clips, record_property):
    architecture = name[:-2].lower()
    constants, settings, expected = published_graph(name, clips)
    size = published(architecture)
    assert settings == FeatureSettings(**size.feature_settings)

    padded = np.zeros((len(clips), settings.clip_samples), np.float32)
    for row, clip in zip(padded, clips):
        row[: len(clip)] = clip[: len(row)] / 32768.0
    with tf.Graph().as_default(), tf.Session() as session:
        features = tf.placeholder(tf.float32, (len(clips), settings.frame_count, settings.dct_coefficient_count))
        scores = tf.nn.softmax(load(architecture).build(GraphLayers(False), features, 12, size.model_size_info))
        moved = PUBLISHED[name](constants)
        values = {"%s/%s" % (layer, key): value for layer, part in moved.items() for key, value in part.items()}
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        assert set(values) == set(variables)
        for key, variable in variables.items():
            variable.load(values[key].reshape(variable.shape.as_list()), session)
        difference = np.abs(session.run(scores, {features: mfcc(padded, settings)}) - expected).max()
    record_property("largest_difference", float(difference))
    print("%s: largest difference of scores %.1e over %d clips" % (name, difference, len(clips)))
    assert difference < 1e-4
