"""Devices, their sessions, optimisers and checkpoints; those of an NPU through tests/fake_npu, in child processes."""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.core.framework.device_attributes_pb2 import DeviceAttributes
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from kwscli.devices import gpu, session
from kwscli.devices.choose import choose
from kwscli.devices.cpu import CPU
from kwscli.devices.device_settings import DeviceSettings
from kwscli.devices.gpu import GPU
from kwscli.devices.npu import NPU
from kwscli.devices.optimizer import skipped_steps
from kwscli.errors import KwsError
from kwscli.runs import checkpoint

TESTS = os.path.dirname(os.path.abspath(__file__))
ON_CPU, ON_GPU = CPU(0, "test"), GPU(0, "test")
ONLY_1_15 = pytest.mark.skipif(not tf.__version__.startswith("1.15"), reason="npu_bridge is made for TensorFlow 1.15")
RANKS = "ASCEND_DEVICE_ID DEVICE_ID RANK_SIZE RANK_ID RANK_TABLE_FILE JOB_ID".split()


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch):
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)


def child(arguments, bridge, **environ):
    """Start Python with an npu_bridge on its path."""
    paths = [os.path.join(TESTS, bridge), os.path.dirname(TESTS), TESTS]
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), TF_CPP_MIN_LOG_LEVEL="3", **environ)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore"] + arguments, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def run_case(file, name, *arguments, **environ):
    """Run cases of a file beside this one on the fake -> (exit status, output)."""
    process = child([os.path.join(TESTS, file), name] + [str(one) for one in arguments], "fake_npu", **environ)
    output = process.communicate()[0]
    return process.returncode, output


SCALED = "every_flag_arrives,fixed_scale"


@ONLY_1_15
@pytest.mark.parametrize("names, environ", [
    (SCALED + ",overflow_dump,a_sunk_loop,the_first_session_decides,the_fake_is_strict", {}),
    ("fifty_steps_with_an_overflow", {}),
    (SCALED, {"FAKE_NPU_ERA": "r1.5"}),
    ("a_chip_that_knows_infinity", {"FAKE_NPU_INF_NAN": "1"}),
    ("fixed_scale", {"ASCEND_DEVICE_ID": "", "RANK_SIZE": "", "RANK_ID": ""}),
])
def test_on_an_npu(names, environ, tmp_path):
    status, output = run_case("npu_cases.py", names, tmp_path, **environ)
    assert status == 0, output


@ONLY_1_15
@pytest.mark.parametrize("era, found", [("r1.5", "r1.5"), ("r1.9", "r1.10"), ("r1.14", "master")])
def test_the_release_is_known_by_its_names(era, found):
    status, output = run_case("npu_processes.py", "release", FAKE_NPU_ERA=era, EXPECTED=found)
    assert status == 0, output


@ONLY_1_15
def test_two_ranks_skip_the_same_step(tmp_path):
    devices = [{"device_id": str(rank), "device_ip": "10.0.0.%d" % rank, "rank_id": str(rank)} for rank in (0, 1)]
    table = tmp_path / "ranks.json"
    table.write_text(json.dumps({"server_list": [{"server_id": "10.0.0.9", "device": devices}]}))
    both = dict(RANK_SIZE="2", JOB_ID="1", RANK_TABLE_FILE=str(table), FAKE_NPU_EXCHANGE=str(tmp_path))
    ranks = [dict(both, RANK_ID=rank, ASCEND_DEVICE_ID=rank) for rank in ("0", "1")]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda environ: run_case("npu_processes.py", "two_ranks", **environ), ranks))
    assert found[0] == found[1] and found[0][0] == 0, found
    assert found[0][1].split()[2] == "0.5", found


