"""`kws train`: its files, and that a run which is stopped at any moment and continued ends with the same bits."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kwscli import cli, files, imports, interrupts
from kwscli.data import prepare
from kwscli.runs import run_directory

tf = pytest.importorskip("tensorflow.compat.v1")

from kwscli.training import tensorboard  # noqa: E402  needs TensorFlow

WORDS = ("low", "middle", "high")
SMALL = ("--wanted_words", "low,high", "--model_size_info", "2", "8", "10", "4", "2", "2", "8", "3", "3", "1", "1")
STEPS = 30
SCHEDULE = (
    "--how_many_training_steps", "20,10", "--learning_rate", "0.01,0.001", "--batch_size", "20",
    "--eval_step_interval", "10", "--save_interval", "5",
)


def write_word(folder, word, hertz, speakers, rng):
    """One recording of a tone for each speaker."""
    os.makedirs(os.path.join(folder, word))
    for speaker in range(speakers):
        time = np.arange(16000) / 16000
        tone = 0.3 * np.sin(2 * np.pi * hertz * time * (1 + 0.03 * rng.randn())) * (time > 0.2) * (time < 0.7)
        path = os.path.join(folder, word, "%08x_nohash_0.wav" % speaker)
        soundfile.write(path, tone + 0.01 * rng.randn(16000), 16000)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared data of three words, each a tone of its own, and background noise."""
    folder, rng = str(tmp_path_factory.mktemp("data")), np.random.RandomState(0)
    for word, hertz in zip(WORDS, (300, 900, 2500)):
        write_word(folder, word, hertz, 60, rng)
    os.makedirs(os.path.join(folder, "_background_noise_"))
    soundfile.write(os.path.join(folder, "_background_noise_", "noise.wav"), 0.1 * rng.randn(48000), 16000)
    prepare.prepare(folder, folder)
    return folder


def arguments(data, path, *more):
    return ["train", "--data-path", data, "--train-dir", str(path), *SMALL, *SCHEDULE, *more]


def train(data, path, *more):
    """`kws train` in this process -> click's result."""
    return CliRunner().invoke(cli.cli, arguments(data, path, *more))


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """The run that nothing interrupted."""
    path = tmp_path_factory.mktemp("unbroken") / "run"
    result = train(data, path)
    assert result.exit_code == 0, result.output
    return path


def weights(path, step=STEPS, architecture="ds_cnn"):
    """{variable: value} of a checkpoint in a run directory, the optimiser's included."""
    return weights_of_prefix(path / ("%s-%d.ckpt" % (architecture, step)))


