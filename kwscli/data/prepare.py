"""`kws prepare`: turns an archive or a folder of recordings into prepared data (see `dataset`), and lists problems."""
import collections
import contextlib
import functools
import hashlib
import os
from typing import Any, Dict, NamedTuple, Optional

from .. import console, files
from ..console import Progress, say
from ..errors import KwsError
from ..settings import PrepareSettings
from ..sound import audio
from . import archive, dataset, layouts
from .dataset import BACKGROUND, PACKED
from .recording_checks import Examiner
from .recordings import all_files, checked, read, recordings

PUBLISHED = "speech_commands_v0.02.tar.gz"  # preferred where there are several archives
SYNTHETIC = "synthetic"  # the folder of a synthesised corpus
IN_PLACE = "."  # the source of data that was prepared in the folder of the recordings themselves
_UNPACKED_MARK = ".unpacked-by-kws"


class Report(NamedTuple):
    """What was prepared."""

    data_path: str
    info: Dict[str, Any]  # dataset.json
    fresh: bool  # False if it had been prepared before

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
    found = [
        name for name in sorted(os.listdir(data_path))
        if name.endswith(archive.SUFFIXES) and os.path.isfile(os.path.join(data_path, name))
    ]
    chosen = [name for name in found if name == PUBLISHED] or found
    if len(chosen) == 1:
        return os.path.join(data_path, chosen[0])
    if found:
        raise KwsError("%s holds several archives (%s)" % (data_path, ", ".join(found)), "choose one with --archive")
    if dataset.is_prepared(data_path) or any(
        audio.is_sound(name) or audio.how_to_convert(name) for name in all_files(data_path)
    ):
        return data_path
    raise KwsError(
        "%s holds neither an archive (%s) nor a folder of recordings for each word"
        % (data_path, ", ".join(archive.SUFFIXES)),
        "put one there, or use --download or --synthesize",
    )


def prepare(
    source: str, out: str, settings: PrepareSettings = PrepareSettings(), force: bool = False, wait: bool = False
) -> Report:
    """Prepare an archive or a folder of WORD/recording into the folder `out`.

    Existing prepared data is kept unless `force`. wait: if another process is preparing the same folder, wait for it
    instead of refusing.
    """
    if not os.path.exists(source):
        raise KwsError("there is no archive or folder %s" % source, "check its name")
    with contextlib.ExitStack() as stack:
        if force or not dataset.is_prepared(out):
            stack.enter_context(files.only_one(out, "is preparing", wait))
        if force or not dataset.is_prepared(out):  # another process may just have prepared it
            _pack(source, out, settings)
            return Report(out, dataset.read_info(out), fresh=True)
    info = dataset.read_info(out)
    _check_same(out, info, _request(source, out, settings))
    return Report(out, info, fresh=False)


def _request(source, out, settings):
    """The values of dataset.json that are known before any work. Prepared data with other values is something else."""
    in_place = os.path.realpath(source) == os.path.realpath(out)
    paths = [source] if os.path.isfile(source) else [os.path.join(source, name) for name in recordings(source)]
    return {
        "source": IN_PLACE if in_place else os.path.basename(os.path.abspath(source)),
        "source_bytes": sum(os.path.getsize(path) for path in paths if os.path.isfile(path)),
        "sample_rate": settings.sample_rate,
        "validation_percentage": settings.validation_percentage,
        "testing_percentage": settings.testing_percentage,
    }


def _check_same(out, info, request):
    if request["source"] == IN_PLACE != info["source"]:  # the archive was deleted since, but its data is still good
        del request["source"], request["source_bytes"]
    for name, value in request.items():
        if info[name] != value:
            raise KwsError(
                "%s was prepared with %s %s, but now it is %s" % (out, name.replace("_", " "), info[name], value),
                "add --force to prepare it again, or --out FOLDER to keep both",
            )


def _pack(source, out, settings):
    """Write the prepared data. It and the unpacked archive replace the existing ones together, at the end."""
    with contextlib.ExitStack() as stack:
        request = _request(source, out, settings)
        packed = stack.enter_context(files.replacing_folder(_packed_folder(out)))
        writer = stack.enter_context(dataset.Writer(packed))
        examiner = Examiner(settings, writer)
        if os.path.isdir(source):
            sha256, layout = _pack_folder(source, examiner)
        else:
            unpacked = stack.enter_context(files.replacing_folder(_unpacked_folder(source, out)))
            sha256, layout = _pack_archive(source, unpacked, examiner)
        examiner.settle(layout)
        if not writer.recordings:
            raise _nothing_found(source, layout, writer)
        writer.finish(dict(request, sha256=sha256, **_summary(writer, layout)))


def _nothing_found(source, layout, writer):
    """The error for a source without a recording of a word. It says what was found instead."""
    found = ""
    if layout.passed_over:
        found = "; found: %s" % "; ".join(layout.passed_over[:3])
    elif writer.problems:
        found = "; the first problem: %s" % writer.problems[0].problem
    return KwsError(
        "%s holds no recording of a word (WORD/name.wav) that can be read%s" % (source, found),
        "put the recordings of each word into a folder that has its name; kws guide data shows other layouts",
    )


def _packed_folder(out):
    """The folder for the prepared data. A folder that kws did not make is never replaced."""
    folder = os.path.join(out, PACKED)
    if os.path.lexists(folder) and not dataset.is_prepared(out):
        raise KwsError(
            "%s is in the way of the prepared data, and kws did not create it" % folder,
            "rename it, or choose another folder with --out",
        )
    return folder


