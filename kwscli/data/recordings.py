"""Sound files below a folder: one order and one set of rules for `kws prepare`, `kws label` and `kws eval`."""
import os
from typing import Iterator

from ..sound import audio
from .archive import MAX_MEMBER_BYTES
from .dataset import PACKED


def all_files(folder: str) -> Iterator[str]:
    """Yield the path, relative to `folder`, of every file in it and in its sub-folders, in a fixed order.

    The files of a folder come before its sub-folders, and both are sorted by name. Links to folders are followed, but
    no folder is read twice. Hidden files, hidden folders and prepared data are skipped.
    """
    seen = set()
    for inside, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(inside)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name != PACKED and not name.startswith("."))
        within = "" if inside == folder else os.path.relpath(inside, folder)
        yield from (os.path.join(within, name) for name in sorted(names) if not name.startswith("."))


def sound_files(folder: str) -> Iterator[str]:
    """Like `all_files`, but only the sound files."""
    return filter(audio.is_sound, all_files(folder))


def recordings(folder: str) -> Iterator[str]:
    """Like `sound_files`, but only those in a word's folder: `WORD/name`, at any depth."""
    return (path for path in sound_files(folder) if os.path.dirname(path))


def read(folder: str, name: str) -> bytes:
    """Read the bytes of a sound file below `folder`. Raises UnreadableAudio."""
    path = checked(folder, name)
    try:
        if os.path.getsize(path) > MAX_MEMBER_BYTES:
            raise OSError("it has more than %d bytes" % MAX_MEMBER_BYTES)
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise audio.UnreadableAudio("%s cannot be read: %s" % (name, error.strerror or error))


def checked(folder: str, name: str) -> str:
    """The path of a sound file below `folder`. Raises UnreadableAudio if it is not a file: to open a pipe would wait
    for its other end.
    """
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise audio.UnreadableAudio("%s cannot be read: it is not a file, or it is a broken link" % name)
    return path
