"""Processes that train together: they start and end together. The children are small Python programs."""
import os
import signal
import socket
import subprocess
import sys

import pytest

from kwscli.errors import KwsError
from kwscli.workers import launch, sockets

WAIT = 20  # seconds after which a test that waits has failed
CHILD = """
import os, signal, socket, sys, time
rank, port = int(os.environ["RANK"]), int(os.environ["PORT"])
def ready(text=""):
    os.write(int(os.environ["READY"]), (text or "%d" % os.getpid()).encode() + b"\\n")
def stop(number, frame):
    print("saved", rank); sys.exit(128 + number)
def wait():
    signal.pause()
"""
PARENT = """
import os, sys
from kwscli.workers import launch
def told(ports):
    return [{"RANK": str(r), "PORT": str(ports[r]), "READY": os.environ["READY"]} for r in range(len(ports) - 1)]
import subprocess
original = subprocess.Popen
def inheriting(*args, **more):
    return original(*args, pass_fds=[int(os.environ["READY"])], **more)
subprocess.Popen = inheriting
try:
    status = launch.launch(int(sys.argv[1]), [sys.executable, "-c", sys.argv[2]], told)
except launch.KwsError as error:
    print("Error: %s" % error, file=sys.stderr)
    status = 1
sys.exit(status)
"""


class Launcher:
    """A process that launches children, which write `lines`."""

    def __init__(self, size, child):
        read, write = os.pipe()
        os.set_inheritable(write, True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(size), CHILD + child], env=dict(os.environ, READY=str(write)),
            pass_fds=[write], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        )
        os.close(write)
        self.lines = os.fdopen(read)

    def told(self, count):
        return [self.lines.readline().strip() for _ in range(count)]

    def end(self):
        """(exit status, stdout, stderr), once no child has the pipe open, so all have ended."""
        out, err = self.process.communicate(timeout=WAIT)
        self.gone()
        return self.process.returncode, out, err

    def gone(self):
        signal.alarm(WAIT)
        try:
            assert self.lines.read() == ""  # waits until all processes that have the pipe open have ended
        finally:
            signal.alarm(0)


@pytest.fixture
def launcher():
    started = []

    def start(size, child):
        started.append(Launcher(size, child))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()
        one.lines.close()


def test_only_the_output_of_worker_0_is_shown(launcher):
    status, out, err = launcher(3, "print('I am', rank); print('and', rank, file=sys.stderr)").end()
    assert (status, out, err) == (0, "I am 0\n", "and 0\n")


def test_every_worker_can_listen_on_its_port_and_no_port_stays_bound(launcher):
    child = "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); " \
            "s.bind(('127.0.0.1', port)); s.listen(1); ready(str(port))"
    one = launcher(2, child)
    ports = [int(port) for port in one.told(2)]
    assert len(set(ports)) == 2
    assert one.end()[0] == 0
    for port in ports:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # which allows TIME_WAIT, but no other listener
            free.bind(("127.0.0.1", port))
            free.listen(1)


def test_no_other_program_gets_a_reserved_port():
    with sockets.free_ports(2) as ports, socket.socket() as other:
        with pytest.raises(OSError):
            other.bind(("127.0.0.1", ports[0]))


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_all_workers_and_they_end_in_order(launcher, number, status):
    one = launcher(2, "signal.signal(%d, stop); ready(); wait()" % number)
    one.told(2)
    one.process.send_signal(number)
    found, out, err = one.end()
    assert (found, out, err) == (status, "saved 0\n", "")


@pytest.mark.parametrize("end, how", [
    ("sys.exit(3)", "ended with exit status 3"), ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
])
def test_a_worker_that_fails_ends_all_and_is_named_with_its_last_lines(monkeypatch, end, how):
    monkeypatch.setattr(launch, "GRACE", 0.2)
    child = CHILD + "if rank == 1:\n    [print('line', i, flush=True) for i in range(50)]\n    %s\nwait()" % end
    with pytest.raises(KwsError) as error:
        launch.launch(3, [sys.executable, "-c", child], told)
    lines = str(error.value).splitlines()
    assert lines == ["worker 1 %s; see the last lines of its output:" % how] + ["  line %d" % i for i in range(40, 50)]
    assert_no_children()


def test_workers_that_agree_to_stop_get_time_to_end(monkeypatch):
    monkeypatch.setattr(launch, "GRACE", 0)
    child = CHILD + "sys.exit(143) if rank else (time.sleep(0.5), sys.exit(143))"
    assert launch.launch(2, [sys.executable, "-c", child], told) == 143


def told(ports):
    return [{"RANK": str(rank), "PORT": str(ports[rank])} for rank in range(len(ports) - 1)]


def assert_no_children():
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_error_of_worker_0_is_not_shown_twice(monkeypatch):
    monkeypatch.setattr(launch, "GRACE", 0.2)
    assert launch.launch(2, [sys.executable, "-c", CHILD + "wait() if rank else sys.exit(7)"], told) == 7
    assert_no_children()


def test_a_single_process_that_is_killed_is_no_worker():
    with pytest.raises(KwsError) as error:
        launch.launch(1, [sys.executable, "-c", CHILD + "os.kill(os.getpid(), signal.SIGKILL)"], told)
    assert str(error.value) == (
        "the training was killed by SIGKILL; run the same command again to continue from the last checkpoint"
    )
    assert_no_children()


def test_a_command_that_cannot_be_started_leaves_no_process():
    with pytest.raises(OSError):
        launch.launch(2, ["/nowhere/python"], told)
    assert_no_children()


def test_children_end_with_a_parent_that_is_killed(launcher):
    one = launcher(3, "ready(); wait()")
    one.told(3)
    one.process.kill()
    one.process.wait(WAIT)
    one.gone()
