"""`kws prepare`: an archive or a folder of recordings -> prepared data (see `dataset`), and what is wrong with them."""
import collections
import contextlib
import hashlib
import os
from typing import NamedTuple

from .. import files
from ..console import Progress, say
from ..errors import KwsError
from ..sound import audio
from . import archive, dataset
from .dataset import PACKED
from .recording_checks import Examiner

PUBLISHED = "speech_commands_v0.02.tar.gz"  # preferred where there are several archives
SYNTHETIC = "synthetic"  # the folder of a synthesised corpus
IN_PLACE = "."  # the source of data that was prepared in the folder of the recordings themselves
_UNPACKED_MARK = ".unpacked-by-kws"


class PrepareSettings(NamedTuple):
    """What `kws prepare` is asked for. `source` is an archive or a folder of WORD/recording; `out` where data goes."""

    source: str
    out: str
    sample_rate: int = 16000
    validation_percentage: float = 10.0
    testing_percentage: float = 10.0


class Report(NamedTuple):
    """What was prepared: the content of dataset.json; `fresh` if it was done just now."""

    data_path: str
    info: dict
    fresh: bool


def source_of(data_path, name=None, download=None, synthesize=None):
    """What to prepare: fetched or synthesised into `data_path` first where that is asked for, else what is there.

    download: a version of Speech Commands; synthesize: comma-separated words, "" for the default ones.
    """
    asked = [flag for flag, value in (("--archive", name), ("--download", download)) if value]
    asked += ["--synthesize"] if synthesize is not None else []
    if len(asked) > 1:
        raise KwsError("%s name different recordings; give one of them" % " and ".join(asked))
    if download:
        from .download import download as fetch

        with files.only_one(data_path, "is preparing"):
            return fetch(download, data_path)
    if synthesize is not None:
        with files.only_one(data_path, "is preparing"):
            return _synthesized(os.path.join(data_path, SYNTHETIC), synthesize)
    return find_source(data_path, name)


def _synthesized(folder, words):
    """A corpus of `words` (comma-separated) and of the default ones: these are what `_unknown_` is learnt from."""
    from . import synthesize as synthesis

    given = [word.strip() for word in words.split(",") if word.strip()]
    words = tuple(dict.fromkeys(given + list(synthesis.DEFAULT_WORDS)))
    if os.path.isdir(folder) and os.listdir(folder):
        lacking = [word for word in words if not os.path.isdir(os.path.join(folder, word))]
        if lacking:
            raise KwsError(
                "%s is there already, without %s; remove it and run the same command again"
                % (folder, ", ".join(lacking))
            )
        say("%s is there already; nothing to synthesise" % folder)
    else:
        synthesis.synthesize(folder, words)
    return folder


def find_source(data_path, name=None):
    """The archive in `data_path`, or `data_path` itself where it holds recordings in folders named by words."""
    if name:
        for path in (name, os.path.join(data_path, name)):
            if os.path.exists(path):
                return path
        raise KwsError("there is no archive or folder %s, here or in %s" % (name, data_path))
    if os.path.isfile(data_path):
        raise KwsError("%s is a file; name the folder it is in, or use --archive %s" % (data_path, data_path))
    if not os.path.isdir(data_path):
        raise KwsError(
            "there is no folder %s; make it and put speech_commands_v0.02.tar.gz or a folder of recordings for each "
            "word into it, or use --download or --synthesize" % data_path
        )
    found = [
        name for name in sorted(os.listdir(data_path))
        if name.endswith(archive.SUFFIXES) and os.path.isfile(os.path.join(data_path, name))
    ]
    chosen = [name for name in found if name == PUBLISHED] or found
    if len(chosen) == 1:
        return os.path.join(data_path, chosen[0])
    if found:
        raise KwsError("%s holds several archives (%s); name one with --archive" % (data_path, ", ".join(found)))
    if any(True for _ in _recordings_in(data_path)) or dataset.is_prepared(data_path):
        return data_path
    raise KwsError(
        "%s holds neither an archive (%s) nor a folder of recordings for each word; put one there, or use --download "
        "or --synthesize" % (data_path, ", ".join(archive.SUFFIXES))
    )


def prepare(settings, force=False, wait=False):
    """Prepare what `settings.source` holds into `settings.out` -> Report. What was prepared is kept unless `force`.

    wait: for another process that prepares it right now, rather than refuse.
    """
    shares = settings.validation_percentage, settings.testing_percentage
    if not sum(shares) <= 100:
        raise KwsError("%g %% for validation and %g %% for testing are more than there is; lower one of them" % shares)
    if not os.path.exists(settings.source):
        raise KwsError("there is no archive or folder %s" % settings.source)
    with contextlib.ExitStack() as stack:
        if force or not dataset.is_prepared(settings.out):
            stack.enter_context(files.only_one(settings.out, "is preparing", wait))
        if force or not dataset.is_prepared(settings.out):  # still
            _pack(settings)
            return Report(settings.out, dataset.read_info(settings.out), fresh=True)
    info = dataset.read_info(settings.out)
    _check_same(settings, info)
    return Report(settings.out, info, fresh=False)


def _asked(settings):
    """What of dataset.json is known before any work: prepared data in which it differs is not what is asked for now."""
    source = settings.source
    in_place = os.path.realpath(source) == os.path.realpath(settings.out)
    paths = [source] if os.path.isfile(source) else [os.path.join(source, name) for name in _recordings_in(source)]
    return {
        "source": IN_PLACE if in_place else os.path.basename(os.path.abspath(source)),
        "source_bytes": sum(os.path.getsize(path) for path in paths if os.path.isfile(path)),
        "sample_rate": settings.sample_rate,
        "validation_percentage": settings.validation_percentage,
        "testing_percentage": settings.testing_percentage,
    }


