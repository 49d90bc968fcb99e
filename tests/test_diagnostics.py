"""Dumps, overflow dumps and traces show the step that was made, and do not change it."""
import csv
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from kwscli import labels, models
from kwscli.devices import session
from kwscli.devices.device_settings import DeviceSettings
from kwscli.errors import KwsError
from kwscli.models import network
from kwscli.runs import run_directory
from kwscli.settings import DataSettings, TrainSettings, pick
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.training import diagnostics, tensors, training_graph

DUMP = {"data_dump_flag": True, "data_dump_step": "2|4-5"}
STEPS = 6


def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    for flags in ({"over_dump": True}, {"profiling": True}, DUMP):
        with pytest.raises(OSError):
            Training(tmp_path / "file" / "data", **flags)
    Training(tmp_path / "file" / "data").session.close()


def described(architecture="ds_cnn"):
    size = models.published(architecture, "s")
    small = (2, 8, 10, 4, 2, 2, 8, 3, 3, 1, 1) if architecture == "ds_cnn" else size.model_size_info
    return run_directory.Description(
        architecture=architecture, model_size_info=small, labels=labels.labels_of(("yes", "no")),
        features=pick(FeatureSettings, {}, **size.feature_settings), data=DataSettings(),
        train=TrainSettings(batch_size=4, dropout_rate=0.3 if architecture == "cnn" else None),
    )


class Training:
    """A network in a session, and batches of noise to train it on."""

    def __init__(self, folder, architecture="ds_cnn", checked=False, **flags):
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            self.graph = training_graph.build(described(architecture))
            checks = tensors.numeric_checks(self.graph) if checked else tf.no_op()
            self.weights = tf.global_variables()
            initialise = network.initialiser()
        self.diagnostics = diagnostics.Diagnostics(DeviceSettings(**flags), str(folder), self.graph)
        self.diagnostics.open()
        self.session = session.open_session(graph)
        self.session.run(initialise)
        self.session.run(self.graph.set_rate, {self.graph.new_rate: 0.01})
        graph.finalize()
        self.fetches = [self.graph.loss, self.graph.logits, self.graph.step, checks]
        self._call = self.session.make_callable(self.fetches, [self.graph.features, self.graph.targets])

    def feed(self, step, spoilt=()):
        rng = np.random.RandomState(step)
        features = rng.randn(*self.graph.features.shape.as_list()).astype(np.float32)
        for place in spoilt:
            features[place] = np.nan
        return {self.graph.features: features, self.graph.targets: rng.randint(0, 4, 4)}

    def step(self, step, **spoilt):
        """As a training makes it -> (loss, logits)."""
        feed = self.feed(step, **spoilt)
        if self.diagnostics.wants(step):
            return self.diagnostics.run(self.session, step, self.fetches, feed)[:2]
        return self._call(*feed.values())[:2]

    def values(self):
        return dict(zip([one.op.name for one in self.weights], self.session.run(self.weights)))

    def train(self, steps=STEPS):
        """{step: (loss, logits)} of all steps, then the end."""
        found = {step: self.step(step) for step in range(1, steps + 1)}
        self.diagnostics.finish()
        return found


def index(path):
    with open(os.path.join(str(path), "index.csv"), newline="") as file:
        return list(csv.DictReader(file))


def dumped(path):
    """{tensor: array} of a folder, as its index has it."""
    found = {}
    for row in index(path):
        value = found[row["tensor"]] = np.load(os.path.join(str(path), row["file"]))
        assert (row["dtype"], row["shape"]) == (str(value.dtype), "x".join(map(str, value.shape)))
    return found


@pytest.mark.parametrize("architecture", ["ds_cnn", "cnn", "crnn"])  # the second drops units
@pytest.mark.parametrize("flags", [dict(DUMP, dump_mode="all"), {"profiling": True}, {"over_dump": True}])
def test_recording_a_step_does_not_change_it(architecture, flags, tmp_path, monkeypatch):
    monkeypatch.setattr(diagnostics, "WARM_UP", 1)
    plain = Training(tmp_path, architecture=architecture)
    looked_at = Training(tmp_path, architecture=architecture, **flags)
    mine, theirs = plain.train(), looked_at.train()
    for step in mine:
        np.testing.assert_array_equal(mine[step][1], theirs[step][1])
        assert mine[step][0] == theirs[step][0]
    for name, value in plain.values().items():
        np.testing.assert_array_equal(value, looked_at.values()[name], err_msg=name)


