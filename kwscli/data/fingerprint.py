"""Notices which files have changed: keeps their names, sizes, times and checksums, as git's index does."""
import csv
import os
import zlib
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from .. import files
from ..console import Progress

_SHOWN = 3  # names of files in a message
NO_CHECKSUM = -1  # of a file whose size is compared, but not its content


# ctime is the time of the last change of any kind: programs cannot set it, as they can set mtime. The checksum of the
# content decides where only the times differ, as after a copy.
_COLUMNS = ["path", "size", "mtime_ns", "ctime_ns", "crc32"]
Stamp = Tuple[int, int, int, int]  # a plain tuple of all but the path, because there may be 100,000 of them


class Changes(NamedTuple):
    """The names of files that differ from a fingerprint."""

    added: List[str]
    removed: List[str]
    changed: List[str]

    def __bool__(self) -> bool:
        return any(self)

    def __str__(self) -> str:
        counts = ", ".join("%d %s" % (len(names), what) for what, names in self._asdict().items() if names)
        names = [name for names in self for name in names][:_SHOWN]
        return "%s, such as %s" % (counts, ", ".join(map(files.printable, names)))


class Fingerprint:
    """The stamps of files. Their names are relative to one folder, or absolute."""

    def __init__(self, folder: str, stamps: Optional[Dict[str, Stamp]] = None) -> None:
        self._folder, self.stamps = folder, stamps or {}

    def add(self, name: str, crc32: int, status: Optional[os.stat_result] = None) -> None:
        """Add a file. status: its state before its content was read, so that a change since then is noticed."""
        status = status or os.stat(os.path.join(self._folder, name))
        self.stamps[name] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, crc32)

    def write(self, path: str) -> None:
        """Write the stamps as CSV."""
        with files.replacing_path(path) as part, _open(part, "w") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows((name,) + stamp for name, stamp in self.stamps.items())

    @classmethod
    def read(cls, path: str, folder: str) -> "Fingerprint":
        """Read what `write` wrote. Raises ValueError for anything else."""
        with _open(path, "r") as file:
            rows = csv.reader(file)
            try:
                if next(rows, None) != _COLUMNS:
                    raise ValueError("the first line is not %s" % ",".join(_COLUMNS))
                return cls(folder, {
                    name: (int(size), int(mtime_ns), int(ctime_ns), int(crc32))
                    for name, size, mtime_ns, ctime_ns, crc32 in rows
                })
            except csv.Error as error:
                raise ValueError(str(error))

    def changes(self, names: Iterable[str]) -> Changes:
        """How the files of these names differ now. The new times of a file with the same content are taken over."""
        added, suspects, left = [], [], dict(self.stamps)
        for name in names:
            try:
                now = os.stat(os.path.join(self._folder, name))
            except OSError:  # such as a broken link
                continue
            stamp = left.pop(name, None)
            if stamp is None:
                added.append(name)
            elif (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != stamp[:3]:
                suspects.append((name, now))
        return Changes(added, list(left), [name for name, now in self._confirmed(suspects)])

    def _confirmed(self, suspects):
        """Those of the files whose content differs."""
        with Progress("comparing", len(suspects), unit="files") as progress:
            for name, now in suspects:
                progress.update()
                size, _, _, crc32 = self.stamps[name]
                path = os.path.join(self._folder, name)
                if now.st_size == size and (crc32 == NO_CHECKSUM or _crc32(path) == crc32):
                    self.add(name, crc32, now)
                else:
                    yield name, now


def _open(path, mode):
    return open(path, mode, encoding="utf-8", errors="surrogateescape", newline="")


def _crc32(path):
    """The checksum of a file, None if it cannot be read."""
    crc32 = 0
    try:
        if not os.path.isfile(path):  # to open a pipe would wait for its other end
            return None
        for block in files.blocks(path):
            crc32 = zlib.crc32(block, crc32)
    except OSError:
        return None
    return crc32
