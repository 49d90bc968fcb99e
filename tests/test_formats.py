"""Every architecture in every format, as the table in the guide says; the files know themselves; what is refused."""
import json
import os
import re
import shutil
import stat
import sys

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf

from kwscli import classifiers, export, guides, models
from kwscli.data import prepare
from kwscli.devices import session
from kwscli.export import ascend_operators, checks, flatbuffer, freeze as freezing, frozen_graph, pb
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
    "crnn": (6, 10, 4, 2, 2, 2, 8, 10), "ds_cnn": (3, 8, 10, 4, 2, 2, 8, 3, 3, 2, 2, 12, 3, 3, 1, 1),
    "ds_tc_resnet": (1, 2, 8), "bc_resnet": (4,), "conv": (6, 20, 8, 6, 10, 4), "low_latency_conv": (16, 8, 12, 12),
    "low_latency_svdf": (32, 2, 16, 16),
}
PUBLISHED_FEATURES = ("ds_tc_resnet", "bc_resnet")  # the others have the default features
NORMALIZED = ("gru", "low_latency_svdf")  # these have --normalize-features
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


def write_run(folder, architecture, data_path, size_info=None):
    """A run directory with random weights -> its path."""
    size = models.published(architecture)
    features = size.feature_settings if architecture in PUBLISHED_FEATURES else {}
    description = run_directory.Description(
        architecture, size_info or SIZES.get(architecture, size.model_size_info), labels_of(KEYWORDS),
        FeatureSettings(**features), DataSettings(wanted_words=KEYWORDS),
        TrainSettings(normalize_features=architecture in NORMALIZED),
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
    found = {}
    for text in re.findall(r"^```\n(architecture.*?)^```$", guides.read("formats"), re.M | re.S):
        rows = [line.split() for line in text.splitlines()]
        found.update({(row[0], name): cell for row in rows[1:] for name, cell in zip(rows[0][1:], row[1:])})
    return found


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
    assert name in ("tflite-int8", "c") or told["difference"] <= checks.TOLERANCE


@pytest.fixture(scope="module")
def exported(run_of, tmp_path_factory):
    """A folder with the files x* of a small network in all formats that kws can open."""
    folder = tmp_path_factory.mktemp("exported")
    names = [name for name in export.FORMATS if name not in ("om", "c")]
    return {one.format: one.path for one in freezing.freeze(run_of("ds_cnn"), str(folder / "x"), formats=names)}


OPENED = [name for name in export.FORMATS if name not in ("om", "c")]


@pytest.mark.parametrize("name", OPENED)
def test_a_file_knows_itself(name, exported, tmp_path, data, kws):
    path, here = exported[name], str(tmp_path / os.path.basename(exported[name]))
    (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, here)
    with classifiers.open(here) as model:
        assert (model.labels, model.features) == (labels_of(KEYWORDS), FeatureSettings())
        assert model.network == ("ds_cnn", SIZES["ds_cnn"]) and model.format == name and model.size > 1000
    known = described(here, name)
    assert known["validation"] == {"accuracy": 0.5, "clips": 64}
    assert known["data_sha256"] == "5ha" and known["versions"] == {"kws": "0.1.0"} and known["data_path"] == ""
    clip = data + "/yes/00000000_nohash_0.wav"
    heard = json.loads(kws("label", clip, "--checkpoint", here, "--top", 4, "--json").stdout)[0]
    assert set(heard["scores"]) == set(labels_of(KEYWORDS))


def described(path, name):
    """model.json in a file, read by other means than those of kws."""
    if name == "onnx":
        import onnx

        properties = {one.key: one.value for one in onnx.load(path).metadata_props}
        assert properties["labels.txt"].split("\n") == list(labels_of(KEYWORDS))
        assert properties["accuracy"] == "0.5" and properties["window_size_ms"] == "40.0"
        return json.loads(properties["model.json"])
    if name == "saved_model":
        with open(os.path.join(path, "assets.extra", "model.json")) as file:
            return json.load(file)
    if name.startswith("tflite"):
        import zipfile

        with zipfile.ZipFile(path) as archive:
            assert archive.read("labels.txt").decode().split() == list(labels_of(KEYWORDS))
            return json.loads(archive.read("model.json"))
    graph_def = tf.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    (text,) = [node.attr["_kws_model"].s for node in graph_def.node if "_kws_model" in node.attr]
    return json.loads(text.decode())


def test_depthwise_convolutions_with_unequal_strides(data, tmp_path):
    path = write_run(tmp_path / "run", "ds_cnn", data, (3, 8, 10, 4, 2, 2, 8, 3, 3, 1, 2, 12, 4, 3, 2, 1))
    for one in freezing.freeze(path, formats=["pb-features", "onnx"]):
        assert one.difference < checks.TOLERANCE


def text_at(content, table, number):
    """The bytes in a field of a table of a FlatBuffer."""
    start = flatbuffer.target(content, flatbuffer.field(content, table, number))
    return content[start + 4 : start + 4 + int.from_bytes(content[start : start + 4], "little")]


def items_at(content, table, number):
    return [one.position for one in flatbuffer.kept_list(content, flatbuffer.field(content, table, number))]


@pytest.mark.parametrize("name", ["tflite", "tflite-waveform", "tflite-int8"])
def test_tensorflow_lites_metadata(name, exported):
    with open(exported[name], "rb") as file:
        content = file.read()
    model = flatbuffer.root_of(content)
    buffers = items_at(content, model, 4)
    (entry,) = [one for one in items_at(content, model, 6) if text_at(content, one, 0) == b"TFLITE_METADATA"]
    number = flatbuffer.field(content, entry, 1)
    metadata = text_at(content, buffers[int.from_bytes(content[number : number + 4], "little")], 0)
    if not ON_PYTHON_37:  # by TensorFlow's own reader
        from tensorflow.lite.python import schema_py_generated as schema

        read = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        (entry,) = [one for one in read.metadata if one.name == b"TFLITE_METADATA"]
        assert bytes(read.buffers[entry.buffer].data) == metadata
    assert metadata[4:8] == b"M001"
    root = flatbuffer.root_of(metadata)
    assert b"Accuracy of its checkpoint on 64 validation clips: 50.00 %." in text_at(metadata, root, 1)
    (graph,) = items_at(metadata, root, 3)
    (source,), (target,) = items_at(metadata, graph, 2), items_at(metadata, graph, 3)
    said = b"16000 samples" if name == "tflite-waveform" else b"49 frames of 10 values, 40 ms every 20 ms"
    assert said in text_at(metadata, source, 1)
    assert (flatbuffer.field(metadata, source, 3) is not None) == (name == "tflite-waveform")
    (labels,) = items_at(metadata, target, 6)
    assert text_at(metadata, labels, 0) == b"labels.txt"


def test_a_file_that_takes_a_waveform_runs_by_itself(exported, run_of, data, kws):
    path, clip = exported["tflite-waveform"], data + "/yes/00000000_nohash_0.wav"
    with open(path, "rb") as file:
        interpreter = tf.lite.Interpreter(model_content=file.read())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["shape"].tolist() == [1, 16000]
    interpreter.set_tensor(source["index"], soundfile.read(clip, dtype="float32")[0][np.newaxis])
    interpreter.invoke()
    heard = json.loads(kws("label", clip, "--checkpoint", run_of("ds_cnn"), "--top", 4, "--json").stdout)[0]["scores"]
    scores = dict(zip(labels_of(KEYWORDS), interpreter.get_tensor(target["index"])[0].tolist()))
    assert scores == pytest.approx(heard, abs=1e-4)


def test_kws_listen_takes_files_that_compute_their_features(exported, run_of, data, kws):
    clip, threshold = data + "/yes/00000000_nohash_0.wav", ("--threshold", "0.1", "--minimum-windows", "1", "--json")
    heard = [json.loads(kws("listen", clip, "--checkpoint", path, *threshold).stdout)
             for path in (exported["tflite-waveform"], run_of("ds_cnn"))]
    assert heard[0]["keyword"] == heard[1]["keyword"]
    assert heard[0]["score"] == pytest.approx(heard[1]["score"], abs=1e-4)


def test_features_that_tensorflow_has_no_operation_for(run_of, tmp_path, kws, monkeypatch):
    monkeypatch.delitem(pb.FEATURES_IN_GRAPH, "mfcc")
    for name, message in (
        ("tflite-waveform", "a graph that takes a waveform cannot compute mfcc features; use --format tflite"),
        ("pb", "a graph that takes WAV files cannot compute mfcc features; use --format pb-features"),
    ):
        result = kws("freeze", "--checkpoint", run_of("dnn"), "--format", name, "--output", tmp_path / "x")
        assert result.exit_code == 1 and message in result.stderr
        assert os.listdir(str(tmp_path)) == []


def test_an_onnx_file_takes_any_number_of_clips(exported):
    import onnxruntime

    model = onnxruntime.InferenceSession(exported["onnx"], providers=["CPUExecutionProvider"])
    rows = np.random.RandomState(0).randn(7, 490).astype(np.float32)
    scores = model.run(None, {"fingerprint_input": rows})[0]
    one_by_one = [model.run(None, {"fingerprint_input": row})[0] for row in rows[:, np.newaxis]]
    np.testing.assert_allclose(scores, np.concatenate(one_by_one), atol=1e-6)


def cut(path):
    """Leave the first half of a file, or of the graph in a folder."""
    path = os.path.join(path, "saved_model.pb") if os.path.isdir(path) else path
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


@pytest.mark.parametrize("name", OPENED)
def test_half_a_file_is_an_error_of_one_line(name, exported, tmp_path, kws):
    path, here = exported[name], str(tmp_path / os.path.basename(exported[name]))
    (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, here)
    cut(here)
    result = kws("label", "--checkpoint", here, "x.wav")
    assert result.exit_code == 1 and result.stderr.startswith("Error: " + here), result.stderr
    assert len(result.stderr.splitlines()) == 1 and "copy it again" in result.stderr or "freeze" in result.stderr


@pytest.mark.parametrize("name, source, message", [
    ("x.onnx", "tflite", "cannot be run: .*; freeze or copy it again"),
    ("x.tflite", "onnx", "does not contain the description of a network: it is cut off, or not from kws freeze"),
    ("x.bin", "onnx", "is not a model that kws knows; name a run directory, .*.onnx"),
    ("x.om", "onnx", "only an Ascend chip can run .*x.om; name the checkpoint"),
    ("x.onnx", None, "there is no model file .*x.onnx; check the name"),
])
def test_files_of_another_kind(name, source, message, exported, tmp_path, kws):
    if source:
        shutil.copy(exported[source], str(tmp_path / name))
    for command in (["eval"], ["label", "x.wav", "--checkpoint"]):
        result = kws(*command, tmp_path / name)
        assert result.exit_code == 1 and re.search(message, result.stderr), result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_an_onnx_file_of_another_program(exported, tmp_path, kws):
    import onnx

    model = onnx.load(exported["onnx"])
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "x.onnx"))
    result = kws("eval", "--checkpoint", tmp_path / "x.onnx")
    assert "does not contain the description of a network: it is not from kws freeze" in result.stderr


