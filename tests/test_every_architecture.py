"""Every architecture through the command line: it learns, survives an interruption, is measured, used and exported."""
import json

import pytest
from test_train import data, weights_of_prefix  # noqa: F401  (data is a fixture)

from kwscli import models
from kwscli.export import tflite, tflite_int8
from kwscli.runs import run_directory
from kwscli.training import loop

pytest.importorskip("tensorflow.compat.v1")

STEPS = (
    "--how_many_training_steps", "40,20", "--batch_size", "20", "--eval_step_interval", "60", "--save_interval", "30"
)
# Where 0.005 is not the rate that a few steps want.
RATES = {"ds_cnn": "0.02,0.005", "single_fc": "0.0005,0.0001", "bc_resnet": "0.02,0.005", "gru": "0.003,0.001"}


class Broken(Exception):
    """What stops a training in the middle of a step."""


def break_at(step, monkeypatch):
    original = loop._Trainer._advance

    def advance(self):
        if self._step == step:
            raise Broken()
        original(self)

    monkeypatch.setattr(loop._Trainer, "_advance", advance)


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_the_whole_path(architecture, data, kws, tmp_path, monkeypatch):  # noqa: F811
    path = tmp_path / "run"
    command = ["train", "--data-path", data, "--wanted_words", "low,high", "--model_architecture", architecture,
               "--learning_rate", RATES.get(architecture, "0.005,0.001"), *STEPS]
    with monkeypatch.context() as broken:
        break_at(35, broken)
        with pytest.raises(Broken):
            kws(*command, "--train-dir", path)
    resumed = kws(*command, "--train-dir", path)
    assert resumed.exit_code == 0 and "Continuing after step 30" in resumed.stderr, resumed.stderr
    accuracy = run_directory.read_state(str(path))[1][-1].best_accuracy
    assert accuracy > 0.6, (accuracy, resumed.stderr)

    told = json.loads(kws("eval", "--checkpoint", path, "--split", "validation", "--json").stdout)
    assert told["accuracy"] == accuracy
    clip = data + "/low/00000000_nohash_0.wav"
    heard = json.loads(kws("label", clip, "--checkpoint", path, "--json").stdout)[0]
    frozen = kws("freeze", "--checkpoint", path, "--output", tmp_path / "frozen.pb")
    assert frozen.exit_code == 0, frozen.stderr
    for graph in ("frozen.pb", "frozen_features.pb"):
        again = json.loads(kws("label", clip, "--checkpoint", tmp_path / graph, "--json").stdout)[0]
        assert again["scores"] == pytest.approx(heard["scores"], abs=1e-4)
    for name in ("tflite", "tflite-int8"):
        frozen = kws("freeze", "--checkpoint", path, "--output", tmp_path / "frozen.pb", "--format", name, "--json")
        refused = tflite_int8.NOT_ON_TENSORFLOW_1 if name == "tflite-int8" else ()
        if tflite.ON_TENSORFLOW_1 and architecture in refused:
            assert "cannot convert a %s to " % architecture in frozen.stderr
            continue
        (written,) = json.loads(frozen.stdout)
        command = ("eval", "--checkpoint", written["path"], "--data-path", data, "--split", "validation", "--json")
        again = json.loads(kws(*command).stdout)
        assert again["accuracy"] == pytest.approx(accuracy, abs=1e-9 if name == "tflite" else 0.1)


def test_dropout_goes_on_where_it_was(data, kws, tmp_path, monkeypatch):  # noqa: F811
    command = ["train", "--data-path", data, "--wanted_words", "low,high", "--model_architecture", "tiny_conv",
               "--learning_rate", "0.005,0.001", *STEPS]
    assert kws(*command, "--train-dir", tmp_path / "unbroken").exit_code == 0
    with monkeypatch.context() as broken:
        break_at(35, broken)
        with pytest.raises(Broken):
            kws(*command, "--train-dir", tmp_path / "run")
    assert kws(*command, "--train-dir", tmp_path / "run").exit_code == 0
    mine, theirs = [weights_of_prefix(tmp_path / name / "tiny_conv-60.ckpt") for name in ("run", "unbroken")]
    assert all((mine[name] == theirs[name]).all() for name in theirs)
