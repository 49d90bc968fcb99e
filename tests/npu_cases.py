"""What kws does on an NPU. test_session.py runs each case in its own process, with tests/fake_npu.

    PYTHONPATH=tests/fake_npu:. python tests/npu_cases.py NAME,NAME FOLDER
"""
import contextlib
import os
import sys

import numpy as np
import tensorflow.compat.v1 as tf
from fake_npu_checks import the_fake_is_strict  # noqa: F401  a case too

from kwscli import models
from kwscli.devices import npu_adapter
from kwscli.devices.choose import choose
from kwscli.devices.cpu import CPU
from kwscli.devices.device_settings import DeviceSettings
from kwscli.devices.optimizer import skipped_steps
from kwscli.errors import KwsError
from kwscli.labels import labels_of
from kwscli.models import network
from kwscli.runs import checkpoint, run_directory
from kwscli.settings import DataSettings, TrainSettings
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.training import training_graph

BATCH = 4
DESCRIPTION = run_directory.Description(
    architecture="ds_cnn", model_size_info=models.published("ds_cnn", "s").model_size_info,
    labels=labels_of(("yes", "no")),
    features=FeatureSettings(), data=DataSettings(), train=TrainSettings(batch_size=BATCH),
)


def refused(message, function, *arguments, kind=KwsError):
    """Check that the call raises `kind` with the message in it."""
    try:
        function(*arguments)
    except kind as error:
        assert message in str(error), error
        return
    raise AssertionError("%s was not refused" % message)


def session_on(graph, where, settings, folder=""):
    """A session that is closed at the end."""
    return contextlib.closing(where.open_session(graph, where.config(settings, folder)))


def control():
    from npu_bridge import _control

    return _control


def device(**flags):
    settings = DeviceSettings(**flags)
    return choose(settings), settings


class Training:
    """The graph that `kws train` builds, in a session, and batches for it."""

    def __init__(self, where, settings, rank_count=1, folder=""):
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            self.graph = training_graph.build(DESCRIPTION, where.optimizer(settings, rank_count))
            self.inference = network.inference(DESCRIPTION, BATCH)
            self.checkpoints = checkpoint.Writer()
            self.variables = tf.global_variables()
            initialise = network.initialiser()
        self.session = where.open_session(graph, where.config(settings, folder))
        self.session.run(initialise)
        self.session.run(self.graph.set_rate, {self.graph.new_rate: 0.001})
        graph.finalize()
        self._random = np.random.RandomState(0)

    def step(self):
        targets = self._random.randint(0, 4, BATCH)
        features = self._random.randn(*self.graph.features.shape.as_list()) + targets[:, None, None]
        feeds = {self.graph.features: features.astype(np.float32), self.graph.targets: targets}
        return self.session.run([self.graph.loss, self.graph.step], feeds)[0]

    def values(self):
        return dict(zip([one.op.name for one in self.variables], self.session.run(self.variables)))