def weights_of_prefix(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_run(path, other):
    """Weights equal to the bit; the same lines, none doubled or missing, in metrics and log."""
    mine, theirs = weights(path), weights(other)
    assert set(mine) == set(theirs)
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
    assert untimed(path) == untimed(other)
    assert losses(path) == losses(other)
    mine, theirs = [os.path.basename(run_directory.resolve(str(one))[1]) for one in (path, other)]
    assert mine == theirs


def untimed(path):
    timing = ("examples_per_second", "data_wait", "elapsed")
    return [{k: v for k, v in line.items() if k not in timing} for line in run_directory.read_metrics(str(path))]


def losses(path):
    return [line for line in (path / "train_0.log").read_text().splitlines() if line.startswith("Step")]


def test_a_run_has_everything_that_is_needed_to_use_it(unbroken, data):
    model = json.loads((unbroken / "model.json").read_text())
    assert model["architecture"] == "ds_cnn" and model["labels"] == ["_silence_", "_unknown_", "low", "high"]
    assert model["data_path"] == data and model["train"]["seed"] == 59185
    assert model["versions"]["tensorflow"] == tf.__version__
    assert (unbroken / "labels.txt").read_text().split() == model["labels"]
    assert len([line for line in losses(unbroken) if line.startswith("Step #")]) == STEPS
    assert re.search(r"Final test accuracy = [\d.]+% \(N=\d+\)", (unbroken / "train_0.log").read_text())
    assert any(name.startswith("events.out") for name in os.listdir(str(unbroken / "summaries")))
    speed = r"^Speed at #10: \d+ examples/s, \d+ % of the time waiting for data$"
    assert re.search(speed, (unbroken / "train_0.log").read_text(), re.MULTILINE)


def test_the_summary_has_the_keys_of_the_references_log(unbroken):
    keys = ("Network RankSize BatchSize DeviceType CaseName ActualFPS TrainingTime ActualLoss E2ETrainingTime "
            "TrainAccuracy").split()
    for text in ((unbroken / "ds_cnn_bs20_1p_acc.log").read_text(), (unbroken / "train_0.log").read_text()):
        assert [line.split(" = ")[0] for line in text.splitlines()[-len(keys):]] == keys


def test_only_the_last_two_checkpoints_and_the_best_are_kept(unbroken):
    kept = {int(re.search(r"-(\d+)\.ckpt", name).group(1)) for name in os.listdir(str(unbroken)) if ".ckpt" in name}
    best = run_directory.read_state(str(unbroken))[1][-1].best_step
    assert kept == {25, 30, best}


def test_the_same_seed_gives_the_same_weights_with_any_number_of_threads(data, unbroken, tmp_path):
    assert train(data, tmp_path / "run", "--data-threads", "1").exit_code == 0
    assert_same_run(tmp_path / "run", unbroken)


def test_another_seed_gives_other_weights(data, unbroken, tmp_path):
    assert train(data, tmp_path / "run", "--seed", "1").exit_code == 0
    assert not np.array_equal(weights(tmp_path / "run")["ds_cnn/fc1/weights"], weights(unbroken)["ds_cnn/fc1/weights"])


# A child process that signals reach when the named method has ended for the `count`-th time.
CHILD = """
import os, signal, sys
from kwscli import cli
from kwscli.runs import run_directory
from kwscli.training import loop
owner, name, count, numbers = {owner}, {name!r}, {count}, {numbers}
original = getattr(owner, name)

def patched(self, *args, **kwargs):
    global count
    result = original(self, *args, **kwargs)
    count -= 1
    for number in numbers if count == 0 else ():
        os.kill(os.getpid(), number)
    return result

setattr(owner, name, patched)
sys.argv = ["kws"] + {arguments!r}
cli.main()
"""
STEP = ("loop._Trainer", "_advance")
FILES = ("run_directory.RunDirectory", "_prune")  # a checkpoint's files are there, state.json does not say so yet
STATE = ("run_directory.RunDirectory", "_write_state")


def break_off(data, path, point, count, *numbers):
    """`kws train` in a process that signals reach at a point -> its exit status and stderr."""
    script = CHILD.format(
        owner=point[0], name=point[1], count=count, numbers=[int(one) for one in numbers],
        arguments=arguments(data, path),
    )
    child = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, universal_newlines=True)
    return child.returncode, child.stderr


