"""N processes on this machine that train together: started, watched and ended as one. Without TensorFlow."""
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

from ..devices.choose import workers_use_hccl
from ..errors import KwsError
from ..interrupts import forwarded
from . import cluster, rank_table
from .sockets import free_ports

LAST_LINES = 10
GRACE = 10.0  # seconds that the others have to end by themselves when one has
STOP_GRACE = 60.0  # the same where they were told to: a checkpoint may be written
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def launch(size, command, environments):
    """Run a command as `size` workers that train together -> exit status.

    environments(ports): what each is told, {name: value} by rank, given size + 1 free ports. Only worker 0 is seen: the
    others' last lines are for the KwsError that names a worker which ended badly. All end with the first that does, and
    with this process, however it ends.
    """
    with free_ports(size + 1) as ports, tempfile.TemporaryDirectory(prefix="kws-") as scratch:
        workers = _Workers(size)
        with forwarded(workers.signal):
            try:
                for rank, more in enumerate(environments(ports)):
                    # What a worker that is killed leaves goes with this folder.
                    workers.start(rank, command, dict(os.environ, TMPDIR=scratch, **more))
                return workers.wait()
            finally:
                workers.end()


def train(size, device):
    """Run this very command as `size` workers -> exit status."""
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
        self._stopped = None  # by this signal
        self._last = [collections.deque(maxlen=LAST_LINES) for _ in range(size)]
        self._threads = []

    def start(self, rank, command, environment):
        # A session of its own: Ctrl-C at the terminal reaches this process only, which passes it on.
        shown = {} if rank == 0 else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._processes.append(subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=_before_exec(os.getpid()), **shown
        ))
        if self._stopped:
            self._processes[-1].send_signal(self._stopped)
        if len(self._processes) == self._size:  # threads only after the last fork
            for rank in range(self._size):
                self._threads.append(threading.Thread(target=self._watch, args=(rank,), daemon=True))
                self._threads[-1].start()

    def _watch(self, rank):
        process = self._processes[rank]
        if process.stdout:
            for line in process.stdout:
                self._last[rank].append(line.decode("utf-8", "replace").rstrip())
        self._ends.put((rank, process.wait()))

    def signal(self, number):
        self._stopped = number
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def wait(self):
        """Until all have ended -> exit status; of the first that ended badly, the KwsError unless it was seen to."""
        culprit, patience = None, None
        for _ in range(self._size):
            try:
                rank, status = self._ends.get(timeout=patience)
            except queue.Empty:
                break
            if status and culprit is None:
                culprit, patience = (rank, status), STOP_GRACE if self._in_order(status) else GRACE
        rank, status = culprit or (0, 0)
        if self._in_order(status):
            return 128 + self._stopped if self._stopped and status else status
        if rank == 0 and status > 0:
            return status
        raise KwsError("worker %d %s%s" % (rank, _how(status), self._told(rank)))

    def _in_order(self, status):
        return status == 0 or self._stopped or status in (128 + signal.SIGINT, 128 + signal.SIGTERM)

    def _told(self, rank):
        return "; its last lines:\n  " + "\n  ".join(self._last[rank]) if self._last[rank] else ""

    def end(self):
        """Leave nothing behind."""
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
    return "was ended by %s" % signal.Signals(-status).name if status < 0 else "ended with exit status %d" % status


def _before_exec(parent):
    """What a new process does first: hear Ctrl-C, which a shell's background jobs ignore, and die with its parent."""
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died in between
                os._exit(1)

    return prepare
