"""Ascend's rank table: which NPU of which server has which rank. Both templates are read, the newer one is written."""
import ipaddress
import json
import re
from typing import NamedTuple

from .. import files
from ..errors import KwsError

DEVICES_A_SERVER = (1, 2, 4, 8)
HCCN = "/etc/hccn.conf"  # where Ascend's driver keeps the NPUs' own network addresses: address_0=192.168.100.101


class Device(NamedTuple):
    """An NPU that takes part."""

    rank: int
    server_id: str
    device_id: str
    device_ip: str


def read(path):
    """The Devices of a rank table by rank; everything that is wrong with it is one KwsError."""
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        devices, problems = (_servers if "server_list" in table else _groups)(table)
    except OSError as error:
        raise KwsError("the rank table %s cannot be read: %s; $RANK_TABLE_FILE must name it" % (path, error.strerror))
    except (ValueError, TypeError) as error:
        raise KwsError("the rank table %s is no JSON object of the right form (%s); write it anew" % (path, error))
    except KeyError as error:
        raise KwsError("the rank table %s lacks %s; write it anew" % (path, error))
    if table.get("status") != "completed":
        problems.append("status is %r, not 'completed'" % table.get("status"))
    not_text = ["%s is the number %s, not text" % item for item in _numbers(table)]
    problems += not_text or list(_wrong(devices))
    if problems:
        raise KwsError("the rank table %s is wrong: %s; mend it" % (path, "; ".join(problems)))
    return sorted(devices)


def _servers(table):
    """Template 1 -> (Devices, problems)."""
    devices = [
        _device(device["rank_id"], server["server_id"], device["device_id"], device.get("device_ip", ""))
        for server in table["server_list"] for device in server["device"]
    ]
    problems = _counts(table, ("server_count", len(table["server_list"])))
    if table.get("version") != "1.0":
        problems.append("version is %r, not '1.0'" % table.get("version"))
    return devices, problems


def _groups(table):
    """Template 2, of older software -> (Devices, problems)."""
    groups, devices, problems = table["group_list"], [], []
    problems += _counts(table, ("group_count", len(groups)))
    for group in groups:
        mine = [
            _device(instance["rank_id"], instance["server_id"], device["device_id"], device["device_ip"])
            for instance in group["instance_list"] for device in instance["devices"]
        ]
        devices += mine
        problems += _counts(
            group, ("device_num", len(mine)), ("server_num", len({one.server_id for one in mine})),
            ("instance_count", len(group["instance_list"])),
        )
    return devices, problems


def _device(rank, *rest):
    for value in rest:
        if isinstance(value, (list, dict)):
            raise TypeError("%s stands where a text should" % json.dumps(value))
    return Device(int(rank) if str(rank).isdecimal() else -1, *map(str, rest))


def _counts(values, *expected):
    return [
        "%s is %r and there are %d" % (name, values.get(name), count)
        for name, count in expected if str(values.get(name)) != str(count)
    ]


def _numbers(value, name="it"):
    """(name, value) of whatever is not text: HCCL reads text only."""
    if isinstance(value, dict):
        return [item for key in value for item in _numbers(value[key], key)]
    if isinstance(value, list):
        return [item for one in value for item in _numbers(one, name)]
    return [] if isinstance(value, str) else [(name, value)]


def _wrong(devices):
    if not devices:
        yield "it has no device"
    ranks = sorted(device.rank for device in devices)
    if ranks != list(range(len(devices))):
        yield "the ranks are %s, not 0 to %d once each" % (", ".join(map(str, ranks)), len(devices) - 1)
    for server in sorted({device.server_id for device in devices}):
        mine = sorted(device.device_id for device in devices if device.server_id == server)
        if len(mine) not in DEVICES_A_SERVER:
            yield "server %s has %d devices, not 1, 2, 4 or 8" % (server, len(mine))
        if len(set(mine)) < len(mine) or not set(mine) <= set("01234567"):
            yield "server %s has the devices %s, not some of 0 to 7 once each" % (server, ", ".join(mine))
    addresses = [device.device_ip for device in devices if device.device_ip]
    twice = sorted({one for one in addresses if addresses.count(one) > 1})
    if twice:
        yield "more than one device has the device_ip %s" % ", ".join(twice)
    if len(addresses) < len(devices) and len({device.server_id for device in devices}) > 1:
        yield "devices of several servers need a device_ip each"
    for device in devices:
        try:
            ipaddress.ip_address(device.device_ip or "0.0.0.0")  # one server may do without
        except ValueError:
            yield "device_ip of rank %d is %r, not an address" % (device.rank, device.device_ip)


def write(path, size, hccn=HCCN):
    """A rank table for the first `size` NPUs of this server."""
    if size not in DEVICES_A_SERVER:
        raise KwsError("--workers %d: the NPUs of a server work together as 1, 2, 4 or 8; choose one of these" % size)
    try:
        with open(hccn, encoding="utf-8") as file:
            found = dict(re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE))
    except OSError as error:
        raise KwsError("%s, which holds the NPUs' addresses, cannot be read: %s; configure them with hccn_tool, or use "
                       "--device cpu" % (hccn, error.strerror))
    missing = [str(number) for number in range(size) if str(number) not in found]
    if missing:
        raise KwsError("%s has no address_%s; configure them with hccn_tool, or use fewer --workers, or --device cpu"
                       % (hccn, ", address_".join(missing)))
    devices = [{"device_id": str(n), "device_ip": found[str(n)], "rank_id": str(n)} for n in range(size)]
    servers = [{"server_id": "127.0.0.1", "device": devices}]
    table = {"status": "completed", "version": "1.0", "server_count": "1", "server_list": servers}
    with files.replacing(path) as file:
        json.dump(table, file, indent=1)
