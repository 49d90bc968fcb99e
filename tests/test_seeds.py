"""`kws train --seeds N`: N runs that differ in their seed, what is interrupted continues, and the mean of all."""
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from test_train import SMALL, arguments, assert_same_run, data, train, weights  # noqa: F401  (data is a fixture)

from kwscli.runs.run_directory import RunResult
from kwscli.training import seeds

QUICK = (
    "--how_many_training_steps", "20", "--learning_rate", "0.01", "--batch_size", "20", "--eval_step_interval", "10",
    "--save_interval", "5",
)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def command(data, path, *flags):  # noqa: F811
    return [
        sys.executable, "-W", "ignore", "-m", "kwscli", "train", "--data-path", data, "--train-dir", str(path),
        *SMALL, *QUICK, *flags,
    ]


def start(data, path, *flags):  # noqa: F811
    """`kws train` as a process."""
    return subprocess.Popen(
        command(data, path, *flags), env=dict(os.environ, PYTHONPATH=ROOT), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True,
    )


def ended(child):
    """(exit status, stdout, stderr) of a process."""
    stdout, stderr = child.communicate(timeout=300)
    return child.returncode, stdout, stderr


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):  # noqa: F811
    """A folder for two seeds whose process was stopped in the second one -> (folder, exit status, stderr)."""
    path = tmp_path_factory.mktemp("seeds") / "runs"
    child = start(data, path, "--seed", "7", "--seeds", "2")
    seen = []
    for line in child.stderr:
        seen.append(line)
        if line.startswith("Step 10:") and any("Training with seed 8" in one for one in seen):
            child.send_signal(signal.SIGTERM)
            break
    status, _, rest = ended(child)
    return path, status, "".join(seen) + rest


def test_a_signal_stops_the_training_of_one_seed_and_says_what_is_done(stopped):
    path, status, stderr = stopped
    assert status == 128 + signal.SIGTERM, stderr
    assert "saved in %s" % (path / "seed-8") in stderr
    assert stderr.splitlines()[-1] == (
        "Error: stopped in the training with seed 8; 1 of 2 seeds are finished; the same command continues from there"
    )
    assert "Traceback" not in stderr


def test_the_same_command_continues_and_reports_the_mean(data, stopped, tmp_path, monkeypatch):  # noqa: F811
    path = stopped[0]
    before = (path / "seed-7" / "state.json").stat().st_mtime_ns
    status, stdout, stderr = ended(start(data, path, "--seed", "7", "--seeds", "2"))
    assert status == 0, stderr
    assert "The training with seed 7 is finished: %s.\n" % (path / "seed-7") in stderr
    assert "Training with seed 8, 2 of 2.\n" in stderr and "Continuing after step 1" in stderr
    assert (path / "seed-7" / "state.json").stat().st_mtime_ns == before, "it was trained again"
    states = [json.loads((path / ("seed-%d" % seed) / "state.json").read_text()) for seed in (7, 8)]
    rows = re.findall(r"^ +(\d) +([\d.]+) % +([\d.]+) % +(\d+)$", stdout, re.MULTILINE)
    assert rows == [
        (str(seed), "%.2f" % (100 * one["checkpoints"][-1]["best_accuracy"]), "%.2f" % (100 * one["test_accuracy"]),
         str(one["test_clips"]))
        for seed, one in zip((7, 8), states)
    ]
    assert "mean of 2 seeds on testing: " in stdout and "mean of 2 seeds on validation: " in stdout
    assert stdout.splitlines()[-1].startswith("The interval is that of the mean over seeds ")
    assert ended(start(data, tmp_path / "run", "--seed", "8"))[0] == 0
    monkeypatch.setattr("test_train.weights", lambda path: weights(path, 20))
    assert_same_run(path / "seed-8", tmp_path / "run")


