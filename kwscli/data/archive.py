"""Reads the files of a tar or zip archive once. It comes from strangers: nothing in it is trusted."""
import hashlib
import importlib
import itertools
import os
import queue
import tarfile
import threading
import zlib
from typing import Callable, Iterator, List, Optional, Tuple

from ..errors import KwsError
from . import zip_archive
from .members import MAX_MEMBER_BYTES, Link, Refused, check_size, link, safe_name

SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
_MAX_HEADER_BYTES = 1 << 20  # of headers with more than numbers in them, such as a long name
_CHUNK_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 16  # small, because tarfile copies the rest of its buffer at every read
_MAX_INFLATED_BYTES = 4 << 20  # in one piece, because a megabyte of bzip2 can hold 45 GB of zeros
# tarfile raises these errors for damaged or hostile headers.
_TAR_ERRORS = (tarfile.TarError, EOFError, ValueError, LookupError, ArithmeticError, RecursionError)


def _codec(module, name):
    try:
        return getattr(importlib.import_module(module), name)()
    except ImportError:
        raise KwsError(
            "this Python was built without %s" % module,
            "unpack the archive yourself, and give its folder with --archive",
        )


_MAGIC = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", lambda: _codec("bz2", "BZ2Decompressor")),
    (b"\xfd7zXZ\0", lambda: _codec("lzma", "LZMADecompressor")),
)


def stem(path: str) -> str:
    """The name of an archive without its suffix: `x/speech_commands_v0.02.tar.gz` -> `speech_commands_v0.02`."""
    name = os.path.basename(path)
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.endswith(suffix)), name)


def names(folder: str) -> List[str]:
    """The names of the archives in a folder."""
    return [
        name for name in sorted(os.listdir(folder))
        if name.endswith(SUFFIXES) and os.path.isfile(os.path.join(folder, name))
    ]


class Archive:
    """Iterates over (name, bytes) of the files in an archive: zip, or tar, plain or compressed.

    A bad archive is a KwsError. on_bytes: called with the number of bytes of the archive after each read.
    links: the links in it, which are not among the files. sha256, crc32: of the archive itself. All of these are
    complete at the end of the iteration. Another thread decompresses a tar archive while the caller works on the files.
    """

    def __init__(self, path: str, on_bytes: Callable[[int], None] = lambda count: None) -> None:
        self.path, self._on_bytes = path, on_bytes
        self.links: List[Link] = []
        self.sha256: Optional[str] = None
        self.crc32: Optional[int] = None

    def __iter__(self) -> Iterator[Tuple[str, bytes]]:
        with open(self.path, "rb") as file:
            is_zip = file.read(4) in zip_archive.MAGIC
        try:
            yield from self._zip_contents() if is_zip else self._tar_contents()
        except Refused as refused:
            raise KwsError(
                "%s holds %s; it was not unpacked" % (self.path, refused), "get the archive from a trusted place"
            )
        except zip_archive.ERRORS + _TAR_ERRORS as error:
            raise KwsError(
                "%s is damaged or not a %s archive (%s)" % (self.path, "zip" if is_zip else "tar", error),
                "download or create it again",
            )

    def _zip_contents(self):
        yield from zip_archive.contents(self.path, self._on_bytes, self.links)
        for _ in self._chunks(on_bytes=lambda count: None):  # only now, because a zip archive is not read in order
            pass

    def _tar_contents(self):
        stream = _ChunkReader(self._decompressed())
        stream.start()
        header_type = type("Header", (_Header,), {})  # a new class for each archive, because it has a state
        try:
            # ignore_zeros: read on after the end of an archive, because another one may follow.
            with tarfile.open(
                fileobj=stream, mode="r|", bufsize=_BUFFER_BYTES, tarinfo=header_type, ignore_zeros=True,
                encoding="utf-8",
            ) as tar:
                for member in tar:
                    tar.members.clear()  # tarfile would keep every header, a kilobyte each
                    if member.issym() or member.islnk():
                        self.links.append(link(member.name, member.linkname, hard=member.islnk()))
                        continue
                    name = _checked(member)
                    if name:
                        yield name, tar.extractfile(member).read()
        finally:
            stream.close()

    def _chunks(self, on_bytes):
        """The bytes of the archive in chunks. Computes the checksums on the way."""
        sha256, crc32 = hashlib.sha256(), 0
        with open(self.path, "rb") as file:
            for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
                sha256.update(chunk)
                crc32 = zlib.crc32(chunk, crc32)
                on_bytes(len(chunk))
                yield chunk
        self.sha256, self.crc32 = sha256.hexdigest(), crc32

    def _decompressed(self):
        """The archive's tar stream in chunks."""
        chunks = self._chunks(self._on_bytes)
        first = next(chunks, b"")
        new = next((make for start, make in _MAGIC if first.startswith(start)), None)
        decompressor = new and new()
        for chunk in itertools.chain([first], chunks):
            if not new:
                yield chunk
                continue
            while chunk:
                if decompressor.eof:  # zeros may follow, or another compressed stream
                    chunk = chunk.lstrip(b"\0")
                    if not chunk:
                        break
                    decompressor = new()
                yield from _inflated(decompressor, chunk)
                chunk = decompressor.unused_data
        if decompressor and not decompressor.eof:
            raise EOFError("it ends in the middle, after %d bytes" % os.path.getsize(self.path))


