"""`kws prepare`: turns an archive or a folder of recordings into prepared data (see `dataset`), and lists problems."""
import collections
import contextlib
import hashlib
import os
import shlex
import zlib
from typing import Any, Dict, List, NamedTuple, Optional

from .. import console, files
from ..console import Progress, say
from ..errors import KwsError
from ..settings import PrepareSettings
from ..sound import audio
from . import archive, dataset
from .dataset import PACKED
from .fingerprint import Changes, Fingerprint
from .recording_checks import Examiner
from .recordings import read, recordings
from .sources import LITTER, UNPACKED_MARK, Sources, unpacked_files

PUBLISHED = "speech_commands_v0.02.tar.gz"  # preferred where there are several archives
SYNTHETIC = "synthetic"  # the folder of a synthesised corpus
IN_PLACE = "."  # the source of data that was prepared in the folder of the recordings themselves
_FINGERPRINT = "sources.csv"


class Report(NamedTuple):
    """What was prepared."""

    data_path: str
    info: Dict[str, Any]  # dataset.json
    fresh: bool  # False if it had been prepared before
    not_used: List[str]  # archives and folders in the data path that are not part of it

    def __str__(self) -> str:
        return "\n".join(_described(self))


def source_of(
    data_path: str, name: Optional[str] = None, download: Optional[str] = None, synthesize: Optional[str] = None
) -> str:
    """The archive or folder to prepare. Downloads or synthesises it into `data_path` first if asked to.

    download: a version of Speech Commands; synthesize: comma-separated words, "" for the default ones.
    """
    asked = [flag for flag, value in (("--archive", name), ("--download", download)) if value]
    asked += ["--synthesize"] if synthesize is not None else []
    if len(asked) > 1:
        raise KwsError("%s ask for different recordings" % " and ".join(asked), "give one of them")
    if download:
        from .download import download as fetch

        with files.only_one(data_path, "is preparing"):
            return fetch(download, data_path)
    if synthesize is not None:
        with files.only_one(data_path, "is preparing"):
            return _synthesized(os.path.join(data_path, SYNTHETIC), synthesize)
    return find_source(data_path, name)


def _synthesized(folder, words):
    """A corpus of `words` (comma-separated) and of the default words, which serve as `_unknown_`."""
    from . import synthesize as synthesis

    given = [word.strip() for word in words.split(",") if word.strip()]
    words = tuple(dict.fromkeys(given + list(synthesis.DEFAULT_WORDS)))
    if os.path.isdir(folder) and os.listdir(folder):
        lacking = [word for word in words if not os.path.isdir(os.path.join(folder, word))]
        if lacking:
            raise KwsError(
                "%s exists already, but without %s" % (folder, ", ".join(lacking)),
                "delete it and run the same command again",
            )
        say("%s exists already; nothing to synthesise" % folder)
    else:
        synthesis.synthesize(folder, words)
    return folder


def find_source(data_path: str, name: Optional[str] = None) -> str:
    """The archive in `data_path`, or `data_path` itself if it holds recordings in folders named after words."""
    if name:
        for path in (name, os.path.join(data_path, name)):
            if os.path.exists(path):
                return path
        raise KwsError(
            "there is no archive or folder %s, neither in the current folder nor in %s" % (name, data_path),
            "check the name after --archive",
        )
    if os.path.isfile(data_path):
        raise KwsError("%s is a file" % data_path, "give the folder that it is in, or use --archive %s" % data_path)
    if not os.path.isdir(data_path):
        raise KwsError(
            "there is no folder %s" % data_path,
            "create it and put %s or a folder of recordings for each word into it, or use --download or --synthesize"
            % PUBLISHED,
        )
    found = archive.names(data_path)
    chosen = [name for name in found if name == PUBLISHED] or found
    if len(chosen) == 1:
        return os.path.join(data_path, chosen[0])
    if found:
        raise KwsError("%s holds several archives (%s)" % (data_path, ", ".join(found)), "choose one with --archive")
    if any(True for _ in recordings(data_path)) or dataset.is_prepared(data_path):
        return data_path
    raise KwsError(
        "%s holds neither an archive (%s) nor a folder of recordings for each word"
        % (data_path, ", ".join(archive.SUFFIXES)),
        "put one there, or use --download or --synthesize",
    )


