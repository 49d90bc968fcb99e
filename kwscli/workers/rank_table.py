"""Ascend's rank table: a JSON file that says which NPU of which server has which rank.

kws reads both of its templates and writes template 1, the newer one.
"""
import ipaddress
import json
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from .. import files
from ..errors import KwsError

DEVICES_PER_SERVER = (1, 2, 4, 8)
HCCN = "/etc/hccn.conf"  # Ascend's driver keeps the NPUs' network addresses here: address_0=192.168.100.101

_Json = Dict[str, Any]


class Device(NamedTuple):
    """One NPU of a rank table."""

    rank: int
    server_id: str
    device_id: str
    device_ip: str


def read(path: str) -> List[Device]:
    """Read and check a rank table -> its devices in the order of their ranks."""
    try:
        table = files.read_json(path, "write the rank table again")
    except OSError as error:
        raise KwsError("the rank table %s cannot be read: %s" % (path, error.strerror or error),
                       "set RANK_TABLE_FILE to the path of a rank table")
    try:
        devices, problems = _parse(table)
    except ValueError as error:
        devices, problems = [], [str(error)]
    if problems:
        raise KwsError("the rank table %s is wrong: %s" % (path, "; ".join(problems)), "correct it")
    return sorted(devices)


def _parse(table: _Json) -> Tuple[List[Device], List[str]]:
    """A rank table -> (devices, problems); a ValueError if it does not have the form of a rank table."""
    not_text = ["%s is %s, not text" % (name, json.dumps(value)) for name, value in _not_text(table)]
    if not_text:
        raise ValueError("; ".join(not_text))
    if "server_list" in table:
        devices, problems = _template_1(table)
    elif "group_list" in table:
        devices, problems = _template_2(table)
    else:
        raise ValueError("it has neither server_list nor group_list")
    status = _text(table, "status")
    if status != "completed":
        problems.append("status is %r, not 'completed'" % status)
    return devices, problems + list(_problems_of(devices))


def _not_text(table: _Json) -> List[Tuple[str, Any]]:
    """(name, value) of each number, true, false and null: Ascend's software (HCCL) reads text only."""
    found, left = [], [("it", table)]
    while left:
        name, value = left.pop(0)
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(name, item) for item in value]
        elif not isinstance(value, str):
            found.append((name, value))
    return found


def _template_1(table: _Json) -> Tuple[List[Device], List[str]]:
    servers = _objects(table, "server_list")
    devices = [
        Device(
            _rank(device), _text(server, "server_id"), _text(device, "device_id"),
            _text(device, "device_ip", ""),
        )
        for server in servers for device in _objects(server, "device")
    ]
    problems = _wrong_counts(table, ("server_count", len(servers)))
    version = _text(table, "version")
    if version != "1.0":
        problems.append("version is %r, not '1.0'" % version)
    return devices, problems


def _template_2(table: _Json) -> Tuple[List[Device], List[str]]:
    groups, devices = _objects(table, "group_list"), []
    problems = _wrong_counts(table, ("group_count", len(groups)))
    for group in groups:
        instances = _objects(group, "instance_list")
        in_group = [
            Device(
                _rank(instance), _text(instance, "server_id"), _text(device, "device_id"),
                _text(device, "device_ip"),
            )
            for instance in instances for device in _objects(instance, "devices")
        ]
        devices += in_group
        problems += _wrong_counts(
            group, ("device_num", len(in_group)), ("server_num", len({device.server_id for device in in_group})),
            ("instance_count", len(instances)),
        )
    return devices, problems


def _rank(holder: _Json) -> int:
    rank = _text(holder, "rank_id")
    if not re.fullmatch("[0-9]{1,9}", rank):
        raise ValueError("rank_id is %r, not a number" % rank)
    return int(rank)


def _objects(holder: _Json, name: str) -> List[_Json]:
    """A list of JSON objects under a name."""
    value = holder.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("%s is missing or not a list of objects" % name)
    return value


def _text(holder: _Json, name: str, *default: str) -> str:
    """A text under a name."""
    value = holder.get(name, *default)
    if not isinstance(value, str):
        raise ValueError("%s is missing or not text" % name)
    return value


def _wrong_counts(holder: _Json, *expected: Tuple[str, int]) -> List[str]:
    return [
        "%s is %r, but there are %d" % (name, _text(holder, name), count)
        for name, count in expected if _text(holder, name) != str(count)
    ]


def _problems_of(devices: List[Device]) -> Iterator[str]:
    if not devices:
        yield "it has no device"
    ranks = sorted(device.rank for device in devices)
    if ranks != list(range(len(devices))):
        yield "the ranks are %s, but must be 0 to %d, each once" % (", ".join(map(str, ranks)), len(devices) - 1)
    for server in sorted({device.server_id for device in devices}):
        ids = sorted(device.device_id for device in devices if device.server_id == server)
        if len(ids) not in DEVICES_PER_SERVER:
            yield "server %s has %d devices, not 1, 2, 4 or 8" % (server, len(ids))
        if len(set(ids)) < len(ids) or not set(ids) <= set("01234567"):
            yield "server %s has the device_ids %s, but they must be from 0 to 7, each once" % (server, ", ".join(ids))
    yield from _problems_of_addresses(devices)


def _problems_of_addresses(devices: List[Device]) -> Iterator[str]:
    addresses = [device.device_ip for device in devices if device.device_ip]
    repeated = sorted({address for address in addresses if addresses.count(address) > 1})
    if repeated:
        yield "more than one device has the device_ip %s" % ", ".join(repeated)
    if len(addresses) < len(devices) and len({device.server_id for device in devices}) > 1:
        yield "a device has no device_ip, which is optional on a single server only"
    for device in devices:
        try:
            ipaddress.ip_address(device.device_ip or "0.0.0.0")
        except ValueError:
            yield "the device_ip of rank %d is %r, not an IP address" % (device.rank, device.device_ip)


def write(path: str, size: int, hccn: str = HCCN) -> None:
    """Write a rank table for the first `size` NPUs of this server."""
    if size not in DEVICES_PER_SERVER:
        raise KwsError("--workers is %d, but 1, 2, 4 or 8 NPUs of a server can train together" % size,
                       "choose one of these numbers")
    addresses = _addresses(hccn)
    missing = [str(number) for number in range(size) if str(number) not in addresses]
    if missing:
        raise KwsError("%s has no address_%s" % (hccn, ", address_".join(missing)),
                       "configure them with hccn_tool, choose fewer --workers, or use --device cpu")
    devices = [{"device_id": str(n), "device_ip": addresses[str(n)], "rank_id": str(n)} for n in range(size)]
    servers = [{"server_id": "127.0.0.1", "device": devices}]
    table = {"status": "completed", "version": "1.0", "server_count": "1", "server_list": servers}
    with files.replacing(path) as file:
        json.dump(table, file, indent=1)


def _addresses(hccn: str) -> Dict[str, str]:
    """{device number: network address} of the NPUs of this server."""
    try:
        with open(hccn, encoding="utf-8", errors="replace") as file:
            return dict(re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE))
    except OSError as error:
        raise KwsError("%s, which holds the NPUs' addresses, cannot be read: %s" % (hccn, error.strerror or error),
                       "configure them with hccn_tool, or use --device cpu")
