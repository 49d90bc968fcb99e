"""Frozen graphs: ours give the checkpoint's scores through the interface of ARM's label_wav; other tools' are read."""
import errno
import io
import json
import os
import shutil
import tarfile
import wave

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf

from kwscli import classifiers
from kwscli.classifiers import frozen_graph
from kwscli.devices import session
from kwscli.errors import KwsError
from kwscli.export import checks, freeze as freezing, frozen_graph as exported_graph
from kwscli.labels import labels_of
from kwscli.models import network
from kwscli.runs import run_directory
from kwscli.settings import DataSettings, TrainSettings
from kwscli.sound import audio
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.sound.features import features as features_of

KEYWORDS = ("yes", "no")
SETTINGS = {
    "40/20 ms": {},
    "30/10 ms": {"window_size_ms": 30.0, "window_stride_ms": 10.0, "dct_coefficient_count": 40},
    "8 kHz": {"sample_rate": 8000},
    "log mel": {"features": "log_mel", "window_size_ms": 30.0, "upper_edge_hertz": 7600.0},
    "1.5 s, odd window": {"clip_duration_ms": 1500, "window_size_ms": 33.3, "upper_edge_hertz": 7600.0},
}
PUBLISHED = "DS_CNN_S CNN_S DNN_S CRNN_S GRU_S LSTM_S Basic_LSTM_S".split()


def write_run(folder, **features):
    """A run directory with a network that nothing was taught -> its path."""
    description = run_directory.Description(
        "ds_cnn", (2, 8, 10, 4, 2, 2, 8, 3, 3, 1, 1), labels_of(KEYWORDS), FeatureSettings(**features),
        DataSettings(wanted_words=KEYWORDS), TrainSettings(),
    )
    os.makedirs(str(folder), exist_ok=True)
    directory = run_directory.RunDirectory(str(folder), description, "train_0.log", [])
    directory.begin()
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        network.inference(description, 1)
        saver, initialise = tf.train.Saver(), tf.global_variables_initializer()
    with session.open_session(graph) as opened:
        opened.run(initialise)
        directory.save(1, 0.0, 0.0, (1, 0.5), lambda prefix: saver.save(
            opened, prefix, write_meta_graph=False, write_state=False
        ))
    directory.close()
    return str(folder)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


def noise(settings, count=3):
    """Clips [count, clip_samples] as a 16-bit file holds them, quiet and loud."""
    clips = np.random.RandomState(0).uniform(-1, 1, (count, settings.clip_samples)) * np.array([[1], [0.1], [0.001]])
    return audio.to_int16(clips) / np.float32(32768)


