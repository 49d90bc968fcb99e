"""A writer for FlatBuffers, the format of TensorFlow Lite files, as far as `tflite_metadata` needs it.

https://flatbuffers.dev/internals: an object refers to others by the distance to them, and they always come after it.
"""
import struct
from typing import Any, Dict, List, NamedTuple, Optional, Union

_ALIGNMENT = 16  # of the data in a TensorFlow Lite file, the largest


class Table(NamedTuple):
    """{number of a field: its value}. A value is a number of up to 32 bits, text, bytes, a list, a Table or a Kept."""

    fields: Dict[int, Any]


class Kept(NamedTuple):
    """An object that is in the old bytes already, at this position."""

    position: int


def write(root: Table, identifier: bytes, old: bytes = b"") -> bytes:
    """A file with a root table, followed by the old bytes that its Kept objects are in."""
    writer = _Writer(identifier)
    writer.slot(0, root)
    writer.align(_ALIGNMENT)
    for slot, position in writer.kept:
        struct.pack_into("<I", writer.data, slot, len(writer.data) + position - slot)
    return bytes(writer.data) + old


class _Writer:
    def __init__(self, identifier):
        self.data = bytearray(4) + identifier
        self.kept = []

    def align(self, size, extra=0):
        self.data += bytes(-(len(self.data) + extra) % size)

    def slot(self, at, value):
        """Fill four bytes with a number, or with the distance to an object, which is written first."""
        if isinstance(value, Kept):
            self.kept.append((at, value.position))
        elif isinstance(value, int):
            struct.pack_into("<I", self.data, at, value)
        else:
            struct.pack_into("<I", self.data, at, self._object(value) - at)

    def _object(self, value):
        """Write an object -> its position."""
        if isinstance(value, Table):
            return self._table(value.fields)
        if isinstance(value, list):
            return self._list(value)
        content = value.encode("utf-8") + b"\0" if isinstance(value, str) else value
        self.align(_ALIGNMENT, extra=4)
        self.data += struct.pack("<I", len(content) - isinstance(value, str)) + content
        return len(self.data) - len(content) - 4

    def _table(self, fields):
        """A table begins with the distance back to the list of where its fields are."""
        offsets = {field: 4 + 4 * place for place, field in enumerate(sorted(fields))}
        listed = [offsets.get(field, 0) for field in range(max(fields) + 1)]
        self.align(4)
        start = len(self.data)
        self.data += struct.pack("<%dH" % (2 + len(listed)), 4 + 2 * len(listed), 4 + 4 * len(fields), *listed)
        self.align(4)
        table = len(self.data)
        self.data += struct.pack("<i", table - start) + bytes(4 * len(fields))
        for field, value in fields.items():
            self.slot(table + offsets[field], value)
        return table

    def _list(self, values):
        self.align(4)
        start = len(self.data)
        self.data += struct.pack("<I", len(values)) + bytes(4 * len(values))
        for place, value in enumerate(values):
            self.slot(start + 4 + 4 * place, value)
        return start


def root_of(data: bytes) -> int:
    """The position of the root table of a file."""
    return target(data, 0)


def target(data: bytes, slot: int) -> int:
    """The position of the object that a slot refers to."""
    return slot + struct.unpack_from("<I", data, slot)[0]


def field(data: bytes, table: int, number: int) -> Optional[int]:
    """The position of a field of a table; None if the table lacks it."""
    listed = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, listed)[0]:
        return None
    offset = struct.unpack_from("<H", data, listed + 4 + 2 * number)[0]
    return table + offset if offset else None


def kept_list(data: bytes, slot: Optional[int]) -> List[Union[Kept, Table]]:
    """The objects in the list that a slot refers to; [] where there is no such slot."""
    if slot is None:
        return []
    start = target(data, slot)
    count = struct.unpack_from("<I", data, start)[0]
    return [Kept(target(data, start + 4 + 4 * place)) for place in range(count)]
