"""Packs recordings: examines an archive or a folder, and the word folders next to it, and writes the prepared data."""
import collections
import contextlib
import hashlib
import os
import zlib
from typing import Any, Dict, Optional

from .. import files
from ..console import Progress
from ..errors import KwsError
from ..settings import PrepareSettings
from ..sound import audio
from . import dataset, layouts, leakage, unpacking
from .dataset import BACKGROUND, PACKED
from .fingerprint import NO_CHECKSUM, Fingerprint
from .recording_checks import Cut, Examiner
from .recordings import check, read_file, status_of
from .sources import FINGERPRINT, LITTER, SourceFile, Sources


def pack(sources: Sources, settings: PrepareSettings, cut: Optional[Cut] = None) -> None:
    """Write the prepared data. It and the unpacked archive replace the existing ones together, at the end.

    cut: gives the part of a recording that is used; None: all of it.
    """
    with contextlib.ExitStack() as stack:
        packed = stack.enter_context(files.replacing_folder(_packed_folder(sources.out)))
        writer = stack.enter_context(dataset.Writer(packed))
        examiner, contents = Examiner(settings, writer, cut), _Contents(sources.out)
        found, examined = [], set()
        if sources.is_archive:
            unpacked = stack.enter_context(files.replacing_folder(unpacking.target(sources)))
            found, examined = _pack_archive(sources, unpacked, examiner, contents)
        found += sources.files()
        by_path = {file.path: file for file in found}
        layout = layouts.recognize(by_path, lambda path: _lines(by_path[path]))
        left = [file for file in found if file.path not in examined]
        _examine(sources.data_path or sources.main, left, layout, examiner, contents)
        examiner.settle(layout)
        if not writer.recordings:
            raise _nothing_found(sources.main, layout, writer)
        contents.fingerprint.write(os.path.join(packed, FINGERPRINT))
        writer.finish(dict(
            vars(settings), source=sources.source, source_bytes=_source_bytes(sources, contents.fingerprint),
            sources=sources.to_json(), sha256=contents.sha256(), **summary(writer, layout)
        ))


def _source_bytes(sources, fingerprint):
    """The size of the archive, or of all files."""
    archive = fingerprint.stamps.get(sources.name_of(sources.main))
    return sum(stamp[0] for stamp in ([archive] if archive else fingerprint.stamps.values()))


class _Contents:
    """What is known of the sources' contents: the fingerprint, and a SHA-256 of all that is used.

    Files of an archive are passed over: the archive itself stands for them.
    """

    def __init__(self, out):
        self.fingerprint = Fingerprint(out)
        self._archive_sha256, self._files_sha256, self._has_files = "", hashlib.sha256(), False

    def add_archive(self, name, sha256, crc32, status):
        self.fingerprint.add(name, crc32, status)
        self._archive_sha256 = sha256

    def add(self, file, status, checksum=0):
        """Add a file whose content is not known."""
        if file.name:
            self.fingerprint.add(file.name, checksum, status)

    def add_content(self, file, status, source):
        """Add a file that is used, given its bytes or its path."""
        if not file.name:
            return
        self._has_files, checksum = True, 0
        self._files_sha256.update(file.path.encode("utf-8", "surrogateescape") + b"\0")
        for block in [source] if isinstance(source, bytes) else files.blocks(source):
            self._files_sha256.update(block)
            checksum = zlib.crc32(block, checksum)
        self.add(file, status, checksum)

    def sha256(self):
        """The hash of the archive, of the files, or of both."""
        files_sha256 = self._files_sha256.hexdigest()
        if not self._archive_sha256:
            return files_sha256
        both = hashlib.sha256((self._archive_sha256 + files_sha256).encode())
        return both.hexdigest() if self._has_files else self._archive_sha256


def _pack_archive(sources, unpacked, examiner, contents):
    """Unpack an archive, and return its SourceFiles and the names of those that were examined on the way.

    A recording whose path alone tells its word is examined on the way, the others when all files are known.
    """
    found, examined, status = [], set(), os.stat(sources.main)
    unpacker = unpacking.Unpacking(sources.main, unpacked, examiner.leave_out)
    for name, data in unpacker:
        found.append(SourceFile(name, os.path.join(unpacked, name), ""))
        word = audio.is_sound(name) and layouts.word_of(name)
        if word:
            examined.add(name)
            examiner.examine(name, data, word)
    contents.add_archive(sources.name_of(sources.main), unpacker.sha256, unpacker.crc32, status)
    return found, examined