@ONLY_1_15
@pytest.mark.parametrize("way, status", [
    ("error", 1), ("exit", 3), ("SIGINT", -2), ("SIGTERM", 1), ("fatal", 1), ("busy", 1),
])
def test_the_npu_is_released_however_the_process_ends(way, status, tmp_path):
    events = tmp_path / "events.json"
    found, output = run_case("npu_processes.py", "leave_by", way, FAKE_NPU_EVENTS=str(events))
    assert found in (status, abs(status) - 1), output  # SIGINT: 1 from Python 3.7, by signal from later ones
    if way == "busy":
        assert "KwsError: an NPU (device 0) failed: device 0 is busy; see npu-smi info" in output
    assert json.loads(events.read_text())[-2:] == ["close", "npu_close"]


CHOOSE = """
from kwscli.devices.choose import choose
from kwscli.errors import KwsError
from kwscli.devices.device_settings import DeviceSettings
print("chose the", choose(DeviceSettings()).kind)
try:
    choose(DeviceSettings(device="npu"))
except KwsError as error:
    print("Error:", error)
"""


@pytest.mark.parametrize("broken, reason", [
    ("no_hccl", "ModuleNotFoundError: No module named 'hccl'"),
    ("no_library", "ImportError: cannot import name 'npu_bridge_handle'"),
    ("no_hccl_library", "ValueError: load hccl lib error"),
])
def test_a_broken_npu_bridge_is_reported(broken, reason):
    process = child(["-c", CHOOSE], os.path.join("fake_npu_broken", broken))
    output = process.communicate()[0]
    why = "npu_bridge is installed but does not import: " + reason
    assert process.returncode == 0, output
    assert "No NPU: %s." % why in output and "chose the cpu" in output
    assert "Error: this machine has no NPU that kws can use: %s; set up CANN" % why in output


def test_without_npu_bridge_the_cpu_is_chosen():
    found = choose(DeviceSettings(device_id=3))
    assert (found.kind, found.number) == ("cpu", 3)
    assert found.why == "npu_bridge is not installed; TensorFlow sees no GPU"
    assert choose(DeviceSettings(device="cpu")).why == "--device cpu"
    with pytest.raises(KwsError, match="no NPU that kws can use: npu_bridge is not installed; set up CANN"):
        choose(DeviceSettings(device="npu"))
    with pytest.raises(KwsError, match="device 0 is not a GPU: TensorFlow .* sees 0 GPUs; choose another --device-id"):
        choose(DeviceSettings(device="gpu"))


def test_a_gpu_is_chosen_before_the_cpu(monkeypatch):
    monkeypatch.setattr(gpu, "gpus", lambda: ["a", "b"])
    found = choose(DeviceSettings(device_id=1))
    assert (found.kind, found.number) == ("gpu", 1) and found.why.endswith("GPUs that TensorFlow sees: 2")
    with pytest.raises(KwsError, match="device 2 is not a GPU: .* sees 2 GPUs; choose another --device-id"):
        choose(DeviceSettings(device_id=2))
    monkeypatch.setenv("ASCEND_DEVICE_ID", "1")
    assert choose(DeviceSettings(device="gpu")).number == 1


@pytest.fixture
def capability(monkeypatch):
    """capability("6.1"): a GPU of that compute capability, as TensorFlow describes one."""
    def become(number):
        text = "device: 0, name: Tesla P4, pci bus id: 0000:00:04.0, compute capability: " + number
        devices = [DeviceAttributes(device_type="CPU"), DeviceAttributes(device_type="GPU", physical_device_desc=text)]
        monkeypatch.setattr(gpu.device_lib, "list_local_devices", lambda config: devices)

    become("7.0")
    return become


