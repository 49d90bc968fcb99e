"""A training that starts with the weights of another network: which layers learn, how fast, and what it takes over."""
import functools
import json
import re
import signal

import numpy as np
import pytest
from click.testing import CliRunner
from test_start import described
from test_train import (  # noqa: F401  (data and unbroken are fixtures)
    SMALL, STEP, STEPS, assert_same_run, break_off, data, train, unbroken, weights, weights_of_prefix
)

from kwscli import cli, models
from kwscli.errors import KwsError
from kwscli.models import costs, network
from kwscli.runs import run_directory
from kwscli.training.layers import Layers, split

tf = pytest.importorskip("tensorflow.compat.v1")

from kwscli.devices.device_settings import DeviceSettings  # noqa: E402  these need TensorFlow
from kwscli.devices.gpu import GPU  # noqa: E402
from kwscli.devices.optimizer import Adam  # noqa: E402
from kwscli.runs import checkpoint  # noqa: E402

LABELS = ("_silence_", "_unknown_", "yes", "no")
LAYERS = "conv_1", "conv_ds_1/depthwise", "conv_ds_1/pointwise", "fc1"  # of the network in test_train


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_the_layers_are_the_scopes_of_the_variables_that_learn(architecture):
    description = described(architecture, LABELS)
    with tf.Graph().as_default():
        network.inference(description, 1)
        scopes = [variable.op.name.rpartition("/")[0] for variable in tf.trainable_variables()]
    names = costs.count(architecture, description.model_size_info, description.features, len(LABELS)).names
    assert ["%s/%s" % (architecture, name) for name in names] == list(dict.fromkeys(scopes))
    assert {name.rpartition("/")[0] for name in network.label_axes(description)} == {scopes[-1]}


@pytest.mark.parametrize("freeze, expected, shown", [
    ("0", Layers((), ("a", "b"), ("c",)), "old: a to b (2); new: c"),
    ("1", Layers(("a",), ("b",), ("c",)), "frozen: a; old: b; new: c"),
    ("2", Layers(("a", "b"), (), ("c",)), "frozen: a to b (2); new: c"),
    ("all", Layers(("a", "b"), (), ("c",)), "frozen: a to b (2); new: c"),
])
def test_which_layers_learn(freeze, expected, shown):
    assert split(("a", "b", "c"), freeze) == expected and str(expected) == shown


def test_one_layer_must_learn():
    with pytest.raises(KwsError) as caught:
        split(("a", "b", "c"), "3")
    assert str(caught.value) == (
        "--freeze-layers 3 leaves no layer that learns: there are 3 (a, b, c); give a smaller number, or all, which is "
        "all but the last"
    )


@pytest.fixture
def transferred(data, unbroken, tmp_path):  # noqa: F811
    """transferred("--freeze_layers", "1", ...): the weights of the start, of the run that it began, and its output."""

    def run(*flags, path=tmp_path / "run"):
        result = train(data, path, "--start_checkpoint", str(unbroken), *flags)
        assert result.exit_code == 0, result.output
        return [weights_of_prefix(run_directory.resolve(str(one))[1]) for one in (unbroken, path)] + [result.output]

    return run


def changed(before, after):
    """The layers in which a weight, or an average of batch norm, has changed."""
    names = [name for name in before if name.startswith("ds_cnn/") and "Adam" not in name]
    different = [name for name in names if not np.array_equal(before[name], after[name])]
    return tuple(layer for layer in LAYERS if any(name.startswith("ds_cnn/%s/" % layer) for name in different))


@pytest.mark.parametrize("recipe", [(), ("--weight_averaging", "0.9", "--weight_decay", "0.01")])
@pytest.mark.parametrize("freeze, learns", [("0", LAYERS), ("1", LAYERS[1:]), ("3", LAYERS[3:]), ("all", LAYERS[3:])])
def test_frozen_layers_keep_their_weights_and_averages(transferred, freeze, learns, recipe):
    before, after, told = transferred("--freeze_layers", freeze, *recipe)
    assert changed(before, after) == learns
    assert re.search(r"^Layers: .*new: fc1\.$", told, re.MULTILINE)
    slots = {name for name in after if name.endswith("/Adam")}
    assert slots and all(name[len("ds_cnn/"):].startswith(learns) for name in slots)


