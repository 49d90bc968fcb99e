"""`--start-checkpoint`: weights go to the labels that have their names, from runs, checkpoints and graphs; and what a
run that continues, with the same steps or with more, does with them.
"""
import dataclasses
import os
import re
import shutil
import signal

import numpy as np
import pytest
from test_train import (  # noqa: F401  (data and unbroken are fixtures)
    FILES, SCHEDULE, SMALL, STEP, assert_same_run, break_off, data, train, unbroken, weights
)

from kwscli import models
from kwscli.classifiers.classifier import Weights
from kwscli.errors import KwsError
from kwscli.models import network
from kwscli.runs.description import Description, read_description
from kwscli.settings import DataSettings, TrainSettings
from kwscli.sound.feature_settings import FeatureSettings

tf = pytest.importorskip("tensorflow.compat.v1")

from kwscli.training import starting_weights  # noqa: E402  needs TensorFlow

LABELS = ("_silence_", "_unknown_", "yes", "no", "up", "down")
REORDERED = ("down", "_unknown_", "up", "_silence_", "no", "yes")


def described(architecture, labels, size=None):
    chosen = models.chosen(architecture, size)
    features = FeatureSettings(**chosen.feature_settings)
    return Description(architecture, chosen.model_size_info, labels, features, DataSettings(), TrainSettings())


def started(description, source, features):
    """(scores, {variable: value}) of a network with the weights that it takes from `source`, or its first ones."""
    with tf.Graph().as_default(), tf.Session() as session:
        inference = network.inference(description, len(features))
        session.run(network.initialiser())
        if source:
            starting_weights.start_from(session, source, description)
        values = session.run({one.op.name: one for one in network.variables_of(description)})
        return session.run(inference.scores, {inference.features: features}), values


def source_of(description, change=lambda value: value):
    """The Weights of a network whose values are none that a new network has."""
    values = started(description, None, np.zeros((1,) + description.features.shape))[1]
    rng = np.random.RandomState(0)
    values = {
        name: (value + rng.uniform(0.01, 0.1, value.shape)).astype(np.float32) for name, value in values.items()
    }
    return Weights("run/x.ckpt", description.labels, description.features, values)


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_the_weights_of_a_label_follow_its_name(architecture, capsys):
    source = source_of(described(architecture, LABELS))
    features = np.random.RandomState(1).uniform(-1, 1, (3,) + source.features.shape)
    scores = started(described(architecture, LABELS), source, features)[0]
    assert np.ptp(scores) > 1e-3
    reordered = started(described(architecture, REORDERED), source, features)[0]
    np.testing.assert_allclose(reordered, scores[:, [LABELS.index(label) for label in REORDERED]], atol=1e-5)
    assert capsys.readouterr().err.splitlines() == ["Starting from x.ckpt."] * 2


@pytest.mark.parametrize("labels, new", [
    (("_silence_", "_unknown_", "no"), ""),
    (("_silence_", "_unknown_", "left", "up", "right", "yes"), "; new: left, right"),
    (LABELS[:2] + ("left",) + LABELS[2:], "; new: left"),
    (LABELS[:2] + ("a", "b", "c", "d"), "; new: a, b, c, d"),  # as many labels, but others
])
def test_labels_that_only_one_of_two_networks_has(labels, new, capsys):
    source = source_of(described("ds_cnn", LABELS))
    features = np.zeros((1,) + source.features.shape)
    first = started(described("ds_cnn", labels), None, features)[1]
    values = started(described("ds_cnn", labels), source, features)[1]
    assert capsys.readouterr().err == "Starting from x.ckpt%s.\n" % new
    for name, value in values.items():
        if not name.startswith("ds_cnn/fc1/"):
            np.testing.assert_array_equal(value, source.values[name], err_msg=name)
            continue
        for place, label in enumerate(labels):
            wanted = source.values[name][..., LABELS.index(label)] if label in LABELS else first[name][..., place]
            np.testing.assert_array_equal(value[..., place], wanted, err_msg=name)


@pytest.mark.parametrize("architecture, axes", [
    ("ds_cnn", {"ds_cnn/fc1/weights": 1, "ds_cnn/fc1/biases": 0}),
    ("single_fc", {"single_fc/logits/weights": 1, "single_fc/logits/biases": 0}),
])
def test_the_variables_that_depend_on_labels(architecture, axes):
    for labels in (LABELS, tuple(map(str, range(64)))):  # also where other layers have as many channels as labels
        assert network.label_axes(described(architecture, labels)) == axes


@pytest.mark.parametrize("architecture, size, message", [
    ("dnn", "s", "run/x.ckpt has the weights of a ds_cnn, not of a dnn; add --model-architecture ds_cnn"),
    ("ds_cnn", "m", "run/x.ckpt has no weights for a ds_cnn of this size; its variables are: ds_cnn/conv_1/beta, "),
])
def test_weights_of_another_network_are_refused(architecture, size, message):
    source = source_of(described("ds_cnn", LABELS))
    description = described(architecture, LABELS, size)
    with pytest.raises(KwsError) as caught:
        started(description, source, np.zeros((1,) + description.features.shape))
    assert message in str(caught.value)


