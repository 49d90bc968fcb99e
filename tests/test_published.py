"""The networks that ARM published: their weights, moved into ours, give their scores of real recordings."""
import io
import os
import tarfile
import wave

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf

from kwscli.classifiers import arm_graphs
from kwscli.models import load, published
from kwscli.models.graph import GraphLayers
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.sound.features import features

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "..", "shared", "data")


PUBLISHED = ("Basic_LSTM_S", "CNN_S", "CRNN_S", "DNN_S", "DS_CNN_S", "GRU_S", "LSTM_S")


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


@pytest.mark.parametrize("name", PUBLISHED)
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
        values = {key.partition("/")[2]: value for key, value in arm_graphs.in_our_names(constants).items()}
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        assert set(values) == set(variables)
        for key, variable in variables.items():
            variable.load(values[key], session)
        difference = np.abs(session.run(scores, {given: features(padded, settings)}) - expected).max()
    record_property("largest_difference", float(difference))
    print("%s: largest difference of scores %.1e over %d clips" % (name, difference, len(clips)))
    assert difference < 1e-4
