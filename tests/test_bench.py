"""`kws bench`, benchmark_reference.py and benchmark_formats.py: every row is there. Figures depend on the machine."""
import json
import os
import re
import subprocess
import sys

import benchmark_formats
import pytest
from test_freeze import write_run
from test_train import data  # noqa: F401  (a fixture)

from kwscli import bench
from kwscli.workers import cores

pytest.importorskip("tensorflow.compat.v1")
FIGURE = r"\d+(\.\d+)?"
TABLE = [
    ("machine", r".*, \d+ cores, Python .*, TensorFlow .*"),
    ("device", r"the CPU|a GPU \(device 0\)"),
    ("MFCC, one core", FIGURE + " clips/s .*"),
    (r"MFCC, \d+ cores", FIGURE + " clips/s"),
    ("augmented batch of 100 with its features, one core", FIGURE + " ms"),
    ("training step alone, constant batch", FIGURE + " ms, %s ms of processor time" % FIGURE),
    ("training step with everything .*", FIGURE + " ms"),
    ("  speed of the step alone that is left", FIGURE + " % .*"),
    ("  time spent waiting for data", FIGURE + " %"),
    ("step of --recipe best against hello-edge, same features", "%s ms, %s ms: %s times" % (FIGURE, FIGURE, FIGURE)),
    ("evaluation, features and inference", FIGURE + " clips/s"),
    ("one worker on one core", FIGURE + " examples/s"),
    ("two workers with a core each", FIGURE + " examples/s, %s times as many" % FIGURE),
    ("kws prepare against gzip -dc of the same archive", FIGURE + " s, %s s: %s %% of its speed" % (FIGURE, FIGURE)),
]


REFERENCE_TABLE = [
    ("device", r"the CPU|a GPU \(device 0\)"),
    ("step of kws train, with everything", FIGURE + " ms"),
    ("step with one session call per clip for its features", FIGURE + " ms"),
    ("ratio", FIGURE),
]


def assert_table(text, table):
    rows = [re.split(r"(?<=\S) {2,}", line) for line in text.splitlines()]
    assert len(rows) == len(table), text
    for (name, figure), (wanted, form) in zip(rows, table):
        assert re.fullmatch(wanted, name) and re.fullmatch(form, figure), (name, figure)


def test_every_part_is_measured(kws, data):  # noqa: F811
    if len(cores.usable()) < 2 or not cores.can_choose():
        pytest.skip("workers with a core each need two cores")
    result = kws("bench", "--data-path", data, "--model-architecture", "dnn", "--steps", "100", "--rounds", "1")
    assert result.exit_code == 0, result.stderr
    assert_table(result.stdout, TABLE)


def test_models_are_compared_by_their_time_per_clip(kws, tmp_path):
    run = write_run(tmp_path / "run")
    assert kws("freeze", "--checkpoint", run, "--format", "tflite,tflite-waveform").exit_code == 0
    paths = [run, tmp_path / "run" / "ds_cnn.tflite", tmp_path / "run" / "ds_cnn_waveform.tflite", "ds_cnn_s"]
    measured = json.loads(kws("bench", *paths, "--rounds", 2, "--json").stdout)
    assert [one["checkpoint"] for one in measured] == list(map(str, paths))
    assert [one["format"] for one in measured] == ["checkpoint", "tflite", "tflite-waveform", "tflite"]
    for one in measured:
        assert one["bytes"] > 1000 and one["milliseconds_per_clip"] > 0 and one["batch_milliseconds_per_clip"] > 0
        apart = one["features_milliseconds"], one["network_milliseconds"]
        assert apart == (None, None) if one["format"] == "tflite-waveform" else min(apart) > 0
    shown = kws("bench", *paths, "--rounds", 1).stdout.splitlines()
    assert re.split("  +", shown[0]) == [
        "model", "format", "bytes", "ms per clip", "features", "network", "in batches of 100"]
    assert shown[3].split()[4:6] == ["-", "-"] and len(shown) == 5


@pytest.mark.parametrize("flags, message", [
    (("ds_cnn_s", "--steps", "100"), "--steps does not act on the speed of models; leave it out"),
    (("ds_cnn_s", "--data-dir", "data"), "--data-path does not act on the speed of models; leave it out"),
    (("--labels", "labels.txt"), "--labels belongs to a model; leave it out"),
    (("nothing.tflite",), "there is no model file nothing.tflite; check the name"),
])
def test_flags_that_cannot_act_are_refused(flags, message, kws):
    result = kws("bench", *flags)
    assert (result.exit_code, result.stderr) == (1, "Error: %s\n" % message)


def test_the_tables_of_formats_show_what_was_refused():
    written = {"pb": {"size": 123456, "difference": 3e-7}, "tflite-int8": {"size": 46000, "difference": 0.1}}
    with_int8 = {"float": 0.9, "int8": 0.895, "equal": 0.98, "clips": 576}
    results = [
        dict(architecture="dnn", tensorflow="2.21.0", seconds=61.2, formats=written, accuracy=with_int8),
        dict(architecture="gru", tensorflow="2.21.0", seconds=7, formats={}, accuracy={"float": 0.8, "clips": 576}),
    ]
    rows = [line.split() for line in benchmark_formats.page(results).splitlines()]
    formats = ["pb", "features", "saved_model", "tflite", "waveform", "int8", "onnx", "c"]
    assert rows.count(["architecture"] + formats) == 2
    assert ["dnn", "123", "-", "-", "-", "-", "46", "-", "-"] in rows
    assert ["dnn", "3e-07", "-", "-", "-", "-", "1e-01", "-", "-"] in rows
    assert ["dnn", "90.0", "89.5", "98.0", "61"] in rows and ["gru", "80.0", "-", "-", "7"] in rows
    assert ["gru"] + ["-"] * 8 in rows


def test_kws_is_compared_with_the_reference_pipeline(data):  # noqa: F811
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "benchmark_reference.py")
    flags = ["--data-path", data, "--model-architecture", "dnn", "--steps", "100", "--rounds", "1"]
    assert_table(subprocess.check_output([sys.executable, script, *flags]).decode(), REFERENCE_TABLE)


@pytest.mark.parametrize("absent, usable, needs", [
    ((), [0], "needs two cores"),
    (("sched_getaffinity", "sched_setaffinity"), [0, 1], "needs a system that can keep a process to a core"),
])
def test_the_speed_of_two_workers_needs_two_cores_and_linux(monkeypatch, absent, usable, needs):
    for name in absent:
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(cores, "usable", lambda: usable)
    (_, figure), = bench._scaling(None, 100, 1)
    assert figure.startswith(needs)