def test_old_layers_learn_at_a_lower_rate(transferred, tmp_path):
    """In one step, Adam moves every weight by the learning rate, whatever its gradient."""
    one = "--how_many_training_steps", "1", "--learning_rate", "0.001"
    before, after, _ = transferred(*one, "--old_layers_rate_percentage", "10")
    for layer, rate in zip(LAYERS, (0.0001, 0.0001, 0.0001, 0.001)):
        name = "ds_cnn/%s/weights" % layer
        assert np.median(np.abs(after[name] - before[name])) == pytest.approx(rate, rel=0.05), name


@pytest.mark.parametrize("flags", [
    ("--freeze_layers", "2"), ("--old_layers_rate_percentage", "20"),
    ("--freeze_layers", "1", "--old_layers_rate_percentage", "20", "--weight_averaging", "0.9"),
])
def test_it_continues_exactly(data, unbroken, tmp_path, flags):  # noqa: F811
    flags = ("--start_checkpoint", str(unbroken)) + flags
    assert train(data, tmp_path / "whole", *flags).exit_code == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("test_train.SMALL", SMALL + flags)
        assert break_off(data, tmp_path / "run", STEP, 13, signal.SIGTERM)[0] == 128 + signal.SIGTERM
    assert train(data, tmp_path / "run", *flags).exit_code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("flags, message", [
    (("--dct_coefficient_count", "20"), "--dct-coefficient-count is 20, but that of the start checkpoint is 10"),
    (("--window_size_ms", "30"), "--window-size-ms is 30.0, but that of the start checkpoint is 40.0"),
    (("--features", "log_mel"), "--features is log_mel, but that of the start checkpoint is mfcc"),
    (("--model_architecture", "dnn"), "--model-architecture is dnn, but that of the start checkpoint is ds_cnn"),
    (("--normalize_features",), "--normalize-features is True, but that of the start checkpoint is False"),
    (("--freeze_layers", "4"), "--freeze-layers 4 leaves no layer that learns: there are 4 (conv_1, "),
    (("--freeze_layers", "some"), "--freeze-layers some is neither a number of layers nor all; give a number such as"),
])
def test_what_differs_from_the_start_is_refused_by_name(data, unbroken, tmp_path, flags, message):  # noqa: F811
    result = train(data, tmp_path / "run", "--start_checkpoint", str(unbroken), *flags)
    assert result.exit_code == 1 and message in result.output, result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", [("--model_size", "m"), ("--model_size_info", "1", "8", "10", "4", "2", "2")])
def test_another_size_than_that_of_the_start_is_refused_by_name(data, unbroken, tmp_path, size):  # noqa: F811
    result = run_kws(data, tmp_path / "run", "--start_checkpoint", str(unbroken), *size)
    flag = size[0].replace("_", "-")
    assert result.exit_code == 1 and "%s is " % flag in result.output
    assert "but that of the start checkpoint is 2,8,10,4,2,2,8,3,3,1,1; leave %s out, " % flag in result.output


def run_kws(data, path, *flags):  # noqa: F811
    """`kws train` without the network of test_train -> click's result."""
    return CliRunner().invoke(cli.cli, [
        "train", "--data-path", data, "--train-dir", str(path), "--how_many_training_steps", "2", "--learning_rate",
        "0.001", "--batch_size", "20", *flags
    ])


