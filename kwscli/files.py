"""Files that are whole or not there: written beside, then renamed; and folders that one process has at a time."""
import contextlib
import errno
import fcntl
import os
import shutil

from .errors import KwsError

# What the operating system says of a place that cannot be written: the user's to mend, not a bug of ours.
USERS_ERRNOS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
    errno.EIO, errno.EFBIG, errno.ENOENT, errno.EEXIST, errno.EMFILE, errno.ELOOP, errno.EBUSY, errno.ENOLCK,
)


def explain(error):
    """An OSError in one line."""
    advice = {
        errno.ENOSPC: "; free some space and run the same command again",
        errno.EDQUOT: "; free some space and run the same command again",
        errno.EROFS: "; choose a folder that can be written",
        errno.EACCES: "; check its permissions, or choose another place",
        errno.EPERM: "; check its permissions, or choose another place",
    }.get(error.errno, "")
    return "cannot use %s: %s%s" % (error.filename or "the output", error.strerror or error, advice)


@contextlib.contextmanager
def replacing(path, mode="w"):
    """A file that takes the place of `path` at the end of the block, and only if the block ends well."""
    part = _beside(path, ".part")
    try:
        with open(part, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": ""})) as file:
            yield file
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(part)
        raise


@contextlib.contextmanager
def replacing_folder(path):
    """An empty folder that takes the place of `path` at the end of the block, and only if the block ends well."""
    part, old = _beside(path, ".part"), _beside(path, ".old")
    _put_back(old, path)
    for left_over in (part, old):
        shutil.rmtree(left_over, ignore_errors=True)
    os.makedirs(part)
    try:
        yield part
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, old)  # at once, where to delete it would leave it half there for a while
        os.rename(part, path)
    except BaseException:
        _put_back(old, path)
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path, suffix):
    """A hidden neighbour, whose name nobody gives to something of their own."""
    folder, name = os.path.split(path)
    return os.path.join(folder, ".%s.kws%s" % (name, suffix))


def _put_back(old, path):
    if os.path.lexists(old) and not os.path.lexists(path):
        os.rename(old, path)


@contextlib.contextmanager
def only_one(folder, work, wait=False):
    """Holds `folder` for this process; a second one is refused, or waits. The lock ends with the process, however."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise KwsError("another process %s %s; wait for it to end, or choose another folder" % (work, folder))
        yield
