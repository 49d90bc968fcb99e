"""`kws train --quantize` and `kws freeze --format tflite-int8`: the training rounds as the export does."""
import contextlib
import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner
from test_every_architecture import Broken, break_at
from test_train import data, train, weights  # noqa: F401  (data is a fixture)

from kwscli import classifiers, cli
from kwscli.data import dataset
from kwscli.data.batches import EvaluationSet
from kwscli.errors import KwsError
from kwscli.export import freeze as freezing
from kwscli.models import network
from kwscli.models.quantization import Floats, Quantization
from kwscli.runs import checkpoint, run_directory
from kwscli.settings import TrainSettings
from kwscli.sound.features import features as features_of

tf = pytest.importorskip("tensorflow.compat.v1")

QUANTIZE = ("--quantize", "--quantize-percentage", "50")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):  # noqa: F811
    """A run that rounds in its last 50 of 100 steps."""
    path = tmp_path_factory.mktemp("quantized") / "run"
    result = train(
        data, path, *QUANTIZE, "--schedule", "cosine", "--learning-rate", "0.01", "--how-many-training-steps", "100"
    )
    assert result.exit_code == 0, result.output
    return path


def test_rounded_weights_have_few_levels():
    values = np.random.RandomState(0).randn(5, 4, 3, 8).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        layers = Quantization(tf.constant(True), training=False)
        per_channel, depthwise, together = session.run(
            [layers.weights(tf.constant(values), axis) for axis in (3, 2, None)]
        )
    for channel in range(8):
        rounded = per_channel[..., channel]
        assert len(np.unique(rounded)) <= 255
        scale = np.abs(values[..., channel]).max() / 127
        np.testing.assert_allclose(rounded / scale, np.round(rounded / scale), atol=1e-3)
        np.testing.assert_allclose(rounded, values[..., channel], atol=0.51 * scale)
    assert all(len(np.unique(depthwise[:, :, channel])) <= 255 for channel in range(3))
    assert len(np.unique(together)) <= 255 < len(np.unique(per_channel))


@pytest.mark.parametrize("active", [False, True])
def test_activations_are_rounded_once_and_only_where_it_is_active(active):
    values = np.linspace(-1, 3, 1000, dtype=np.float32).reshape(10, 100)
    with tf.Graph().as_default(), tf.Session() as session:
        layers = Quantization(tf.constant(active), training=True)
        x = tf.constant(values)
        y = layers.activations(x)
        assert layers.activations(x) is y and layers.activations(y) is y
        reshaped = layers.same_values(tf.reshape(y, (-1,)), y)
        assert layers.activations(reshaped) is reshaped
        gradient = tf.gradients(y, x)[0]
        session.run(network.initialiser())
        found, gradient = session.run([y, gradient])
    np.testing.assert_array_equal(gradient, np.ones_like(values))
    np.testing.assert_allclose(found, values, atol=4 / 255)
    assert len(np.unique(found)) == (256 if active else 1000)


def test_without_quantize_the_graph_is_the_same():
    """`Floats` adds no operation."""
    with tf.Graph().as_default() as graph:
        x = tf.zeros((2, 3))
        before = len(graph.get_operations())
        layers = Floats()
        assert all(y is x for y in (
            layers.features(x), layers.weights(x), layers.weights(x, 1), layers.activations(x), layers.same_values(x, x)
        ))
        assert len(graph.get_operations()) == before


def broken_after(step, data, path, monkeypatch, *more):  # noqa: F811
    """Train and stop within step `step` + 1."""
    with monkeypatch.context() as broken:
        break_at(step, broken)
        assert isinstance(train(data, path, *more).exception, Broken)


def test_it_rounds_in_the_last_steps_only(data, tmp_path, monkeypatch):  # noqa: F811
    """Until then, the weights are those of a training in floats."""
    for step in (15, 20):
        found = []
        for name, flags in (("floats", ()), ("quantized", QUANTIZE)):
            path = tmp_path / ("%s %d" % (name, step))
            broken_after(step, data, path, monkeypatch, *flags)
            found.append(weights(path, step))
        theirs, mine = found
        ranges = set(mine) - set(theirs)
        assert ranges and all("/quantized_" in name for name in ranges) and set(theirs) <= set(mine)
        same = [(mine[name] == theirs[name]).all() for name in theirs]
        assert all(same) if step == 15 else not all(same)


