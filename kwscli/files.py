"""Files that are complete or absent, JSON that a user may have damaged, and folders that one process uses at a time."""
import contextlib
import errno
import json
import os
import time
from typing import IO, Any, Dict, Iterator, Union

from .errors import KwsError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None
    import msvcrt

# Errors of the operating system that the user can solve: they are not bugs of ours.
USERS_ERRNOS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
    errno.EIO, errno.EFBIG, errno.ENOENT, errno.EEXIST, errno.EMFILE, errno.ELOOP, errno.EBUSY, errno.ENOLCK,
)


_BLOCK_BYTES = 1 << 20
# No JSON file that kws reads is near these limits, and a larger one would fill memory or overflow later.
_MAX_JSON_BYTES = 64 << 20
_MAX_JSON_DIGITS = 18  # of a whole number: it fits into 64 bits
_SECONDS_BETWEEN_TRIES = 0.2  # to lock a file, where the system cannot wait for it


def explain(error: OSError) -> str:
    """An OSError in one line."""
    advice = {
        errno.ENOSPC: "; free some space and run the same command again",
        errno.EDQUOT: "; free some space and run the same command again",
        errno.EROFS: "; choose a folder that is writable",
        errno.EACCES: "; check its permissions, or choose another place",
        errno.EPERM: "; check its permissions, or choose another place",
    }.get(error.errno, "")
    return "cannot use %s: %s%s" % (error.filename or "the output", error.strerror or error, advice)


def blocks(path: str) -> Iterator[bytes]:
    """Yield the content of a file in blocks of bounded size."""
    with open(path, "rb") as file:
        yield from iter(lambda: file.read(_BLOCK_BYTES), b"")


def sha256_of(path: str) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    import hashlib

    sha256 = hashlib.sha256()
    for block in blocks(path):
        sha256.update(block)
    return sha256.hexdigest()


def size_of(path: str) -> int:
    """The bytes in a file, or in all files of a folder."""
    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def read_json(path: str, advice: str) -> Dict[str, Any]:
    """Read the JSON object in a file; whatever is wrong with its text is a KwsError with this advice.

    A file that cannot be opened is an OSError, as always.
    """
    with open(path, "rb") as file:
        data = file.read(_MAX_JSON_BYTES + 1)
    try:
        return _json_object(data)
    except ValueError as error:
        raise KwsError("%s is damaged: %s" % (path, error), advice)


def parse_json(text: Union[str, bytes], what: str, advice: str) -> Dict[str, Any]:
    """Parse a JSON object; whatever is wrong with the text is a KwsError with this advice.

    what: the source of the text as the user knows it, such as "--profiling-options" or "$TF_CONFIG".
    """
    try:
        return _json_object(text)
    except ValueError as error:
        raise KwsError("%s cannot be used: %s" % (what, error), advice)


def _json_object(text):
    """The JSON object that a text holds, or a ValueError that says what is wrong."""
    if len(text) > _MAX_JSON_BYTES:
        raise ValueError("it has more than %d bytes" % _MAX_JSON_BYTES)
    try:
        found = json.loads(text, parse_int=_whole_number, parse_float=_finite_number)
    except RecursionError:
        raise ValueError("it is nested too deeply")
    except UnicodeDecodeError:
        raise ValueError("it is not text")
    except json.JSONDecodeError as error:
        raise ValueError("it is not JSON: %s" % error)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object {...}")
    return found


def _whole_number(digits):
    if len(digits) > _MAX_JSON_DIGITS:
        raise ValueError("it has a number of %d digits" % len(digits))
    return int(digits)


def _finite_number(digits):
    number = float(digits)
    if number in (float("inf"), -float("inf")):
        raise ValueError("it has a number that is too large: %.20s" % digits)
    return number


@contextlib.contextmanager
def replacing(path: str, mode: str = "w") -> Iterator[IO]:
    """An open file that replaces `path` at the end of the block, and only if the block raises nothing."""
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with replacing_path(path) as part, open(part, mode, **text) as file:
        yield file


@contextlib.contextmanager
def replacing_path(path: str) -> Iterator[str]:
    """The path, with the same suffix, of a file that replaces `path` in the same way."""
    part = _beside(path, ".part" + os.path.splitext(path)[1])
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(part)
        raise


@contextlib.contextmanager
def replacing_folder(path: str) -> Iterator[str]:
    """An empty folder that replaces `path` at the end of the block, and only if the block raises nothing."""
    import shutil

    part, old = _beside(path, ".part"), _beside(path, ".old")
    _put_back(old, path)
    for left_over in (part, old):
        shutil.rmtree(left_over, ignore_errors=True)
    os.makedirs(part)
    try:
        yield part
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, old)  # at once; a deletion takes time and leaves half a folder meanwhile
        os.rename(part, path)
    except BaseException:
        _put_back(old, path)
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path, suffix):
    """A hidden file or folder beside `path`, with a name that users do not give to their own files."""
    folder, name = os.path.split(path)
    return os.path.join(folder, ".%s.kws%s" % (name, suffix))


def _put_back(old, path):
    if os.path.lexists(old) and not os.path.lexists(path):
        os.rename(old, path)


@contextlib.contextmanager
def only_one(folder: str, work: str, wait: bool = False) -> Iterator[None]:
    """Lock `folder` for this process. A second process is refused, or waits.

    work: what this process does, for the message to a second one: "is training in". The operating system removes the
    lock when the process ends, however it ends.
    """
    # Not the package filelock: on a disk without locks, its release for Python 3.7 reports another process that is not
    # there, and its newest release may leave locks behind.
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "a") as lock:
        try:
            _lock(lock, wait)
        except BlockingIOError:
            raise KwsError("another process %s %s" % (work, folder), "wait for it to end, or choose another folder")
        except OSError as error:  # such as ENOLCK, where a network file system has no locks
            raise KwsError("cannot lock %s: %s" % (folder, error.strerror), "choose a folder on another disk")
        yield


def _lock(file, wait):
    """Lock an open file. Raises BlockingIOError if another process has locked it."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    file.seek(0)  # Windows locks bytes, from the position of the file; they need not exist
    while True:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            return
        except PermissionError as error:
            if not wait:
                raise BlockingIOError(*error.args)
        time.sleep(_SECONDS_BETWEEN_TRIES)


def printable(path: str) -> str:
    """A path as text that terminals and UTF-8 files can hold; other bytes and characters are escaped."""
    return path if path.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)
