"""What workers tell each other beside the gradients: results, when to stop, and that they are alive; no TensorFlow.

Worker 0 listens, the others connect to it, a line of JSON a message. Every worker gives signs of life, so that one
that died or hangs is named on all others, not waited for. As TensorFlow's servers do, it trusts who connects.
"""
import collections
import contextlib
import json
import socket
import threading
import time
from typing import NamedTuple

from ..console import say
from ..errors import Interrupted, KwsError
from . import cluster as clusters

_MISSING_BEATS = 10  # signs of life that may be late or lost
_HELLO_SECONDS = 10.0
_LATE_SECONDS = 10.0  # after which it is said who is waited for


class Patience(NamedTuple):
    """How many seconds a worker is waited for."""

    start: float = 900.0  # from the first worker to the last: a cluster starts its machines one by one
    work: float = 300.0  # until it comes to where the others wait
    silence: float = 30.0  # between its signs of life, which do not depend on its work


class Peers:
    """The line to the other workers of a cluster; does nothing where there is none.

    on_loss(): called once, from another thread, when a worker is lost or the timeout is over; `lost` then says why.
    busy: whether this worker is in the middle of a step, where it waits for the others if they are not.
    """

    def __init__(self, cluster, patience=Patience(), on_loss=lambda: None):
        self._cluster, self._patience, self._on_loss = cluster, patience, on_loss
        self.lost, self.busy = None, False
        self._since = time.monotonic()
        self._sockets, self._ended, self._busy = {}, set(), {}  # by rank
        self._inbox = [collections.deque() for _ in cluster.addresses]
        self._changed, self._sending, self._closing = threading.Condition(), threading.Lock(), threading.Event()
        if cluster.size > 1:
            threading.Thread(target=self._beat, daemon=True).start()
            try:
                (self._connect if cluster.rank else self._accept)(time.monotonic() + patience.start)
            except BaseException as error:
                self.close(error)
                raise

    def gather(self, value):
        """[value of each rank], the same on every rank, which all must come to; a value is what JSON can hold."""
        if self._cluster.size == 1:
            return [value]
        if self._cluster.rank:
            self._send(0, {"value": value})
            return self._take([0], 2 * self._patience.work)[0]  # rank 0 knows who is missing: let it speak first
        values = [value] + self._take(range(1, self._cluster.size), self._patience.work)
        for rank in range(1, self._cluster.size):
            self._send(rank, {"value": values})
        return values

    @contextlib.contextmanager
    def working(self):
        """In the middle of a step: see `busy`."""
        self._since, self.busy = time.monotonic(), True
        try:
            yield
        finally:
            self.busy = False

    def check(self):
        """Raise what was lost, if anything was."""
        if self.lost:
            raise KwsError(self.lost)

    def wait_for_loss(self, seconds):
        """Raise what was lost, waiting for the news if need be."""
        with self._changed:
            self._changed.wait_for(lambda: self.lost, seconds)
        self.check()

    def close(self, error=None):
        """Say goodbye; the reason, where there is one, is told on the other workers."""
        self._closing.set()
        reason = error and not isinstance(error, Interrupted) and (str(error) or type(error).__name__)
        for rank, connection in list(self._sockets.items()):
            self._send(rank, {"lost": self.lost} if self.lost else {"end": reason or ""})
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.close()

    def _take(self, ranks, seconds):
        """The next value from each of these ranks."""

        def here():
            return [rank for rank in ranks if self._inbox[rank] or rank in self._ended]

        with self._changed:
            self._changed.wait_for(lambda: self.lost or len(here()) == len(ranks), seconds)
            missing = [rank for rank in ranks if not self._inbox[rank]]
            ended = [rank for rank in missing if rank in self._ended]
        if missing:
            self._miss(ended or missing, "ended before the others" if ended else "did not answer for %g s" % seconds)
            self.check()
        return [self._inbox[rank].popleft() for rank in ranks]

    def _names(self, ranks):
        return " and ".join(self._cluster.name(rank) for rank in ranks)

    def _miss(self, ranks, how):
        self._lose("%s %s; the same command goes on from the last checkpoint" % (self._names(ranks), how))

    def _lose(self, found):
        """Note what went wrong first, tell the others, and whoever waits here."""
        with self._changed:
            if self.lost or self._closing.is_set():
                return
            self.lost = found
            self._changed.notify_all()
        if not self._cluster.rank:
            for rank in list(self._sockets):
                self._send(rank, {"lost": found})
        self._on_loss()

    def _send(self, rank, message):
        with contextlib.suppress(OSError, KeyError), self._sending:  # who listens to that rank sees it end, too
            self._sockets[rank].sendall(json.dumps(message).encode() + b"\n")

    def _beat(self):
        """Signs of life, and a look at how long the step takes."""
        while not self._closing.wait(self._patience.silence / _MISSING_BEATS):
            for rank in list(self._sockets):
                self._send(rank, {"busy": self.busy})
            waited = time.monotonic() - self._since
            if self.busy and waited > self._patience.work * (2 if self._cluster.rank else 1):
                idle = [rank for rank, busy in sorted(self._busy.items()) if not busy]
                how = "did not come to" if idle else "did not finish"
                self._miss(idle or range(self._cluster.size), how + " a step that began %.0f s ago" % waited)

    def _listen(self, rank, lines):
        """Everything that a rank says, until it ends."""
        try:
            for line in lines:
                message = json.loads(line)
                self._busy[rank] = message.get("busy", self._busy.get(rank))
                if "value" in message:
                    with self._changed:
                        self._inbox[rank].append(message["value"])
                        self._changed.notify_all()
                elif "lost" in message:
                    self._lose(message["lost"])
                elif "end" in message:
                    self._end(rank, message["end"])
                    return
            self._miss([rank], "is gone")
        except socket.timeout:
            self._miss([rank], "gave no sign of life for %g s" % self._patience.silence)
        except (OSError, ValueError):
            self._miss([rank], "is gone")

    def _end(self, rank, reason):
        """A rank has said goodbye."""
        if reason:
            self._lose("%s ended: %s" % (self._cluster.name(rank), reason))
        with self._changed:
            self._ended.add(rank)
            self._changed.notify_all()

    def _accept(self, deadline):
        """Worker 0: wait for all the others."""
        host, port = _split(self._cluster.hub)
        late = time.monotonic() + _LATE_SECONDS
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host if self._cluster.on_loopback else "", port))
            except OSError as error:
                raise KwsError("cannot listen on %s: %s; is another training running there? $%s chooses another port"
                               % (self._cluster.hub, error.strerror or error, clusters.HUB))
            listener.listen(self._cluster.size)
            listener.settimeout(0.2)
            while len(self._sockets) < self._cluster.size - 1:
                self.check()
                missing = self._names(sorted(set(range(1, self._cluster.size)) - set(self._sockets)))
                if time.monotonic() > deadline:
                    raise KwsError("%s did not start within %g s" % (missing, self._patience.start))
                if time.monotonic() > late:
                    say("Waiting for %s." % missing)
                    late += 10 * _LATE_SECONDS
                with contextlib.suppress(socket.timeout):
                    self._welcome(*listener.accept())

    def _welcome(self, connection, address):
        """Let in a worker of this cluster; whoever speaks otherwise is none."""
        connection.settimeout(_HELLO_SECONDS)
        lines = connection.makefile(encoding="utf-8")
        try:
            hello = json.loads(lines.readline(1 << 20))
            rank, addresses = int(hello["rank"]), tuple(hello["addresses"])
        except (OSError, ValueError, KeyError, TypeError):
            connection.close()
            return
        wrong = None
        if addresses != self._cluster.addresses:
            wrong = "the worker at %s trains with %s, and worker 0 with %s; give all the same cluster" % (
                address[0], ", ".join(addresses), ", ".join(self._cluster.addresses))
        elif rank in self._sockets or not 0 < rank < self._cluster.size:
            wrong = "the worker at %s says it is worker %d, and there is one; give every worker its own rank" % (
                address[0], rank)
        if wrong:
            connection.sendall(json.dumps({"end": wrong}).encode() + b"\n")
            raise KwsError(wrong)
        self._join(rank, connection, lines)

    def _connect(self, deadline):
        """The others: find worker 0, which may start later."""
        late = time.monotonic() + _LATE_SECONDS
        while True:
            try:
                connection = socket.create_connection(_split(self._cluster.hub), _HELLO_SECONDS)
                if connection.getsockname() == connection.getpeername():  # TCP lets who calls a free port reach himself
                    connection.close()
                    raise ConnectionRefusedError("nobody listens there")
                hello = {"rank": self._cluster.rank, "addresses": self._cluster.addresses}
                connection.sendall(json.dumps(hello).encode() + b"\n")
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise KwsError("%s does not answer at %s since %g s: %s" % (
                        self._cluster.name(0), self._cluster.hub, self._patience.start, error.strerror or error))
                if time.monotonic() > late:
                    say("Waiting for %s." % self._cluster.name(0))
                    late += 10 * _LATE_SECONDS
                self._closing.wait(0.1)
        self._join(0, connection, connection.makefile(encoding="utf-8"))

    def _join(self, rank, connection, lines):
        connection.settimeout(self._patience.silence)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[rank] = connection
        threading.Thread(target=self._listen, args=(rank, lines), daemon=True).start()


def _split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