@pytest.mark.parametrize("point, count", [(STEP, 3), (STEP, 18), (FILES, 3), (STATE, 4)])
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bits(data, unbroken, tmp_path, point, count):
    status, _ = break_off(data, tmp_path / "run", point, count, signal.SIGKILL)
    assert status == -signal.SIGKILL
    result = train(data, tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert_same_run(tmp_path / "run", unbroken)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_saves_and_says_how_to_continue(data, unbroken, tmp_path, number, status):
    exit_status, stderr = break_off(data, tmp_path / "run", STEP, 13, number)
    assert exit_status == status
    assert "stopped after step 14 of 30, saved in" in stderr or "stopped after step 13 of 30, saved in" in stderr
    assert "the same command continues from there" in stderr and "Traceback" not in stderr
    assert train(data, tmp_path / "run").exit_code == 0
    assert_same_run(tmp_path / "run", unbroken)


def test_a_signal_to_a_process_and_its_group_is_one(data, tmp_path):
    status, stderr = break_off(data, tmp_path / "run", STEP, 13, signal.SIGTERM, signal.SIGTERM)
    assert status == 143 and stderr.count("Stopping after this step") == 1 and "saved in" in stderr


def test_a_closed_terminal_saves_though_nothing_can_be_written_to_it(data, unbroken, tmp_path, monkeypatch):
    terminal = (
        "import os, pty, signal\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may run the tests\n"
        "terminal, inside = pty.openpty()\nos.dup2(inside, 2)\nos.close(inside)\n"
    )
    monkeypatch.setitem(globals(), "CHILD", terminal + CHILD.replace("os.kill(", "os.close(terminal); os.kill("))
    break_off(data, tmp_path / "run", STEP, 13, signal.SIGHUP)
    result = train(data, tmp_path / "run")
    assert re.search("Continuing after step 1[34] of 30", result.output), result.output
    assert_same_run(tmp_path / "run", unbroken)


def test_a_closed_terminal_does_not_stop_it_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.signals_close(), interrupts.StopRequest() as request:
            os.kill(os.getpid(), signal.SIGHUP)
        assert request.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_ends_at_once(data, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "CHILD", "from kwscli import interrupts; interrupts.SAME_SIGNAL = 0\n" + CHILD)
    status, stderr = break_off(data, tmp_path / "run", STEP, 13, signal.SIGTERM, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM and "saved in" not in stderr


def test_ctrl_c_outside_the_steps_is_one_line(data, tmp_path, monkeypatch):
    monkeypatch.setattr(run_directory, "opened", lambda *args: os.kill(os.getpid(), signal.SIGINT))
    result = train(data, tmp_path / "run")
    assert (result.exit_code, result.output.splitlines()[-1]) == (130, "Error: stopped")


def test_ctrl_c_in_an_import_waits_for_its_end():
    after = []
    with pytest.raises(KeyboardInterrupt), imports.guarded():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:  # as modules do that fall back on something else
            pass
        after.append(signal.getsignal(signal.SIGINT))
    assert after and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.version_info < (3, 8), reason="TensorFlow 1.15 says nothing")
@pytest.mark.parametrize("end, all_of_it, status, shown", [
    ("", "", 0, "matters\n"),
    ("raise ImportError", "", 1, "matters\nTraceback"),
    ("os.abort()", "", -signal.SIGABRT, "Fatal Python error: Aborted"),
    ("os.abort()", "1", -signal.SIGABRT, "I0000 00:00:1795541550.624496   11790 port.cc:153] oneDNN"),
])
def test_an_import_shows_only_what_matters(end, all_of_it, status, shown):
    says = b"I0000 00:00:1795541550.624496   11790 port.cc:153] oneDNN custom operations are on.\nmatters\n"
    code = "import os\nfrom kwscli import imports\nwith imports.guarded():\n    os.write(2, %r)\n    %s" % (says, end)
    child = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, universal_newlines=True,
        env=dict(os.environ, KWS_TRACEBACK=all_of_it),
    )
    assert child.returncode == status and child.stderr.startswith(shown), child.stderr


def test_a_folder_for_tensorboard_that_cannot_be_made_is_an_error(data, tmp_path):
    (tmp_path / "file").write_text("")
    result = train(data, tmp_path / "run", "--summaries_dir", str(tmp_path / "file" / "logs"))
    assert result.exit_code == 1 and result.output.splitlines()[-1].startswith("Error: cannot use %s" % tmp_path)


def test_a_run_without_a_checkpoint_is_overwritten(data, tmp_path):
    assert break_off(data, tmp_path / "run", STEP, 3, signal.SIGKILL)[0] == -signal.SIGKILL
    assert train(data, tmp_path / "run", "--seed", "5").exit_code == 0


def unfinished_copy(data, tmp_path):
    """A run stopped after its last checkpoint but before the end."""
    status, _ = break_off(data, tmp_path / "run", STEP, 28, signal.SIGKILL)
    assert status == -signal.SIGKILL
    return tmp_path / "run"


@pytest.mark.parametrize("file", ["ds_cnn-25.ckpt.data-00000-of-00001", "ds_cnn-25.ckpt.index"])
def test_a_truncated_checkpoint_is_named_and_the_one_before_is_used(data, unbroken, tmp_path, file):
    path = unfinished_copy(data, tmp_path)
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: len(whole) // 2])
    result = train(data, path)
    assert result.exit_code == 0, result.output
    assert "ds_cnn-25.ckpt cannot be read" in result.output and "using the one before" in result.output
    assert "Continuing after step 20" in result.output
    assert_same_run(path, unbroken)


def test_a_finished_run_is_not_trained_again(data, unbroken):
    result = train(data, unbroken)
    assert result.exit_code == 1
    assert "contains a finished run with these settings" in result.output and "--overwrite" in result.output


def test_a_run_with_other_settings_is_refused_and_named(data, unbroken):
    result = train(data, unbroken, "--seed", "7", "--time_shift_ms", "50")
    assert result.exit_code == 1
    assert "seed 7, not 59185" in result.output and "time_shift_ms 50.0, not 100.0" in result.output
    assert weights(unbroken)


