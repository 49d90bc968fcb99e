"""Workers over TensorFlow's own gRPC: two real processes, each of which runs a case of this file."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow.compat.v1")

# After the check for TensorFlow:
from kwscli.devices import session  # noqa: E402
from kwscli.devices.device_settings import DeviceSettings  # noqa: E402
from kwscli.errors import KwsError  # noqa: E402
from kwscli.models import network  # noqa: E402
from kwscli.runs import run_directory  # noqa: E402
from kwscli.settings import DataSettings, TrainSettings  # noqa: E402
from kwscli.sound.feature_settings import FeatureSettings  # noqa: E402
from kwscli.training import diagnostics  # noqa: E402
from kwscli.training import tensors, training_graph  # noqa: E402
from kwscli.workers import cluster  # noqa: E402
from kwscli.workers import cores  # noqa: E402
from kwscli.workers.collective import Collective  # noqa: E402
from kwscli.workers.peers import Patience  # noqa: E402
from kwscli.workers.sockets import free_ports  # noqa: E402

BATCH, STEPS, LABELS = 8, 20, ("_silence_", "_unknown_", "yes", "no")
FEATURES = "Placeholder:0"  # what a batch is fed to
WAIT = 60  # seconds after which a test that waits has failed
SHORT = Patience(start=WAIT, work=4, silence=2)


def described(batch_size):
    return run_directory.Description(
        architecture="dnn", model_size_info=(16, 16), labels=LABELS, features=FeatureSettings(), data=DataSettings(),
        train=TrainSettings(batch_size=batch_size, dropout_rate=0.0),
    )


def batch(step, rank, size):
    """This rank's part of the global batch of a step."""
    rng = np.random.RandomState(step)
    settings = described(1).features
    features = rng.randn(2 * BATCH, *settings.shape).astype(np.float32)
    part = slice(rank * 2 * BATCH // size, (rank + 1) * 2 * BATCH // size)
    return features[part], rng.randint(len(LABELS), size=2 * BATCH)[part]


class Training(contextlib.ExitStack):
    """A small network in a session, equal on all ranks."""

    def __init__(self, collective, seed=0):
        super().__init__()
        self.collective = collective
        with tf.Graph().as_default() as self.graph:
            tf.set_random_seed(seed)
            self.step = training_graph.build(
                described(2 * BATCH // collective.size),
                lambda rate: collective.optimizer(tf.train.AdamOptimizer(rate)),
            )
            tf.get_variable("moving_average", initializer=float(collective.rank + 5), trainable=False)
            self.checks = tensors.numeric_checks(self.step)
            self.variables = tf.global_variables()
            together, initialise = collective.broadcast(self.variables), network.initialiser()
        proto = session.config()
        collective.start(proto)
        self.session = self.enter_context(tf.Session(collective.target, self.graph, proto))
        self.session.run(initialise)
        self.session.run(self.step.set_rate, {self.step.new_rate: 0.01})
        with collective.watched():
            self.session.run(together)

    def train(self, steps, run=None):
        """Make these steps; run(fetches, feed): in place of the session's."""
        for step in steps:
            features, targets = batch(step, self.collective.rank, self.collective.size)
            feed = {self.step.features: features, self.step.targets: targets}
            with self.collective.watched():
                (run or self.session.run)([self.step.loss, self.step.step, self.checks], feed)

    def values(self):
        return dict(zip([variable.op.name for variable in self.variables], self.session.run(self.variables)))


# Cases: what each of the two processes does. They print JSON.


def trains(collective, folder):
    with Training(collective, seed=collective.rank) as training:
        training.train(range(STEPS // 2))
        assert not collective.any(0)
        training.train(range(STEPS // 2, STEPS))
        np.savez(os.path.join(folder, "%d.npz" % collective.rank), **training.values())
        operations = [op.type for op in training.graph.get_operations()]
    total = collective.sum(np.array([[1, collective.rank]], np.int64))
    return {
        "reductions": operations.count("CollectiveReduce"), "sum": total.tolist(), "kind": str(total.dtype),
        "any": collective.any(15 if collective.rank else 0), "shared": collective.shared({"rank": collective.rank}),
        "bound": bound_to(collective),
    }


def bound_to(collective):
    """The interface of the socket that TensorFlow's server listens on."""
    port = int(collective._cluster.addresses[collective.rank].split(":")[1])
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(number))) as one:
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and one.getsockname()[1] == port:
                return one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()


def is_lost(collective, way):
    """Rank 1 dies or hangs; rank 0 is in a step by then, or about to be."""
    with Training(collective) as training:
        training.train(range(3))
        if collective.rank:
            if way == "hangs":
                signal.pause()
            os.kill(os.getpid(), signal.SIGKILL)
        training.train(range(3, STEPS))


def overflows(collective, folder):
    """The features of rank 1 are more than a number holds, and its checks say so."""
    with Training(collective) as training:
        looks = diagnostics.Diagnostics(DeviceSettings(over_dump=True), folder, training.step)
        looks.open()

        def run(fetches, feed):
            if collective.rank:
                feed[training.step.features] = np.inf * feed[training.step.features]
            try:
                looks.run(training.session, 4, fetches, feed)
            except tf.errors.InvalidArgumentError:  # on rank 0 only of the mean gradients, if at all
                names = looks.overflow(training.session, 4, feed)
                raise KwsError("overflow" if names == [] else "%s is not finite" % names[0])

        training.train(range(3))
        training.train(range(3, STEPS), run)


def is_lost_at_once(collective, way):
    """Rank 1 freezes before the first step."""
    if collective.rank:
        os.kill(os.getpid(), signal.SIGSTOP)
    with Training(collective):
        pass


def main(case, *arguments):
    try:
        with Collective(cluster.of(), SHORT) as collective:
            print(json.dumps(globals()[case](collective, *arguments)))
    except KwsError as error:
        print("Error: %s" % error, file=sys.stderr)
        sys.exit(1)


# Tests


@pytest.fixture
def workers(tmp_path):
    """workers(case, argument): starts two processes -> [process]; none outlives the test."""
    started = contextlib.ExitStack()

    def start(case, argument):
        ports = started.enter_context(free_ports(3))
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
        usual = dict(os.environ, PYTHONPATH=root, http_proxy="http://127.0.0.1:9")  # which nobody must go through
        processes = []
        for environ in cluster.local(ports):
            processes.append(subprocess.Popen(
                [sys.executable, __file__, case, argument], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=dict(usual, **environ), universal_newlines=True,
            ))
            started.callback(processes[-1].communicate)
            started.callback(processes[-1].kill)
        return processes

    with started:
        yield start


def ended(process):
    """(exit status, result, the error it showed)."""
    out, err = process.communicate(timeout=WAIT)
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert errors or process.returncode == 0, err
    return process.returncode, json.loads(out) if out.strip() else None, "".join(errors)


def train_together(workers, folder):
    folder.mkdir()
    results = [ended(process) for process in workers("trains", str(folder))]
    return results, [dict(np.load(str(folder / ("%d.npz" % rank)))) for rank in range(2)]


@pytest.fixture
def alone():
    """The same training by one process with the double batch."""
    with Collective() as collective, Training(collective) as training:
        training.train(range(STEPS))
        return training.values()


def test_two_workers_make_the_updates_of_one_with_the_double_batch(workers, tmp_path, alone):
    (first, second), (weights, others) = train_together(workers, tmp_path / "once")
    assert first[0] == second[0] == 0 and set(weights) == set(others) == set(alone)
    assert len(weights) > 10 and any("Adam" in name for name in weights) and weights["global_step"] == STEPS
    for name in alone:
        np.testing.assert_array_equal(weights[name], others[name], err_msg=name)
        np.testing.assert_allclose(weights[name], alone[name], atol=1e-5, rtol=0, err_msg=name)
    assert first[1] == second[1] == {
        "reductions": 1, "sum": [[2, 1]], "kind": "int64", "any": 15, "shared": {"rank": 0}, "bound": "lo",
    }
    _, (again, _) = train_together(workers, tmp_path / "again")
    for name in weights:
        np.testing.assert_array_equal(weights[name], again[name], err_msg=name)


def errors_of(check, size):
    """What check(collective) refuses on each of `size` workers."""
    errors = []

    def run(environ):
        try:
            with Collective(cluster.of(environ)) as collective:
                check(collective)
        except KwsError as error:
            errors.append(str(error))

    with free_ports(size + 1) as ports:
        threads = [threading.Thread(target=run, args=(environ,), daemon=True) for environ in cluster.local(ports)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
    return errors, ports


def test_all_workers_name_the_settings_that_differ():
    def check(collective):
        collective.check_same({"kws": "1.0", "batch_size": 100 + collective.rank, "seed": 1})

    errors, ports = errors_of(check, 3)
    advice = "start all of them with the same command and the same versions"
    different = "the workers have different settings: %s; %s" % ("; ".join(
        "batch_size is %d on worker %d (127.0.0.1:%d) and 100 on worker 0 (127.0.0.1:%d)"
        % (100 + rank, rank, ports[rank], ports[0]) for rank in (1, 2)
    ), advice)
    assert errors == [different] * 3


@pytest.mark.parametrize("kind, numbers, words", [
    ("gpu", (0, 0), "worker 0 .* and worker 1 .* both use GPU 0; give each"),
    ("npu", (0, 1), "worker . .* uses an NPU, but TF_CONFIG describes CPUs and GPUs"),
    ("gpu", (0, 1), None), ("cpu", (0, 0), None),
])
def test_devices_that_cannot_train_together(kind, numbers, words):
    errors, _ = errors_of(lambda collective: collective.check_device(kind, numbers[collective.rank]), 2)
    assert len(errors) == (2 if words else 0) and all(re.search(words, error) for error in errors), errors


def test_workers_divide_the_cores_of_their_machine(monkeypatch):
    kept, shares = [], []
    monkeypatch.setattr(cores, "usable", lambda: [2, 3, 5, 7])
    monkeypatch.setattr(cores, "keep_to", kept.append)
    assert errors_of(lambda collective: shares.append(collective._keep_to_own_cores()), 3)[0] == []
    assert sorted(kept) == [[2, 7], [3], [5]] and sorted(shares) == [1, 1, 2]


def test_an_npu_cluster_refuses_other_devices():
    npus = cluster.Cluster(1, ("10.0.0.10/0", "10.0.0.10/1"), "127.0.0.1:1", hccl=True)
    with pytest.raises(KwsError) as error:
        Collective(npus).check_device("cpu", 0)
    assert error.value.problem == "worker 1 (10.0.0.10/1) uses the CPU, but RANK_TABLE_FILE describes NPUs"
    assert error.value.advice


@pytest.mark.parametrize("case, way, how", [
    ("is_lost", "dies", "closed its connection"),
    ("is_lost", "hangs", "did not start the step that the others started"),
    ("is_lost_at_once", "freezes", "sent nothing for"),
])
def test_a_worker_that_is_lost_ends_the_other_with_its_name(workers, case, way, how):
    status, _, error = ended(workers(case, way)[0])
    assert status == 1
    assert re.match(r"Error: worker 1 \(127.0.0.1:\d+\) %s" % how, error), error
    assert error.endswith("run the same command again to continue from the last checkpoint")


def test_an_overflow_on_one_worker_ends_all_and_its_tensors_are_kept(workers, tmp_path):
    (status, _, error), (other, _, reason) = map(ended, workers("overflows", str(tmp_path)))
    assert status == other == 1
    assert reason == "Error: %s is not finite" % FEATURES
    assert re.match(r"Error: (overflow|worker 1 \(127.0.0.1:\d+\) ended: %s is not finite)$" % FEATURES, error), error
    assert os.path.exists(str(tmp_path / "over_dump" / "4" / "index.csv"))


def test_a_single_worker_changes_nothing():
    collective = Collective()
    inner, proto = tf.train.AdamOptimizer(), tf.ConfigProto()
    with tf.Graph().as_default():
        gradients = [tf.constant([1.0])]
        assert collective.optimizer(inner) is inner and collective.average(gradients) is gradients
        assert collective.broadcast([]).type == "NoOp"
    collective.start(proto)
    collective.check_device("gpu", 3)
    assert collective.target == "" and proto == tf.ConfigProto()
    assert collective.any(2) == 2 and collective.shared([1]) == [1]
    np.testing.assert_array_equal(collective.sum(np.eye(2, dtype=np.int64)), np.eye(2))
    collective.check_same({"batch_size": 1})


if __name__ == "__main__":
    main(*sys.argv[1:])
