"""Reads the files of a zip archive, in the order in which they are stored."""
import errno
import stat
import struct
import zipfile
import zlib
from typing import Callable, Iterator, List, Tuple

from ..errors import KwsError
from .members import Link, Refused, check_size, link, safe_name

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a zip archive, and of an empty one
# zipfile raises these errors for damaged or hostile archives.
ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, LookupError, NotImplementedError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile does not limit what the other ones inflate to
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: the usual way, the strong way, and the list of files
_UTF8 = 0x800
_HEADER_BYTES = 30  # without the name
_DOS, _UNIX = 0, 3
_RESOURCES = "__MACOSX"  # where macOS puts what is not the content of files
_MAX_TARGET_BYTES = 4096


def contents(path: str, on_bytes: Callable[[int], None], links: List[Link]) -> Iterator[Tuple[str, bytes]]:
    """Yield (name, bytes) of each file, and collect the links. Raises Refused or one of ERRORS."""
    try:
        yield from _contents(path, on_bytes, links)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile("a file in it begins at an impossible place")  # zipfile looks for it there


def _contents(path, on_bytes, links):
    with zipfile.ZipFile(path) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        _check_apart(members)
        for member in members:
            name = _name(member)
            normal, mode = safe_name(name), member.external_attr >> 16 if member.create_system == _UNIX else 0
            if not member.is_dir() and not name.endswith("/") and normal.split("/")[0] != _RESOURCES:
                _check(path, member, name, mode)
                # Never more than the size that the archive claims: read() without a limit would inflate everything.
                with archive.open(member) as file:
                    data = file.read(member.file_size)
                    if len(data) < member.file_size or file.read(1):  # reads the end, where the checksum is compared
                        raise zipfile.BadZipFile("%r has another size than it claims" % name)
                if stat.S_ISLNK(mode):
                    links.append(link(name, data.decode("utf-8", "surrogateescape")))
                else:
                    yield normal, data
            on_bytes(_end(member) - member.header_offset)


def _check(path, member, name, mode):
    if member.flag_bits & _ENCRYPTED:
        raise KwsError("%s is encrypted" % path, "unpack it yourself, and give its folder with --archive")
    if member.compress_type not in _METHODS:
        raise KwsError(
            "%s holds %r, compressed with method %d, which kws does not read" % (path, name, member.compress_type),
            "unpack it yourself, and give its folder with --archive",
        )
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
        raise Refused("%r, a device or other special file" % name)
    check_size(name, member.file_size)
    if kind == stat.S_IFLNK and member.file_size > _MAX_TARGET_BYTES:
        raise Refused("%r, a link of %d bytes" % (name, member.file_size))


def _check_apart(members):
    """Refuse files that share bytes: a small archive of them can hold petabytes."""
    for member, following in zip(members, members[1:]):
        if _end(member) > following.header_offset:
            raise Refused("%r and %r in the same place" % (member.filename, following.filename))


def _end(member):
    """Where a file ends at the earliest."""
    return member.header_offset + _HEADER_BYTES + member.compress_size


def _name(member):
    """The name of a file with slashes. Zip archives have no reliable encoding and, from old Windows, no slashes."""
    name = member.filename
    if not member.flag_bits & _UTF8:
        try:
            name = name.encode("cp437").decode("utf-8")  # macOS writes UTF-8 and does not say so
        except UnicodeError:
            pass
    return name.replace("\\", "/") if member.create_system == _DOS else name