def test_overwrite_deletes_the_existing_run(data, tmp_path):
    assert train(data, tmp_path / "run", "--seed", "7").exit_code == 0
    assert train(data, tmp_path / "run", "--overwrite").exit_code == 0
    assert json.loads((tmp_path / "run" / "model.json").read_text())["train"]["seed"] == 59185
    assert len([line for line in losses(tmp_path / "run") if line.startswith("Step #")]) == STEPS


def test_a_second_process_in_the_same_run_directory_is_refused(data, tmp_path):
    with files.only_one(str(tmp_path / "run"), "is training in"):
        result = train(data, tmp_path / "run")
    assert result.exit_code == 1 and "another process is training in" in result.output


def test_training_that_diverges_stops_and_keeps_the_last_good_checkpoint(data, tmp_path):
    schedule = "--how_many_training_steps", "5,25", "--learning_rate", "0.001,1e30"
    result = train(data, tmp_path / "run", *schedule)
    assert result.exit_code == 1
    assert re.search(r"training diverged at step \d+: .*ds_cnn-5.ckpt", result.output)
    assert all(np.isfinite(value).all() for value in weights(tmp_path / "run", 5).values())


def test_check_nans_names_the_tensor(data, tmp_path):
    schedule = "--how_many_training_steps", "5,25", "--learning_rate", "0.001,1e30"
    result = train(data, tmp_path / "run", *schedule, "--check_nans")
    assert result.exit_code == 1
    assert re.search(r"training diverged at step \d+: in ds_cnn", result.output), result.output


def test_a_run_can_start_with_the_weights_of_another(data, unbroken, tmp_path):
    shutil.copytree(str(unbroken), str(tmp_path / "start"))
    flags = "--start_checkpoint", str(tmp_path / "start"), "--wanted_words", "low,middle,high"
    result = train(data, tmp_path / "run", *flags)
    assert result.exit_code == 0, result.output
    assert re.search(r"Starting from ds_cnn-\d+.ckpt; new: middle\.\n", result.output)
    shutil.rmtree(str(tmp_path / "start"))  # a run that goes on needs it no more
    again = train(data, tmp_path / "run", *flags)
    assert again.exit_code == 1 and "contains a finished run with these settings" in again.output


@pytest.mark.parametrize("start", ["", "ds_cnn-30.ckpt"])
def test_a_run_cannot_start_with_the_weights_of_one_that_it_replaces(unbroken, data, tmp_path, start):
    shutil.copytree(str(unbroken), str(tmp_path / "run"))
    before = sorted(os.listdir(str(tmp_path / "run")))
    flags = "--start_checkpoint", str(tmp_path / "run" / start), "--wanted_words", "low,middle", "--overwrite"
    result = train(data, tmp_path / "run", *flags)
    assert result.exit_code == 1
    assert "which is also the train dir of this run; choose another --train-dir" in result.output
    assert sorted(os.listdir(str(tmp_path / "run"))) == before


def test_a_run_inside_the_train_dir_can_be_the_start(unbroken, data, tmp_path):
    shutil.copytree(str(unbroken), str(tmp_path / "run" / "base"))
    result = train(data, tmp_path / "run", "--start_checkpoint", str(tmp_path / "run" / "base"))
    assert result.exit_code == 0 and "Starting from ds_cnn-" in result.output, result.output


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_other_files_in_the_train_dir_stay(unbroken, data, tmp_path, flags):
    others = ["pretrained.ckpt.index", "conv.ckpt-400.index", "notes.log", "ds_cnn.ckpt.meta"]
    if flags:
        shutil.copytree(str(unbroken), str(tmp_path / "run"))
    (tmp_path / "run").mkdir(exist_ok=True)
    for name in others:
        (tmp_path / "run" / name).write_text("precious")
    assert train(data, tmp_path / "run", *flags).exit_code == 0
    assert set(others) <= set(os.listdir(str(tmp_path / "run")))
    assert_same_run(tmp_path / "run", unbroken)


def events_in(folder):
    """The events of the only event file in a folder."""
    name, = os.listdir(str(folder))
    return list(tf.train.summary_iterator(str(folder / name)))


