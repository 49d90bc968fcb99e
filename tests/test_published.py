"""The networks that ARM published: their weights, moved into ours, give their scores of real recordings."""
import io
import os
import tarfile
import wave

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf

from kwscli.models import load, published
from kwscli.models.graph import GraphLayers
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.sound.features import features

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "..", "shared", "data")


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
    first = "MobileNet/conv_1/"
    moved = {"conv_1": norm(theirs, first + "batch_norm", first + "weights", first + "biases")}
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
            for member in [member for member in archive if member.isfile()][:2]:
                found.append(soundfile.read(io.BytesIO(archive.extractfile(member).read()), dtype="int16")[0])
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
        given = tf.placeholder(tf.float32, (len(clips), *settings.shape))
        scores = tf.nn.softmax(load(architecture).build(GraphLayers(False), given, 12, size.model_size_info))
        moved = PUBLISHED[name](constants)
        values = {"%s/%s" % (layer, key): value for layer, part in moved.items() for key, value in part.items()}
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        assert set(values) == set(variables)
        for key, variable in variables.items():
            variable.load(values[key].reshape(variable.shape.as_list()), session)
        difference = np.abs(session.run(scores, {given: features(padded, settings)}) - expected).max()
    record_property("largest_difference", float(difference))
    print("%s: largest difference of scores %.1e over %d clips" % (name, difference, len(clips)))
    assert difference < 1e-4