def prepare(
    source: str, out: str, settings: PrepareSettings = PrepareSettings(), force: bool = False, wait: bool = False,
    data_path: str = "",
) -> Report:
    """Prepare an archive or a folder of WORD/recording into the folder `out`.

    Existing prepared data is kept if the source has not changed since, unless `force`. wait: if another process is
    preparing the same folder, wait for it instead of refusing. data_path: a folder whose own word folders are prepared
    together with the source.
    """
    if not os.path.exists(source):
        raise KwsError("there is no archive or folder %s" % source, "check its name")
    sources = Sources(out, source, data_path)
    reason = "" if force else _reason(sources, settings)
    if reason is not None:
        with files.only_one(out, "is preparing", wait):
            reason = "" if force else _reason(sources, settings)  # another process may just have prepared it
            if reason:
                say(reason)
            if reason is not None:
                _pack(sources, settings)
    return Report(out, dataset.read_info(out), reason is not None, sources.not_used())


def outdated(data_path: str) -> Optional[KwsError]:
    """What is wrong with prepared data whose recordings have changed since, and what to do. None if they have not."""
    info = dataset.read_info(data_path)
    sources = Sources.recorded(data_path, info)
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
        "run %s%s" % (_command(sources), force),
    )


def _reason(sources, settings):
    """Why the sources must be prepared, "" if it is obvious; None if they are prepared already.

    Prepared data of other sources or with other settings is an error.
    """
    if not dataset.is_prepared(sources.out):
        return ""
    info = dataset.read_info(sources.out)
    recorded = Sources.recorded(sources.out, info)
    _check_same(sources, info, settings)
    if not recorded:  # an older version of kws prepared it, and did not note its files
        same = os.path.isfile(sources.main) or info["source_bytes"] == _source_bytes(sources)
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
    request = dict(vars(settings), source=_source_name(sources))
    if os.path.isfile(sources.main):
        request["source_bytes"] = os.path.getsize(sources.main)
    if request["source"] == IN_PLACE != info["source"]:  # the archive was deleted since, but its data is still good
        del request["source"]
    for name in sorted(request):
        if info[name] != request[name]:
            raise _other_source(
                sources.out, "%s %s" % (name.replace("_", " "), info[name]), "it is %s" % request[name]
            )


def _other_source(out, was, now):
    return KwsError(
        "%s was prepared with %s, but now %s" % (out, was, now),
        "add --force to prepare it again, or --out FOLDER to keep both",
    )


def _source_name(sources):
    in_place = sources.name_of(sources.main) == os.curdir
    return IN_PLACE if in_place else os.path.basename(os.path.abspath(sources.main))


def _source_bytes(sources):
    """The size of the archive, or of all recordings that can be read."""
    if os.path.isfile(sources.main):
        return os.path.getsize(sources.main)
    paths = [os.path.join(sources.out, name) for name in sources.names()]
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def _changes(sources, take_over=False):
    """How the sources differ from the prepared data. A source that was deleted as a whole is not missed.

    take_over: note the new times of files with the same content, so that the next comparison need not read them.
    """
    path = os.path.join(sources.out, PACKED, _FINGERPRINT)
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
    folder = sources.unpacked()
    return KwsError(
        "%s has changed since kws unpacked %s: %s" % (folder, sources.name_of(sources.main), changes),
        _use_unpacked(sources, folder),
    )


def _use_unpacked(sources, folder):
    return (
        "to use the folder as it is now, run %s --force; or move your word folders out of it, next to the archive"
        % _command(sources, folder)
    )


