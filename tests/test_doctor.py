"""`kws doctor`: it finds what is there, missing or broken, and its page appears in every case."""
import glob
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import namedtuple

import pytest
from test_cluster import template_1, template_2

from kwscli import doctor

TESTS = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in doctor.VARIABLES + ["LD_LIBRARY_PATH", "TF_CONFIG"]:
        monkeypatch.delenv(name, raising=False)


def of(found, name):
    """The findings with this name."""
    return [one for one in found if one.name == name]


def without(monkeypatch, *absent):
    """Make packages look as if they were not installed."""
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else there(name))


def test_the_page_and_its_json_say_the_same(kws, tmp_path):
    import soundfile
    import tensorflow as tf

    printed, told = kws("doctor", "--data-path", tmp_path / "later"), kws("doctor", "--json", "--data-path", tmp_path)
    assert printed.exit_code == told.exit_code == 0
    found = [doctor.Finding(**one) for one in json.loads(told.stdout)]
    for one in found:
        line = next(line for line in printed.stdout.splitlines() if line.startswith(one.name + " "))
        assert " %s " % one.state in line and one.advice in printed.stdout
    assert of(found, "TensorFlow") == [("TensorFlow", "ok", tf.__version__, "")]
    assert of(found, "device")[0].value == "the CPU: npu_bridge is not installed; TensorFlow sees no GPU"
    assert of(found, "npu_bridge")[0][1:3] == ("note", "absent")
    assert of(found, "soundfile")[0].value.startswith(soundfile.__version__ + " with ")
    assert str(tmp_path) in of(found, "disk of the data")[0].value
    assert all(one.advice for one in found if one.state in ("note",) + doctor.FAILURES and "davinci" not in one.value)


def test_a_missing_package_that_is_optional_is_a_note(kws, monkeypatch):
    without(monkeypatch, "matplotlib", "espeakng_loader")
    result = kws("doctor")
    assert result.exit_code == 0
    for name in ("matplotlib", "espeak-ng"):
        found = of(doctor.examine(), name)[0]
        assert found[1:3] == ("note", "not installed") and "pip install" in found.advice
        assert found.advice in result.stdout


@pytest.mark.parametrize("name, value, words", [
    ("RANK_SIZE", "abc", "$RANK_SIZE is 'abc'"), ("TF_CONFIG", "{", "$TF_CONFIG cannot be used"),
    ("RANK_SIZE", "2", "but RANK_TABLE_FILE is not set"),
    ("ASCEND_DEVICE_ID", "\u00b2", "$ASCEND_DEVICE_ID is '\u00b2'"),
])
def test_variables_that_a_training_refuses_are_wrong(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    wrong = [one for one in doctor.examine() if one.state == doctor.WRONG]
    assert any(words in one.value and one.advice for one in wrong), wrong


@pytest.mark.parametrize("absent", ["sched_getaffinity", "sched_setaffinity", "sysconf"])
def test_the_page_appears_on_systems_that_lack_a_function(kws, monkeypatch, absent):
    for name in ("sched_setaffinity", absent):  # macOS and others lack both affinity functions
        monkeypatch.delattr(os, name, raising=False)
    result = kws("doctor")
    assert result.exit_code == 0 and re.search(r"^cores +ok +%d of %d " % ((os.cpu_count(),) * 2), result.stdout, re.M)
    assert re.search(r"^memory +note +unknown\n" if absent == "sysconf" else r"^memory +ok", result.stdout, re.M)


@pytest.mark.parametrize("value", [-1, ValueError("unrecognized configuration name"), OSError(22, "Invalid argument")])
def test_the_page_appears_on_systems_that_do_not_know_their_memory(monkeypatch, value):
    def sysconf(name):
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(doctor.os, "sysconf", sysconf)
    assert doctor._memory()[1:3] == ("note", "unknown")


def test_a_gpu_that_tensorflow_does_not_see(monkeypatch):
    tf = pytest.importorskip("tensorflow.compat.v1")
    there = glob.glob
    monkeypatch.setattr(glob, "glob", lambda name: ["/dev/nvidia0"] if "nvidia" in name else there(name))
    found = of(doctor.examine(), "GPU")[0]
    assert found[1:3] == ("note", "TensorFlow sees none of /dev/nvidia0")
    wanted = "CUDA 10.0" if tf.__version__.startswith("1.") else "tensorflow[and-cuda]==" + tf.__version__
    assert wanted in found.advice


def test_a_missing_package_that_kws_needs_is_a_failure(kws, monkeypatch):
    without(monkeypatch, "tensorflow", "soundfile")
    result = kws("doctor")
    assert result.exit_code == 1 and "memory" in result.stdout
    found = doctor.examine()
    assert of(found, "TensorFlow")[0][1:3] == of(found, "soundfile")[0][1:3] == ("missing", "not installed")
    assert of(found, "TFLite")[0].state in ("note", "ok") and not of(found, "device")


def test_a_tensorflow_that_does_not_import_leaves_the_rest_of_the_page(kws, monkeypatch):
    imported = importlib.import_module

    def refusing(name):
        if name == "tensorflow":
            raise TypeError("Descriptors cannot be created directly.\n" + "If this call came from a _pb2.py file " * 20)
        return imported(name)

    monkeypatch.setattr(importlib, "import_module", refusing)
    result = kws("doctor")
    assert result.exit_code == 1 and "memory" in result.stdout
    wrong = of(doctor.examine(), "TensorFlow")[0]
    assert wrong.state == "wrong" and len(wrong.value) <= 300
    assert wrong.value.startswith("TypeError: Descriptors cannot be created directly. If this")


def child(bridge, **environ):
    """The findings of a process that has an npu_bridge, and its exit status."""
    paths = [os.path.join(TESTS, bridge), os.path.dirname(TESTS), TESTS]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "kwscli", "doctor", "--json"], stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths), **environ),
    )
    output = process.communicate()[0].decode()
    return [doctor.Finding(**one) for one in json.loads(output[output.index("["):])], process.returncode