@pytest.mark.usefixtures("capability")
@pytest.mark.parametrize("device, flags, said", [
    (ON_CPU, {}, []), (ON_GPU, {}, []), (ON_CPU, {"precision_mode": "must_keep_origin_dtype"}, []),
    (ON_GPU, {"precision_mode": "allow_mix_precision"}, []),
    (ON_CPU, {"precision_mode": "allow_mix_precision"},
     ["--precision-mode allow_mix_precision has no effect on the CPU, which computes in float32."]),
    (ON_GPU, {"precision_mode": "force_fp16"},
     ["--precision-mode force_fp16 has no effect on a GPU, which computes in float32. "
      "Use --precision-mode allow_mix_precision for float16."]),
    (ON_GPU, {"precision_mode": "allow_mix_precision", "loss_scale": "128"}, []),
    (ON_GPU, {"loss_scale": "dynamic"}, ["--loss-scale dynamic has no effect on a GPU without float16."]),
    (ON_CPU, {"loss_scale": "128"}, ["--loss-scale 128 has no effect on the CPU without float16."]),
    (ON_CPU, {"loss_scale": "none"}, []),
    (ON_GPU, {"iterations_per_loop": 10},
     ["--iterations-per-loop 10 has no effect on a GPU, which makes one step per call."]),
    (ON_CPU, {"dump_mode": "all"}, ["--dump-mode has no effect without --data-dump-flag."]),
    (ON_CPU, {"data_save_path": "a"}, ["--data-save-path a has no effect, because nothing is dumped or traced."]),
])
def test_an_option_without_effect_is_reported(device, flags, said):
    assert device.notes(DeviceSettings(**flags)) == said


def test_a_gpu_that_is_slow_in_float16_is_reported(capability, monkeypatch):
    mixed = DeviceSettings(precision_mode="allow_mix_precision")
    capability("6.1")
    said, = ON_GPU.notes(mixed)
    assert "has no effect on a GPU of compute capability 6.1, which is slow in float16" in said
    assert said.endswith("set TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_IGNORE_PERFORMANCE=1 to use float16 anyway.")
    assert ON_GPU.notes(DeviceSettings()) == []
    monkeypatch.setenv("TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_IGNORE_PERFORMANCE", "1")
    assert ON_GPU.notes(mixed) == []


def test_a_gpu_that_tensorflow_does_not_use_is_an_error():
    with pytest.raises(KwsError, match="TensorFlow lists GPU 0, but does not use it; .* --device cpu"):
        ON_GPU.open_session(tf.Graph(), session.config())  # of a session without a GPU


@pytest.mark.parametrize("flags", [
    {"modify_mixlist": "a"}, {"fusion_switch_file": "a"}, {"op_select_implmode": "high_precision"}, {"aoe_mode": "1"},
    {"work_path": "a"}, {"npu_option": ("graph_run_mode=1",)},
])
@pytest.mark.parametrize("device", [ON_CPU, ON_GPU])
def test_options_for_npus_only_are_refused(device, flags):
    name = "--" + next(iter(flags)).replace("_", "-")
    with pytest.raises(KwsError, match=name + r" is for NPUs only, and this training runs on .* \(test\); leave it"):
        device.notes(DeviceSettings(**flags))


def test_a_session_uses_its_device_only():
    mixed = DeviceSettings(precision_mode="allow_mix_precision")
    assert ON_CPU.config(mixed).device_count == {"GPU": 0}
    second = GPU(1, "test").config(mixed)
    assert second.gpu_options.visible_device_list == "1" and second.gpu_options.allow_growth
    assert second.graph_options.rewrite_options.auto_mixed_precision == RewriterConfig.ON
    plain = ON_GPU.config(DeviceSettings()).graph_options.rewrite_options
    assert plain.auto_mixed_precision == RewriterConfig.DEFAULT and not plain.custom_optimizers
    assert not session.config().graph_options.rewrite_options.custom_optimizers


class Tiny:
    """A graph with one weight, trained as a GPU would with these flags; its mixed precision does nothing on a CPU."""

    def __init__(self, **flags):
        with tf.Graph().as_default() as graph:
            self.x = tf.placeholder(tf.float32, ())
            weight = tf.get_variable("weight", initializer=1.0)
            optimizer = ON_GPU.optimizer(DeviceSettings(**flags))(0.1)
            pairs = optimizer.compute_gradients(weight * self.x)
            self.apply = optimizer.apply_gradients(pairs, tf.train.get_or_create_global_step())
            self.checkpoints = checkpoint.Writer()
            self.variables = tf.global_variables()
            initialise = tf.global_variables_initializer()
        self.session = session.open_session(graph)
        self.session.run(initialise)
        graph.finalize()

    def step(self, x=1.0):
        self.session.run(self.apply, {self.x: x})

    def values(self):
        names = [one.op.name.rpartition("/")[2] if "power" in one.op.name else one.op.name for one in self.variables]
        return dict(zip(names, self.session.run(self.variables)))