def _command(sources, main=None):
    """The command that prepares the sources again."""
    data_path = sources.data_path or sources.out
    command = ["kws", "prepare", "--data-path", data_path]
    if main or _found(data_path) != sources.main:
        command += ["--archive", main or sources.main]
    command += ["--out", sources.out] if sources.name_of(data_path) != os.curdir else []
    return " ".join(map(shlex.quote, command))


def _found(data_path):
    try:
        return find_source(data_path)
    except KwsError:
        return None


def _pack(sources, settings):
    """Write the prepared data. It and the unpacked archive replace the existing ones together, at the end."""
    with contextlib.ExitStack() as stack:
        packed = stack.enter_context(files.replacing_folder(_packed_folder(sources.out)))
        writer = stack.enter_context(dataset.Writer(packed))
        examiner, fingerprint = Examiner(settings, writer), Fingerprint(sources.out)
        hashes = []
        if os.path.isfile(sources.main):
            unpacked = stack.enter_context(files.replacing_folder(_unpacked_folder(sources)))
            hashes.append(_pack_archive(sources, unpacked, examiner, fingerprint))
        found = list(sources.recordings())
        if found or not hashes:
            hashes.append(_pack_recordings(sources, found, examiner, fingerprint))
        if not writer.recordings:
            first = "; the first problem: %s" % writer.problems[0].problem if writer.problems else ""
            raise KwsError(
                "%s holds no recording of a word (WORD/name.wav) that can be read%s" % (sources.main, first),
                "give an archive or a folder with a folder of recordings for each word",
            )
        fingerprint.write(os.path.join(packed, _FINGERPRINT))
        writer.finish(dict(
            vars(settings), source=_source_name(sources), source_bytes=_source_bytes(sources),
            sources=sources.to_json(), sha256=_joined(hashes), **_summary(writer)
        ))


