"""Control messages between workers, which are threads of one process here. No TensorFlow."""
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


class Workers(contextlib.ExitStack):
    """The workers of a cluster of some size, each in a thread."""

    def __init__(self, size):
        super().__init__()
        ports = self.enter_context(free_ports(size + 1))
        self.clusters = [cluster.of(environ) for environ in cluster.local(ports)]
        self.results = [None] * size

    def run(self, *bodies, patience=Patience(), **settings):
        """Call bodies[rank](peers of that rank) at the same time -> what each returned, or the text of its error."""
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
        try:
            with Peers(self.clusters[rank], **settings) as peers:
                self.results[rank] = body(peers)
        except KwsError as error:
            self.results[rank] = str(error)

    def name(self, rank):
        return self.clusters[0].name(rank)

    def stranger(self, *lines):
        """A socket to worker 0 that sends these lines."""
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
def workers():
    """workers(size): a Workers."""
    with contextlib.ExitStack() as stack:
        yield lambda size: stack.enter_context(Workers(size))


def test_a_single_worker_gathers_its_own_value():
    with Peers(cluster.ALONE) as peers:
        assert peers.gather([1]) == [[1]]


def test_a_worker_that_is_made_does_nothing_until_it_is_entered():
    before = threading.active_count()
    for environ in cluster.local([1, 2, 3]):
        Peers(cluster.of(environ))
    assert threading.active_count() == before


def test_every_rank_gathers_the_values_of_all_in_order(workers):
    def body(peers):
        return [peers.gather([peers._cluster.rank, turn]) for turn in range(50)]

    results = workers(4).run(body, body, body, body)
    assert results == [[[[rank, turn] for rank in range(4)] for turn in range(50)]] * 4


def test_all_workers_show_the_error_of_one_with_its_advice(workers):
    def fails(peers):
        peers.gather(0)
        raise KwsError("no data here", "choose another folder")

    def goes_on(peers):
        return [peers.gather(0), peers.gather(0)]

    one = workers(3)
    results = one.run(goes_on, fails, goes_on)
    assert results[1] == "no data here; choose another folder"
    assert results[0] == results[2] == "%s ended: no data here; choose another folder" % one.name(1)


@pytest.mark.parametrize("error", [None, Interrupted("stopped", "", 15)])
def test_a_worker_that_ends_in_order_is_missed_only_if_its_value_is(workers, error):
    def ends(peers):
        peers.gather(0)
        if error:
            raise error

    def asks(peers):
        return peers.gather(0) and peers.gather(0)

    one = workers(2)
    assert one.run(asks, ends)[0].startswith("%s ended before the others" % one.name(1))
    assert workers(2).run(lambda peers: len(peers.gather(0)), ends)[0] == 2


@pytest.mark.parametrize("slow", [0, 1])
def test_a_worker_that_lives_but_does_not_answer_is_named(workers, slow):
    one, over = workers(3), threading.Barrier(3)

    def stuck(peers):
        over.wait(WAIT)

    def asks(peers):
        try:
            return peers.gather(0)
        finally:
            over.wait(WAIT)

    results = one.run(*[stuck if rank == slow else asks for rank in range(3)], patience=IMPATIENT)
    assert "%s did not answer for" % one.name(slow) in results[2]


def test_a_worker_that_does_not_start_a_step_is_named(workers):
    one, over, lost = workers(3), threading.Event(), threading.Event()

    def stuck(peers):
        assert over.wait(WAIT)

    def works(peers):
        with peers.working():
            assert lost.wait(WAIT)
        over.set()
        return str(peers.lost)

    results = one.run(works, stuck, works, patience=IMPATIENT, on_loss=lost.set)
    assert results[0].startswith("%s did not start the step that the others started " % one.name(1))


def test_a_step_that_no_worker_finishes_is_ended(workers):
    lost = threading.Event()

    def works(peers):
        with peers.working():
            assert lost.wait(WAIT)
        return str(peers.lost)

    one = workers(2)
    found = one.run(works, works, patience=IMPATIENT, on_loss=lost.set)[0]
    assert found.startswith("%s and %s did not finish a step" % (one.name(0), one.name(1)))


@pytest.mark.parametrize("close, how", [(True, "closed its connection"), (False, "sent nothing for 0.5 s")])
def test_a_worker_that_dies_or_freezes_is_named(workers, close, how):
    one = workers(2)
    joined = threading.Event()

    def asks(peers):
        joined.set()
        return peers.gather(0)

    def dies():
        found = one.stranger(one.hello(1))
        assert joined.wait(WAIT)
        if close:
            found.close()

    threading.Thread(target=dies, daemon=True).start()
    found = one.run(asks, patience=Patience(WAIT, WAIT, silence=0.5))[0]
    assert found.startswith("%s %s; run the same command again" % (one.name(1), how))


def test_other_programs_are_ignored(workers):
    one = workers(2)
    hub = threading.Thread(target=one._run, args=(0, lambda peers: peers.gather(0), {}), daemon=True)
    hub.start()
    hellos = '{"rank": Infinity, "addresses": []}', '{"rank": 1, "addresses": 1}'
    for text in ("GET / HTTP/1.1", "[]", "{}", "[" * 100000, *hellos):
        one.stranger(text)
    one._run(1, lambda peers: peers.gather(1), {})
    hub.join(WAIT)
    assert one.results == [[0, 1], [0, 1]]


@pytest.mark.parametrize("text", ["[" * 100000, "1", '{"lost": 1}', '{"end": [1, 2]}', "\xff"])
def test_a_worker_that_sends_nonsense_counts_as_lost(workers, text):
    one = workers(2)
    threading.Thread(target=lambda: one.stranger(one.hello(1), text), daemon=True).start()
    found = one.run(lambda peers: peers.gather(0))[0]
    assert found.startswith("%s closed its connection" % one.name(1))


def test_a_worker_that_does_not_start_is_named(workers):
    one = workers(3)
    found = one.run(len, lambda peers: peers.gather(0), patience=Patience(start=0.5))
    assert found[0].startswith("%s did not start within 0.5 s; " % one.name(2))
    assert found[1].startswith("%s ended: %s did not start" % (one.name(0), one.name(2)))


def test_worker_0_that_does_not_start_is_named(workers):
    one = workers(2)
    one.results[1] = None
    one._run(1, len, {"patience": Patience(start=0.2)})
    assert "%s does not answer at %s after 0.2 s: " % (one.name(0), one.clusters[0].hub) in one.results[1]


def test_two_workers_with_the_same_rank_are_refused(workers):
    one = workers(3)
    one.clusters[2] = one.clusters[1]
    results = one.run(len, lambda peers: peers.gather(0), lambda peers: peers.gather(0))
    assert all("says that it is worker 1, which is already connected" in result for result in results)


def test_workers_of_different_clusters_are_refused(workers):
    one = workers(2)
    one.clusters[1] = one.clusters[1]._replace(addresses=one.clusters[0].addresses + ("x:1",))
    assert all("was started for the cluster" in result for result in one.run(len, lambda peers: peers.gather(0)))


def test_a_hub_whose_port_is_in_use_is_an_error(workers):
    one = workers(2)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(one.clusters[0].hub.split(":")[1])))
        other.listen(1)
        one._run(0, len, {})
    assert "cannot listen on %s" % one.clusters[0].hub in one.results[0]
