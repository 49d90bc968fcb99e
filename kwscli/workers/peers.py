"""Control messages between workers: results, requests to stop, signs of life. For gradients see `collective`.

Worker 0 listens on the hub of the cluster and the others connect to it; each message is a line of JSON. Every worker
sends signs of life, so if one dies or hangs, the others end with an error that names it. As TensorFlow's servers do,
worker 0 trusts whoever connects.
"""
import collections
import contextlib
import json
import socket
import threading
import time
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional

from ..console import say
from ..errors import Interrupted, KwsError
from . import cluster as clusters

_SIGNS_PER_SILENCE = 10  # signs of life that a worker sends in the time after which it counts as lost
_HELLO_SECONDS = 10.0  # to connect, and to say who one is
_MAX_HELLO = 1 << 20  # characters
_REMIND_AFTER = 10.0  # seconds until a message says which workers have not started yet
_GO_ON = "run the same command again to continue from the last checkpoint"


class Patience(NamedTuple):
    """How many seconds workers wait for one another.

    start: for all workers to start, since clusters start their machines one by one.
    work: for a worker that is alive to come to the point where the others wait.
    silence: between the signs of life of a worker, which it sends whatever its work is.
    """

    start: float = 900.0
    work: float = 300.0
    silence: float = 30.0