@pytest.mark.parametrize("recipe", ["hello-edge", "best"])
def test_network_and_features_come_from_the_start(data, tmp_path, recipe):  # noqa: F811
    """Those of the packaged network are not the defaults of the recipe hello-edge."""
    flags = "--start_checkpoint", "ds_cnn_s", "--wanted_words", "low,high", "--freeze_layers", "all"
    schedule = () if recipe == "hello-edge" else ("--schedule", "phases")
    result = run_kws(data, tmp_path / "run", "--recipe", recipe, *schedule, *flags)
    assert result.exit_code == 0, result.output
    assert "Layers: frozen: conv_1 to conv_ds_4/pointwise (9); new: fc1.\n" in result.output
    described = json.loads((tmp_path / "run" / "model.json").read_text())
    assert described["features"]["dct_coefficient_count"] == 20
    continued = run_kws(data, tmp_path / "run", "--recipe", recipe, *schedule, *flags[2:], "--how_many_training_steps",
                        "3")
    assert continued.exit_code == 0 and "Continuing after step 2 of 3" in continued.output, continued.output


@pytest.mark.parametrize("flags", [("--freeze_layers", "all"), ("--old_layers_rate_percentage", "10")])
def test_a_flag_that_cannot_act_says_so(data, tmp_path, flags):  # noqa: F811
    result = train(data, tmp_path / "run", *flags)
    assert "%s has no effect without --start-checkpoint; add " % flags[0].replace("_", "-") in re.sub(
        r" (all|10\.0) has", " has", result.output)


def test_a_rate_of_old_layers_that_are_all_frozen_says_so(transferred):
    told = transferred("--freeze_layers", "all", "--old_layers_rate_percentage", "10")[2]
    assert "--old-layers-rate-percentage 10 has no effect: no old layer learns.\n" in told


@pytest.mark.parametrize("scale", [None, "128"])
def test_slow_variables_with_a_scaled_loss(scale, tmp_path):
    """A GPU's loss scaling wraps the optimiser; a checkpoint has the same names with it and without."""
    settings = DeviceSettings(precision_mode=scale and "allow_mix_precision", loss_scale=scale)
    optimizer_of = GPU(0, "test").optimizer(settings, 1, functools.partial(Adam, slow={"old"}, slow_share=0.1))
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [tf.get_variable("%s/weights" % name, initializer=[1.0, 2.0]) for name in ("old", "new")]
        tf.train.get_or_create_global_step()
        optimizer = optimizer_of(tf.constant(0.01))
        loss = tf.add_n([tf.reduce_sum(variable ** 2) for variable in variables])
        step = optimizer.apply_gradients(optimizer.compute_gradients(loss), tf.train.get_global_step())
        writer = checkpoint.Writer()
        session.run(network.initialiser())
        for _ in range(2):
            session.run(step)
        old, new = session.run(variables)
        np.testing.assert_allclose(old, [0.998, 1.998], atol=1e-5)
        np.testing.assert_allclose(new, [0.98, 1.98], atol=1e-4)
        writer.write(session, str(tmp_path / "x.ckpt"))
        assert session.run(tf.train.get_global_step()) == 2
    names = set(checkpoint.values(str(tmp_path / "x.ckpt"))) - checkpoint.LOSS_SCALING
    powers = {"%s_power%s" % (name, end) for name in ("beta1", "beta2") for end in ("", "_1")}
    slots = {"%s/weights%s" % (name, slot) for name in ("old", "new") for slot in ("", "/Adam", "/Adam_1")}
    assert names == {"global_step"} | powers | slots


@pytest.mark.skipif(not tf.__version__.startswith("1.15"), reason="npu_bridge is made for TensorFlow 1.15")
def test_it_trains_on_an_npu(data, unbroken, tmp_path):  # noqa: F811
    from test_train import arguments
    from test_train_npu import kws

    flags = "--start_checkpoint", str(unbroken), "--freeze_layers", "1", "--old_layers_rate_percentage", "20"
    status, stderr = kws(*arguments(data, tmp_path / "run", *flags, "--precision_mode", "allow_mix_precision"),
                         overflows="12")
    assert status == 0, stderr
    before = weights_of_prefix(run_directory.resolve(str(unbroken))[1])
    assert changed(before, weights(tmp_path / "run", STEPS)) == LAYERS[1:]