def test_a_saved_model_of_another_program(exported, tmp_path, kws):
    shutil.copytree(exported["saved_model"], str(tmp_path / "x"))
    shutil.rmtree(str(tmp_path / "x" / "assets.extra"))
    result = kws("eval", "--checkpoint", tmp_path / "x")
    assert result.exit_code == 1 and "it is not from kws freeze; name another folder" in result.stderr


def test_a_folder_with_other_files_stays(run_of, tmp_path, kws):
    command = ["freeze", "--checkpoint", run_of("dnn"), "--format", "saved_model", "--output", tmp_path / "net"]
    assert kws(*command).exit_code == 0 and kws(*command).exit_code == 0
    (tmp_path / "net_saved_model" / "mine.txt").write_text("mine")
    result = kws(*command)
    assert result.exit_code == 1
    assert "holds files that kws did not write, such as mine.txt; choose another --output" in result.stderr
    assert (tmp_path / "net_saved_model" / "mine.txt").read_text() == "mine"
    assert sorted(os.listdir(str(tmp_path))) == ["net_labels.txt", "net_saved_model"]
    shutil.rmtree(str(tmp_path / "net_saved_model"))
    (tmp_path / "net_saved_model").write_text("mine")
    assert "net_saved_model is a file, but this format is a folder" in kws(*command).stderr
    assert (tmp_path / "net_saved_model").read_text() == "mine"