def test_a_gpu_in_mixed_precision_skips_an_overflow_and_counts_it():
    tiny = Tiny(precision_mode="allow_mix_precision")
    tiny.step()
    before = tiny.values()
    tiny.step(np.inf)
    after = tiny.values()
    assert before["weight"] == after["weight"] and after["current_loss_scale"] < before["current_loss_scale"]
    tiny.step()
    assert skipped_steps(tiny.session, 3) == 1
    for scale in ("128", "none"):
        assert "current_loss_scale" not in Tiny(precision_mode="allow_mix_precision", loss_scale=scale).values()


def test_checkpoints_with_and_without_a_loss_scale_are_interchangeable(tmp_path):
    scaled, plain = Tiny(precision_mode="allow_mix_precision"), Tiny()
    for _ in range(3):
        scaled.step(np.inf)
        scaled.step()
    scaled.checkpoints.write(scaled.session, str(tmp_path / "scaled.ckpt"))
    again = Tiny(precision_mode="allow_mix_precision")
    again.checkpoints.read(again.session, str(tmp_path / "scaled.ckpt"))
    assert again.values() == scaled.values() and again.values()["current_loss_scale"] == 2.0 ** 12
    plain.checkpoints.read(plain.session, str(tmp_path / "scaled.ckpt"))
    assert plain.values() == {name: scaled.values()[name] for name in plain.values()}
    plain.step()
    plain.checkpoints.write(plain.session, str(tmp_path / "plain.ckpt"))
    scaled.checkpoints.read(scaled.session, str(tmp_path / "plain.ckpt"))
    assert dict(scaled.values(), **plain.values()) == scaled.values() and scaled.values()["global_step"] == 4


def test_a_checkpoint_that_lacks_more_than_the_loss_scale_is_refused(tmp_path):
    with tf.Graph().as_default() as graph, tf.Session() as opened:
        opened.run(tf.get_variable("weight", initializer=1.0).initializer)
        tf.train.Saver().save(opened, str(tmp_path / "weight.ckpt"))
        assert graph
    tiny = Tiny(precision_mode="allow_mix_precision")
    for name in ("weight.ckpt", "none.ckpt"):
        with pytest.raises(checkpoint.UnreadableCheckpoint, match="cannot be read"):
            tiny.checkpoints.read(tiny.session, str(tmp_path / name))


@pytest.mark.parametrize("device, error, words", [
    (NPU, tf.errors.InternalError, r"an NPU \(device 3\) failed: it is busy; see npu-smi info, and CANN's log"),
    (GPU, tf.errors.ResourceExhaustedError, r"a GPU \(device 3\) has too little memory: it is busy; use a smaller"),
])
def test_a_failure_of_a_device_is_one_line(device, error, words):
    with pytest.raises(KwsError, match=words), device(3, "test").blamed():
        raise error(None, None, "it is\nbusy [[node x]]")


@pytest.mark.parametrize("device", [ON_GPU, ON_CPU])
def test_a_bug_of_ours_keeps_its_traceback(device):
    with pytest.raises(tf.errors.InvalidArgumentError), device.blamed():
        raise tf.errors.InvalidArgumentError(None, None, "shapes")


def test_only_an_npu_makes_several_steps_per_call():
    assert (CPU.sinks, GPU.sinks, NPU.sinks) == (False, False, True)
    step = object()
    assert ON_CPU.sink(None, step, 10) is step and NPU(0, "test").sink(None, step, 1) is step