class Peers:
    """The connection to the other workers of a cluster, as a context manager; does nothing for a single worker.

    on_loss(): called once, in another thread, when a worker is lost or a step takes too long.
    lost: the error that says which worker is lost and why; None while all is well.
    busy: whether this worker is in the middle of a step.
    """

    def __init__(
        self, cluster: clusters.Cluster, patience: Patience = Patience(), on_loss: Callable[[], None] = lambda: None
    ) -> None:
        self._cluster, self._patience, self._on_loss = cluster, patience, on_loss
        self.lost: Optional[KwsError] = None
        self.busy, self._busy_since = False, 0.0
        self._sockets, self._ended, self._others_busy = {}, set(), {}  # by rank
        self._inbox = [collections.deque() for _ in cluster.addresses]
        self._changed, self._sending, self._closing = threading.Condition(), threading.Lock(), threading.Event()

    def __enter__(self) -> "Peers":
        """Connect to the others, and wait until all have started."""
        if self._cluster.size > 1:
            threading.Thread(target=self._send_signs_of_life, daemon=True).start()
            try:
                if self._cluster.rank == 0:
                    self._accept_others()
                else:
                    self._connect()
            except BaseException as error:
                self._close(error)
                raise
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], traceback: Any) -> None:
        self._close(error)

    def gather(self, value: Any) -> List[Any]:
        """The value of each rank, as a list that is the same on all. All ranks must call this; values must fit JSON."""
        if self._cluster.size == 1:
            return [value]
        if self._cluster.rank:
            self._send(0, {"value": value})
            return self._take([0], 2 * self._patience.work)[0]  # twice: worker 0 knows who is missing and reports it
        values = [value] + self._take(range(1, self._cluster.size), self._patience.work)
        for rank in range(1, self._cluster.size):
            self._send(rank, {"value": values})
        return values

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Put this around a step, in which this worker may wait for the others."""
        self._busy_since, self.busy = time.monotonic(), True
        try:
            yield
        finally:
            self.busy = False

    def check(self) -> None:
        """Raise the error that says which worker is lost, if one is."""
        if self.lost:
            raise self.lost

    def wait_for_loss(self, seconds: float) -> None:
        """As `check`, but wait some seconds for the news that a worker is lost."""
        with self._changed:
            self._changed.wait_for(lambda: self.lost, seconds)
        self.check()

    def _close(self, error):
        """Tell the others that this worker ends, and why if it is by an error."""
        self._closing.set()
        message = {"lost": _packed(self.lost)} if self.lost else {"end": _packed(error)}
        for rank, connection in list(self._sockets.items()):
            self._send(rank, message)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.close()

    def _take(self, ranks, seconds):
        """The next value from each of these ranks."""

        def all_are_here_or_ended():
            return all(self._inbox[rank] or rank in self._ended for rank in ranks)

        with self._changed:
            self._changed.wait_for(lambda: self.lost or all_are_here_or_ended(), seconds)
            missing = [rank for rank in ranks if not self._inbox[rank]]
            ended = [rank for rank in missing if rank in self._ended]
        if missing:
            what = "ended before the others" if ended else "did not answer for %g s" % seconds
            self._report(ended or missing, what)
            self.check()
        return [self._inbox[rank].popleft() for rank in ranks]

    def _names(self, ranks):
        return " and ".join(self._cluster.name(rank) for rank in ranks)

    def _report(self, ranks: Iterable[int], what: str) -> None:
        """Note that some workers are lost."""
        self._lose(KwsError("%s %s" % (self._names(ranks), what), _GO_ON))

    def _lose(self, error):
        """Note the first error, and tell it to the others and to the thread that waits here."""
        with self._changed:
            if self.lost or self._closing.is_set():
                return
            self.lost = error
            self._changed.notify_all()
        if self._cluster.rank == 0:
            for rank in list(self._sockets):
                self._send(rank, {"lost": _packed(error)})
        self._on_loss()

    # Threads, and what they send and hear

    def _send(self, rank, message):
        # If the connection is broken, the thread that listens to this rank notices it too.
        with contextlib.suppress(OSError, KeyError), self._sending:
            self._sockets[rank].sendall(_line(message))

    def _send_signs_of_life(self):
        """Send them until this worker ends, and check how long its step takes."""
        while not self._closing.wait(self._patience.silence / _SIGNS_PER_SILENCE):
            for rank in list(self._sockets):
                self._send(rank, {"busy": self.busy})
            seconds = time.monotonic() - self._busy_since
            # Worker 0 hears all others and reports first; the others report only if it does not.
            if self.busy and seconds > self._patience.work * (2 if self._cluster.rank else 1):
                idle = [rank for rank, busy in sorted(self._others_busy.items()) if not busy]
                if idle:
                    self._report(idle, "did not start the step that the others started %.0f s ago" % seconds)
                else:
                    self._report(range(self._cluster.size), "did not finish a step within %.0f s" % seconds)

    def _listen(self, rank, lines):
        """Handle every message of a rank, until it ends."""
        try:
            for line in lines:
                message = _parsed(line)
                self._others_busy[rank] = message.get("busy", self._others_busy.get(rank))
                if "value" in message:
                    with self._changed:
                        self._inbox[rank].append(message["value"])
                        self._changed.notify_all()
                elif "lost" in message:
                    self._lose(_unpacked(message["lost"]))
                elif "end" in message:
                    self._end(rank, message["end"])
                    return
            self._report([rank], "closed its connection")
        except socket.timeout:
            self._report([rank], "sent nothing for %g s" % self._patience.silence)
        except (OSError, ValueError):
            self._report([rank], "closed its connection")

    def _end(self, rank, reason):
        """A rank says that it ends."""
        if reason:
            error = _unpacked(reason)
            self._lose(KwsError("%s ended: %s" % (self._cluster.name(rank), error.problem), error.advice))
        with self._changed:
            self._ended.add(rank)
            self._changed.notify_all()

    # The start

    def _accept_others(self):
        """Worker 0: wait until all others have connected."""
        start = _Start(self._patience.start)
        with self._listener() as listener:
            while len(self._sockets) < self._cluster.size - 1:
                self.check()
                missing = self._names(sorted(set(range(1, self._cluster.size)) - set(self._sockets)))
                if start.is_over():
                    raise KwsError("%s did not start within %g s" % (missing, self._patience.start),
                                   "start all workers at about the same time")
                start.remind(missing)
                with contextlib.suppress(socket.timeout):
                    self._welcome(*listener.accept())

    @contextlib.contextmanager
    def _listener(self):
        host, port = _split(self._cluster.hub)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host if self._cluster.on_loopback else "", port))
            except OSError as error:
                raise KwsError(
                    "cannot listen on %s: %s" % (self._cluster.hub, error.strerror or error),
                    "if another program uses the port, set %s=HOST:PORT to choose another one" % clusters.HUB,
                )
            listener.listen(self._cluster.size)
            listener.settimeout(0.2)
            yield listener

    def _welcome(self, connection, address):
        """Accept a worker of this cluster, refuse one of another cluster, and ignore any other program."""
        connection.settimeout(_HELLO_SECONDS)
        lines = connection.makefile(encoding="utf-8")
        try:
            hello = _parsed(lines.readline(_MAX_HELLO))
            rank, addresses = hello["rank"], tuple(map(str, hello["addresses"]))
            if not isinstance(rank, int):
                raise ValueError("rank is not a whole number")
        except (OSError, ValueError, KeyError, TypeError):
            connection.close()
            return
        wrong = self._what_is_wrong_with(rank, addresses, address[0])
        if wrong:
            connection.sendall(_line({"end": _packed(wrong)}))
            raise wrong
        self._join(rank, connection, lines)

    def _what_is_wrong_with(self, rank, addresses, host):
        """The error if a worker that connects cannot be one of this cluster, else None."""
        if addresses != self._cluster.addresses:
            return KwsError("the worker at %s was started for the cluster %s, but worker 0 for the cluster %s"
                            % (host, ", ".join(addresses), ", ".join(self._cluster.addresses)),
                            "start all workers with the same cluster")
        if rank in self._sockets or not 0 < rank < self._cluster.size:
            why = "is already connected" if rank in self._sockets else "is not expected here"
            return KwsError("the worker at %s says that it is worker %d, which %s" % (host, rank, why),
                            "give every worker a rank of its own")
        return None

    def _connect(self):
        """The other workers: find worker 0, which may start later."""
        start = _Start(self._patience.start)
        while True:
            try:
                connection = self._call_hub()
                break
            except OSError as error:
                if start.is_over():
                    raise KwsError(
                        "%s does not answer at %s after %g s: %s" % (
                            self._cluster.name(0), self._cluster.hub, self._patience.start, error.strerror or error),
                        "check that it runs, and that no firewall blocks the port",
                    )
                start.remind(self._cluster.name(0))
                self._closing.wait(0.1)
        self._join(0, connection, connection.makefile(encoding="utf-8"))

    def _call_hub(self):
        connection = socket.create_connection(_split(self._cluster.hub), _HELLO_SECONDS)
        if connection.getsockname() == connection.getpeername():  # TCP may connect a socket to itself on a free port
            connection.close()
            raise ConnectionRefusedError("nobody listens there")
        connection.sendall(_line({"rank": self._cluster.rank, "addresses": self._cluster.addresses}))
        return connection

    def _join(self, rank, connection, lines):
        connection.settimeout(self._patience.silence)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[rank] = connection
        threading.Thread(target=self._listen, args=(rank, lines), daemon=True).start()


class _Start:
    """How long this worker has waited for the others to start."""

    def __init__(self, seconds):
        now = time.monotonic()
        self._end, self._next_message = now + seconds, now + _REMIND_AFTER

    def is_over(self):
        return time.monotonic() > self._end

    def remind(self, missing):
        """Say which workers are missing, now and then."""
        if time.monotonic() > self._next_message:
            self._next_message += 10 * _REMIND_AFTER
            say("Waiting for %s." % missing)


def _line(message):
    return json.dumps(message).encode() + b"\n"


def _parsed(line):
    """The message in a line; a ValueError if the line is not one."""
    try:
        message = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply")
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def _packed(error):
    """An error as JSON: [problem, advice]; None for an end without an error, or one that the user asked for."""
    if error is None or isinstance(error, Interrupted):
        return None
    if isinstance(error, KwsError):
        return [error.problem, error.advice]
    return [str(error) or type(error).__name__, ""]


def _unpacked(packed):
    """The opposite of `_packed`; a ValueError if this is not an error."""
    if not isinstance(packed, list) or not [type(one) for one in packed] == [str, str]:
        raise ValueError("not an error")
    return KwsError(*packed)


def _split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