def _check_same(settings, info):
    asked = _asked(settings)
    if asked["source"] == IN_PLACE != info["source"]:  # no source was named; the archive may be gone, its data is good
        del asked["source"], asked["source_bytes"]
    for name, value in asked.items():
        if info[name] != value:
            raise KwsError(
                "%s was prepared with %s %s, which is now %s; add --force to do it again, or --out FOLDER to keep both"
                % (settings.out, name.replace("_", " "), info[name], value)
            )


def _pack(settings):
    """Write the prepared data; it and the unpacked archive take their places together, once all is done."""
    with contextlib.ExitStack() as stack:
        asked = _asked(settings)
        packed = stack.enter_context(files.replacing_folder(os.path.join(settings.out, PACKED)))
        writer = stack.enter_context(contextlib.closing(dataset.Writer(packed)))
        examiner = Examiner(settings, writer)
        if os.path.isdir(settings.source):
            sha256 = _pack_folder(settings.source, examiner)
        else:
            unpacked = stack.enter_context(files.replacing_folder(_unpacked_folder(settings)))
            sha256 = _pack_archive(settings.source, unpacked, examiner)
        if not writer.recordings:
            raise KwsError(
                "%s holds no recording of a word (WORD/name.wav) that can be read%s"
                % (settings.source, "; " + writer.problems[0].problem if writer.problems else "")
            )
        writer.finish(dict(asked, sha256=sha256, **_summary(writer)))


def _unpacked_folder(settings):
    """Where an archive is unpacked to. What others made there is left alone."""
    name = archive.stem(settings.source)
    folder = os.path.join(settings.out, name)
    if not name or name.split(".")[0] == PACKED:
        raise KwsError("%s cannot be unpacked under its own name; rename it" % settings.source)
    if os.path.lexists(folder) and not os.path.exists(os.path.join(folder, _UNPACKED_MARK)):
        raise KwsError(
            "%s is in the way of unpacking %s, and kws did not make it; move it away, or choose another place by --out"
            % (folder, settings.source)
        )
    return folder


def _pack_archive(path, unpacked, examiner):
    """Unpack and pack an archive in one pass -> its SHA-256."""
    folders = set()
    with open(os.path.join(unpacked, _UNPACKED_MARK), "w", encoding="utf-8") as mark:
        mark.write("kws prepare unpacked an archive here, and replaces this folder when it does so again.\n")
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
                    raise KwsError("%s holds %r as a file and as a folder; not unpacked" % (path, name))
                examiner.leave_out(name, "twice in the archive: the first one is used")
                continue
            examiner.examine(name, data)
    return source.sha256


def _pack_folder(folder, examiner):
    """Pack a folder of WORD/recording -> a SHA-256 over names and contents."""
    names, sha256 = list(_recordings_in(folder)), hashlib.sha256()
    with Progress("preparing " + folder, len(names), unit="files") as progress:
        for name in names:
            progress.update()
            try:
                data = _read(os.path.join(folder, name))
            except OSError as error:
                examiner.leave_out(name, "unreadable: %s" % (error.strerror or error))
                continue
            sha256.update(name.encode("utf-8", "surrogateescape") + b"\0" + data)
            examiner.examine(name, data)
    return sha256.hexdigest()


def _read(path):
    if not os.path.isfile(path):  # a pipe would be waited for
        raise OSError("not a file, or a broken link")
    if os.path.getsize(path) > archive.MAX_MEMBER_BYTES:
        raise OSError("more than %d bytes" % archive.MAX_MEMBER_BYTES)
    with open(path, "rb") as file:
        return file.read()


def _recordings_in(folder):
    """.../WORD/name of every sound file below a folder, at any depth, in order; links to folders are followed once."""
    seen = set()
    for inside, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(inside)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name != PACKED and not name.startswith("."))
        if inside != folder:
            within = os.path.relpath(inside, folder)
            yield from (os.path.join(within, name) for name in sorted(names) if audio.is_sound(name))


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


def describe(report):
    """A Report as the person reads it."""
    info = report.info
    widths = max([len("word")] + [len(word) for word in info["words"]])
    lines = []
    if not report.fresh:
        lines.append("Already prepared; add --force to do it again.")
    lines.append("%-*s  training  validation  testing" % (widths, "word"))
    rows = sorted(info["words"].items())
    totals = {split: sum(counts[split] for _, counts in rows) for split in dataset.SPLITS}
    for word, counts in rows + [("all", totals)]:
        lines.append("%-*s  %8d  %10d  %7d" % (widths, word, *(counts[split] for split in dataset.SPLITS)))
    lines.append(
        "%s: %d clips of %d words by %s, %d background recordings"
        % (_source(report), info["clip_count"], len(rows), _speakers(info), len(info["background"]))
    )
    if not info["background"]:
        lines.append("No _background_noise_ folder: training will mix no noise into the clips.")
    for split in dataset.SPLITS[1:]:
        without = [word for word, counts in rows if not counts[split]]
        if without and info[split + "_percentage"]:
            lines.append("No %s clips of: %s" % (split, ", ".join(without)))
    packed = os.path.join(report.data_path, PACKED)
    for problem, count in sorted(info["problems"].items()):
        lines.append("%5d %s" % (count, problem))
    if info["problems"]:
        lines.append("Which ones and why: %s" % os.path.join(packed, "problems.csv"))
    lines.append("Prepared in %s" % packed)
    return "\n".join(lines)


def _source(report):
    named = report.info["source"] != IN_PLACE
    return report.info["source"] if named else os.path.basename(os.path.abspath(report.data_path))


def _speakers(info):
    return "%d speakers" % info["speaker_count"] if info["speaker_count"] else "unnamed speakers (split by file name)"
