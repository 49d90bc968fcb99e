"""What workers tell each other beside the gradients: results, when to stop, and that they are alive; no TensorFlow.

Worker 0 listens, the others connect to it, a line of JSON a message. Every worker gives signs of life, so that one that
died or hangs is named on all the others instead of being waited for. As TensorFlow's servers do, it trusts who connects.
"""
import collections
import contextlib
import json
import socket
import threading
import time

from . import cluster as clusters
from .errors import Interrupted, KwsError

TIMEOUT = 300.0  # seconds that a worker may take to come to where the others wait
START_TIMEOUT = 900.0  # seconds from the first worker to the last: a cluster starts its machines one by one
SILENT = 10  # signs of life that may be missing
BEATS = 100  # signs of life in TIMEOUT seconds
_AGAIN = "the same command goes on from the last checkpoint"


class Peers:
    """The line to the other workers of a cluster; does nothing where there is none.

    on_loss(): called once, from another thread, when a worker is lost or the timeout is over; `lost` then says why.
    busy: whether this worker is in the middle of a step, where it waits for the others if they are not.
    """

    def __init__(self, cluster, timeout=TIMEOUT, start_timeout=START_TIMEOUT, on_loss=lambda: None):
        self._cluster, self._timeout, self._on_loss = cluster, timeout, on_loss
        self.lost, self.busy = None, False
        self._since = time.monotonic()
        self._sockets, self._ended, self._busy = {}, set(), {}  # by rank
        self._inbox = [collections.deque() for _ in cluster.addresses]
        self._changed, self._sending, self._closing = threading.Condition(), threading.Lock(), threading.Event()
        if cluster.size > 1:
            threading.Thread(target=self._beat, daemon=True).start()
            try:
                (self._connect if cluster.rank else self._accept)(time.monotonic() + start_timeout, start_timeout)
            except BaseException as error:
                self.close(error)
                raise

    def gather(self, value):
        """[value of each rank], the same on every rank, which all must come to; a value is what JSON can hold."""
        if self._cluster.size == 1:
            return [value]
        if self._cluster.rank:
            self._send(0, {"value": value})
            return self._take([0], 2 * self._timeout)[0]  # rank 0 knows who is missing: let it speak first
        values = [value] + self._take(range(1, self._cluster.size), self._timeout)
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
            self._send(rank, {"end": reason or ""})
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.close()

    def _take(self, ranks, seconds):
        """The next value from each of these ranks."""

        def here():
            return [rank for rank in ranks if self._inbox[rank] or rank in self._ended]

        with self._changed:
            self._changed.wait_for(lambda: self.lost or len(here()) == len(ranks), seconds)
            late = sorted(set(ranks) - set(here()))
            ended = [rank for rank in ranks if rank in self._ended and not self._inbox[rank]]
        if ended or late:
            self._lose("%s ended before the others" % self._names(ended) if ended else
                       "%s did not answer for %g s" % (self._names(late), seconds))
        self.check()
        return [self._inbox[rank].popleft() for rank in ranks]

    def _names(self, ranks):
        return " and ".join(self._cluster.name(rank) for rank in ranks)

    def _lose(self, found):
        """Note what went wrong first, tell the others, and whoever waits here."""
        with self._changed:
            if self.lost or self._closing.is_set():
                return
            self.lost = "%s; %s" % (found, _AGAIN)
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
        while not self._closing.wait(self._timeout / BEATS):
            for rank in list(self._sockets):
                self._send(rank, {"busy": self.busy})
            waited = time.monotonic() - self._since
            if self.busy and waited > self._timeout * (2 if self._cluster.rank else 1):
                idle = [rank for rank, busy in sorted(self._busy.items()) if not busy]
                who = self._names(idle) + " did not come to" if idle else "no worker finished"
                mine = self._cluster.name(self._cluster.rank)
                self._lose("%s the step that %s began %.0f s ago" % (who, mine, waited))

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
            self._lose("%s is gone" % self._cluster.name(rank))
        except socket.timeout:
            self._lose("%s gave no sign of life for %g s" % (self._cluster.name(rank), self._silence))
        except (OSError, ValueError):
            self._lose("%s is gone" % self._cluster.name(rank))

    def _end(self, rank, reason):
        """A rank has said goodbye."""
        if reason:
            self._lose("%s ended: %s" % (self._cluster.name(rank), reason))
        with self._changed:
            self._ended.add(rank)
            self._changed.notify_all()

    def _accept(self, deadline, seconds):
        """Worker 0: wait for all the others."""
        host, port = _split(self._cluster.hub)
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
                if time.monotonic() > deadline:
                    missing = set(range(1, self._cluster.size)) - set(self._sockets)
                    raise KwsError("%s did not start within %g s" % (self._names(sorted(missing)), seconds))
                with contextlib.suppress(socket.timeout):
                    self._welcome(*listener.accept())

    def _welcome(self, connection, address):
        """Let in a worker of this cluster; whoever speaks otherwise is none."""
        connection.settimeout(min(5, self._silence))
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

    def _connect(self, deadline, seconds):
        """The others: find worker 0, which may start later."""
        while True:
            try:
                connection = socket.create_connection(_split(self._cluster.hub), timeout=5)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise KwsError("%s does not answer at %s since %g s: %s"
                                   % (self._cluster.name(0), self._cluster.hub, seconds, error.strerror or error))
                self._closing.wait(0.1)
        self._join(0, connection, connection.makefile(encoding="utf-8"))
        self._send(0, {"rank": self._cluster.rank, "addresses": self._cluster.addresses})

    @property
    def _silence(self):
        return SILENT * self._timeout / BEATS

    def _join(self, rank, connection, lines):
        connection.settimeout(self._silence)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[rank] = connection
        threading.Thread(target=self._listen, args=(rank, lines), daemon=True).start()


def _split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