@pytest.mark.parametrize("broken, reason", [
    ("no_hccl", "ModuleNotFoundError: No module named 'hccl'"),
    ("no_library", "ImportError: cannot import name 'npu_bridge_handle'"),
    ("no_hccl_library", "ValueError: load hccl lib error"),
])
def test_a_broken_npu_bridge_is_wrong_and_says_why(broken, reason):
    found, status = child(os.path.join("fake_npu_broken", broken))
    bridge = of(found, "npu_bridge")[0]
    assert status == 1 and bridge.state == "wrong" and reason in bridge.value and "set_env.sh" in bridge.advice
    assert of(found, "device")[0].value.startswith("the CPU: ")


def test_with_an_npu_more_variables_are_needed():
    tf = pytest.importorskip("tensorflow.compat.v1")
    if not tf.__version__.startswith("1.15"):
        pytest.skip("npu_bridge is made for TensorFlow 1.15")
    found, status = child("fake_npu", ASCEND_DEVICE_ID="3")
    assert status == 1
    assert of(found, "device")[0][1:3] == ("ok", "an NPU (device 3): npu_bridge imports")
    assert of(found, "npu_bridge")[0].state == "ok"
    states = {name: of(found, name)[0].state for name in ("ASCEND_OPP_PATH", "LD_LIBRARY_PATH", "JOB_ID")}
    assert states == {"ASCEND_OPP_PATH": "missing", "LD_LIBRARY_PATH": "note", "JOB_ID": "note"}
    assert "ASCEND_DEVICE_ID=3" in of(found, "CANN variables")[0].value
    found, _ = child("fake_npu", RANK_SIZE="8", ASCEND_OPP_PATH="opp", LD_LIBRARY_PATH="/usr/local/Ascend/lib64")
    assert of(found, "JOB_ID")[0].state == "missing" and not of(found, "ASCEND_OPP_PATH") + of(found, "LD_LIBRARY_PATH")


def test_variables_with_impossible_values_are_wrong(monkeypatch):
    monkeypatch.setenv("ASCEND_DEVICE_ID", "first")
    found = doctor.examine()
    for name in ("device", "CANN variables"):
        wrong = of(found, name)[-1]
        assert wrong[1:] == ("wrong", "$ASCEND_DEVICE_ID is 'first'", "it must be the number of a device")
    monkeypatch.setenv("ASCEND_DEVICE_ID", "1")
    monkeypatch.setenv("RANK_SIZE", "8")
    monkeypatch.setenv("CM_WORKER_SIZE", "8")
    assert of(doctor.examine(), "CANN variables")[1][2:] == (
        "$CM_WORKER_SIZE and $RANK_SIZE both describe the workers", "unset one of them"
    )


@pytest.mark.parametrize("table, size, state, value", [
    (template_1(2, 4), "8", "ok", "8 devices"), (template_2(), "2", "ok", "2 devices"),
    (template_1(2, 4), "4", "wrong", "8 devices, but RANK_SIZE is 4"),
    (template_1(2, 4), None, "ok", "8 devices"),
    (template_1(status="initializing"), "2", "wrong", "status is 'initializing'"),
    ({"servers": []}, "8", "wrong", "neither server_list nor group_list"), ([1], "8", "wrong", "not a JSON object"),
    ("none", "8", "wrong", "cannot be read: No such file"), ("{", "8", "wrong", "it is not JSON"),
    ("[" * 100000, "8", "wrong", "it is nested too deeply"),
])
def test_a_rank_table_is_checked(table, size, state, value, tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    if table != "none":
        path.write_text(table if isinstance(table, str) else json.dumps(table))
    monkeypatch.setenv("RANK_TABLE_FILE", str(path))
    if size:
        monkeypatch.setenv("RANK_SIZE", size)
    found = list(doctor._rank_table())
    assert len(found) == 1 and found[0].state == state and value in found[0].value
    assert bool(found[0].advice) == (state == "wrong")


def test_devices_that_may_not_be_used_are_wrong(monkeypatch):
    monkeypatch.setattr(doctor.glob, "glob", lambda pattern: ["/dev/davinci1", "/dev/davinci0"])
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != "/dev/davinci1")
    found = of(doctor._environment(with_npu=True), "Ascend devices")
    assert [one[1:3] for one in found] == [
        ("ok", "/dev/davinci0, /dev/davinci1"), ("wrong", "no permission to use /dev/davinci1")
    ]


def test_a_disk_that_is_full_or_not_writable_is_noted(tmp_path, monkeypatch):
    assert doctor._disk("disk", str(tmp_path / "a" / "b")).value.endswith("in %s" % tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(0, 0, 3 << 30))
    assert doctor._disk("disk", str(tmp_path))[1:] == (
        "note", "3.0 GiB free in %s" % tmp_path, "all of Speech Commands takes 10 GiB"
    )
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert "which is not writable" in doctor._disk("disk", str(tmp_path)).value


def test_an_import_of_the_module_does_not_import_tensorflow():
    code = "import sys; import kwscli.doctor; print([name for name in ('tensorflow', 'numpy') if name in sys.modules])"
    environ = dict(os.environ, PYTHONPATH=os.path.dirname(TESTS))
    assert subprocess.check_output([sys.executable, "-c", code], env=environ).decode().strip() == "[]"
