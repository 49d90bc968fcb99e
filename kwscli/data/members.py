"""What kws takes out of an archive. Archives come from strangers: names and sizes are checked before anything else."""
import os
import posixpath
from typing import NamedTuple, Optional

# Far above any recording (an hour of 16 kHz mono is 110 MB), far below what would fill memory.
MAX_MEMBER_BYTES = 256 << 20


class Refused(Exception):
    """A file in an archive that could write outside of the target folder, or fill the disk or the memory."""


class Link(NamedTuple):
    """A link in an archive. Archives of kws never become links on the disk."""

    name: str
    target: str  # as the archive spells it
    path: Optional[str]  # of the file in the archive that it leads to; None if it leads outside


def safe_name(name: str) -> str:
    """The normal form of a name in an archive. Raises Refused if it is outside of the target folder."""
    normal = _inside(name)
    if normal is None:
        raise Refused("%r, which is outside of its folder" % name)
    return normal


def check_size(name: str, size: int) -> None:
    """Raise Refused if a file is too large."""
    if not 0 <= size <= MAX_MEMBER_BYTES:
        raise Refused("%r of %d bytes, over the limit of %d" % (name, size, MAX_MEMBER_BYTES))


def link(name: str, target: str, hard: bool = False) -> Link:
    """A link with a safe name. The target of a hard link is a name in the archive; others start at their own folder."""
    normal = safe_name(name)
    from_top = target if hard or posixpath.isabs(target) else posixpath.join(posixpath.dirname(normal), target)
    return Link(normal, target, _inside(from_top))


def _inside(name):
    normal = os.path.normpath(name)
    outside = os.path.isabs(name) or os.path.splitdrive(name)[0] or normal.split(os.sep)[0] == os.pardir
    return None if outside or "\0" in name else normal