def _unpacked_folder(source, out):
    """The folder to unpack an archive into. A folder that kws did not make is never replaced."""
    name = archive.stem(source)
    folder = os.path.join(out, name)
    if not name or name.split(".")[0] == PACKED:
        raise KwsError("%s cannot be unpacked into a folder of the same name" % source, "rename the archive")
    if os.path.lexists(folder) and not os.path.exists(os.path.join(folder, _UNPACKED_MARK)):
        raise KwsError(
            "%s is in the way of unpacking %s, and kws did not create it" % (folder, source),
            "move it away, or choose another folder with --out",
        )
    return folder


def _pack_archive(path, unpacked, examiner):
    """Unpack and pack an archive, and return its SHA-256 and its Layout.

    A recording whose path alone tells its word is examined on the way, the others when all files are known.
    """
    folders, names, examined = set(), [], set()
    with open(os.path.join(unpacked, _UNPACKED_MARK), "w", encoding="utf-8") as mark:
        mark.write("kws prepare unpacked an archive here. It replaces this folder when it unpacks the archive again.\n")
    with Progress("preparing " + os.path.basename(path), os.path.getsize(path), unit="B") as progress:
        source = archive.Archive(path, on_bytes=progress.update)
        for name, data in source:
            target = os.path.join(unpacked, name)
            try:
                if os.path.dirname(target) not in folders:
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    folders.add(os.path.dirname(target))
                with open(target, "xb") as file:
                    file.write(data)
            except (FileExistsError, NotADirectoryError):
                if not os.path.isfile(target):
                    raise KwsError(
                        "%s holds %r both as a file and as a folder" % (path, name), "download or create it again"
                    )
                examiner.leave_out(name, "twice in the archive: the first one is used")
                continue
            names.append(name)
            word = audio.is_sound(name) and layouts.word_of(name)
            if word:
                examined.add(name)
                examiner.examine(name, data, word)
    layout = layouts.recognize(names, functools.partial(_lines, unpacked))
    _examine(unpacked, [name for name in names if name not in examined], layout, examiner, hashlib.sha256())
    return source.sha256, layout


def _pack_folder(folder, examiner):
    """Pack a folder, and return a SHA-256 of the names and contents of what is used, and its Layout."""
    names, sha256 = list(all_files(folder)), hashlib.sha256()
    layout = layouts.recognize(names, functools.partial(_lines, folder))
    _examine(folder, names, layout, examiner, sha256)
    return sha256.hexdigest(), layout


def _examine(folder, names, layout, examiner, sha256):
    """Examine the recordings below a folder, and list the others. Their names and contents go into `sha256`."""
    others = collections.Counter()
    with Progress("preparing " + folder, len(names), unit="files") as progress:
        for name in names:
            progress.update()
            place = layout.places.get(name)
            if place and not place.word:
                examiner.leave_out(name, place.why)
                continue
            if not place and not layouts.is_label_file(name):
                if audio.how_to_convert(name):
                    examiner.leave_out(name, audio.how_to_convert(name))
                else:
                    others[_kind(name)] += 1
                continue
            try:
                # A background recording may be too large for memory.
                source = read(folder, name) if place and place.word != BACKGROUND else checked(folder, name)
                _add_to_hash(sha256, name, source)
            except (audio.UnreadableAudio, OSError) as error:
                examiner.leave_out(name, "unreadable: %s" % error)
                continue
            if place:
                examiner.examine(name, source, place.word)
    if others:
        kinds = ", ".join(sorted(others, key=lambda kind: (-others[kind], kind))[:8])
        layout.notes.append("Not recordings: %d files (%s)" % (sum(others.values()), kinds))


def _kind(name):
    """What a file is called that is not a recording: its ending."""
    base = os.path.basename(name)
    return "hidden" if base.startswith(".") else os.path.splitext(base)[1] or "no ending"


def _add_to_hash(sha256, name, source):
    sha256.update(name.encode("utf-8", "surrogateescape") + b"\0")
    if isinstance(source, bytes):
        sha256.update(source)
        return
    with open(source, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha256.update(block)


def _lines(folder, name):
    """The lines of a label file below a folder."""
    with open(checked(folder, name), encoding="utf-8-sig", errors="replace", newline="") as file:
        yield from file


def _summary(writer, layout):
    words = collections.defaultdict(lambda: dict.fromkeys(dataset.SPLITS, 0))
    for recording in writer.recordings:
        words[recording.word][recording.split] += 1
    return {
        "split_rule": "given" if layout.given_splits else "sha1 of the speaker (or file name), modulo 2^27",
        "given_splits": layout.given_splits,
        "words": words,
        "speaker_count": len({recording.speaker for recording in writer.recordings if recording.speaker}),
        "problems": collections.Counter(
            "%s, %s" % (problem.problem.split(":")[0], problem.action) for problem in writer.problems
        ),
        "notes": layout.notes,
        "passed_over": layout.passed_over,
        "background_count": sum(place.word == BACKGROUND for place in layout.places.values()),
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
    yield from info.get("notes", ())
    yield from ("Passed over: " + line for line in info.get("passed_over", ()))
    if not info["background"]:
        found = info.get("background_count")
        yield "%s: training will not add noise to the clips." % (
            "The %d background recordings cannot be used" % found if found else "No _background_noise_ folder"
        )
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