@pytest.mark.parametrize("architecture", ["ds_cnn", "cnn"])
def test_the_tensors_of_the_chosen_steps_are_kept(architecture, tmp_path, capsys):
    training = Training(tmp_path, architecture=architecture, **DUMP)
    for step in range(1, STEPS + 1):
        before = training.values()
        loss, logits = training.step(step)
        if step not in (2, 4, 5):
            assert not (tmp_path / "dump" / str(step)).exists()
            continue
        found = dumped(tmp_path / "dump" / str(step))
        # Where operations were merged in the step, and are not now, the last bits may differ.
        np.testing.assert_allclose(found[training.graph.loss.name], loss, rtol=1e-6)
        np.testing.assert_allclose(found[training.graph.logits.name], logits, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(found[training.graph.features.name], training.feed(step)[training.graph.features])
        weights = [value for name, value in before.items() if name.endswith("weights")]
        assert all(any(np.array_equal(one, value) for one in found.values()) for value in weights)
        assert all(gradient.name in found for gradient in training.graph.gradients)
    training.diagnostics.finish()
    assert "The tensors of 3 steps are in %s (see index.csv)." % (tmp_path / "dump") in capsys.readouterr().err


def test_inputs_outputs_or_both(tmp_path):
    found = {}
    for mode in ("input", "output", "all"):
        Training(tmp_path / mode, dump_mode=mode, **DUMP).train(2)
        found[mode] = index(tmp_path / mode / "dump" / "2")
        files = set(os.listdir(str(tmp_path / mode / "dump" / "2")))
        assert files == {row["file"] for row in found[mode]} | {"index.csv"}
    kinds = {mode: {row["kind"] for row in rows} for mode, rows in found.items()}
    assert kinds == {"input": {"input"}, "output": {"output"}, "all": {"input", "output"}}
    assert len(found["all"]) == len(found["input"]) + len(found["output"])
    add = [row for row in found["all"] if row["operation"] == "ds_cnn/fc1/BiasAdd"]
    assert [(row["kind"], row["number"]) for row in add] == [("input", "0"), ("input", "1"), ("output", "0")]


def test_chosen_steps_that_were_not_made_are_reported(tmp_path, capsys):
    Training(tmp_path, data_dump_flag=True, data_dump_step="0|900", profiling=True).train(3)
    said = capsys.readouterr().err
    assert "No tensors were saved, because the training made no step of --data-dump-step 0|900." in said
    assert "No step was traced, because the training made no step of 11 to 15." in said
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("checked", [True, False])
def test_an_overflow_is_found_where_it_began(checked, tmp_path, capsys):
    training = Training(tmp_path, checked=checked, over_dump=True)
    training.train(2)
    spoilt = [(0, 1, 2), (3, 0, 0)]
    if checked:
        with pytest.raises(tf.errors.InvalidArgumentError, match="Tensor had NaN"):
            training.step(3, spoilt=spoilt)
    else:
        training.step(3, spoilt=spoilt)
    assert any(np.isnan(value).any() for value in training.values().values())  # yet no weight is to blame
    names = training.diagnostics.overflow(training.session, 3, training.feed(3, spoilt))
    rows = index(tmp_path / "over_dump" / "3")
    assert names[0] == training.graph.features.name and names == [row["tensor"] for row in rows]
    assert (rows[0]["nan"], rows[0]["inf"]) == ("2", "0")
    assert not any("weights" in row["operation"] and "gradients" not in row["operation"] for row in rows)
    found = dumped(tmp_path / "over_dump" / "3")
    assert list(found) == names and not any(np.isfinite(value).all() for value in found.values())
    assert "%d tensors of step 3 are not finite; they are in" % len(names) in capsys.readouterr().err


def test_a_step_without_overflow_writes_nothing(tmp_path):
    training = Training(tmp_path, over_dump=True)
    training.step(1)
    assert training.diagnostics.overflow(training.session, 1, training.feed(1)) == []
    assert Training(tmp_path).diagnostics.overflow(None, 1, {}) == []
    assert os.listdir(str(tmp_path)) == []


def test_a_trace_shows_the_network_and_what_it_costs(tmp_path, capsys):
    training = Training(tmp_path, profiling=True)
    training.train(17)
    assert sorted(os.listdir(str(tmp_path / "profiling"))) == ["operations.txt"] + [
        "step-%d.json" % step for step in range(11, 16)
    ]
    with open(str(tmp_path / "profiling" / "step-11.json")) as file:
        events = json.load(file)["traceEvents"]
    traced = {event["args"]["name"] for event in events if event.get("ph") == "X"}
    assert {"ds_cnn/conv_1/Conv2D", "gradients/ds_cnn/conv_1/Conv2D_grad/Conv2DBackpropFilter"} <= traced
    with open(str(tmp_path / "profiling" / "operations.txt")) as file:
        text = file.read()
    rows = [line.split() for line in text.splitlines()]
    assert len(rows) == 11 and rows[0] == ["calls", "ms", "share", "type", "name"]
    assert all(int(row[0]) == 5 for row in rows[1:]) and any("ds_cnn/" in row[-1] for row in rows[1:])
    milliseconds = [float(row[1]) for row in rows[1:]]
    assert milliseconds == sorted(milliseconds, reverse=True) and milliseconds[0] > 0
    said = capsys.readouterr().err
    assert "The traces of steps 11 to 15 are in %s;" % (tmp_path / "profiling") in said and text.strip() in said


def test_a_continued_run_is_traced_after_its_own_warm_up(tmp_path):
    wanted = Training(tmp_path, profiling=True).diagnostics
    assert [step for step in range(401, 500) if wanted.wants(step)] == [411, 412, 413, 414, 415]


def test_chosen_steps_are_traced(tmp_path):
    wanted = Training(tmp_path, profiling=True, profiling_steps="3|20-21").diagnostics
    assert [step for step in range(1, 50) if wanted.wants(step)] == [3, 20, 21]


@pytest.mark.parametrize("flags, words", [
    ({"profiling_steps": "3"}, "give --profiling too"), ({"profiling": True, "profiling_steps": "9-3"}, "must go up"),
])
def test_steps_that_cannot_be_traced_are_refused(flags, words):
    with pytest.raises(KwsError, match=words):
        DeviceSettings(**flags)


def test_profiling_options_for_npus_only_are_reported(tmp_path, capsys):
    options = json.dumps({"output": str(tmp_path / "there"), "l2": "on", "aic_metrics": "L2Cache"})
    Training(tmp_path, profiling=True, profiling_options=options).train(12)
    said = capsys.readouterr().err
    assert "--profiling-options: l2, aic_metrics have an effect on NPUs only;" in said
    assert sorted(os.listdir(str(tmp_path / "there"))) == ["operations.txt", "step-11.json", "step-12.json"]


def test_without_options_nothing_is_recorded(tmp_path, capsys):
    training = Training(tmp_path)
    assert not any(training.diagnostics.wants(step) for step in range(1, 20))
    assert training.diagnostics.overflow(training.session, 1, training.feed(1)) == []
    training.diagnostics.finish()
    assert os.listdir(str(tmp_path)) == [] and capsys.readouterr().err == ""


def test_names_are_safe_for_files_and_never_the_same(tmp_path):
    with tf.Graph().as_default():
        tensors = [tf.identity(tf.constant(number), name=name) for number, name in enumerate(["a/b", "a_b", "a" * 300])]
    operations = [tensor.op for tensor in tensors]
    places = list(diagnostics._places(operations, "output"))
    diagnostics._write(str(tmp_path / "x"), places, {tensor: np.array(1) for tensor in tensors})
    assert [row["file"] for row in index(tmp_path / "x")][:2] == ["00000_a_b_0.npy", "00001_a_b_0.npy"]
    assert len(os.listdir(str(tmp_path / "x"))) == 4
