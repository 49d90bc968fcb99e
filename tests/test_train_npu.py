"""`kws train` on an NPU, from the command line to the checkpoints. tests/fake_npu replaces the NPU."""
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from test_train import arguments, data, weights  # noqa: F401  (data is a fixture)

from kwscli import cli
from kwscli.runs import run_directory

tf = pytest.importorskip("tensorflow.compat.v1")
pytestmark = pytest.mark.skipif(
    not tf.__version__.startswith("1.15"), reason="npu_bridge is made for TensorFlow 1.15"
)
TESTS = os.path.dirname(os.path.abspath(__file__))


def kws(*args, overflows="", stop_after="", bridge="fake_npu"):
    """Run `kws` in a process that finds an npu_bridge -> (exit status, stderr)."""
    paths = [os.path.join(TESTS, bridge), os.path.dirname(TESTS)]
    program = [os.path.join(TESTS, "npu_train.py"), overflows, stop_after] if bridge == "fake_npu" else ["-m", "kwscli"]
    child = subprocess.run(
        [sys.executable, "-W", "ignore"] + program + [str(arg) for arg in args],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths), JOB_ID="1"), stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, universal_newlines=True,
    )
    return child.returncode, child.stderr


@pytest.fixture(scope="module")
def on_npu(data, tmp_path_factory):  # noqa: F811
    """A run of mixed precision with dynamic loss scaling, in which the gradients of step 12 overflowed."""
    path = tmp_path_factory.mktemp("npu") / "run"
    status, stderr = kws(*arguments(data, path, "--precision_mode", "allow_mix_precision"), overflows="12")
    assert status == 0, stderr
    assert "on an NPU (device 0)" in stderr
    opened, closed = map(int, re.search(r"sessions opened (\d+), closed (\d+)", stderr).groups())
    assert opened == closed
    return path


def test_a_step_that_overflows_is_skipped_and_counted(on_npu):
    lines = [line for line in run_directory.read_metrics(str(on_npu)) if "loss" in line]
    assert [line["skipped_steps"] for line in lines] == [0, 1, 1]


@pytest.mark.parametrize("command", [["eval"], ["freeze"], ["label", "low/00000000_nohash_0.wav"]])
def test_a_checkpoint_of_an_npu_is_used_without_one(on_npu, data, monkeypatch, command):  # noqa: F811
    monkeypatch.chdir(data)
    result = CliRunner().invoke(cli.cli, command + ["--checkpoint", str(on_npu)])
    assert result.exit_code == 0, result.output


def test_profiling_writes_to_its_folder(data, tmp_path):  # noqa: F811
    told = json.dumps({"output": str(tmp_path / "prof"), "aic_metrics": "Memory"})
    status, stderr = kws(*arguments(data, tmp_path / "run", "--profiling", "--profiling-options", told))
    assert status == 0 and (tmp_path / "prof").is_dir(), stderr
    status, stderr = kws(*arguments(data, tmp_path / "new", "--profiling", "--data-save-path", "/dev/null"))
    assert status == 1 and "Error: --data-save-path is '/dev/null'; it must be a writable folder" in stderr


def test_several_steps_per_call_use_the_same_batches(data, tmp_path):  # noqa: F811
    schedule = "--how_many_training_steps", "20,10", "--save-interval", "10"
    for name, loop in (("one", "1"), ("ten", "10")):
        status, stderr = kws(*arguments(data, tmp_path / name, *schedule, "--iterations_per_loop", loop))
        assert status == 0, stderr
    one, ten = weights(tmp_path / "one"), weights(tmp_path / "ten")
    for name in one:
        np.testing.assert_array_equal(one[name], ten[name], err_msg=name)


def test_a_run_continues_with_other_steps_per_call_where_they_divide_it(data, tmp_path):  # noqa: F811
    flags = "--how_many_training_steps", "20,10", "--save-interval", "5"
    status, stderr = kws(*arguments(data, tmp_path / "run", *flags, "--iterations_per_loop", "5"), stop_after="15")
    assert status == 130 and "stopped after step 15 of 30" in stderr, stderr
    status, stderr = kws(*arguments(data, tmp_path / "run", *flags, "--iterations_per_loop", "10"))
    assert status == 1 and "was saved after step 15, which is not a multiple of --iterations-per-loop 10" in stderr
    status, stderr = kws(*arguments(data, tmp_path / "run", *flags))
    assert status == 0 and "Continuing after step 15" in stderr, stderr
    assert "data_wait" in run_directory.read_metrics(str(tmp_path / "run"))[-2]


def test_phases_must_be_multiples_of_the_steps_per_call(data, tmp_path):  # noqa: F811
    status, stderr = kws(*arguments(data, tmp_path / "run", "--iterations_per_loop", "7"))
    assert status == 1
    assert "Error: --how-many-training-steps 20 is not a multiple of --iterations-per-loop 7" in stderr


@pytest.mark.parametrize("flags, message", [
    (["--npu_option", "precison_mode=force_fp16"], "precision_mode"),
    (["--npu_option", "graph_run_mode=2"], "graph_run_mode"),
    (["--over_dump=True", "--data_dump_flag=1"], "dump"),
    (["--modify_mixlist", "nowhere.json"], "nowhere.json"),
])
def test_a_wrong_option_is_an_error_before_a_session_is_opened(data, tmp_path, flags, message):  # noqa: F811
    status, stderr = kws(*arguments(data, tmp_path / "run", *flags))
    error = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    assert status == 1 and len(error) == 1 and message in error[0], stderr
    assert "sessions opened 0" in stderr


def test_the_seeds_own_flags(data, tmp_path):  # noqa: F811
    flags = ("--precision_mode=allow_mix_precision --over_dump=False --data_dump_flag=0 --data_dump_step=10 "
             "--profiling=False --data_save_path=" + str(tmp_path / "dumps")).split()
    status, stderr = kws(*arguments(data, tmp_path / "run", *flags))
    assert status == 0, stderr


def test_a_broken_npu_bridge_is_reported_and_the_cpu_is_chosen(data, tmp_path):  # noqa: F811
    status, stderr = kws(*arguments(data, tmp_path / "run"), bridge="fake_npu_broken/no_library")
    assert status == 0, stderr
    assert "No NPU: npu_bridge is installed but does not import" in stderr and "on the CPU" in stderr