def test_a_format_that_fails_leaves_nothing_of_the_others(run_of, tmp_path, kws, monkeypatch):
    monkeypatch.setattr(checks, "TOLERANCE", -1)
    result = kws("freeze", "--checkpoint", run_of("dnn"), "--format", "tflite-int8,pb", "--output", tmp_path / "x")
    assert result.exit_code == 1 and os.listdir(str(tmp_path)) == []


def test_a_missing_extra_names_the_command(run_of, tmp_path, kws, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for formats in ("onnx", "pb,onnx"):
        result = kws("freeze", "--checkpoint", run_of("dnn"), "--format", formats, "--output", tmp_path / "x")
        assert result.exit_code == 1 and 'install it with: pip install "kwscli[onnx]"' in result.stderr
        assert os.listdir(str(tmp_path)) == []


def test_all_leaves_out_what_is_not_possible(run_of, tmp_path, kws, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = kws("freeze", "--checkpoint", run_of("dnn"), "--format", "all", "--data-path", tmp_path, "--json",
                 "--output", tmp_path / "x")
    assert result.exit_code == 0, result.stderr
    written = [one["format"] for one in json.loads(result.stdout)]
    assert written == ["pb", "pb-features", "saved_model", "tflite", "tflite-waveform"]
    assert re.search("Left out tflite-int8: 8-bit integers need training clips .*; name prepared data", result.stderr)
    assert re.search("Left out onnx: onnxruntime cannot be imported: .*pip install", result.stderr)
    assert "This machine cannot write om, so kws writes pb-features" in result.stderr


def test_esphome_is_refused_with_the_reason(run_of, kws):
    result = kws("freeze", "--checkpoint", run_of("dnn"), "--format", "esphome")
    assert result.exit_code == 1 and "there is no format esphome: micro_wake_word takes" in result.stderr
    assert "## ESPHome" in guides.read("formats")


def test_a_model_for_ascend_has_folded_norms_and_static_shapes(run_of, tmp_path, kws, atc, monkeypatch):
    monkeypatch.setenv("SOC_VERSION", "Ascend310P3")
    result = kws("freeze", "--checkpoint", run_of("ds_cnn"), "--format", "om", "--output", tmp_path / "x")
    assert result.exit_code == 0 and "made from a graph with scores within" in result.stdout, result.stderr
    made = json.loads((tmp_path / "x.om").read_text())
    assert made["soc_version"] == "Ascend310P3" and made["input_shape"] == "fingerprint_input:1,490"
    convolutions = {"Conv2D": 3, "DepthwiseConv2dNative": 2, "BiasAdd": 6}
    assert {name: made["operations"].get(name) for name in convolutions} == convolutions
    monkeypatch.setenv("SOC_VERSION", "Atlas")
    result = kws("freeze", "--checkpoint", run_of("ds_cnn"), "--format", "om", "--output", tmp_path / "y")
    assert "atc ended with exit status 255: E10001: Value [Atlas] for parameter [--soc_version] is invalid" in (
        result.stderr)
    assert not (tmp_path / "y.om").exists()


def test_the_stand_in_for_atc_refuses_graphs_with_norms(run_of, tmp_path, atc):
    from kwscli.export import pb_features
    from kwscli.runs.run_directory import resolve

    description, prefix = resolve(run_of("ds_cnn"))
    frozen_graph.write(
        str(tmp_path / "x.pb"), description, prefix, "fingerprint_input", frozen_graph.features_input
    )
    import subprocess

    command = pb_features.atc(str(tmp_path / "x.pb"), str(tmp_path / "x"))
    done = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    assert done.returncode and "No parser is registered for Op type FusedBatchNormV3" in done.stdout


def test_unknown_operations_are_refused(run_of, tmp_path, kws, monkeypatch):
    monkeypatch.delitem(ascend_operators.OPERATORS, "Softmax")
    result = kws("freeze", "--checkpoint", run_of("dnn"), "--format", "pb-features", "--output", tmp_path / "x")
    assert "atc is not known to convert all operations of a dnn: Softmax; use --format pb or onnx" in result.stderr


def test_several_models_are_measured_on_the_same_clips(run_of, exported, data, kws):
    paths = [run_of("ds_cnn"), exported["onnx"], exported["tflite-int8"]]
    result = kws("eval", *paths, "--json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    alone = json.loads(kws("eval", paths[0], "--json").stdout)
    assert rows[0]["confusion"] == alone["confusion"] == rows[1]["confusion"]
    assert [row["format"] for row in rows] == ["checkpoint", "onnx", "tflite-int8"]
    assert [row["agreement"] for row in rows[:2]] == [1, 1]
    assert [row["checkpoint"] for row in rows] == paths
    assert all(row["milliseconds_per_clip"] > 0 and row["bytes"] > 1000 for row in rows)
    shown = kws("eval", "--checkpoint", paths[0], "--checkpoint", paths[1]).stdout.splitlines()
    assert re.match("[0-9]+ testing clips: ", shown[0])
    assert shown[2].split()[:4] == ["model", "format", "bytes", "accuracy"]
    assert shown[4].split()[1] == "onnx"
    assert shown[6].startswith("%s and %s: no difference shown: +0.0 points (" % (paths[1], paths[0]))


def test_several_models_need_the_same_labels(run_of, tmp_path, kws):
    shutil.copytree(run_of("dnn"), str(tmp_path / "other"))
    known = json.loads((tmp_path / "other" / "model.json").read_text())
    known["labels"][2:] = known["data"]["wanted_words"] = ["up", "left"]
    (tmp_path / "other" / "model.json").write_text(json.dumps(known))
    result = kws("eval", run_of("dnn"), tmp_path / "other")
    assert result.exit_code == 1 and re.search(
        r"other has other labels \(_silence_, _unknown_, up, left\) than .*; measure it alone", result.stderr)