def _inflated(decompressor, chunk):
    """The content of a compressed chunk, in pieces of limited size."""
    try:
        data = decompressor.decompress(chunk, _MAX_INFLATED_BYTES)
        while data:
            yield data
            # zlib gives back the input that it has not used yet; the others keep it.
            rest = getattr(decompressor, "unconsumed_tail", b"")
            full = len(data) == _MAX_INFLATED_BYTES and not decompressor.eof
            data = decompressor.decompress(rest, _MAX_INFLATED_BYTES) if full else b""
    except Exception as error:  # each codec has its own
        raise EOFError(str(error))


class _Header(tarfile.TarInfo):
    """A header that is stricter than tarfile's: a damaged one does not end the archive, and the size has a limit."""

    ended = False

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # a block of zeros
            cls.ended = True
            raise
        except tarfile.HeaderError as error:
            if cls.ended and not buf:
                raise
            raise tarfile.ReadError(str(error) if buf else "it ends in the middle")
        cls.ended = False
        limit = MAX_MEMBER_BYTES if header.isreg() else _MAX_HEADER_BYTES
        if not 0 <= header.size <= limit:
            raise Refused("%r of %d bytes, over the limit of %d" % (header.name, header.size, limit))
        return header


def _checked(member):
    """The name of a file to unpack, or None for a folder. Raises Refused."""
    name = safe_name(member.name)
    if member.isdir():
        return None
    if not member.isfile():
        raise Refused("%r, a device or other special file" % member.name)
    check_size(member.name, member.size)  # an extended header may have changed it
    return name


class _ChunkReader:
    """A file over an iterator of byte chunks. A thread runs the iterator ahead of the reader."""

    _END = object()

    def __init__(self, chunks):
        self._chunks, self._queue, self._rest = chunks, queue.Queue(maxsize=4), memoryview(b"")
        self._closed, self._asked_beyond = threading.Event(), False
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def start(self):
        self._thread.start()

    def _fill(self):
        try:
            for chunk in self._chunks:
                if not self._put(chunk):
                    return
            self._put(self._END)
        except Exception as error:  # the reader raises it
            self._put(error)

    def _put(self, item):
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read(self, count):
        """Up to `count` bytes, fewer only at the end. The second read after the end is an EOFError."""
        parts = []
        while count:
            if not self._rest:
                item = self._queue.get()
                if isinstance(item, Exception) or item is self._END:
                    self._queue.put(item)  # for every later read
                    if item is self._END:
                        break
                    raise item
                self._rest = memoryview(item)
                continue
            part, self._rest = self._rest[:count], self._rest[count:]
            count -= len(part)
            parts.append(part)
        if not parts and self._asked_beyond:
            raise EOFError("it ends in the middle")
        self._asked_beyond = not parts
        return b"".join(parts)

    def close(self):
        self._closed.set()
        self._thread.join()
