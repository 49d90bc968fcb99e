"""Start N processes on this machine that train together, and end them all when one fails. No TensorFlow."""
import collections
import contextlib
import ctypes
import functools
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Callable, Dict, List, Sequence

from ..devices.choose import workers_use_hccl
from ..errors import KwsError
from ..interrupts import STOPPING, forwarded
from . import cluster, rank_table
from .sockets import free_ports

LAST_LINES = 10  # of a worker's output, which the error shows if that worker fails
GRACE = 10.0  # seconds in which the others may end by themselves after one has failed
STOP_GRACE = 60.0  # the same after a signal to stop: worker 0 may be writing a checkpoint
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Environments = Callable[[Sequence[int]], List[Dict[str, str]]]


def launch(size: int, command: Sequence[str], environments: Environments) -> int:
    """Run a command as `size` workers that train together -> exit status.

    environments(ports): the variables that each worker gets, by rank; `size` + 1 ports are free for them.
    Only worker 0's output is shown. If another worker fails, the KwsError shows the last lines of its output. All
    workers end when the first one fails, and when this process ends, however it ends.
    """
    with free_ports(size + 1) as ports, tempfile.TemporaryDirectory(prefix="kws-") as scratch:
        workers = _Workers(size)
        with forwarded(workers.signal):
            try:
                for rank, variables in enumerate(environments(ports)):
                    # A worker that is killed leaves its temporary files in this folder, which is deleted at the end.
                    workers.start(rank, command, dict(os.environ, TMPDIR=scratch, **variables))
                return workers.wait()
            finally:
                workers.end()


def train(size: int, device: str) -> int:
    """Run this same `kws train` command as `size` workers -> exit status; device: as --device."""
    command = [sys.executable, "-m", "kwscli"] + sys.argv[1:]
    if not workers_use_hccl(device):
        return launch(size, command, cluster.local)
    with tempfile.TemporaryDirectory(prefix="kws-") as folder:
        table = cluster.table_to_start()
        if not table:
            table = os.path.join(folder, "rank_table.json")
            rank_table.write(table, size)
        return launch(size, command, functools.partial(cluster.local_npus, table))


class _Workers:
    """The processes, by rank."""

    def __init__(self, size):
        self._size, self._processes, self._ends = size, [], queue.Queue()
        self._stopped_by = None  # the number of a signal
        self._last_lines = [collections.deque(maxlen=LAST_LINES) for _ in range(size)]
        self._threads = []

    def start(self, rank, command, environment):
        shown = {} if rank == 0 else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        # In a session of its own, so that Ctrl-C at the terminal reaches only this process, which forwards it.
        self._processes.append(subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=_before_exec(os.getpid()), **shown
        ))
        if self._stopped_by:
            self._processes[-1].send_signal(self._stopped_by)
        if len(self._processes) == self._size:  # a fork is unsafe once there are threads
            for rank in range(self._size):
                self._threads.append(threading.Thread(target=self._watch, args=(rank,), daemon=True))
                self._threads[-1].start()

    def _watch(self, rank):
        process = self._processes[rank]
        if process.stdout:
            for line in process.stdout:
                self._last_lines[rank].append(line.decode("utf-8", "replace").rstrip())
        self._ends.put((rank, process.wait()))

    def signal(self, number):
        """Send a signal to all."""
        self._stopped_by = number
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def wait(self):
        """Wait until all have ended, or one has failed -> exit status; a KwsError names a worker that failed unseen."""
        rank, status = self._first_failure()
        if self._is_orderly(status):
            return 128 + self._stopped_by if self._stopped_by and status else status
        if rank == 0 and status > 0:
            return status  # worker 0 has shown its error
        who = "worker %d" % rank if self._size > 1 else "the training"
        raise KwsError("%s %s" % (who, _how(status)), self._advice(rank))

    def _first_failure(self):
        """(rank, exit status) of the first worker that fails, once the others had time to end; (0, 0) if none does."""
        failure, patience = None, None
        for _ in range(self._size):
            try:
                rank, status = self._ends.get(timeout=patience)
            except queue.Empty:
                break
            if status and failure is None:
                failure, patience = (rank, status), STOP_GRACE if self._is_orderly(status) else GRACE
        return failure or (0, 0)

    def _is_orderly(self, status):
        """Whether a worker ended as it should: at the end of its work, or because of a signal to stop."""
        return status == 0 or self._stopped_by or status - 128 in STOPPING

    def _advice(self, rank):
        if self._last_lines[rank]:
            return "see the last lines of its output:\n  " + "\n  ".join(self._last_lines[rank])
        return "run the same command again to continue from the last checkpoint"

    def end(self):
        """Kill what still runs, and close everything."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join(GRACE)
        for process in self._processes:
            if process.stdout:
                process.stdout.close()


def _how(status):
    return "was killed by %s" % signal.Signals(-status).name if status < 0 else "ended with exit status %d" % status


def _before_exec(parent):
    """What a new process does first: accept Ctrl-C, which background jobs ignore, and die with its parent."""
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call of prctl
                os._exit(1)

    return prepare
