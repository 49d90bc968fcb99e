"""`kws train --device gpu` with each of the options that it knows.

Where TensorFlow sees no GPU, the CPU replaces it: then kernels, driver and float16 are not tested. For float16, see
test_mixed_precision.py.
"""
import json
import os

import pytest
from test_every_architecture import STEPS
from test_train import data, weights_of_prefix  # noqa: F401  (data is a fixture)
from test_train_workers import ended, start

from kwscli.devices import gpu as gpus
from kwscli.runs import run_directory

tf = pytest.importorskip("tensorflow.compat.v1")
GPUS = len(gpus.gpus())


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """A GPU, real or not."""
    config = gpus.GPU.config

    def of_the_cpu(*arguments):
        proto = config(*arguments)
        proto.gpu_options.visible_device_list = ""  # TensorFlow 1.15 aborts for a GPU that is not there
        return proto

    if not GPUS:
        monkeypatch.setattr(gpus, "gpus", lambda: ["/physical_device:GPU:0"])
        monkeypatch.setattr(gpus.GPU, "config", of_the_cpu)
        monkeypatch.setattr(gpus, "has_gpu", lambda opened: True)


def arguments(data, path, *flags):  # noqa: F811
    return ["train", "--data-path", data, "--train-dir", path, "--device", "gpu", "--wanted_words", "low,high",
            "--learning_rate", "0.02,0.005", *STEPS, *flags]


def accuracy(path):
    return run_directory.read_state(str(path))[1][-1].best_accuracy


MIXED = "--precision_mode", "allow_mix_precision"
FLAGS = [
    (), MIXED, (*MIXED, "--loss-scale", "128"), (*MIXED, "--loss-scale", "none"),
    ("--precision_mode", "must_keep_origin_dtype"), ("--over_dump", "True"), ("--profiling", "True"),
    ("--data_dump_flag", "1", "--data_dump_step", "5"), ("--check_nans",),
    (*MIXED, "--over_dump", "True", "--profiling", "True", "--data_dump_flag", "1", "--data_dump_step", "5"),
]


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: " ".join(flags) or "no flags")
def test_it_learns(data, kws, tmp_path, flags):  # noqa: F811
    result = kws(*arguments(data, tmp_path / "run", *flags))
    assert result.exit_code == 0, result.stderr
    assert "on a GPU (device 0)" in result.stderr and "has no effect" not in result.stderr
    assert accuracy(tmp_path / "run") > 0.6, result.stderr
    left = {name for _, folders, files in os.walk(str(tmp_path / "run" / "data")) for name in folders + files}
    assert ("--profiling" in flags) == ("operations.txt" in left)
    assert ("--data_dump_step" in flags) == ("5" in left)


def test_its_checkpoints_are_those_of_a_cpu(data, kws, tmp_path):  # noqa: F811
    shapes = []
    for device in ("gpu", "cpu"):
        path = tmp_path / device
        result = kws(*arguments(data, path, "--device", device))
        assert result.exit_code == 0, result.stderr
        shapes.append({name: one.shape for name, one in weights_of_prefix(path / "ds_cnn-60.ckpt").items()})
        told = json.loads(kws("eval", "--checkpoint", path, "--split", "validation", "--json").stdout)
        assert told["accuracy"] == pytest.approx(accuracy(path), abs=0.05)
    assert shapes[0] == shapes[1]


@pytest.mark.skipif(GPUS < 2, reason="TensorFlow does not see two GPUs")
def test_two_train_together(data, tmp_path):  # noqa: F811
    status, stderr = ended(start(arguments(data, str(tmp_path / "run"), "--workers", "2")))
    assert status == 0 and "by each of 2 workers" in stderr, stderr
