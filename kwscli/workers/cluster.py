"""Which workers train together, and which of them this process is: read from what cluster managers set.

TF_CONFIG is Kubeflow's (TFJob) and TensorFlow's own; RANK_TABLE_FILE, RANK_ID, RANK_SIZE, JOB_ID and ASCEND_DEVICE_ID
are Ascend's. `kws train --workers N` sets the same for the processes it starts, so there is one way to join.
"""
import json
import os
import re
from typing import NamedTuple, Tuple

from ..errors import KwsError
from . import rank_table

HUB = "KWS_HUB"  # HOST:PORT where worker 0 listens for the others; for clusters in which the usual one is taken
HCCL_HUB_PORT = 22222  # of a rank table, which names no ports; below those that systems give to callers
_CHIEFS = ("chief", "master")
_KINDS = _CHIEFS + ("worker",)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*)|\[[0-9A-Fa-f:.]+(%\w+)?\]")
_CM = ("CM_CHIEF_IP", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE", "CM_WORKER_SIZE", "CM_WORKER_IP")
_RANKS = ("RANK_TABLE_FILE", "RANK_SIZE", "RANK_ID")


class Cluster(NamedTuple):
    """The workers that train together."""

    rank: int = 0
    addresses: Tuple[str, ...] = ("here",)  # of each rank: HOST:PORT of its server, or SERVER/DEVICE on Ascend
    hub: str = ""  # HOST:PORT where rank 0 listens for the others, see peers
    hccl: bool = False  # Ascend's own collectives, not TensorFlow's

    @property
    def size(self):
        return len(self.addresses)

    @property
    def local_ranks(self):
        """The ranks on this machine, this one among them."""
        return [rank for rank in range(self.size) if self.host(rank) == self.host(self.rank)]

    @property
    def on_loopback(self):
        """Whether nobody outside this machine has to reach it."""
        return is_loopback(_host(self.hub))

    def host(self, rank):
        return _host(self.addresses[rank])

    def name(self, rank):
        return "worker %d (%s)" % (rank, self.addresses[rank])


ALONE = Cluster()


def _host(address):
    return address.rpartition(":")[0] or address.rpartition("/")[0]


def is_loopback(host):
    return host in ("localhost", "[::1]") or host.startswith("127.")


def of(environ=os.environ):
    """The Cluster that the environment describes, ALONE where it names none. A contradiction is a KwsError."""
    ascend = [name for name in _RANKS if environ.get(name)]
    cm = [name for name in _CM if environ.get(name)]
    if cm and ascend:
        _refuse("$%s and $%s are two ways to say who trains together" % (", $".join(cm), ", $".join(ascend)),
                "unset those that begin with CM_")
    if cm and environ.get("CM_WORKER_SIZE", "1") != "1":
        _refuse("$CM_WORKER_SIZE says %s workers but not which one this is" % environ["CM_WORKER_SIZE"],
                "unset $%s and describe them by RANK_TABLE_FILE, RANK_ID and RANK_SIZE" % ", $".join(cm))
    found = _of_tf_config(environ), _of_rank_table(environ)
    if found[0].size > 1 and found[1].size > 1:
        _refuse("$TF_CONFIG and $RANK_TABLE_FILE both say who trains together", "unset one of them")
    cluster = max(found, key=lambda one: one.size)
    if cluster.size > 1 and environ.get(HUB):
        cluster = cluster._replace(hub=_checked(environ[HUB], "$" + HUB))
        if cluster.hub in cluster.addresses:
            _refuse("$%s is %s, and a worker serves there" % (HUB, cluster.hub), "choose another port")
        if cluster.on_loopback and len(cluster.local_ranks) < cluster.size:
            _refuse("$%s is %s, which workers on other machines cannot reach" % (HUB, cluster.hub),
                    "name the machine of worker 0 by its address")
    return cluster


def _refuse(found, advice):
    raise KwsError("%s; %s" % (found, advice))


def _of_tf_config(environ):
    if not environ.get("TF_CONFIG"):
        return ALONE
    try:
        config = json.loads(environ["TF_CONFIG"])
        jobs, task = config.get("cluster") or {}, config.get("task") or {}
        kind, index = task.get("type"), task.get("index", 0)
        jobs = {job: list(jobs[job]) for job in jobs if isinstance(jobs[job], list) or _refuse_sparse(job)}
        index = int(index) if isinstance(index, str) else index
        if not isinstance(index, int) or isinstance(index, bool) or not isinstance(kind, (str, type(None))):
            raise ValueError("task.type %r and task.index %r are not text and a whole number" % (kind, index))
    except (ValueError, TypeError, AttributeError) as error:
        _refuse("$TF_CONFIG cannot be read (%s)" % error,
                'it must be like {"cluster": {"worker": ["host:2222", ...]}, "task": {"type": "worker", "index": 0}}')
    if not jobs:
        return ALONE
    _check_jobs(jobs, kind, index)
    chiefs = [job for job in _CHIEFS if jobs.get(job)]
    addresses = [_checked(one, "$TF_CONFIG") for job in chiefs + ["worker"] for one in jobs.get(job, ())]
    same = [re.sub("^(localhost|127[0-9.]*):", "127.0.0.1:", one) for one in addresses]
    twice = sorted({one for one in same if same.count(one) > 1})
    if twice:
        _refuse("$TF_CONFIG gives %s to more than one worker" % ", ".join(twice), "every worker needs its own address")
    local = {is_loopback(_host(one)) for one in addresses}
    if len(local) > 1:
        _refuse("$TF_CONFIG mixes this machine's own addresses with others (%s)" % ", ".join(addresses),
                "the others cannot reach localhost; name it by its address")
    rank = index + (len(jobs[chiefs[0]]) if chiefs and kind == "worker" else 0)
    return Cluster(rank, tuple(addresses), _hub_of(addresses))


def _refuse_sparse(job):
    raise ValueError("the addresses of %s are no list" % job)


def _check_jobs(jobs, kind, index):
    if kind in ("ps", "evaluator"):
        _refuse("$TF_CONFIG makes this process a task of type %s" % kind,
                "kws averages gradients among workers and validates on them; start chief and workers only")
    if jobs.get("ps"):
        _refuse("$TF_CONFIG has %d parameter servers" % len(jobs["ps"]),
                "kws averages gradients among workers; leave ps out of the cluster")
    if all(jobs.get(job) for job in _CHIEFS):
        _refuse("$TF_CONFIG has both a chief and a master", "they are two names of one task; keep one")
    unknown = sorted(set(jobs) - set(_KINDS) - {"evaluator"})
    if unknown:
        _refuse("$TF_CONFIG has tasks of the type %s" % ", ".join(unknown), "kws knows %s" % ", ".join(_KINDS))
    if sum(len(jobs.get(job, ())) for job in _CHIEFS) > 1:
        _refuse("$TF_CONFIG has more than one chief", "make the others workers")
    if kind not in jobs:
        _refuse("$TF_CONFIG says this process is a %s, and its cluster has %s" % (kind, ", ".join(sorted(jobs))),
                "task.type must be one of the cluster's")
    if not 0 <= index < len(jobs[kind]):
        _refuse("$TF_CONFIG says this process is %s %d, and its cluster has %d" % (kind, index, len(jobs[kind])),
                "task.index counts from 0")


def _checked(address, where):
    """HOST:PORT, if it is one."""
    host, _, port = str(address).rpartition(":")
    if not _HOST.fullmatch(host) or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        _refuse("%s has the address %r" % (where, address), "it must be HOST:PORT with a port from 1 to 65535")
    return address


def _hub_of(addresses):
    """The first port after rank 0's (else before) that no worker on its machine uses: the same answer on every rank."""
    host, _, port = addresses[0].rpartition(":")
    taken, port = {int(one.rpartition(":")[2]) for one in addresses if _host(one) == host}, int(port)
    return "%s:%d" % (host, next(one for one in [*range(port + 1, 65536), *range(port, 0, -1)] if one not in taken))


def _of_rank_table(environ):
    size, rank = (_number(environ, name, default) for name, default in (("RANK_SIZE", 1), ("RANK_ID", 0)))
    path = environ.get("RANK_TABLE_FILE")
    if not path:
        if size != 1 or rank != 0:
            _refuse("$RANK_SIZE is %d and $RANK_ID %d without a $RANK_TABLE_FILE" % (size, rank),
                    "name the rank table, or unset them to train on one device")
        return ALONE
    devices = rank_table.read(path)
    if "RANK_SIZE" in environ and size != len(devices):
        _refuse("$RANK_SIZE is %d and %s has %d devices" % (size, path, len(devices)), "they must be equal")
    if len(devices) == 1:
        return ALONE
    missing = [name for name in ("RANK_SIZE", "RANK_ID", "JOB_ID", "ASCEND_DEVICE_ID") if not environ.get(name)]
    if missing:
        _refuse("with $RANK_TABLE_FILE, $%s must be set too" % ", $".join(missing), "every worker needs all four")
    if rank >= size:
        _refuse("$RANK_ID is %d and %s has the ranks 0 to %d" % (rank, path, size - 1), "every worker needs its own")
    if environ["ASCEND_DEVICE_ID"] != devices[rank].device_id:
        _refuse("$ASCEND_DEVICE_ID is %s and %s gives rank %d the device %s of %s"
                % (environ["ASCEND_DEVICE_ID"], path, rank, devices[rank].device_id, devices[rank].server_id),
                "they must be equal")
    host = devices[0].server_id if len({one.server_id for one in devices}) > 1 else "127.0.0.1"
    addresses = tuple("%s/%s" % (one.server_id, one.device_id) for one in devices)
    return Cluster(rank, addresses, "%s:%d" % (host, HCCL_HUB_PORT), hccl=True)


def _number(environ, name, default):
    text = environ.get(name) or str(default)
    if not text.isdecimal():
        _refuse("$%s is %r" % (name, text), "it must be a number")
    return int(text)


def table_to_start(environ=os.environ):
    """The rank table whose ranks are still to be started: $RANK_TABLE_FILE where this is not one of several already."""
    started = environ.get("RANK_ID") and environ.get("RANK_SIZE") != "1"
    return None if started else environ.get("RANK_TABLE_FILE")


def local(ports):
    """What tells N processes here that they train together: an environment for each; ports: N and one more."""
    hub, jobs = "127.0.0.1:%d" % ports[-1], {"worker": ["127.0.0.1:%d" % port for port in ports[:-1]]}
    return [
        {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": "worker", "index": rank}}), HUB: hub,
         "RANK_TABLE_FILE": "", "RANK_SIZE": "", "RANK_ID": ""}
        for rank in range(len(ports) - 1)
    ]


def local_npus(table_path, ports):
    """The same for the NPUs of this server, whose rank table is at a path; the last port is the one used."""
    devices = rank_table.read(table_path)
    if len(devices) != len(ports) - 1:
        _refuse("--workers %d, and the rank table %s has %d devices" % (len(ports) - 1, table_path, len(devices)),
                "they must be equal")
    servers = sorted({device.server_id for device in devices})
    if len(servers) > 1:
        _refuse("the rank table %s has the servers %s, and --workers starts processes on one"
                % (table_path, ", ".join(servers)), "start kws train once for each device, with its $RANK_ID")
    return [
        {
            "RANK_TABLE_FILE": os.path.abspath(table_path), "RANK_SIZE": str(len(devices)), "RANK_ID": str(rank),
            "ASCEND_DEVICE_ID": device.device_id, "JOB_ID": os.environ.get("JOB_ID") or "10087",
            HUB: "127.0.0.1:%d" % ports[-1],
        }
        for rank, device in enumerate(devices)
    ]