def _examine(title, found, layout, examiner, contents):
    """Examine recordings on the disk, and list the other files."""
    others, relevant = collections.Counter(), layouts.relevant(file.path for file in found)
    with Progress("preparing " + title, len(found), unit="files") as progress:
        for file in found:
            progress.update()
            if file.path not in relevant:
                others[_kind(file.path)] += 1
                continue
            try:
                _examine_one(file, layout, examiner, contents)
            except (audio.UnreadableAudio, OSError) as error:
                examiner.leave_out(file.path, "unreadable: %s" % error)
    if others:
        kinds = ", ".join(sorted(others, key=lambda kind: (-others[kind], kind))[:8])
        layout.notes.append("Not recordings: %d files (%s)" % (sum(others.values()), kinds))


def _examine_one(file, layout, examiner, contents):
    """Examine a recording. A label file has no Place: only its content is noted."""
    status = status_of(file.disk_path, file.path)
    place, parts = layout.places.get(file.path), layout.cuts.get(file.path)
    why = place.why if place and not place.word else "" if place else audio.how_to_convert(file.path)
    if why:
        contents.add(file, status, NO_CHECKSUM)
        examiner.leave_out(file.path, why)
        return
    contents.add(file, status)  # because it may be unreadable
    if place and place.word != BACKGROUND:
        source = read_file(file.disk_path, file.path, status)
    else:  # it may be too large for memory
        check(status, file.path)
        source = file.disk_path
    contents.add_content(file, status, source)
    if parts:
        examiner.examine_parts(file.path, source, [(name, label, layout.places[name]) for name, label in parts])
    elif place:
        examiner.examine(file.path, source, place.word)


def _kind(name):
    """What a file is called that is not a recording: its ending."""
    base = os.path.basename(name)
    return "hidden" if base.startswith(".") else os.path.splitext(base)[1] or "no ending"


def _lines(file):
    """The lines of a label file."""
    check(status_of(file.disk_path, file.path), file.path)
    with open(file.disk_path, encoding="utf-8-sig", errors="replace", newline="") as lines:
        yield from lines


def _packed_folder(out):
    """The folder for the prepared data. Nothing that kws did not create is ever replaced."""
    folder = os.path.join(out, PACKED)
    if os.path.lexists(folder) and not dataset.is_prepared(out):
        raise KwsError(
            "%s is in the way of the prepared data, and kws did not create it" % folder,
            "rename it, or choose another folder with --out",
        )
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name not in dataset.FILES + LITTER + (FINGERPRINT,):
            raise KwsError(
                "%s contains %s, which kws did not create, and would be replaced" % (folder, files.printable(name)),
                "move it away, or choose another folder with --out",
            )
    return folder


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


def summary(writer: dataset.Writer, layout: layouts.Layout) -> Dict[str, Any]:
    """What dataset.json says about the recordings that a writer has."""
    columns = dataset.Recording(*zip(*writer.recordings))
    shared = leakage.find(columns.path, columns.speaker, columns.split, columns.problems)
    words = collections.defaultdict(lambda: dict.fromkeys(dataset.SPLITS, 0))
    for recording in writer.recordings:
        words[recording.word][recording.split] += 1
    return {
        "split_rule": "given" if layout.given_splits else "sha1 of the speaker (or file name), modulo 2^27",
        "given_splits": layout.given_splits,
        "words": words,
        "silent_clips": collections.Counter(
            recording.word for recording in writer.recordings if "silent: " in recording.problems
        ),
        "speaker_count": len({recording.speaker for recording in writer.recordings if recording.speaker}),
        "problems": collections.Counter(
            "%s, %s" % (problem.problem.split(":")[0], problem.action) for problem in writer.problems
        ),
        "leakage": shared.to_json(),
        "notes": layout.notes + list(shared.lines()),
        "passed_over": layout.passed_over,
        "background_count": sum(place.word == BACKGROUND for place in layout.places.values()),
    }
