"""Which workers train together, and which of them this process is: read from the environment.

TF_CONFIG is set by Kubeflow (TFJob) and read by TensorFlow itself; RANK_TABLE_FILE, RANK_ID, RANK_SIZE, JOB_ID and
ASCEND_DEVICE_ID are Ascend's. `kws train --workers N` sets the same variables for the processes that it starts, so
there is only one way to join a cluster.
"""
import json
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import files
from ..errors import KwsError
from . import rank_table

HUB = "KWS_HUB"  # the variable that overrides Cluster.hub, for machines on which another program uses the default port
HCCL_HUB_PORT = 22222  # the default with a rank table, which holds no ports; Linux gives callers higher ones
_CHIEFS = ("chief", "master")
_KINDS = _CHIEFS + ("worker",)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*)|\[[0-9A-Fa-f:.]+(%\w+)?\]")
_NUMBER = re.compile("[0-9]{1,9}")
_CM = ("CM_CHIEF_IP", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE", "CM_WORKER_SIZE", "CM_WORKER_IP")
_RANKS = ("RANK_TABLE_FILE", "RANK_SIZE", "RANK_ID")
_TF_CONFIG_FORM = (
    'it must be like {"cluster": {"worker": ["host:2222", ...]}, "task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """The workers that train together.

    rank: which of them this process is; worker 0 writes the run directory.
    addresses: of each worker, by rank: HOST:PORT of its TensorFlow server, or SERVER/DEVICE with a rank table.
    hub: HOST:PORT where worker 0 listens for the control messages of the others, see `peers`.
    hccl: whether the workers are NPUs, which exchange gradients by Ascend's own library (HCCL), not by TensorFlow's.
    """

    rank: int = 0
    addresses: Tuple[str, ...] = ("here",)
    hub: str = ""
    hccl: bool = False

    @property
    def size(self) -> int:
        return len(self.addresses)

    @property
    def local_ranks(self) -> List[int]:
        """The ranks on this machine, including this one."""
        return [rank for rank in range(self.size) if self.host(rank) == self.host(self.rank)]

    @property
    def on_loopback(self) -> bool:
        """Whether all workers run on this machine and use its loopback interface."""
        return _is_loopback(_host(self.hub))

    def host(self, rank: int) -> str:
        return _host(self.addresses[rank])

    def name(self, rank: int) -> str:
        return "worker %d (%s)" % (rank, self.addresses[rank])


ALONE = Cluster()
"""The cluster of a process that trains without others."""


def _host(address):
    return address.rpartition(":")[0] or address.rpartition("/")[0]


def _is_loopback(host):
    return host in ("localhost", "[::1]") or host.startswith("127.")


def of(environ: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that the environment describes; ALONE if it describes none."""
    _check_cm(environ)
    found = _of_tf_config(environ), _of_rank_table(environ)
    if found[0].size > 1 and found[1].size > 1:
        raise KwsError("$TF_CONFIG and $RANK_TABLE_FILE both say who trains together", "unset one of them")
    cluster = max(found, key=lambda one: one.size)
    return _with_hub_of(environ, cluster) if cluster.size > 1 else cluster


def _check_cm(environ):
    """CM_*, Ascend's way to do without a rank table, does not say which of the workers this process is."""
    cm = [name for name in _CM if environ.get(name)]
    ranks = [name for name in _RANKS if environ.get(name)]
    if cm and ranks:
        raise KwsError("$%s and $%s are two ways to say who trains together" % (", $".join(cm), ", $".join(ranks)),
                       "unset those that begin with CM_")
    if cm and environ.get("CM_WORKER_SIZE", "1") != "1":
        raise KwsError("$CM_WORKER_SIZE says that there are %s workers, but not which of them this process is"
                       % environ["CM_WORKER_SIZE"],
                       "unset $%s and set RANK_TABLE_FILE, RANK_ID and RANK_SIZE" % ", $".join(cm))


def _with_hub_of(environ, cluster):
    """A cluster with the hub that $KWS_HUB chooses, if it is set."""
    hub = environ.get(HUB)
    if not hub:
        return cluster
    _check_address(hub, "$" + HUB)
    if hub in cluster.addresses:
        raise KwsError("$%s is %s, where a worker's TensorFlow server listens" % (HUB, hub), "choose another port")
    cluster = cluster._replace(hub=hub)
    if cluster.on_loopback and len(cluster.local_ranks) < cluster.size:
        raise KwsError("$%s is %s, which workers on other machines cannot reach" % (HUB, hub),
                       "use an address of worker 0's machine that they can reach")
    return cluster


def _of_tf_config(environ):
    if not environ.get("TF_CONFIG"):
        return ALONE
    jobs, kind, index = _jobs_and_task(environ["TF_CONFIG"])
    if not jobs:
        return ALONE
    _check_jobs(jobs, kind, index)
    chiefs = [job for job in _CHIEFS if jobs.get(job)]
    addresses = [address for job in chiefs + ["worker"] for address in jobs.get(job, ())]
    _check_addresses(addresses)
    rank = index + (len(jobs[chiefs[0]]) if chiefs and kind == "worker" else 0)
    return Cluster(rank, tuple(addresses), _hub_of(addresses))


def _jobs_and_task(text: str) -> Tuple[Dict[str, List[str]], Any, Any]:
    """$TF_CONFIG -> ({job: addresses}, task.type, task.index)."""
    config = files.parse_json(text, "$TF_CONFIG", _TF_CONFIG_FORM)
    jobs, task = _object(config, "cluster"), _object(config, "task")
    for job, addresses in jobs.items():
        if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
            raise KwsError("$TF_CONFIG cannot be used: cluster.%s is not a list of addresses" % job, _TF_CONFIG_FORM)
    kind, index = task.get("type"), task.get("index", 0)
    if isinstance(index, str) and _NUMBER.fullmatch(index):
        index = int(index)
    if jobs and not isinstance(kind, str):
        raise KwsError("$TF_CONFIG cannot be used: task.type is missing or not text", _TF_CONFIG_FORM)
    if not isinstance(index, int) or isinstance(index, bool):
        raise KwsError("$TF_CONFIG cannot be used: task.index is not a whole number", _TF_CONFIG_FORM)
    return jobs, kind, index


def _object(config, name):
    """A JSON object under a name; an empty one if it is missing or null."""
    value = config.get(name)
    if not isinstance(value, (dict, type(None))):
        raise KwsError("$TF_CONFIG cannot be used: %s is not an object {...}" % name, _TF_CONFIG_FORM)
    return value or {}


def _check_jobs(jobs, kind, index):
    if kind in ("ps", "evaluator"):
        raise KwsError("$TF_CONFIG gives this process the task type %s, but in kws workers average their gradients "
                       "and validate themselves" % kind, "start only chief and workers")
    if jobs.get("ps"):
        raise KwsError("$TF_CONFIG has %d parameter servers, but in kws workers average their gradients"
                       % len(jobs["ps"]), "remove ps from the cluster")
    if all(jobs.get(job) for job in _CHIEFS):
        raise KwsError("$TF_CONFIG has both a chief and a master, which are two names of one task", "keep one of them")
    unknown = sorted(set(jobs) - set(_KINDS) - {"evaluator"})
    if unknown:
        raise KwsError("$TF_CONFIG has tasks of an unknown type: %s" % ", ".join(unknown),
                       "use only %s" % ", ".join(_KINDS))
    if sum(len(jobs.get(job, ())) for job in _CHIEFS) > 1:
        raise KwsError("$TF_CONFIG has more than one chief", "make the others workers")
    if kind not in jobs:
        raise KwsError("$TF_CONFIG says that this process is a %s, but the cluster has only %s"
                       % (kind, ", ".join(sorted(jobs))), "set task.type to one of these")
    if not 0 <= index < len(jobs[kind]):
        raise KwsError("$TF_CONFIG says that this process is %s %d, but the cluster has %d of this type"
                       % (kind, index, len(jobs[kind])), "task.index counts from 0")


def _check_addresses(addresses):
    for address in addresses:
        _check_address(address, "$TF_CONFIG")
    normal = [re.sub("^(localhost|127[0-9.]*):", "127.0.0.1:", address) for address in addresses]
    repeated = sorted({address for address in normal if normal.count(address) > 1})
    if repeated:
        raise KwsError("$TF_CONFIG gives %s to more than one worker" % ", ".join(repeated),
                       "give every worker an address of its own")
    if len({_is_loopback(_host(address)) for address in addresses}) > 1:
        raise KwsError("$TF_CONFIG mixes localhost with addresses of other machines (%s)" % ", ".join(addresses),
                       "replace localhost by an address that the other machines can reach")


def _check_address(address, where):
    host, _, port = address.rpartition(":")
    if not _HOST.fullmatch(host) or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise KwsError("%s has the address %r" % (where, address), "it must be HOST:PORT with a port from 1 to 65535")


def _hub_of(addresses):
    """The first port after (or else before) rank 0's that no worker on its machine uses: the same on every rank."""
    host, _, port = addresses[0].rpartition(":")
    used, port = {int(address.rpartition(":")[2]) for address in addresses if _host(address) == host}, int(port)
    return "%s:%d" % (host, next(one for one in [*range(port + 1, 65536), *range(port, 0, -1)] if one not in used))


def _of_rank_table(environ):
    size, rank = _number(environ, "RANK_SIZE", 1), _number(environ, "RANK_ID", 0)
    path = environ.get("RANK_TABLE_FILE")
    if not path:
        if size != 1 or rank != 0:
            raise KwsError("$RANK_SIZE is %d and $RANK_ID is %d, but RANK_TABLE_FILE is not set" % (size, rank),
                           "set it to the path of the rank table, or unset the others to train on one device")
        return ALONE
    devices = rank_table.read(path)
    if "RANK_SIZE" in environ and size != len(devices):
        raise KwsError("$RANK_SIZE is %d, but %s has %d devices" % (size, path, len(devices)), "make them equal")
    if len(devices) == 1:
        return ALONE
    _check_rank(environ, path, devices, rank)
    host = devices[0].server_id if len({device.server_id for device in devices}) > 1 else "127.0.0.1"
    addresses = tuple("%s/%s" % (device.server_id, device.device_id) for device in devices)
    return Cluster(rank, addresses, "%s:%d" % (host, HCCL_HUB_PORT), hccl=True)


def _check_rank(environ, path, devices, rank):
    missing = [name for name in ("RANK_SIZE", "RANK_ID", "JOB_ID", "ASCEND_DEVICE_ID") if not environ.get(name)]
    if missing:
        raise KwsError("RANK_TABLE_FILE is set, but not %s" % ", ".join(missing), "set them for every worker")
    if rank >= len(devices):
        raise KwsError("$RANK_ID is %d, but %s has only the ranks 0 to %d" % (rank, path, len(devices) - 1),
                       "give every worker a rank of its own")
    if environ["ASCEND_DEVICE_ID"] != devices[rank].device_id:
        raise KwsError("$ASCEND_DEVICE_ID is %s, but %s gives rank %d the device %s of server %s"
                       % (environ["ASCEND_DEVICE_ID"], path, rank, devices[rank].device_id, devices[rank].server_id),
                       "make them equal")


def _number(environ, name, default):
    text = environ.get(name) or str(default)
    if not _NUMBER.fullmatch(text):
        raise KwsError("$%s is %r" % (name, text), "it must be a number")
    return int(text)


def table_to_start(environ: Mapping[str, str] = os.environ) -> Optional[str]:
    """$RANK_TABLE_FILE, unless this process is already one of its ranks: `kws train --workers` starts them then."""
    started = environ.get("RANK_ID") and environ.get("RANK_SIZE") != "1"
    return None if started else environ.get("RANK_TABLE_FILE")


def local(ports: Sequence[int]) -> List[Dict[str, str]]:
    """The environment of each of N processes that train together on this machine; ports: N, and one for the hub."""
    hub, jobs = "127.0.0.1:%d" % ports[-1], {"worker": ["127.0.0.1:%d" % port for port in ports[:-1]]}
    return [
        {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": "worker", "index": rank}}), HUB: hub,
         "RANK_TABLE_FILE": "", "RANK_SIZE": "", "RANK_ID": ""}
        for rank in range(len(ports) - 1)
    ]


def local_npus(table_path: str, ports: Sequence[int]) -> List[Dict[str, str]]:
    """As `local`, for the NPUs of this server, which a rank table describes; only the hub's port is used."""
    devices = rank_table.read(table_path)
    if len(devices) != len(ports) - 1:
        raise KwsError("--workers is %d, but the rank table %s has %d devices"
                       % (len(ports) - 1, table_path, len(devices)), "make them equal")
    servers = sorted({device.server_id for device in devices})
    if len(servers) > 1:
        raise KwsError("the rank table %s has the servers %s, but --workers starts processes on one server only"
                       % (table_path, ", ".join(servers)),
                       "start kws train once for each device, with RANK_ID set to its rank")
    return [
        {
            "RANK_TABLE_FILE": os.path.abspath(table_path), "RANK_SIZE": str(len(devices)), "RANK_ID": str(rank),
            "ASCEND_DEVICE_ID": device.device_id, "JOB_ID": os.environ.get("JOB_ID") or "10087",
            HUB: "127.0.0.1:%d" % ports[-1],
        }
        for rank, device in enumerate(devices)
    ]
