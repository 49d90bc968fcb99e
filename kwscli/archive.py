"""The files of a tar archive, read once from front to back. An archive is data from strangers: nothing in it is trusted."""
import bz2
import hashlib
import lzma
import os
import queue
import tarfile
import threading
import zlib

from .errors import KwsError

SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
# Far above any recording (an hour of 16 kHz mono is 110 MB), far below what would fill memory.
MAX_MEMBER_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_MAGIC = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lzma.LZMADecompressor),
)


def stem(path):
    """`x/speech_commands_v0.02.tar.gz` -> `speech_commands_v0.02`."""
    name = os.path.basename(path)
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.endswith(suffix)), name)


class Archive:
    """Iterates over (name, bytes) of the files in a tar archive, plain or compressed; a damaged or hostile one is a KwsError.

    `sha256` is the archive's own hash, known once the iteration has ended. on_bytes is told how many compressed bytes
    were read. Decompression runs in a thread of its own, beside the caller's work on the members.
    """

    def __init__(self, path, on_bytes=lambda count: None):
        self.path, self.sha256, self._on_bytes = path, None, on_bytes

    def __iter__(self):
        stream = _ChunkReader(self._decompressed())
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK_BYTES) as tar:
                for member in tar:
                    name = self._checked(member)
                    if name:
                        yield name, tar.extractfile(member).read()
            while stream.read(_CHUNK_BYTES):  # what follows the last member still counts for the hash
                pass
        except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise KwsError("%s is damaged or not a tar archive (%s); fetch it again" % (self.path, error))
        finally:
            stream.close()

    def _checked(self, member):
        """The name of a file to unpack, None for a folder; anything that could reach outside or overwhelm is refused."""
        name = os.path.normpath(member.name)
        if os.path.isabs(member.name) or name.split(os.sep)[0] == os.pardir or "\0" in member.name:
            raise KwsError("%s holds %r, which lies outside of it; not unpacked" % (self.path, member.name))
        if member.isdir():
            return None
        if not member.isfile():
            kind = "a link" if member.issym() or member.islnk() else "a device or other special file"
            raise KwsError("%s holds %r, %s; not unpacked" % (self.path, member.name, kind))
        if member.size > MAX_MEMBER_BYTES:
            raise KwsError(
                "%s holds %r of %d bytes, over the limit of %d; not unpacked"
                % (self.path, member.name, member.size, MAX_MEMBER_BYTES)
            )
        return name

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
                while new and chunk:
                    if decompressor.eof:  # one compressed stream may follow another
                        decompressor = new()
                    yield decompressor.decompress(chunk)
                    chunk = decompressor.unused_data
                    if decompressor.eof and not chunk.strip(b"\0"):
                        break
                if not new:
                    yield chunk
            if decompressor and not decompressor.eof:
                raise EOFError("it ends in the middle, after %d bytes" % file.tell())
        self.sha256 = sha256.hexdigest()


class _ChunkReader:
    """A file over an iterator of byte chunks that a thread runs ahead of the reader."""

    _END = object()

    def __init__(self, chunks):
        self._chunks, self._queue, self._rest = chunks, queue.Queue(maxsize=8), memoryview(b"")
        self._closed = threading.Event()
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
        """Up to `count` bytes, fewer only at the end."""
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
        return b"".join(parts)

    def close(self):
        self._closed.set()
        self._thread.join()
