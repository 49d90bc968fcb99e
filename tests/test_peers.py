"""What workers tell each other: here threads of one process, each with its own end of the line. Without TensorFlow."""
import contextlib
import json
import socket
import threading
import time

import pytest

from kwscli.errors import Interrupted, KwsError
from kwscli.workers import cluster
from kwscli.workers.peers import Patience, Peers
from kwscli.workers.sockets import free_ports

WAIT = 20  # seconds after which a test that waits has failed
IMPATIENT = Patience(start=WAIT, work=0.5, silence=WAIT / 10)


class Line(contextlib.ExitStack):
    """The workers of a cluster of some size, each in a thread."""

    def __init__(self, size):
        super().__init__()
        ports = self.enter_context(free_ports(size + 1))
        self.clusters = [cluster.of(environ) for environ in cluster.local(ports)]
        self.results = [None] * size

    def run(self, *bodies, patience=Patience(), **settings):
        """Call bodies[rank](peers of that rank) at the same time -> what each returned or raised."""
        settings["patience"] = patience
        threads = [threading.Thread(target=self._run, args=(rank, body, settings), daemon=True)
                   for rank, body in enumerate(bodies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
            assert not thread.is_alive()
        return self.results

    def _run(self, rank, body, settings):
        error = None
        try:
            peers = Peers(self.clusters[rank], **settings)
            try:
                self.results[rank] = body(peers)
            except BaseException as found:
                error = found
                raise
            finally:
                peers.close(error)
        except KwsError as found:
            self.results[rank] = str(found)

    def name(self, rank):
        return self.clusters[0].name(rank)

    def strange(self, *lines):
        """A socket to worker 0 that says these lines."""
        host, port = self.clusters[0].hub.split(":")
        while True:
            with contextlib.suppress(OSError):
                found = self.enter_context(socket.create_connection((host, int(port)), WAIT))
                found.sendall("".join(line + "\n" for line in lines).encode())
                return found
            time.sleep(0.01)  # until it listens

    def hello(self, rank):
        return json.dumps({"rank": rank, "addresses": self.clusters[0].addresses})


@pytest.fixture
def line():
    with contextlib.ExitStack() as stack:
        yield lambda size: stack.enter_context(Line(size))


def test_alone_a_worker_has_its_own_value():
    peers = Peers(cluster.ALONE)
    assert peers.gather([1]) == [[1]]
    peers.close()


def test_every_rank_has_the_values_of_all_in_order(line):
    def body(peers):
        return [peers.gather([peers._cluster.rank, turn]) for turn in range(50)]

    results = line(4).run(body, body, body, body)
    assert results == [[[[rank, turn] for rank in range(4)] for turn in range(50)]] * 4


def test_the_error_of_one_is_told_on_all(line):
    def fails(peers):
        peers.gather(0)
        raise KwsError("no data here")

    def goes_on(peers):
        return [peers.gather(0), peers.gather(0)]

    one = line(3)
    results = one.run(goes_on, fails, goes_on)
    assert results[1] == "no data here"
    assert results[0] == results[2] == "%s ended: no data here" % one.name(1)


@pytest.mark.parametrize("error", [None, Interrupted("stopped", "", 15)])
def test_who_ends_in_order_is_only_missed_if_asked(line, error):
    def ends(peers):
        peers.gather(0)
        if error:
            raise error

    def asks(peers):
        return peers.gather(0) and peers.gather(0)

    one = line(2)
    assert one.run(asks, ends)[0].startswith("%s ended before the others" % one.name(1))
    assert line(2).run(lambda peers: len(peers.gather(0)), ends)[0] == 2


@pytest.mark.parametrize("slow", [0, 1])
def test_who_lives_but_does_not_answer_is_named(line, slow):
    one, over = line(3), threading.Barrier(3)

    def stuck(peers):
        over.wait(WAIT)

    def asks(peers):
        try:
            return peers.gather(0)
        finally:
            over.wait(WAIT)

    results = one.run(*[stuck if rank == slow else asks for rank in range(3)], patience=IMPATIENT)
    assert "%s did not answer for" % one.name(slow) in results[2]


def test_who_does_not_come_to_a_step_is_named(line):
    one, over, lost = line(3), threading.Event(), threading.Event()

    def stuck(peers):
        assert over.wait(WAIT)

    def works(peers):
        with peers.working():
            assert lost.wait(WAIT)
        over.set()
        return peers.lost

    results = one.run(works, stuck, works, patience=IMPATIENT, on_loss=lost.set)
    assert results[0].startswith("%s did not come to a step that began " % one.name(1))


def test_a_step_that_nobody_ends_is_ended(line):
    lost = threading.Event()

    def works(peers):
        with peers.working():
            assert lost.wait(WAIT)
        return peers.lost

    one = line(2)
    found = one.run(works, works, patience=IMPATIENT, on_loss=lost.set)[0]
    assert found.startswith("%s and %s did not finish a step" % (one.name(0), one.name(1)))


@pytest.mark.parametrize("close, how", [(True, "is gone"), (False, "gave no sign of life for 0.5 s")])
def test_who_dies_or_freezes_is_named(line, close, how):
    one = line(2)
    joined = threading.Event()

    def asks(peers):
        joined.set()
        return peers.gather(0)

    def dies():
        found = one.strange(one.hello(1))
        assert joined.wait(WAIT)
        if close:
            found.close()

    threading.Thread(target=dies, daemon=True).start()
    found = one.run(asks, patience=Patience(WAIT, WAIT, silence=0.5))[0]
    assert found.startswith("%s %s; the same command" % (one.name(1), how))


def test_strangers_are_not_let_in(line):
    one = line(2)
    hub = threading.Thread(target=one._run, args=(0, lambda peers: peers.gather(0), {}), daemon=True)
    hub.start()
    for text in ("GET / HTTP/1.1", "[]", "{}"):
        one.strange(text)
    one._run(1, lambda peers: peers.gather(1), {})
    hub.join(WAIT)
    assert one.results == [[0, 1], [0, 1]]


def test_who_does_not_start_is_named(line):
    one = line(3)
    found = one.run(len, lambda peers: peers.gather(0), patience=Patience(start=0.5))
    assert found[0] == "%s did not start within 0.5 s" % one.name(2)
    assert found[1].startswith("%s ended: %s did not start" % (one.name(0), one.name(2)))


def test_worker_0_that_does_not_start_is_named(line):
    one = line(2)
    one.results[1] = None
    one._run(1, len, {"patience": Patience(start=0.2)})
    assert "%s does not answer at %s since 0.2 s: " % (one.name(0), one.clusters[0].hub) in one.results[1]


def test_two_workers_of_one_rank_are_refused(line):
    one = line(3)
    one.clusters[2] = one.clusters[1]
    results = one.run(len, lambda peers: peers.gather(0), lambda peers: peers.gather(0))
    assert all("says it is worker 1, and there is one" in result for result in results)


def test_workers_of_different_clusters_are_refused(line):
    one = line(2)
    one.clusters[1] = one.clusters[1]._replace(addresses=one.clusters[0].addresses + ("x:1",))
    assert all("trains with" in result for result in one.run(len, lambda peers: peers.gather(0)))


def test_a_port_that_is_taken_is_told(line):
    one = line(2)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(one.clusters[0].hub.split(":")[1])))
        other.listen(1)
        one._run(0, len, {})
    assert "cannot listen on %s" % one.clusters[0].hub in one.results[0]