def tiny(where, settings, inputs=None):
    """A graph with one weight: (graph, placeholder or None, step, initialiser)."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, (2,)) if inputs is None else inputs()
        weight = tf.get_variable("weight", initializer=1.0)
        optimizer = where.optimizer(settings)(0.1)
        pairs = optimizer.compute_gradients(tf.reduce_sum(weight * x))
        step = optimizer.apply_gradients(pairs, tf.train.get_or_create_global_step())
        return graph, x, step, tf.global_variables_initializer()


def every_flag_arrives(folder):
    lists = os.path.join(folder, "lists.json")
    with open(lists, "w") as file:
        file.write('{"gray-list": {"to-remove": ["Conv2D"]}}')
    data = os.path.join(folder, "data")
    where, settings = device(
        device_id=2, data_dump_flag=True, data_dump_step="0|5-7", dump_mode="all", profiling=True, aoe_mode="mdat",
        modify_mixlist=lists, fusion_switch_file=lists, op_select_implmode="high_performance", iterations_per_loop=5,
        npu_option=("hcom_parallel=False", "graph_run_mode=1", "graph_memory_max_size=1024*1024"),
    )
    assert (where.kind, where.number) == ("npu", 2)
    graph, x, step, initialise = tiny(where, settings)
    with session_on(graph, where, settings, data) as opened:
        opened.run(initialise)
    (seen,) = control().of("validated")
    assert os.path.isdir(seen.pop("work_path")) and '"output": "%s"' % data in seen.pop("profiling_options")
    assert seen == {
        "use_off_line": True, "session_device_id": 2, "precision_mode": "allow_mix_precision", "enable_dump": True,
        "dump_path": data, "dump_step": "0|5-7", "dump_mode": "all", "profiling_mode": True, "aoe_mode": "mdat",
        "modify_mixlist": lists, "fusion_switch_file": lists, "op_select_implmode": "high_performance",
        "iterations_per_loop": 5, "enable_data_pre_proc": True, "hcom_parallel": False, "graph_run_mode": 1,
        "graph_memory_max_size": "1024*1024",
    }


def overflow_dump(folder):
    where, settings = device(over_dump=True, precision_mode="must_keep_origin_dtype")
    assert where.notes(settings) == []
    training = Training(where, settings, folder=folder)
    training.step()
    (seen,) = control().of("validated")
    assert seen == {"use_off_line": True, "precision_mode": "must_keep_origin_dtype", "enable_dump_debug": True,
                    "dump_path": folder, "dump_debug_mode": "all"}
    assert "loss_scale" not in training.values()


def fifty_steps_with_an_overflow(folder):
    where, settings = device()
    training = Training(where, settings)
    control().overflow_schedule.add(20)
    losses = []
    for step in range(1, 51):
        before = training.values() if step == 20 else None
        losses.append(training.step())
        if step == 20:
            after = training.values()
            trained = [name for name in before if "Adam" in name or "weights" in name or "power" in name]
            assert len(trained) > 50 and all(np.array_equal(before[name], after[name]) for name in trained)
            assert after["bad_steps"] == 1 and after["good_steps"] == 0
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10]), losses
    assert control().of("overflow") == [20]
    assert skipped_steps(training.session, 50) == 1
    assert training.values()["loss_scale"] == 2.0 ** 32
    _interchange(training, os.path.join(folder, "npu.ckpt"))
    training.session.close()


def _interchange(scaled, prefix):
    """Check that trainings with and without scaling, and inference on the host, read a scaled training's checkpoint."""
    scaled.checkpoints.write(scaled.session, prefix)
    again = Training(*device())
    again.checkpoints.read(again.session, prefix)
    wanted = scaled.values()
    assert all(np.array_equal(wanted[name], value) for name, value in again.values().items())
    cpu = CPU(0, "test")
    plain = Training(cpu, DeviceSettings(device="cpu"))
    plain.checkpoints.read(plain.session, prefix)
    for name, value in plain.values().items():
        assert np.array_equal(value, wanted["cond/" + name if "power" in name else name]), name
    plain.step()
    plain.checkpoints.write(plain.session, prefix + "-plain")
    scaled.checkpoints.read(scaled.session, prefix + "-plain")
    assert scaled.values()["global_step"] == 50 and scaled.values()["loss_scale"] == 2.0 ** 32
    scaled.step()
    on_host, inference = checkpoint.inference_session(DESCRIPTION, prefix)
    one = np.zeros([1] + inference.features.shape.as_list()[1:], np.float32)
    on_host.run(inference.scores, {inference.features: one})
    assert control().of("run")[-1][1] == "host" and len(control().of("validated")) == 2


def fixed_scale(folder):
    where, settings = device(loss_scale="128")
    training = Training(where, settings)
    control().overflow_schedule.add(2)
    for _ in range(3):
        training.step()
    assert skipped_steps(training.session, 3) == 1 and "loss_scale" not in training.values()


def a_chip_that_knows_infinity(folder):
    where, settings = device()
    graph, x, step, initialise = tiny(where, settings)
    with session_on(graph, where, settings) as opened:
        opened.run(initialise)
        for value in (1.0, np.inf, 1.0):
            opened.run(step, {x: [value, 1.0]})
        assert skipped_steps(opened, 3) == 1


def a_sunk_loop(folder):
    where, settings = device(iterations_per_loop=5)
    seen = []

    def inputs():
        data = tf.data.Dataset.from_generator(lambda: iter(range(20)), tf.int32, ()).map(
            lambda one: tf.ones((2,)) * tf.cast(one, tf.float32)
        )
        seen.append(tf.data.make_initializable_iterator(data))
        return seen[0].get_next()

    graph, _, step, initialise = tiny(where, settings, inputs)
    with session_on(graph, where, settings) as opened:
        opened.run([initialise, seen[0].initializer])
        sunk = where.sink(opened, step, 5)
        graph.finalize()
        for _ in range(4):
            opened.run(sunk)
        assert opened.run(tf.train.get_global_step(graph)) == 20 and sunk.name == "IterationOp"
    graph, x, step, initialise = tiny(where, settings)
    with session_on(graph, where, settings) as opened:
        opened.run(initialise)
        sunk = where.sink(opened, step, 5)
        refused("one fed batch", opened.run, sunk, {x: [1.0, 1.0]}, kind=control().FakeStrictError)
    assert where.sink(opened, step, 1) is step


def the_first_session_decides(folder):
    where, settings = device()
    graph, _, _, initialise = tiny(where, settings)
    with session_on(graph, where, settings) as opened:
        opened.run(initialise)
    other = DeviceSettings(precision_mode="force_fp16")
    refused("precision_mode is force_fp16, but it was allow_mix_precision in the first session of this process; start "
            "another process", where.config, other)
    where.open_session(graph, where.config(settings)).close()


if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        control().reset()
        npu_adapter._first_options.clear()
        globals()[name](*sys.argv[2:])
