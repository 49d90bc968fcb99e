"""`kws train --workers N` on the NPUs of tests/fake_npu, in real processes: HCCL carries gradients and variables."""
import json
import os
import re
import signal

import numpy as np
import pytest
from test_cluster import template_1
from test_train import SCHEDULE, SMALL, arguments, assert_same_run, data, weights  # noqa: F401  (data is a fixture)
from test_train_npu import TESTS, kws, pytestmark  # noqa: F401
from test_train_workers import ended, start, workers_of

NO_BATCH_NORM = "--model_architecture", "dnn", "--model_size_info", "16", "16"


@pytest.fixture(scope="module")
def npus(tmp_path_factory):
    """npus(): variables that make `kws` find two NPUs; the ranks exchange tensors through a new folder each time."""

    def told():
        folder = tmp_path_factory.mktemp("npus")
        (folder / "table.json").write_text(json.dumps(template_1(devices=2)))
        paths = os.pathsep.join([os.path.join(TESTS, "fake_npu"), os.path.dirname(TESTS)])
        return {"PYTHONPATH": paths, "RANK_TABLE_FILE": str(folder / "table.json"), "FAKE_NPU_EXCHANGE": str(folder)}

    return told


def on_two(told, data, path, *flags):  # noqa: F811
    """Start `kws train` on two NPUs."""
    return start(arguments(data, path, "--workers", "2", *flags), **told())


@pytest.fixture(scope="module")
def unbroken(npus, data, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("unbroken") / "run"
    status, stderr = ended(on_two(npus, data, path))
    assert status == 0, stderr
    assert "on an NPU (device 0)" in stderr
    assert "30 steps of 40 clips, 20 by each of 2 workers, into %s" % path in stderr
    return path


def test_two_npus_train_as_one_with_twice_the_batch(npus, data, tmp_path):  # noqa: F811
    status, stderr = ended(on_two(npus, data, tmp_path / "two", *NO_BATCH_NORM, "--batch_size", "10"))
    assert status == 0, stderr
    status, stderr = kws(*arguments(data, tmp_path / "one", *NO_BATCH_NORM, "--batch_size", "20"))
    assert status == 0, stderr
    mine, theirs = [weights(tmp_path / name, architecture="dnn") for name in ("two", "one")]
    assert set(mine) == set(theirs) and any("Adam" in name for name in mine)
    for name in theirs:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_npu_that_dies_ends_all_and_the_same_command_continues(npus, unbroken, data, tmp_path, rank):  # noqa: F811
    child = on_two(npus, data, tmp_path / "run")
    os.kill(workers_of(child, "Step 10: Validation")[rank], signal.SIGKILL)
    status, stderr = ended(child)
    assert status == 1 and re.search(r"Error: worker %d .*SIGKILL" % rank, stderr), stderr
    status, stderr = ended(on_two(npus, data, tmp_path / "run"))
    assert status == 0 and "Continuing after step" in stderr, stderr
    assert_same_run(tmp_path / "run", unbroken)


def test_workers_use_the_cpu_if_npu_bridge_is_broken(data, tmp_path):  # noqa: F811
    paths = os.pathsep.join([os.path.join(TESTS, "fake_npu_broken", "no_library"), os.path.dirname(TESTS)])
    status, stderr = ended(start(arguments(data, tmp_path / "run", "--workers", "2"), PYTHONPATH=paths))
    assert status == 0 and "No NPU: npu_bridge is installed but does not import" in stderr, stderr
    assert "on the CPU" in stderr and "20 by each of 2 workers" in stderr


@pytest.mark.parametrize("flags, told, words", [
    (("--workers", "4"), {}, "--workers is 4, but the rank table .* has 2 devices; make them equal"),
    (("--workers", "2", "--device-id", "0"), {}, "--device-id 0 names one device, but several workers train here"),
    ((), {}, "is set, but not RANK_SIZE, RANK_ID, JOB_ID, ASCEND_DEVICE_ID"),
    (("--workers", "2"), {"RANK_TABLE_FILE": ""}, "/etc/hccn.conf, which holds the NPUs' addresses, cannot be read"),
])
def test_npus_that_cannot_train_together_are_refused(npus, data, tmp_path, flags, told, words):  # noqa: F811
    if "RANK_TABLE_FILE" in told and os.path.exists("/etc/hccn.conf"):
        pytest.skip("this server has NPUs")
    status, stderr = ended(start(arguments(data, tmp_path / "run", *flags), **dict(npus(), **told)))
    errors = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    assert status == 1 and len(errors) == 1 and re.search(words, errors[0]), stderr
