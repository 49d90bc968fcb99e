"""`kws train --workers N`: N workers make the updates of one with N times the batch, and all end when one dies."""
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from test_train import data, weights_of_prefix  # noqa: F401  (data is a fixture)

from kwscli import cli
from kwscli.runs import run_directory
from kwscli.workers import cluster
from kwscli.workers.sockets import free_ports

pytest.importorskip("tensorflow.compat.v1")

# No batch norm, because each worker has statistics of its own.
COMMAND = (
    "train --wanted_words low,high --model_architecture dnn --model_size_info 16 16 --how_many_training_steps 20 "
    "--learning_rate 0.01 --eval_step_interval 10 --save_interval 5"
).split()


# Enough steps to be killed in the middle.
LONG = "--workers 2 --batch_size 10 --how_many_training_steps 400 --eval_step_interval 100 --save_interval 50".split()


def start(arguments, **environ):
    """`kws` as a process."""
    usual = dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "kwscli", *arguments], env=dict(usual, **environ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
    )


def training(data, path, *flags):  # noqa: F811
    return start([*COMMAND, "--data-path", data, "--train-dir", str(path), *flags])


def ended(child):
    """(exit status, stderr) of a process."""
    stderr = child.communicate(timeout=120)[1]
    return child.returncode, stderr


def workers_of(child, line):
    """{rank: process} of the workers that a process has started, once it shows a line that begins with `line`."""
    for shown in child.stderr:
        if shown.startswith(line):
            break
    with open("/proc/%d/task/%d/children" % (child.pid, child.pid)) as children:
        return dict(enumerate(sorted(int(pid) for pid in children.read().split())))


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("two") / "run"
    status, stderr = ended(training(data, path, "--workers", "2", "--batch_size", "10"))
    assert status == 0, stderr
    assert "20 steps of 20 clips, 10 by each of 2 workers, into %s" % path in stderr
    return path


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("unbroken") / "run"
    status, stderr = ended(training(data, path, *LONG))
    assert status == 0, stderr
    return path


def weights(path, step=20):
    return weights_of_prefix(path / ("dnn-%d.ckpt" % step))


def test_two_workers_train_as_one_with_twice_the_batch(two, data, tmp_path):  # noqa: F811
    one = CliRunner().invoke(
        cli.cli, COMMAND + ["--data-path", data, "--train-dir", str(tmp_path / "one"), "--batch_size", "20"]
    )
    assert one.exit_code == 0, one.output
    mine, theirs = weights(two), weights(tmp_path / "one")
    for name in theirs:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, err_msg=name)
    accuracies = [
        [line["validation_accuracy"] for line in run_directory.read_metrics(str(path)) if "validation_accuracy" in line]
        for path in (two, tmp_path / "one")
    ]
    assert accuracies[0] == accuracies[1]


def test_a_run_does_not_go_on_with_another_number_of_workers(two, data):  # noqa: F811
    result = CliRunner().invoke(cli.cli, COMMAND + ["--data-path", data, "--train-dir", str(two), "--batch_size", "10"])
    assert result.exit_code == 1 and "a run with other settings (now workers 1, not 2)" in result.output


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_dies_ends_all_and_the_same_command_continues(unbroken, data, tmp_path, rank):  # noqa: F811
    child = training(data, tmp_path / "run", *LONG)
    workers = workers_of(child, "Step 100: Validation")
    os.kill(workers[rank], signal.SIGKILL)
    status, stderr = ended(child)
    assert status == 1 and re.search(r"Error: worker %d .*SIGKILL" % rank, stderr), stderr
    assert not any(os.path.exists("/proc/%d" % pid) for pid in workers.values())
    status, stderr = ended(training(data, tmp_path / "run", *LONG))
    assert status == 0, stderr
    mine, theirs = weights(tmp_path / "run", 400), weights(unbroken, 400)
    assert all((mine[name] == theirs[name]).all() for name in theirs)


def test_workers_and_environment_must_agree(data, monkeypatch):  # noqa: F811
    addresses = ["127.0.0.1:%d" % port for port in (2222, 2223, 2224)]
    told = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(told))
    result = CliRunner().invoke(cli.cli, COMMAND + ["--data-path", data, "--workers", "2"])
    assert result.exit_code == 1
    assert "--workers is 2, but the environment describes 3 workers" in result.output


def test_workers_with_different_settings_are_refused(data, tmp_path):  # noqa: F811
    with free_ports(3) as ports:
        children = [
            start([*COMMAND, "--data-path", data, "--train-dir", str(tmp_path / str(rank)), *flags], **environ)
            for rank, (environ, flags) in enumerate(zip(cluster.local(ports), ((), ("--check_nans", "--seed", "7"))))
        ]
        found = [ended(child) for child in children]
    for status, stderr in found:
        assert status == 1 and "the workers have different settings: check_nans is True on worker 1" in stderr, stderr
        assert "; seed is 7 on worker 1" in stderr
        assert "start all of them with the same command and the same versions" in stderr
