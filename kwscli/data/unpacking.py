"""Unpacks an archive into a folder next to the prepared data. Replaces only what kws unpacked before."""
import os
import zlib
from typing import Callable, Iterator, Optional, Tuple

from .. import files
from ..console import Progress
from ..errors import KwsError
from . import archive
from .dataset import PACKED
from .fingerprint import Fingerprint
from .sources import UNPACKED_MARK, Sources, unpacked_files


def target(sources: Sources) -> str:
    """The folder to unpack the archive into. Raises a KwsError if it contains what kws did not create."""
    name, folder = archive.stem(sources.main), sources.unpacked()
    if not name or name.split(".")[0] == PACKED:
        raise KwsError("%s cannot be unpacked into a folder of the same name" % sources.main, "rename the archive")
    mark = os.path.join(folder, UNPACKED_MARK)
    if os.path.lexists(folder) and not os.path.exists(mark):
        raise KwsError(
            "%s is in the way of unpacking %s, and kws did not create it" % (folder, sources.main),
            "move it away, or choose another folder with --out",
        )
    if os.path.lexists(folder):
        _check_replaceable(sources, folder, mark)
    return folder


def _check_replaceable(sources, folder, mark):
    """Refuse to replace an unpacked archive that contains files of the user."""
    try:
        fingerprint = Fingerprint.read(mark, folder)
    except ValueError:
        raise KwsError(
            "%s would be replaced, and may contain files of yours: the version of kws that unpacked it did not note "
            "which files it wrote" % folder,
            "move it away or, if nothing in it is yours, delete it",
        )
    changes = fingerprint.changes(unpacked_files(folder))
    if changes.added or changes.changed:
        raise KwsError(
            "%s would be replaced, but it contains files that are not in %s: %s"
            % (folder, sources.name_of(sources.main), changes._replace(removed=[])),
            sources.how_to_use_unpacked(),
        )


class Unpacking:
    """Unpacks an archive, and iterates over (name, bytes) of the files on the way.

    leave_out: called with the name of a file that is not unpacked, and the reason. sha256, crc32: of the archive, at
    the end of the iteration.
    """

    def __init__(self, path: str, folder: str, leave_out: Callable[[str, str], None]) -> None:
        self._path, self._folder, self._leave_out = path, folder, leave_out
        self._written = Fingerprint(folder)
        self.sha256: Optional[str] = None
        self.crc32: Optional[int] = None

    def __iter__(self) -> Iterator[Tuple[str, bytes]]:
        with Progress("preparing " + os.path.basename(self._path), os.path.getsize(self._path), unit="B") as progress:
            source = archive.Archive(self._path, on_bytes=progress.update)
            for name, data in source:
                if self._write(name, data):
                    yield name, data
        yield from self._linked(source.links)
        self._written.write(os.path.join(self._folder, UNPACKED_MARK))
        self.sha256, self.crc32 = source.sha256, source.crc32

    def _write(self, name, data):
        """Write a file, and return whether it is the first one of its name."""
        path = os.path.join(self._folder, name)
        try:
            file = _new(path)
        except (FileExistsError, NotADirectoryError):
            if not os.path.isfile(path):
                raise KwsError(
                    "%s holds %r both as a file and as a folder" % (self._path, name), "download or create it again"
                )
            self._leave_out(name, "twice in the archive: the first one is used")
            return False
        with file:
            file.write(data)
        self._written.add(name, zlib.crc32(data))
        return True

    def _linked(self, links):
        """Write a copy of the file that each link leads to. What leads nowhere or outside is left out."""
        left, before = links, None
        while left and len(left) != before:  # a link may lead to another link
            before, waiting = len(left), []
            for link in left:
                path = link.path and os.path.join(self._folder, link.path)
                if not path or not os.path.isfile(path):
                    waiting.append(link)
                    continue
                with open(path, "rb") as file:
                    data = file.read()
                if self._write(link.name, data):
                    yield link.name, data
            left = waiting
        for link in left:
            where = "which is not a file in the archive" if link.path else "which is outside of the archive"
            self._leave_out(link.name, "a link: it leads to %s, %s" % (files.printable(link.target), where))


def _new(path):
    """Create a file, and its folder if it is missing."""
    try:
        return open(path, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path))
        return open(path, "xb")
