"""Whether prepared data is still what its sources would give."""
import contextlib
import os
import shlex
from typing import Optional

from ..errors import KwsError
from ..settings import PrepareSettings
from . import dataset
from .dataset import PACKED
from .fingerprint import Changes, Fingerprint
from .recordings import recordings
from .sources import FINGERPRINT, IN_PLACE, UNPACKED_MARK, Sources, unpacked_files

_UNSET = "unset"


def outdated(data_path: str) -> Optional[KwsError]:
    """What is wrong with prepared data whose recordings have changed since, and what to do. None if they have not."""
    sources = Sources.recorded(data_path, dataset.read_info(data_path))
    if not sources:
        return None
    unpacked = _changes_of_unpacked(sources)
    if unpacked:
        return _unpacked_error(sources, unpacked)
    changes = _changes(sources)
    if not changes:
        return None
    force = " --force" if sources.name_of(sources.main) in changes.changed else ""
    return KwsError(
        "the recordings in %s have changed since kws prepared them: %s" % (data_path, changes),
        "run %s%s" % (sources.command(), force),
    )


def reason_to_prepare(sources: Sources, settings: PrepareSettings) -> Optional[str]:
    """Why the sources must be prepared, "" if it is obvious; None if they are prepared already.

    Prepared data of other sources or with other settings is an error.
    """
    if not dataset.is_prepared(sources.out):
        return ""
    info = dataset.read_info(sources.out)
    recorded = Sources.recorded(sources.out, info)
    _check_same(sources, info, settings)
    if not recorded:  # an older version of kws prepared it, and did not note its files
        same = sources.is_archive or info["source_bytes"] == _recordings_bytes(sources.main)
        return None if same else "The recordings have changed since they were prepared."
    if recorded.name_of(recorded.main) == sources.name_of(sources.main):
        recorded = sources  # which may have other word folders
    unpacked = _changes_of_unpacked(recorded)
    if unpacked:
        raise _unpacked_error(recorded, unpacked)
    changes = _changes(recorded, take_over=True)
    if recorded.name_of(recorded.main) in changes.changed:
        raise _other_source(sources.out, "another %s" % info["source"], "this one")
    return "The recordings have changed since they were prepared: %s" % str(changes) if changes else None


def _check_same(sources, info, settings):
    request = dict(vars(settings), source=sources.source)
    if sources.is_archive:
        request["source_bytes"] = os.path.getsize(sources.main)
    if request["source"] == IN_PLACE != info["source"]:  # the archive was deleted since, but its data is still good
        del request["source"]
    for name in sorted(request):
        before = info.get(name, "")  # data of an older version of kws lacks what it did not have
        if before != request[name]:
            was, now = [_UNSET if value == "" else value for value in (before, request[name])]
            raise _other_source(sources.out, "%s %s" % (name.replace("_", " "), was), "it is %s" % now)


def _other_source(out, was, now):
    return KwsError(
        "%s was prepared with %s, but now %s" % (out, was, now),
        "add --force to prepare it again, or --out FOLDER to keep both",
    )


def _recordings_bytes(folder):
    paths = [os.path.join(folder, name) for name in recordings(folder)]
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def _changes(sources, take_over=False):
    """How the sources differ from the prepared data. A source that was deleted as a whole is not missed.

    take_over: note the new times of files with the same content, so that the next comparison need not read them.
    """
    path = os.path.join(sources.out, PACKED, FINGERPRINT)
    fingerprint, names = _read_fingerprint(path, sources.out), sources.names()
    if not names:
        return Changes([], [], [])
    before = dict(fingerprint.stamps)
    changes = fingerprint.changes(names)
    if take_over and not changes and fingerprint.stamps != before:
        with contextlib.suppress(OSError):  # where nothing can be written, the next comparison takes longer
            fingerprint.write(path)
    if len(sources.without_main(names)) == len(names):
        changes = changes._replace(removed=sources.without_main(changes.removed))
    return changes


def _read_fingerprint(path, folder):
    try:
        return Fingerprint.read(path, folder)
    except (ValueError, FileNotFoundError) as error:
        raise KwsError(
            "%s is damaged: %s" % (path, error), "run kws prepare --data-path %s --force" % shlex.quote(folder)
        )


def _changes_of_unpacked(sources):
    """How an unpacked archive differs from what kws unpacked; no changes if it is not there or kws cannot tell."""
    folder = sources.unpacked()
    if os.path.isdir(sources.main):
        return Changes([], [], [])
    try:
        fingerprint = Fingerprint.read(os.path.join(folder, UNPACKED_MARK), folder)
    except (ValueError, OSError):
        return Changes([], [], [])
    names = unpacked_files(folder)
    return fingerprint.changes(names) if names else Changes([], [], [])


def _unpacked_error(sources, changes):
    return KwsError(
        "%s has changed since kws unpacked %s: %s" % (sources.unpacked(), sources.name_of(sources.main), changes),
        sources.how_to_use_unpacked(),
    )