def test_a_layer_without_weights_cannot_be_frozen():
    learns = described("ds_cnn", LABELS)
    freezes = dataclasses.replace(learns, start_checkpoint="x.pb", train=TrainSettings(freeze_layers="2"))
    source = source_of(learns)
    del source.values["ds_cnn/conv_ds_1/depthwise/weights"]
    clips = np.zeros((1,) + learns.features.shape)
    started(dataclasses.replace(freezes, train=TrainSettings(freeze_layers="1")), source, clips)
    with pytest.raises(KwsError, match="no weights for the frozen variable ds_cnn/conv_ds_1/depthwise/weights; freeze"):
        started(freezes, source, clips)


def test_a_graph_of_other_features_is_refused_by_the_name_of_the_flag():
    description = described("ds_cnn", LABELS)
    source = source_of(description)._replace(features=FeatureSettings(upper_edge_hertz=7000.0))
    with pytest.raises(KwsError) as caught:
        started(description, source, np.zeros((1,) + source.features.shape))
    assert str(caught.value) == (
        "--upper-edge-hertz is 4000.0, but that of run/x.ckpt is 7000.0; give --upper-edge-hertz 7000.0"
    )


SLOW = "--how_many_training_steps", "1", "--learning_rate", "1e-30"  # a step that changes no weight


def test_a_run_starts_from_a_graph_that_kws_froze(kws, data, unbroken, tmp_path):  # noqa: F811
    name = "frozen.pb"
    assert kws("freeze", "--checkpoint", unbroken, "--output", tmp_path / "frozen.pb").exit_code == 0
    flags = *SLOW, "--wanted_words", "high,low", "--start_checkpoint"
    assert train(data, tmp_path / "of_run", *flags, str(unbroken)).exit_code == 0
    result = train(data, tmp_path / "of_graph", *flags, str(tmp_path / name))
    assert result.exit_code == 0 and "Starting from %s.\n" % name in result.output, result.output
    mine, theirs = weights(tmp_path / "of_graph", 1), weights(tmp_path / "of_run", 1)
    for variable in theirs:
        np.testing.assert_array_equal(mine[variable], theirs[variable], err_msg=variable)
    refused = train(data, tmp_path / "of_features", *flags, str(tmp_path / "frozen_features.pb"))
    assert refused.exit_code == 1 and "because batch norm is part of them; start from the run" in refused.output


