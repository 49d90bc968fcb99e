"""Without TensorFlow: light models beside checkpoints, `kws label`, and what other commands say."""
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile
from test_freeze import noise, write_run

from kwscli import classifiers, pretrained
from kwscli.classifiers import interpreter, light as light_models
from kwscli.errors import KwsError
from kwscli.export import light
from kwscli.runs import run_directory

PACKAGES = os.path.dirname(os.path.dirname(pretrained.__file__))
SMALL = any(find_spec(name.partition(".")[0]) for name in interpreter._SMALL)
# A TensorFlow that is not there.
BLOCKED = (
    "import importlib.abc, sys\n"
    "class Blocker(importlib.abc.MetaPathFinder):\n"
    "    def find_spec(self, name, path, target=None):\n"
    "        if name.partition('.')[0] == 'tensorflow':\n"
    "            raise ModuleNotFoundError('No module named ' + name, name=name)\n"
    "sys.meta_path.insert(0, Blocker())\n"
    "from kwscli.cli import main\n"
    "main()"
)


@pytest.fixture
def recording(tmp_path):
    path = str(tmp_path / "tone.wav")
    soundfile.write(path, 0.3 * np.sin(np.arange(16000) / 5), 16000)
    return path


def a_run(folder):
    """A run directory with one checkpoint, the best one -> its path."""
    return str(write_run(folder))


def without_tensorflow(*arguments):
    packages = os.pathsep.join([os.path.dirname(PACKAGES), os.environ.get("PYTHONPATH", "")])
    environ = dict(os.environ, PYTHONPATH=packages)
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, arguments)], env=environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True,
    )


@pytest.mark.skipif(not SMALL, reason="no small interpreter is installed")
def test_label_and_eval_work_without_tensorflow(recording, tones, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = without_tensorflow("label", recording)
    assert found.returncode == 0 and found.stdout.count("%") == 3, found.stderr
    folder = tones(tmp_path / "clips", words=("yes", "no"), speakers=3, background=False)
    found = without_tensorflow("eval", "--data-path", folder, "--json")
    assert found.returncode == 0 and json.loads(found.stdout)["clips"] == 6, found.stderr


@pytest.mark.skipif(not SMALL, reason="no small interpreter is installed")
def test_label_takes_the_light_model_of_a_run(recording, tmp_path):
    run = a_run(tmp_path / "run")
    found = without_tensorflow("label", "--checkpoint", run, recording)
    assert found.returncode == 1 and "this needs TensorFlow, which is not installed; pip install" in found.stderr
    light.update(run)
    assert without_tensorflow("label", "--checkpoint", run, recording).stdout.count("%") == 3


@pytest.mark.parametrize("arguments", [
    ["train", "--data-path", "clips"], ["freeze"], ["eval", "--checkpoint", "RUN", "--data-path", "clips"],
    ["freeze", "--checkpoint", "RUN"],
])
def test_other_commands_say_what_to_install(arguments, tones, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tones(tmp_path / "clips", speakers=3)
    run = a_run(tmp_path / "run")
    found = without_tensorflow(*[run if one == "RUN" else one for one in arguments])
    assert found.returncode == 1 and found.stderr.count("\n") == 1, found.stderr
    assert 'this needs TensorFlow, which is not installed; pip install "tensorflow' in found.stderr


def test_a_light_model_belongs_to_one_checkpoint(tmp_path):
    run = a_run(tmp_path / "run")
    assert light_models.find(run) is None
    light.update(run)
    path = light_models.find(run)
    assert path == os.path.join(run, run_directory.LIGHT)
    with classifiers.open(run) as exact, classifiers.open(run, light=True) as quick:
        assert (quick.path, quick.labels, quick.features) == (path, exact.labels, exact.features)
        clips = noise(exact.features)
        np.testing.assert_allclose(quick.scores(clips), exact.scores(clips), atol=1e-5)
    before = os.stat(path).st_mtime_ns
    light.update(run)
    assert os.stat(path).st_mtime_ns == before, "it was fresh"
    index = run_directory.resolve(run)[1] + ".index"
    with open(index, "ab") as file:
        file.write(b"x")
    assert light_models.find(run) is None, "it is that of other weights"


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "half"])
def test_a_damaged_light_model_is_made_again(tmp_path, content):
    run = a_run(tmp_path / "run")
    light.update(run)
    path = os.path.join(run, run_directory.LIGHT)
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(whole[: len(whole) // 2] if content is None else content)
    assert light_models.find(run) is None
    light.update(run)
    assert light_models.find(run) == path


def test_a_failure_is_one_line(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise KwsError("no converter")

    from kwscli.export import tflite
    run = a_run(tmp_path / "run")
    monkeypatch.setattr(tflite, "write", refuse)
    light.update(run)
    assert "There is no light model in %s, so kws label waits for TensorFlow: no converter." % run in (
        capsys.readouterr().err
    )
    assert not os.path.exists(os.path.join(run, run_directory.LIGHT))


@pytest.mark.parametrize("seconds, made", [(100, []), (499, []), (501, [400])])
def test_light_models_take_a_hundredth_of_the_time(monkeypatch, seconds, made):
    calls, clock = [], iter(range(0, 1000, 4))
    monkeypatch.setattr(light, "update", calls.append)
    monkeypatch.setattr(light.time, "monotonic", lambda: next(clock))
    refresher = light.Refresher("run")
    for step in (400, 400):
        refresher.refresh(step, seconds)
    assert calls == ["run"] * len(made)
    refresher.refresh(800, 790 if made else 0)  # 4 s are spent, and the next one takes 4 s
    assert len(calls) == len(made)
    refresher.refresh(800, 801)
    assert len(calls) == len(made) + 1
