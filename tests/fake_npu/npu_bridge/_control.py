"""What tests set and look at: the release that is imitated, overflows, and every event in its order."""
import json
import os

RELEASES = ("r1.1", "r1.2", "r1.3") + tuple("r1.%d" % minor for minor in range(5, 16)) + ("master",)

era = os.environ.get("FAKE_NPU_ERA", "master")  # decided before the import, as a release is
inf_nan = bool(os.environ.get("FAKE_NPU_INF_NAN"))  # a chip that knows infinity instead of saturating
exchange_folder = os.environ.get("FAKE_NPU_EXCHANGE", "")  # ranks swap tensors there; without: every rank has the same
exchange_seconds = 20
events = []  # (kind, payload)
overflow_schedule = set()  # looks at the status, counted from 1, that find an overflow
status_checks = 0
process_options = None  # of the first session that ran on the NPU
initialised = False  # the system, by its operation
broadcast = False
signatures = {}  # (graph, fetches) -> shapes fed


class FakeStrictError(Exception):
    """The real adapter ignores this in silence, or does what nobody wants."""


class FakeNpuFatal(BaseException):
    """The real adapter aborts the process here: no Exception, so that nobody can catch it."""


def reset():
    global status_checks, process_options, initialised, broadcast
    del events[:]
    overflow_schedule.clear()
    signatures.clear()
    status_checks, process_options, initialised, broadcast = 0, None, False, False


def since(release):
    """Whether the imitated release has what came with `release`."""
    return RELEASES.index(era) >= RELEASES.index(release)


def record(kind, payload=None):
    events.append((kind, payload))


def of(kind):
    return [payload for one, payload in events if one == kind]


def rank_size():
    return int(os.environ.get("RANK_SIZE", "1"))


def rank():
    return int(os.environ.get("RANK_ID", "0"))


def tell():
    """The kinds of all events into $FAKE_NPU_EVENTS, for tests of how a process ends."""
    if os.environ.get("FAKE_NPU_EVENTS"):
        with open(os.environ["FAKE_NPU_EVENTS"], "w") as file:
            json.dump([kind for kind, _ in events], file)
