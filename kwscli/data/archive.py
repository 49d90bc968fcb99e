"""The files of a tar archive, read once from front to back. It is data from strangers: nothing in it is trusted."""
import hashlib
import importlib
import os
import queue
import tarfile
import threading
import zlib

from ..errors import KwsError

SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
# Far above any recording (an hour of 16 kHz mono is 110 MB), far below what would fill memory.
MAX_MEMBER_BYTES = 256 << 20
_MAX_HEADER_BYTES = 1 << 20  # of a long name and the like
_CHUNK_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 16  # tarfile copies what is left in its buffer at every read
_MAX_INFLATED_BYTES = 4 << 20  # at once: a megabyte of bzip2 can hold 45 GB of zeros
# What tarfile raises on damaged or hostile headers, beside its own errors.
_TAR_ERRORS = (tarfile.TarError, EOFError, ValueError, LookupError, ArithmeticError, RecursionError)


def _codec(module, name):
    try:
        return getattr(importlib.import_module(module), name)()
    except ImportError:
        raise KwsError("this Python was built without %s; unpack the archive and name its folder by --archive" % module)


_MAGIC = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", lambda: _codec("bz2", "BZ2Decompressor")),
    (b"\xfd7zXZ\0", lambda: _codec("lzma", "LZMADecompressor")),
)


def stem(path):
    """`x/speech_commands_v0.02.tar.gz` -> `speech_commands_v0.02`."""
    name = os.path.basename(path)
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.endswith(suffix)), name)


class Archive:
    """Iterates over (name, bytes) of the files in a tar archive, plain or compressed; a bad one is a KwsError.

    `sha256` is the archive's own hash, known once the iteration has ended. on_bytes is told how many compressed bytes
    were read. Decompression runs in a thread of its own, beside the caller's work on the members.
    """

    def __init__(self, path, on_bytes=lambda count: None):
        self.path, self.sha256, self._on_bytes = path, None, on_bytes

    def __iter__(self):
        stream = _ChunkReader(self._decompressed())
        header_type = type("Header", (_Header,), {})  # a class of its own, as it remembers what it met last
        try:
            # ignore_zeros: one archive may follow another, and nothing behind the first one's end goes unseen.
            with tarfile.open(
                fileobj=stream, mode="r|", bufsize=_BUFFER_BYTES, tarinfo=header_type, ignore_zeros=True,
                encoding="utf-8",
            ) as tar:
                for member in tar:
                    tar.members.clear()  # tarfile would keep every header, a kilobyte each
                    name = _checked(member)
                    if name:
                        yield name, tar.extractfile(member).read()
        except _Refused as refused:
            raise KwsError("%s holds %s; not unpacked" % (self.path, refused))
        except _TAR_ERRORS as error:
            raise KwsError("%s is damaged or not a tar archive (%s); fetch or make it again" % (self.path, error))
        finally:
            stream.close()

    def _decompressed(self):
        """The archive's tar stream in chunks."""
        sha256 = hashlib.sha256()
        with open(self.path, "rb") as file:
            magic = file.read(6)
            file.seek(0)
            new = next((make for start, make in _MAGIC if magic.startswith(start)), None)
            decompressor = new and new()
            for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
                sha256.update(chunk)
                self._on_bytes(len(chunk))
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
                raise EOFError("it ends in the middle, after %d bytes" % file.tell())
        self.sha256 = sha256.hexdigest()


def _inflated(decompressor, chunk):
    """What a compressed chunk holds, in pieces of bounded size."""
    try:
        data = decompressor.decompress(chunk, _MAX_INFLATED_BYTES)
        while data:
            yield data
            # zlib hands back what it has not taken yet; the others keep it.
            rest = getattr(decompressor, "unconsumed_tail", b"")
            full = len(data) == _MAX_INFLATED_BYTES and not decompressor.eof
            data = decompressor.decompress(rest, _MAX_INFLATED_BYTES) if full else b""
    except Exception as error:  # each codec has its own
        raise EOFError(str(error))


class _Refused(Exception):
    """A member that could reach outside of the target, or overwhelm it."""


class _Header(tarfile.TarInfo):
    """A stricter header than tarfile's: a damaged one is not the end of the archive, and a size has its limit."""

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
            raise _Refused("%r of %d bytes, over the limit of %d" % (header.name, header.size, limit))
        return header


def _checked(member):
    """The name of a file to unpack, None for a folder; anything that could reach outside or overwhelm is refused."""
    name = os.path.normpath(member.name)
    if os.path.isabs(member.name) or name.split(os.sep)[0] == os.pardir or "\0" in member.name:
        raise _Refused("%r, which lies outside of it" % member.name)
    if member.isdir():
        return None
    if not member.isfile():
        raise _Refused("%r, %s" % (
            member.name, "a link" if member.issym() or member.islnk() else "a device or other special file"
        ))
    if not 0 <= member.size <= MAX_MEMBER_BYTES:  # an extended header may have changed it
        raise _Refused("%r of %d bytes, over the limit of %d" % (member.name, member.size, MAX_MEMBER_BYTES))
    return name


class _ChunkReader:
    """A file over an iterator of byte chunks that a thread runs ahead of the reader."""

    _END = object()

    def __init__(self, chunks):
        self._chunks, self._queue, self._rest = chunks, queue.Queue(maxsize=4), memoryview(b"")
        self._closed, self._asked_beyond = threading.Event(), False
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def _fill(self):
        try:
            for chunk in self._chunks:
                if not self._put(chunk):
                    return
            self._put(self._END)
        except Exception as error:  # handed to the reader, who raises it
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
        """Up to `count` bytes, fewer only at the end; who asks on behind it gets an EOFError, not an endless loop."""
        parts = []
        while count:
            if not self._rest:
                item = self._queue.get()
                if isinstance(item, Exception) or item is self._END:
                    self._queue.put(item)  # every later read meets it too
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