def test_a_run_that_continues_ends_with_the_same_bits(data, tmp_path, monkeypatch):  # noqa: F811
    flags = QUANTIZE + ("--weight-averaging", "0.9")
    assert train(data, tmp_path / "unbroken", *flags).exit_code == 0
    for step in (8, 22):  # before it rounds, and while it does
        broken_after(step, data, tmp_path / "run", monkeypatch, *flags)
    result = train(data, tmp_path / "run", *flags)
    assert result.exit_code == 0 and "Continuing after step 20" in result.output
    mine, theirs = weights(tmp_path / "run"), weights(tmp_path / "unbroken")
    assert set(mine) == set(theirs)
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value, err_msg=name)


def test_the_best_weights_are_of_a_step_that_rounds(run):
    best = [one.best_step for one in run_directory.read_state(str(run))[1]]
    assert min(best) > 50


def test_it_learns_and_the_export_gives_the_answers_of_the_graph_that_rounds(run, data, tmp_path):  # noqa: F811
    description, prefix = run_directory.resolve(str(run))
    written = {one.format: one for one in freezing.freeze(str(run), str(tmp_path) + "/", None, ["tflite-int8", "pb"])}
    clips = EvaluationSet(dataset.load(data), description.data.wanted_words, description.features, "training")
    clips = clips.clips(slice(0, None))
    with classifiers.open(written["tflite-int8"].path) as exported, classifiers.open(str(run)) as floats:
        int8, wanted = exported.scores(clips), floats.scores(clips)
    with tf.Graph().as_default() as graph:
        features = tf.placeholder(tf.float32, (None,) + description.features.shape)
        rounding = Quantization(tf.constant(True), training=False)
        logits = network.logits_of(description, features, training=False, quantization=rounding)
    with contextlib.closing(checkpoint.restored_session(graph, description, prefix)) as session:
        rounded = session.run(tf.nn.softmax(logits), {features: features_of(clips, description.features)})
    assert np.mean(int8.argmax(axis=1) == rounded.argmax(axis=1)) >= 0.98
    assert np.mean(int8.argmax(axis=1) == wanted.argmax(axis=1)) >= 0.98
    assert np.abs(int8 - rounded).mean() < 0.02


@pytest.mark.parametrize("architecture", ["gru", "crnn"])
def test_recurrent_networks_are_refused(architecture, data, tmp_path, kws):  # noqa: F811
    result = kws("train", "--data-path", data, "--train-dir", tmp_path / "run", "--wanted-words", "low,high",
                 "--model-architecture", architecture, "--quantize")
    assert result.exit_code == 1 and not (tmp_path / "run").exists()
    assert "--quantize cannot train a %s: " % architecture in result.stderr


def test_bc_resnet_trains(data, tmp_path):  # noqa: F811
    result = CliRunner().invoke(cli.cli, [
        "train", "--data-path", data, "--train-dir", str(tmp_path / "run"), "--wanted-words", "low,high",
        "--model-architecture", "bc_resnet", "--quantize", "--schedule", "cosine", "--learning-rate", "0.01",
        "--how-many-training-steps", "6", "--batch-size", "10", "--eval-step-interval", "6",
    ])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("flags, message", [
    ({"quantize": True, "quantize_percentage": 0.0}, "--quantize-percentage 0 leaves no step that rounds"),
])
def test_settings_that_make_no_sense(flags, message):
    with pytest.raises(KwsError, match=message):
        TrainSettings(**flags)


def test_a_schedule_that_rounds_cannot_be_extended():
    """More steps would move the step at which the rounding begins."""
    longer = TrainSettings(how_many_training_steps=(10000, 10000, 20000))
    assert longer.extends(TrainSettings())
    assert not dataclasses.replace(longer, quantize=True).extends(TrainSettings(quantize=True))
    assert TrainSettings(quantize=True).steps_before_rounding == 24000
    assert TrainSettings().steps_before_rounding == 0
