"""Every architecture in every format, as the table in the guide says; the files know themselves; what is refused."""
import json
import os
import re
import shutil
import stat
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from kwscli import classifiers, export, guides, models
from kwscli.data import prepare
from kwscli.devices import session
from kwscli.export import ascend_operators, checks, freeze as freezing, frozen_graph
from kwscli.labels import labels_of
from kwscli.models import network
from kwscli.runs import run_directory
from kwscli.settings import DataSettings, TrainSettings
from kwscli.sound.feature_settings import FeatureSettings

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

KEYWORDS = ("yes", "no")
# {architecture: its size}; those that are not here have their published size.
SIZES = {
    "dnn": (16, 8), "cnn": (4, 10, 4, 1, 1, 6, 10, 4, 2, 1, 8, 16), "basic_lstm": (12,), "lstm": (6, 10), "gru": (2, 8),
    "crnn": (6, 10, 4, 2, 2, 2, 8, 10), "ds_cnn": (3, 8, 10, 4, 2, 2, 8, 3, 3, 1, 2, 12, 3, 3, 1, 1),
    "ds_tc_resnet": (1, 2, 8), "bc_resnet": (4,), "conv": (6, 20, 8, 6, 10, 4), "low_latency_conv": (16, 8, 12, 12),
    "low_latency_svdf": (32, 2, 16, 16),
}
NORMALIZED = ("dnn", "gru", "ds_cnn")  # these have --normalize-features
ON_PYTHON_37 = tf.__version__.startswith("1.")


@pytest.fixture(scope="module")
def data(tones, tmp_path_factory):
    folder = tones(tmp_path_factory.mktemp("data"), words=("yes", "no", "up", "left"), speakers=30)
    prepare.prepare(folder, folder)
    return folder


def random_value(name, shape, rng):
    """A value of a variable that no step of a training would make special, such as 0 or 1."""
    if name in ("gamma", "moving_variance", "deviation"):
        return rng.uniform(0.5, 2, shape)
    return rng.uniform(-1, 1, shape) * (0.3 if len(shape) < 2 else np.sqrt(6 / sum(shape[-2:])))


def write_run(folder, architecture, data_path):
    """A run directory with random weights -> its path."""
    size = models.published(architecture)
    features = dict(size.feature_settings, features="log_mel") if architecture == "bc_resnet" else {}
    description = run_directory.Description(
        architecture, SIZES.get(architecture, size.model_size_info), labels_of(KEYWORDS), FeatureSettings(**features),
        DataSettings(wanted_words=KEYWORDS), TrainSettings(normalize_features=architecture in NORMALIZED),
        data_path=data_path, data_sha256="5ha", versions={"kws": "0.1.0"},
    )
    os.makedirs(str(folder))
    directory, rng = run_directory.RunDirectory(str(folder), description, "train_0.log", []), np.random.RandomState(0)
    directory.begin()
    directory.go_on_from(None)
    directory.metric(step=1, validation_accuracy=0.5, clips=64)
    with tf.Graph().as_default() as graph:
        network.inference(description, 1)
        saver, assigned = tf.train.Saver(), [
            tf.assign(one, random_value(one.op.name.rpartition("/")[2], one.shape.as_list(), rng).astype(np.float32))
            for one in tf.global_variables()
        ]
    with session.open_session(graph) as opened:
        opened.run(assigned)
        directory.save(1, 0.0, 0.0, (1, 0.5), lambda prefix: saver.save(
            opened, prefix, write_meta_graph=False, write_state=False
        ))
    directory.close()
    return str(folder)


@pytest.fixture(scope="module")
def run_of(data, tmp_path_factory):
    """run_of("dnn") -> the path of a run of it."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(architecture):
        if architecture not in made:
            made[architecture] = write_run(folder / architecture, architecture, data)
        return made[architecture]

    return run


@pytest.fixture
def atc(tmp_path, monkeypatch):
    """The stand-in for CANN's atc in $PATH, run by this Python."""
    folder = tmp_path / "cann"
    folder.mkdir()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_atc", "atc"), encoding="utf-8") as file:
        text = file.read()
    (folder / "atc").write_text("#!%s -Wignore\n%s" % (sys.executable, text.partition("\n")[2]))
    (folder / "atc").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])


def table():
    """{(architecture, format): "yes", "3.9+" or "no"} of the guide."""
    rows = [line.split() for line in re.search(r"^```\narchitecture.*?^```$", guides.read("formats"), re.M | re.S).group()
            .splitlines()[1:-1]]
    return {(row[0], name): cell for row in rows[1:] for name, cell in zip(rows[0][1:], row[1:])}


TABLE = table()


def test_the_table_has_every_architecture_and_format():
    assert set(TABLE) == {(architecture, name) for architecture in models.ARCHITECTURES for name in export.FORMATS}
    assert set(TABLE.values()) <= {"yes", "3.9+", "no"}


@pytest.mark.parametrize("architecture, name", TABLE)
def test_a_format_works_or_is_refused_as_the_guide_says(architecture, name, run_of, tmp_path, kws, atc):
    path = run_of(architecture)
    result = kws("freeze", "--checkpoint", path, "--format", name, "--output", str(tmp_path / "out") + "/", "--json")
    if TABLE[architecture, name] == "no" or TABLE[architecture, name] == "3.9+" and ON_PYTHON_37:
        assert result.exit_code == 1 and architecture in result.stderr.splitlines()[-1]
        assert os.listdir(str(tmp_path / "out")) == []
        return
    assert result.exit_code == 0, result.stderr
    (told,) = json.loads(result.stdout)
    assert told["format"] == name and os.path.exists(told["path"])
    assert name == "tflite-int8" or told["difference"] <= checks.TOLERANCE