def test_runs_with_other_settings_are_refused(data, stopped):  # noqa: F811
    status, stdout, stderr = ended(start(data, stopped[0], "--seed", "7", "--seeds", "2", "--batch_size", "10"))
    assert (status, stdout) == (1, "")
    assert "contains a run with other settings (now batch_size 10, not 20)" in stderr
    assert stderr.splitlines()[-1] == (
        "Error: the training with seed 7 failed; 0 of 2 seeds are finished; solve the problem above, and run the same "
        "command again"
    )


def test_a_folder_that_holds_a_run_is_refused(data, tmp_path):  # noqa: F811
    (tmp_path / "model.json").write_text("{}")
    result = train(data, tmp_path, "--seeds", "3")
    assert result.exit_code == 1 and result.output == (
        "Error: %s contains a run, so the runs of several seeds cannot go into it; choose another --train-dir\n"
        % tmp_path
    )


@pytest.mark.parametrize("flags, status, message", [
    (["--seeds", "0"], 2, "0 is not in the range 1<=x<=1000."),
    (["--seeds", "-1"], 2, "-1 is not in the range"),
    (["--seeds", "three"], 2, "'three' is not a valid integer range."),
    (["--seeds", "3", "--seed", "2147483646"], 1,
     "Error: --seed 2147483646 and --seeds 3 go beyond the largest seed, 2147483647; lower --seed"),
])
def test_seeds_that_cannot_be(data, tmp_path, flags, status, message):  # noqa: F811
    result = train(data, tmp_path / "runs", *flags)
    assert result.exit_code == status and message in result.output
    assert not (tmp_path / "runs").exists()


def test_a_worker_of_a_cluster_does_not_train_several_seeds(data, tmp_path, monkeypatch):  # noqa: F811
    workers = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers))
    result = train(data, tmp_path / "runs", "--seeds", "2")
    assert result.exit_code == 1 and "the environment describes 2 workers; start a training per seed" in result.output


@pytest.fixture
def commands(monkeypatch):
    """The commands that --seeds would run; each of them ends at once with the status 1."""
    found = []
    monkeypatch.setattr(seeds.launch, "launch", lambda size, command, environments: found.append(command) or 1)
    return found


def test_each_training_gets_all_flags_and_folders_of_its_own(data, tmp_path, commands, monkeypatch):  # noqa: F811
    flags = "--seeds", "2", "--workers", "2", "--seed", "5", "--summaries-dir", str(tmp_path / "events")
    given = arguments(data, tmp_path / "runs", *flags)
    monkeypatch.setattr(sys, "argv", ["kws"] + given)
    assert train(data, tmp_path / "runs", *flags).exit_code == 1
    own = ["--seeds", "1", "--seed", "5", "--train-dir", str(tmp_path / "runs" / "seed-5")]
    own += ["--summaries-dir", str(tmp_path / "events" / "seed-5")]
    assert commands == [[sys.executable, "-m", "kwscli"] + given + own]


@pytest.mark.parametrize("values, mean, low, high", [
    # Student's t at 97.5 % is 4.302653 with 2 degrees of freedom, and 2.776445 with 4.
    ((0.95, 0.96, 0.97), 0.96, 0.96 - 4.302653 * 0.01 / 3 ** 0.5, 0.96 + 4.302653 * 0.01 / 3 ** 0.5),
    ((0.5, 0.5, 0.5, 0.6, 0.6), 0.54, 0.54 - 2.776445 * 0.0006 ** 0.5, 0.54 + 2.776445 * 0.0006 ** 0.5),
    ((0.9, 0.9), 0.9, 0.9, 0.9),
    ((0.0, 1.0), 0.5, 0.0, 1.0),  # an accuracy is never more than 1
])
def test_the_interval_of_a_mean(values, mean, low, high):
    assert seeds.mean_interval(values) == pytest.approx((mean, low, high), abs=1e-6)


def test_what_was_not_measured_has_no_mean():
    shown = str(seeds.Report(((1, RunResult(0.9, None, 0)), (2, RunResult(0.8, None, 0)))))
    assert "mean of 2 seeds on validation: 85.00 %" in shown and "on testing" not in shown
    assert shown.splitlines()[1].split() == ["1", "90.00", "%", "-", "0"]