def test_a_run_starts_from_a_published_graph(kws, tones, tmp_path, shared_data):
    folder = tones(tmp_path / "data", words=("yes", "no", "lamp", "door"), speakers=40)
    assert kws("prepare", "--data-path", folder).exit_code == 0
    start = os.path.join(shared_data, "pretrained", "DS_CNN_S.pb")
    flags = "train", "--data-path", folder, *SLOW, "--wanted-words", "no,lamp", "--start-checkpoint", start
    result = kws(*flags, "--train-dir", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "Starting from DS_CNN_S.pb; new: lamp.\n" in result.stderr and "other features" not in result.stderr
    refused = kws(*flags, "--train-dir", tmp_path / "other", "--model-architecture", "dnn")
    assert "DS_CNN_S.pb has the weights of a ds_cnn, not of a dnn" in refused.stderr


@pytest.mark.parametrize("start, message", [
    ("scripts/ds_cnn_9365.ckpt-400",
     "scripts/ds_cnn_9365.ckpt-400 has no model.json beside it, which says what its network is; keep a checkpoint "
     "together with the model.json that kws train wrote; freeze a checkpoint of other scripts with the freeze.py of "
     "these scripts, and give the .pb graph"),
    ("nowhere.pb", "there is no model file nowhere.pb; check the name"),
    ("scripts/x.pb", "scripts/x.pb is not a frozen graph, or is cut off"),
])
def test_files_that_no_training_can_start_from(data, tmp_path, monkeypatch, start, message):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    for name in ("ds_cnn_9365.ckpt-400.index", "ds_cnn_9365.ckpt-400.data-00000-of-00001", "checkpoint", "x.pb"):
        (tmp_path / "scripts" / name).write_text("x")
    result = train(data, tmp_path / "run", "--start_checkpoint", start)
    assert result.exit_code == 1 and message in result.output.splitlines()[-1]


@pytest.fixture
def stopped(data, unbroken, tmp_path):  # noqa: F811
    """A run with a start checkpoint, stopped in the middle -> (its path, the path of the start checkpoint)."""
    start = tmp_path / "start"
    shutil.copytree(str(unbroken), str(start))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("test_train.SMALL", SMALL + ("--start_checkpoint", str(start)))
        assert break_off(data, tmp_path / "run", STEP, 13, signal.SIGTERM)[0] == 128 + signal.SIGTERM
    return tmp_path / "run", start


@pytest.mark.parametrize("place", ["start", "moved", "gone", None])
def test_a_run_that_continues_needs_its_start_checkpoint_no_more(data, stopped, tmp_path, place):  # noqa: F811
    path, start = stopped
    before = read_description(str(path / "model.json"))
    if place == "moved":
        start.rename(tmp_path / "moved")
    if place == "gone":
        shutil.rmtree(str(start))
    where = str(start if place == "gone" else tmp_path / (place or ""))
    result = train(data, path, *(("--start_checkpoint", where) if place else ()))
    assert result.exit_code == 0 and "Continuing after step 1" in result.output, result.output
    after = read_description(str(path / "model.json"))
    assert (after.start_checkpoint, after.start_sha256) == (before.start_checkpoint, before.start_sha256)
    assert len(before.start_sha256) == 64


def test_a_run_does_not_continue_with_another_start_checkpoint(data, stopped, tmp_path):  # noqa: F811
    path, _ = stopped
    assert train(data, tmp_path / "other", "--seed", "7").exit_code == 0
    result = train(data, path, "--start_checkpoint", str(tmp_path / "other"))
    assert result.exit_code == 1
    assert "other settings (now start_checkpoint %s, not " % (tmp_path / "other") in result.output
    assert "; leave --start-checkpoint out to continue that run, use another --train-dir" in result.output


LONGER = "--how_many_training_steps", "20,15,5", "--learning_rate", "0.01,0.001,0.0005"


@pytest.fixture(scope="module")
def longer(data, tmp_path_factory):  # noqa: F811
    """A run that has all steps from the start."""
    path = tmp_path_factory.mktemp("longer") / "run"
    assert train(data, path, *LONGER).exit_code == 0
    return path


@pytest.mark.parametrize("first, rates", [("20,10", "0.01,0.001"), ("20,7", "0.01,0.001"), ("13", "0.01")])
def test_a_finished_run_continues_with_more_steps(data, longer, tmp_path, monkeypatch, first, rates):  # noqa: F811
    """Also where the last step was validated only because it was the last."""
    path = tmp_path / "run"
    result = train(data, path, "--how_many_training_steps", first, "--learning_rate", rates)
    assert result.exit_code == 0, result.output
    result = train(data, path, *LONGER)
    assert result.exit_code == 0 and re.search(r"Continuing after step \d+ of 40", result.output), result.output
    monkeypatch.setattr("test_train.weights", lambda path: weights(path, 40))
    assert_same_run(path, longer)


@pytest.mark.parametrize("point, count", [(STEP, 3), (FILES, 1)])
def test_a_longer_run_can_be_killed(data, longer, tmp_path, monkeypatch, point, count):  # noqa: F811
    path = tmp_path / "run"
    assert train(data, path, "--how_many_training_steps", "20,7", "--learning_rate", "0.01,0.001").exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr("test_train.SCHEDULE", SCHEDULE + LONGER)
        assert break_off(data, path, point, count, signal.SIGKILL)[0] == -signal.SIGKILL
    assert train(data, path, *LONGER).exit_code == 0
    monkeypatch.setattr("test_train.weights", lambda path: weights(path, 40))
    assert_same_run(path, longer)


@pytest.mark.parametrize("steps, rates", [
    ("20,5", "0.01,0.001"),  # fewer
    ("30,10", "0.01,0.001"),  # other rates in steps that were made
    ("20,10,10", "0.02,0.001,0.001"),
])
def test_a_finished_run_does_not_continue_with_another_schedule(data, unbroken, steps, rates):  # noqa: F811
    result = train(data, unbroken, "--how_many_training_steps", steps, "--learning_rate", rates)
    assert result.exit_code == 1 and "contains a run with other settings (now " in result.output


def test_the_advice_for_a_finished_run(data, unbroken):  # noqa: F811
    told = train(data, unbroken).output
    for advice in ("give more --how-many-training-steps", "--start-checkpoint %s" % unbroken, "--overwrite"):
        assert advice in told


@pytest.mark.parametrize("steps, rates, extends", [
    ((20, 20), (1, 2), True), ((20, 10, 1), (1, 2, 3), True), ((10, 10, 20), (1, 1, 2), True),
    ((20, 10), (1, 2), False), ((20, 9), (1, 2), False), ((40,), (1,), False), ((19, 12), (1, 2), False),
    ((20, 9, 9), (1, 2, 3), False), ((31,), (2,), False),
])
def test_schedules_that_extend_another_one(steps, rates, extends):
    first = TrainSettings(learning_rate=(1, 2), how_many_training_steps=(20, 10))
    longer = dataclasses.replace(first, learning_rate=rates, how_many_training_steps=steps)
    assert longer.extends(first) == extends
