"""TensorFlow Lite files: they describe themselves, and what is not such a file is refused."""
import json
import os
import zipfile

import numpy as np
import pytest
from test_freeze import KEYWORDS, noise, write_run

from kwscli import classifiers
from kwscli.errors import KwsError
from kwscli.export import freeze as freezing, tflite, tflite_int8
from kwscli.labels import labels_of
from kwscli.sound.feature_settings import FeatureSettings

tf = pytest.importorskip("tensorflow.compat.v1")


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def recordings(tones, tmp_path, kws):
    """Prepared data."""
    path = tones(tmp_path / "recordings", words=KEYWORDS + ("up",), speakers=40)
    assert kws("prepare", "--data-path", path).exit_code == 0
    return path


def test_a_file_says_how_to_use_it(a_run, recordings, tmp_path):
    formats = ["tflite", "tflite-int8"]
    for one in freezing.freeze(a_run, str(tmp_path / "new" / "x.tflite"), recordings, formats):
        os.rename(one.path, str(tmp_path / "alone.tflite"))
        with classifiers.open(str(tmp_path / "alone.tflite")) as model:
            assert (model.labels, model.features, model.data_path) == (labels_of(KEYWORDS), FeatureSettings(), "")
            scores = model.scores(noise(model.features))
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=0.02)
        with zipfile.ZipFile(str(tmp_path / "alone.tflite")) as archive:
            assert archive.read("labels.txt").decode().split() == list(labels_of(KEYWORDS))
        (tmp_path / "other.txt").write_text("_silence_\n_unknown_\nno\nyes\n")
        with pytest.raises(KwsError, match=r"alone.tflite contains its labels \(.*\), and .* has others; leave"):
            classifiers.open(str(tmp_path / "alone.tflite"), str(tmp_path / "other.txt"))
    assert sorted(os.listdir(str(tmp_path / "new"))) == ["x_labels.txt"]


def test_integers_inside_and_outside(a_run, recordings, tmp_path):
    (written,) = freezing.freeze(a_run, str(tmp_path) + "/", recordings, ["tflite-int8"])
    with open(written.path, "rb") as file:
        opened = tf.lite.Interpreter(model_content=file.read())
    ends = opened.get_input_details() + opened.get_output_details()
    assert [one["dtype"] for one in ends] == [np.int8, np.int8] and all(one["quantization"][0] for one in ends)
    assert {one["dtype"] for one in opened.get_tensor_details()} <= {np.int8, np.int32}
    assert "% equal answers on " in written.check


def test_integers_need_clips(a_run, tmp_path):
    with pytest.raises(KwsError, match="need training clips to choose their scales, and there is no prepared data in "):
        freezing.freeze(a_run, str(tmp_path / "x"), str(tmp_path), ["tflite-int8"])
    assert os.listdir(str(tmp_path)) == []


def test_a_large_loss_is_a_warning(a_run, recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tflite_int8, "AGREEMENT_WANTED", 1.1)
    freezing.freeze(a_run, str(tmp_path) + "/", recordings, ["tflite-int8"])
    assert "Warning: 8-bit integers change the answers of this network: accuracy " in capsys.readouterr().err


@pytest.mark.parametrize("damage, message", [
    (lambda content: content[: len(content) // 2], "x.tflite does not contain the description of a network: it is cut"),
    (lambda content: b"", "x.tflite does not contain the description of a network"),
    (lambda content: b"text\n" * 99, "x.tflite does not contain the description of a network"),
    (None, "there is no model file .*x.tflite; check the name"),
], ids=["half", "empty", "text", "missing"])
def test_files_that_are_no_network(a_run, tmp_path, damage, message):
    path = tmp_path / "x.tflite"
    freezing.freeze(a_run, str(path), None, ["tflite"])
    content = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(content))
    with pytest.raises(KwsError, match=message):
        classifiers.open(str(path))


def test_a_description_without_its_network(a_run, tmp_path):
    path = str(tmp_path / "x.tflite")
    freezing.freeze(a_run, path, None, ["tflite"])
    with zipfile.ZipFile(path) as archive:
        described = archive.read("model.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", described)
    with pytest.raises(KwsError, match="x.tflite cannot be run: "):
        classifiers.open(path)


def test_a_description_of_another_network(a_run, tmp_path):
    path = str(tmp_path / "x.tflite")
    freezing.freeze(a_run, path, None, ["tflite"])
    with zipfile.ZipFile(path) as archive:
        values = json.loads(archive.read("model.json").decode())
    values["features"]["dct_coefficient_count"] = 20
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("model.json", json.dumps(values))
    with pytest.raises(KwsError, match=r"have the shapes \[\[1, 490\], .* but its model.json describes \[\[1, 980\]"):
        classifiers.open(path)


def test_a_training_cannot_start_from_it(a_run, tmp_path):
    path = str(tmp_path / "x.tflite")
    freezing.freeze(a_run, path, None, ["tflite"])
    with pytest.raises(KwsError, match="a training cannot start with the weights in .*x.tflite"):
        classifiers.weights(path)


def test_a_conversion_that_fails_is_one_line(a_run, tmp_path, monkeypatch):
    def refuse(*_):
        raise ValueError("many\nlines: op X is not supported")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", refuse)
    with pytest.raises(KwsError, match=r"TensorFlow \S+ cannot convert a ds_cnn: lines: op X is not supported; "):
        freezing.freeze(a_run, str(tmp_path / "x"), None, ["tflite"])
    assert tflite.ON_TENSORFLOW_1 == tf.__version__.startswith("1.")