def wav_of(clip, rate):
    """A plain 16-bit WAV file, by Python's own library."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((clip * 32768).astype("<i2").tobytes())
    return file.getvalue()


def raw_scores(path, name, values):
    """What a .pb gives for each value of an input, as ARM's and TensorFlow's scripts ask it."""
    graph_def = tf.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def, name="")
        with tf.Session() as opened:
            output = opened.graph.get_tensor_by_name("labels_softmax:0")
            return np.concatenate([opened.run(output, {name + ":0": value}) for value in values])


@pytest.mark.parametrize("features", SETTINGS.values(), ids=list(SETTINGS))
def test_frozen_graphs_give_the_checkpoints_scores(features, tmp_path):
    path, settings = write_run(tmp_path / "run", **features), FeatureSettings(**features)
    clips = noise(settings)
    original = classifiers.open(path)
    wanted = original.scores(clips)
    original.close()
    written = {one.format: one for one in freezing.freeze(path)}
    assert max(one.difference for one in written.values()) < 1e-4
    wavs = [wav_of(clip, settings.sample_rate) for clip in clips]
    np.testing.assert_allclose(raw_scores(written["pb"].path, "wav_data", wavs), wanted, atol=1e-5)
    rows = features_of(clips, settings).reshape(len(clips), 1, -1)
    scores = raw_scores(written["pb-features"].path, "fingerprint_input", rows)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_the_command_for_an_ascend_chip_names_the_file_at_its_place(a_run, tmp_path):
    (note,) = [one.note for one in freezing.freeze(a_run, str(tmp_path / "x.pb")) if one.note]
    assert " --model=%s --output=%s " % (tmp_path / "x_features.pb", tmp_path / "x_features") in note


def test_a_frozen_graph_says_how_to_use_it(a_run, tmp_path):
    for one in freezing.freeze(a_run, str(tmp_path / "moved.pb")):
        os.rename(one.path, str(tmp_path / "alone.pb"))
        model = classifiers.open(str(tmp_path / "alone.pb"))
        assert (model.labels, model.features) == (labels_of(KEYWORDS), FeatureSettings())
        assert model.data == DataSettings(wanted_words=KEYWORDS)
        model.close()
    assert (tmp_path / "moved_labels.txt").read_text() == "_silence_\n_unknown_\nyes\nno\n"
    classifiers.open(str(tmp_path / "alone.pb"), str(tmp_path / "moved_labels.txt")).close()  # they agree
    (tmp_path / "moved_labels.txt").write_text("_silence_\n_unknown_\nno\nyes\n")
    with pytest.raises(KwsError, match=r"alone.pb contains its labels \(.*\), and .* has others; leave --labels out"):
        classifiers.open(str(tmp_path / "alone.pb"), str(tmp_path / "moved_labels.txt"))


def test_a_frozen_graph_has_no_attribute_that_tensorflow_1_does_not_know(a_run, tmp_path):
    for one in freezing.freeze(a_run, str(tmp_path / "x.pb")):
        for node in frozen_graph.read(one.path).node:
            assert not set(exported_graph.YOUNG_ATTRIBUTES) & set(node.attr), node.name


@pytest.mark.parametrize("output, stem", [
    ("x.pb", "x"), ("x", "x"), ("new/folder/x.pb", "new/folder/x"), ("there", "there/ds_cnn"), ("new/", "new/ds_cnn"),
])
def test_where_graphs_are_written(a_run, tmp_path, output, stem):
    (tmp_path / "there").mkdir()
    for _ in range(2):
        written = freezing.freeze(a_run, str(tmp_path) + "/" + output)
        assert [one.path for one in written] == [str(tmp_path) + "/" + stem + end for end in (".pb", "_features.pb")]
        assert all(one.size == os.path.getsize(one.path) for one in written)
    assert '--input_shape=fingerprint_input:1,490 --out_nodes=labels_softmax:0' in written[1].note


def test_a_graph_with_other_scores_is_not_left(a_run, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "TOLERANCE", -1)
    with pytest.raises(KwsError, match="the scores of .*x.pb are not those of the checkpoint: they differ by "):
        freezing.freeze(a_run, str(tmp_path / "x.pb"))
    assert os.listdir(str(tmp_path)) == []


def test_a_full_disk_leaves_the_earlier_graph(a_run, tmp_path, kws, monkeypatch):
    path = tmp_path / "x.pb"
    path.write_text("earlier")

    def full(*names):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), names[0])

    monkeypatch.setattr(os, "replace", full)
    result = kws("freeze", "--checkpoint", a_run, "--output", path)
    assert result.exit_code == 1 and result.stdout == ""
    assert "No space left on device; free some space and run the same command again" in result.stderr.splitlines()[-1]
    assert [name.read_text() for name in tmp_path.iterdir()] == ["earlier"]


def test_a_frozen_graph_cannot_be_frozen():
    with pytest.raises(KwsError, match="x.pb is frozen already; name the checkpoint or the run directory"):
        freezing.freeze("x.pb")


def other_tools_graph(path, shape=(1, 490), source="fingerprint_input", target="labels_softmax", variable=False):
    """A graph that gives each of 12 labels the same score."""
    with tf.Graph().as_default() as graph:
        features = tf.placeholder(tf.float32, shape, name=source)
        weights = tf.get_variable("w", (490, 12)) if variable else tf.zeros((490, 12))
        tf.nn.softmax(tf.matmul(tf.reshape(features, (-1, 490)), weights), name=target)
    with open(path, "wb") as file:
        file.write(graph.as_graph_def().SerializeToString())


@pytest.fixture
def labels_path(tmp_path):
    path = tmp_path / "twelve.txt"
    path.write_text("\n".join(labels_of(tuple("abcdefghij"))))
    return str(path)


@pytest.mark.parametrize("shape", [(1, 490), (None, 490), (None, 49, 10)])
def test_features_outside_graphs_of_other_tools(tmp_path, labels_path, shape, capsys):
    path = str(tmp_path / "other.pb")
    other_tools_graph(path, shape)
    model = classifiers.open(path, labels_path)
    np.testing.assert_allclose(model.scores(noise(model.features)), np.full((3, 12), 1 / 12), atol=1e-6)
    told = capsys.readouterr().err
    assert "other.pb does not say how to compute its features; using the defaults of kws." in told
    model.close()


@pytest.mark.parametrize("graph, message", [
    ({"shape": (2, 245)},
     r"takes features of shape \[2, 245\] and does not say how to compute them; .*kws computes 490"),
    ({"shape": None}, "takes features of shape unknown"),
    ({"source": "input"},
     "is not the graph of a keyword spotter: it needs a node wav_data or fingerprint_input"),
    ({"target": "softmax"}, "is not the graph of a keyword spotter: .* and a node labels_softmax, but has "),
    ({"variable": True}, "does not run: .*; freeze it again"),
])
def test_graphs_that_cannot_be_used(tmp_path, labels_path, graph, message):
    path = str(tmp_path / "other.pb")
    other_tools_graph(path, **graph)
    with pytest.raises(KwsError, match="other.pb " + message):
        classifiers.open(path, labels_path).scores(np.zeros((1, 16000), np.float32))


@pytest.mark.parametrize("content, message", [
    (b"", "is not the graph of a keyword spotter"),
    (b"\x08\xff" * 300, "is not a frozen graph, or is cut off"),
    (b"text\n" * 9, "is not a frozen graph, or is cut off"),
    (b"\x0c", "is not a frozen graph"),
    (None, "there is no graph"),
], ids=["empty", "bytes", "text", "end of a group", "missing"])
def test_files_that_are_no_graph(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.pb").write_bytes(content)
    with pytest.raises(KwsError, match=message):
        classifiers.open(str(tmp_path / "x.pb"))


def test_labels_of_other_tools_graphs(tmp_path, labels_path):
    path = str(tmp_path / "other.pb")
    other_tools_graph(path)
    with pytest.raises(KwsError, match="does not contain its labels, and there is no labels.txt beside it; name the "):
        classifiers.open(path)
    for content, message in ((b"a\nb\n", r"scores 12 labels, but there are 2 \(a, b\)"), (b"\n", "holds no label"),
                             (b"\xff\xfe\n", "is not a text file")):
        (tmp_path / "labels.txt").write_bytes(content)
        with pytest.raises(KwsError, match=message):
            classifiers.open(path)
    shutil.copy(labels_path, str(tmp_path / "labels.txt"))
    assert classifiers.open(path).labels[2:] == tuple("abcdefghij")


@pytest.fixture(scope="module")
def speech(shared_data, tmp_path_factory):
    """A folder of real test clips: WORD/name.flac of the ten keywords and ten others, and the noises."""
    from kwscli.data.dataset import split_of

    folder = tmp_path_factory.mktemp("speech")
    words = "yes no up down left right on off stop go bed bird cat dog eight five four happy house marvin".split()
    for word in words + ["_background_noise_"]:
        with tarfile.open(os.path.join(shared_data, "flac", word + ".tar")) as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if name.endswith(".flac") and (word[0] == "_" or split_of(name, 10, 10) == "testing"):
                    (folder / word).mkdir(exist_ok=True)
                    (folder / word / name).write_bytes(archive.extractfile(member).read())
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_graphs_name_real_words(name, speech, shared_data, kws):
    graph = os.path.join(shared_data, "pretrained", name + ".pb")
    said = [path for word in ("yes", "left", "stop", "go") for path in sorted((speech / word).iterdir())[:3]]
    result = kws("label", "--checkpoint", graph, "--json", *said)
    heard = json.loads(result.stdout)
    assert result.exit_code == 0
    assert sum(one["label"] == path.parent.name for one, path in zip(heard, said)) >= 8


def test_the_published_ds_cnn_on_real_speech(speech, shared_data, kws):
    """88.88 % is what it scores on the official test archive."""
    assert kws("prepare", "--data-path", speech).exit_code == 0
    graph = os.path.join(shared_data, "pretrained", "DS_CNN_S.pb")
    told = json.loads(kws("eval", "--checkpoint", graph, "--data-path", speech, "--json").stdout)
    assert told["accuracy"] > 0.85 and told["clips"] > 400


def test_published_graphs_decode_what_soundfile_wrote(speech, shared_data):
    """Our WAV bytes and Python's own give a graph the same samples."""
    path = os.path.join(shared_data, "pretrained", "DS_CNN_S.pb")
    samples = audio.fit(soundfile.read(str(sorted((speech / "yes").iterdir())[0]), dtype="float32")[0], 16000)
    model = classifiers.open(path)
    np.testing.assert_array_equal(
        model.scores(samples[np.newaxis]), raw_scores(path, "wav_data", [wav_of(samples, 16000)])
    )
    model.close()