def _joined(hashes):
    """One SHA-256 of several; of one, itself."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _packed_folder(out):
    """The folder for the prepared data. A folder that kws did not make is never replaced."""
    folder = os.path.join(out, PACKED)
    if os.path.lexists(folder) and not dataset.is_prepared(out):
        raise KwsError(
            "%s is in the way of the prepared data, and kws did not create it" % folder,
            "rename it, or choose another folder with --out",
        )
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name not in dataset.FILES + LITTER + (_FINGERPRINT,):
            raise KwsError(
                "%s contains %s, which kws did not create, and would be replaced" % (folder, files.printable(name)),
                "move it away, or choose another folder with --out",
            )
    return folder


def _unpacked_folder(sources):
    """The folder to unpack an archive into. Nothing that kws did not create is ever replaced."""
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
            _use_unpacked(sources, folder),
        )


def _pack_archive(sources, unpacked, examiner, fingerprint):
    """Unpack and pack an archive in one pass, and return its SHA-256."""
    path, status, written = sources.main, os.stat(sources.main), Fingerprint(unpacked)
    with Progress("preparing " + os.path.basename(path), os.path.getsize(path), unit="B") as progress:
        source = archive.Archive(path, on_bytes=progress.update)
        for name, data in source:
            try:
                _unpack(unpacked, name, data)
            except (FileExistsError, NotADirectoryError):
                if not os.path.isfile(os.path.join(unpacked, name)):
                    raise KwsError(
                        "%s holds %r both as a file and as a folder" % (path, name), "download or create it again"
                    )
                examiner.leave_out(name, "twice in the archive: the first one is used")
                continue
            written.add(name, zlib.crc32(data))
            examiner.examine(name, data)
    _follow_links(source.links, unpacked, examiner, written)
    written.write(os.path.join(unpacked, UNPACKED_MARK))
    fingerprint.add(sources.name_of(path), source.crc32, status)
    return source.sha256


def _unpack(folder, name, data):
    target = os.path.join(folder, name)
    try:
        file = open(target, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target))
        file = open(target, "xb")
    with file:
        file.write(data)


def _follow_links(links, unpacked, examiner, written):
    """Write a copy of the file that each link leads to. What leads nowhere or outside is left out."""
    left, before = links, None
    while left and len(left) != before:  # a link may lead to another link
        before, waiting = len(left), []
        for link in left:
            if not link.path or not os.path.isfile(os.path.join(unpacked, link.path)):
                waiting.append(link)
                continue
            with open(os.path.join(unpacked, link.path), "rb") as file:
                data = file.read()
            try:
                _unpack(unpacked, link.name, data)
            except (FileExistsError, NotADirectoryError):
                examiner.leave_out(link.name, "twice in the archive: the first one is used")
                continue
            written.add(link.name, zlib.crc32(data))
            examiner.examine(link.name, data)
        left = waiting
    for link in left:
        where = "which is not a file in the archive" if link.path else "which is outside of the archive"
        examiner.leave_out(link.name, "a link: it leads to %s, %s" % (files.printable(link.target), where))


def _pack_recordings(sources, found, examiner, fingerprint):
    """Pack recordings that are files of their own, and return a SHA-256 of the names and contents."""
    sha256 = hashlib.sha256()
    with Progress("preparing " + (sources.data_path or sources.main), len(found), unit="files") as progress:
        for folder, path, name in found:
            progress.update()
            with contextlib.suppress(OSError):  # of a broken link, which `read` explains
                status = os.stat(os.path.join(folder, path))
                fingerprint.add(name, 0, status)
            try:
                data = read(folder, path)
            except audio.UnreadableAudio as error:
                examiner.leave_out(path, "unreadable: %s" % error)
                continue
            fingerprint.add(name, zlib.crc32(data), status)
            sha256.update(path.encode("utf-8", "surrogateescape") + b"\0" + data)
            examiner.examine(path, data)
    return sha256.hexdigest()


def _summary(writer):
    words = collections.defaultdict(lambda: dict.fromkeys(dataset.SPLITS, 0))
    for recording in writer.recordings:
        words[recording.word][recording.split] += 1
    return {
        "split_rule": "sha1 of the speaker (or file name), modulo 2^27",
        "words": words,
        "speaker_count": len({recording.speaker for recording in writer.recordings if recording.speaker}),
        "problems": collections.Counter(
            "%s, %s" % (problem.problem.split(":")[0], problem.action) for problem in writer.problems
        ),
    }


def _described(report):
    """The lines of a Report."""
    info, words = report.info, sorted(report.info["words"].items())
    if not report.fresh:
        yield "Already prepared; add --force to prepare it again."
    totals = {split: sum(counts[split] for _, counts in words) for split in dataset.SPLITS}
    rows = [[word] + [counts[split] for split in dataset.SPLITS] for word, counts in words + [("all", totals)]]
    yield console.table([("word",) + dataset.SPLITS] + rows, "<>")
    yield "%s: %d clips of %d words by %s, %d background recordings" % (
        _source(report), info["clip_count"], len(words), _speakers(info), len(info["background"])
    )
    beside = info.get("sources", {}).get("word_folders")
    if beside:
        yield "Together with the word folders next to it: %s" % ", ".join(beside)
    if report.not_used:
        yield "Not used: %s" % ", ".join(report.not_used)
    if not info["background"]:
        yield "No _background_noise_ folder: training will not add noise to the clips."
    for split in dataset.SPLITS[1:]:
        without = [word for word, counts in words if not counts[split]]
        if without and info[split + "_percentage"]:
            yield "No %s clips of: %s" % (split, ", ".join(without))
    packed = os.path.join(report.data_path, PACKED)
    for problem, count in sorted(info["problems"].items()):
        yield "%5d %s" % (count, problem)
    if info["problems"]:
        yield "Each problem and its file: %s" % os.path.join(packed, "problems.csv")
    yield "Prepared in %s" % packed


def _source(report):
    in_place = report.info["source"] == IN_PLACE
    return os.path.basename(os.path.abspath(report.data_path)) if in_place else report.info["source"]


def _speakers(info):
    return "%d speakers" % info["speaker_count"] if info["speaker_count"] else "unknown speakers (split by file name)"
