"""`kws train` on a real GPU; each flag of the README's table does there what it says. Skipped where there is none."""
import os

import numpy as np
import pytest
from test_train import arguments, data, train, weights  # noqa: F401  (data is a fixture)
from test_train_workers import ended, start

from kwscli import run

tf = pytest.importorskip("tensorflow.compat.v1")
GPUS = len(tf.config.experimental.list_physical_devices("GPU"))
pytestmark = pytest.mark.skipif(not GPUS, reason="TensorFlow sees no GPU")


def accuracies(path):
    return [line["validation_accuracy"] for line in run.read_metrics(str(path)) if "validation_accuracy" in line]


@pytest.mark.parametrize("flags", [
    (), ("--precision_mode", "allow_mix_precision"), ("--precision_mode", "must_keep_origin_dtype"),
    ("--precision_mode", "allow_mix_precision", "--loss-scale", "128"), ("--over_dump", "True"),
    ("--profiling", "True"), ("--data_dump_flag", "1", "--data_dump_step", "5"), ("--check_nans",),
], ids=lambda flags: " ".join(flags) or "no flags")
def test_it_learns(data, tmp_path, flags):  # noqa: F811
    result = train(data, tmp_path / "run", "--device", "gpu", *flags)
    assert result.exit_code == 0, result.output
    assert "on a GPU (device 0)" in result.output and "changes nothing" not in result.output
    assert accuracies(tmp_path / "run")[-1] > 0.8
    left = {name for _, folders, files in os.walk(str(tmp_path / "run" / "data")) for name in folders + files}
    assert ("--profiling" not in flags or "operations.txt" in left) and ("--data_dump_flag" not in flags or "5" in left)


def test_its_checkpoints_are_those_of_a_cpu(data, tmp_path):  # noqa: F811
    for device in ("gpu", "cpu"):
        assert train(data, tmp_path / device, "--device", device).exit_code == 0
    mine, theirs = weights(tmp_path / "gpu"), weights(tmp_path / "cpu")
    assert {name: value.shape for name, value in mine.items()} == {name: value.shape for name, value in theirs.items()}
    np.testing.assert_allclose(accuracies(tmp_path / "gpu"), accuracies(tmp_path / "cpu"), atol=0.1)


@pytest.mark.skipif(GPUS < 2, reason="TensorFlow sees one GPU only")
def test_two_train_together(data, tmp_path):  # noqa: F811
    status, stderr = ended(start(arguments(data, tmp_path / "run", "--device", "gpu", "--workers", "2")))
    assert status == 0 and "by each of 2 workers" in stderr, stderr