def test_tensorboard_drops_the_events_after_the_step_that_a_run_continues_from(tmp_path):
    from kwscli.training.tensorboard import Summaries

    summaries = Summaries(str(tmp_path), 20)
    assert os.listdir(str(tmp_path)) == []
    summaries.open()
    summaries.close()
    first, second = events_in(tmp_path)
    assert first.file_version == "brain.Event:2" and first.wall_time > 1e9
    assert second.step == 21 and second.session_log.status == tf.SessionLog.START  # the first that is dropped


def test_tensorboard_gets_the_loss_and_the_accuracy(unbroken):
    events = [event for event in events_in(unbroken / "summaries") if event.summary.value]
    found = {(event.step, value.tag): value for event in events for value in event.summary.value}
    assert {step for step, tag in found if tag == "loss"} == {10, 20, 30}
    metrics = {(line["step"], name): value for line in run_directory.read_metrics(str(unbroken))
               for name, value in line.items()}
    for key in ((30, "loss"), (10, "validation_accuracy"), (20, "learning_rate")):
        assert found[key].simple_value == pytest.approx(metrics[key])


def test_events_that_cannot_be_written_are_reported_once_and_the_training_continues(
    data, unbroken, tmp_path, monkeypatch
):
    monkeypatch.setattr(tensorboard, "event_file_name", lambda: "/dev/full")  # which is always full
    result = train(data, tmp_path / "run")
    assert result.exit_code == 0, result.output
    told = [line for line in result.output.splitlines() if "TensorBoard" in line and "matplotlib" not in line]
    assert told == ["Cannot write TensorBoard's events: /dev/full; No space left on device. "
                    "The training continues without them."]
    assert_same_run(tmp_path / "run", unbroken)


def test_a_name_that_is_not_utf_8_is_an_error(data, tmp_path):
    result = train(data, tmp_path / b"\xff".decode(errors="surrogateescape"))
    assert result.exit_code == 1 and "is not valid UTF-8; rename it" in result.output, result.output


def test_a_full_disk_is_one_line_and_the_run_can_continue(data, unbroken, tmp_path, monkeypatch):
    original, calls = run_directory.RunDirectory._write_state, []

    def full(self, finished):
        calls.append(finished)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", str(tmp_path / "run" / "state.json"))
        original(self, finished)

    monkeypatch.setattr(run_directory.RunDirectory, "_write_state", full)
    result = train(data, tmp_path / "run")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: cannot use") and "free some space" in result.output
    assert train(data, tmp_path / "run").exit_code == 0
    assert_same_run(tmp_path / "run", unbroken)


def test_a_network_learns_and_inference_does_not_change_it(data, tmp_path):
    schedule = ("--how_many_training_steps", "120", "--learning_rate", "0.01")
    result = train(data, tmp_path / "run", *schedule)
    assert result.exit_code == 0
    accuracy = run_directory.read_state(str(tmp_path / "run"))[1][-1].best_accuracy
    assert accuracy > 0.8, result.output
    before = weights(tmp_path / "run", 120)
    assert CliRunner().invoke(cli.cli, ["eval", "--checkpoint", str(tmp_path / "run")]).exit_code == 0
    after = weights(tmp_path / "run", 120)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_dumps_traces_and_checks_do_not_change_the_weights(data, unbroken, tmp_path):
    """With the options as the seed's shell script spells them."""
    flags = "--over_dump=True --data_dump_flag=1 --data_dump_step=0|5 --profiling=True".split()
    result = train(data, tmp_path / "run", *flags, "--data_save_path", str(tmp_path / "saved"))
    assert result.exit_code == 0, result.output
    assert_same_run(tmp_path / "run", unbroken)
    assert {"dump", "profiling"} <= set(os.listdir(str(tmp_path / "saved")))
    assert "index.csv" in os.listdir(str(tmp_path / "saved" / "dump" / "5"))
    assert "ui.perfetto.dev" in result.output


def test_over_dump_saves_the_tensors_that_overflow(data, tmp_path):
    schedule = "--how_many_training_steps", "5,25", "--learning_rate", "0.001,1e30"
    result = train(data, tmp_path / "run", *schedule, "--over_dump=True")
    assert result.exit_code == 1
    (step,) = os.listdir(str(tmp_path / "run" / "data" / "over_dump"))
    assert "training diverged at step %s" % step in result.output
