"""`kws prepare`: an archive or a folder of recordings -> prepared data (see `dataset`), with a doctor's report."""
import collections
import glob
import hashlib
import os

from typing import NamedTuple

import numpy as np

from . import archive, audio, dataset, files
from .dataset import BACKGROUND, PACKED, Problem, Recording
from .errors import KwsError
from .progress import Progress

SYNTHETIC = "synthetic"  # the folder of a synthesised corpus
SILENT_PEAK = 0.002  # of full scale: -54 dB
CLIPPED_SAMPLES = 10  # at full scale
SHORT_MS = 300
LONG_MS = 1500


class PrepareSettings(NamedTuple):
    """What `kws prepare` is asked for. `source` is an archive or a folder of WORD/recording; `out` where data goes."""

    source: str
    out: str
    sample_rate: int = 16000
    validation_percentage: float = 10.0
    testing_percentage: float = 10.0


class Report(NamedTuple):
    """What was prepared: dataset.json, the recordings' rows and the problems found; `fresh` if it was done just now."""

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

        os.makedirs(data_path, exist_ok=True)
        return fetch(download, data_path)
    if synthesize is not None:
        from . import synthesize as synthesis

        folder = os.path.join(data_path, SYNTHETIC)
        words = tuple(word.strip() for word in synthesize.split(",")) if synthesize else synthesis.DEFAULT_WORDS
        synthesis.synthesize(folder, words)
        return folder
    return find_source(data_path, name)


def find_source(data_path, name=None):
    """The archive in `data_path`, or `data_path` itself where it is a folder of WORD/recording."""
    if name:
        for path in (name, os.path.join(data_path, name)):
            if os.path.exists(path):
                return path
        raise KwsError("there is no archive %s, here or in %s" % (name, data_path))
    if os.path.isfile(data_path):
        raise KwsError("%s is a file; name the folder it is in, or use --archive %s" % (data_path, data_path))
    if not os.path.isdir(data_path):
        raise KwsError(
            "there is no folder %s; make it and put speech_commands_v0.02.tar.gz or a folder of recordings for each "
            "word into it, or use --download or --synthesize" % data_path
        )
    found = sorted(path for path in glob.glob(os.path.join(glob.escape(data_path), "*")) if path.endswith(archive.SUFFIXES))
    published = [path for path in found if os.path.basename(path) == "speech_commands_v0.02.tar.gz"]
    if published or len(found) == 1:
        return (published or found)[0]
    if found:
        raise KwsError(
            "%s holds several archives (%s); name one with --archive" % (data_path, ", ".join(map(os.path.basename, found)))
        )
    if any(True for _ in _recordings_in(data_path)):
        return data_path
    raise KwsError(
        "%s holds neither an archive (%s) nor a folder of recordings for each word; put one there, or use --download "
        "or --synthesize" % (data_path, ", ".join(archive.SUFFIXES))
    )


def prepare(settings, force=False):
    """Prepare what `settings.source` holds into `settings.out` -> Report. Data prepared before is kept unless `force`."""
    if not os.path.exists(settings.source):
        raise KwsError("there is no archive or folder %s" % settings.source)
    with files.only_one(settings.out, "is preparing"):
        if dataset.is_prepared(settings.out) and not force:
            info = dataset.read_info(settings.out)
            _check_same(settings, info)
            return Report(settings.out, info, fresh=False)
        with files.replacing_folder(os.path.join(settings.out, PACKED)) as packed:
            _pack(settings, packed)
        return Report(settings.out, dataset.read_info(settings.out), fresh=True)


def _check_same(settings, info):
    """Prepared data that came from something else must not pass for what is asked for now."""
    asked = {
        "source": os.path.basename(os.path.abspath(settings.source)),
        "source_bytes": os.path.getsize(settings.source) if os.path.isfile(settings.source) else None,
        "sample_rate": settings.sample_rate,
        "validation_percentage": settings.validation_percentage,
        "testing_percentage": settings.testing_percentage,
    }
    for name, value in asked.items():
        if info[name] != value:
            raise KwsError(
                "%s was prepared with %s %s, not %s; add --force to prepare it again, or --out FOLDER to keep both"
                % (settings.out, name, info[name], value)
            )


def _pack(settings, packed):
    writer = dataset.Writer(packed)
    try:
        if os.path.isdir(settings.source):
            sha256 = _pack_folder(settings, writer)
        else:
            sha256 = _pack_archive(settings, writer)
        if not writer.recordings:
            raise KwsError(
                "%s holds no recording of a word (WORD/name.wav) that can be read%s"
                % (settings.source, "; " + writer.problems[0].problem if writer.problems else "")
            )
        writer.finish(_info(settings, writer, sha256))
    finally:
        writer.close()


def _pack_archive(settings, writer):
    """Unpack and pack an archive in one pass -> its SHA-256."""
    folder = os.path.join(settings.out, archive.stem(settings.source))
    with files.replacing_folder(folder) as unpacked, Progress(
        "preparing " + os.path.basename(settings.source), os.path.getsize(settings.source), unit="B"
    ) as progress:
        doctor = Doctor(settings, writer)
        source = archive.Archive(settings.source, on_bytes=progress.update)
        made = set()
        for name, data in source:
            path = os.path.join(unpacked, name)
            if os.path.dirname(path) not in made:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                made.add(os.path.dirname(path))
            with open(path, "wb") as file:
                file.write(data)
            doctor.examine(name, data)
    return source.sha256


def _pack_folder(settings, writer):
    """Pack a folder of WORD/recording -> a SHA-256 over names and contents."""
    names = list(_recordings_in(settings.source))
    doctor, sha256 = Doctor(settings, writer), hashlib.sha256()
    with Progress("preparing " + settings.source, len(names), unit="files") as progress:
        for name in names:
            with open(os.path.join(settings.source, name), "rb") as file:
                data = file.read()
            sha256.update(name.encode("utf-8", "surrogateescape") + b"\0" + data)
            doctor.examine(name, data)
            progress.update()
    return sha256.hexdigest()


def _recordings_in(folder):
    """WORD/name of every sound file one level below a folder, in order."""
    for word in sorted(os.listdir(folder)):
        inside = os.path.join(folder, word)
        if word != PACKED and not word.startswith(".") and os.path.isdir(inside):
            yield from (os.path.join(word, name) for name in sorted(os.listdir(inside)) if audio.is_sound(name))


class Doctor:
    """Examines recordings one by one and gives them to the writer, with what is wrong with them."""

    def __init__(self, settings, writer):
        self._settings, self._writer, self._seen = settings, writer, {}

    def examine(self, path, data):
        """path: .../WORD/name; data: the bytes of the file. What is no sound of a word or of background is passed over."""
        word = os.path.basename(os.path.dirname(path))
        if not audio.is_sound(path) or not word or (word.startswith(("_", ".")) and word != BACKGROUND):
            return
        path = "%s/%s" % (word, os.path.basename(path))
        try:
            samples = audio.to_int16(audio.read(data, self._settings.sample_rate, path))
        except audio.UnreadableAudio as error:
            self._writer.problems.append(Problem(path, str(error), "left out"))
            return
        if word == BACKGROUND:
            self._writer.add_background(path, samples)
            return
        peak = float(np.abs(samples.astype(np.int32)).max()) / audio.FULL_SCALE
        duration_ms = 1000 * len(samples) // self._settings.sample_rate
        problems = self._problems(path, samples, peak, duration_ms)
        self._writer.problems.extend(Problem(path, problem, "kept") for problem in problems)
        percentages = self._settings.validation_percentage, self._settings.testing_percentage
        split = dataset.split_of(path, *percentages)
        row = path, word, dataset.speaker_of(path), split, duration_ms, round(peak, 4), len(samples), "; ".join(problems)
        self._writer.add(Recording(*row), samples)

    def _problems(self, path, samples, peak, duration_ms):
        found = []
        if peak < SILENT_PEAK:
            found.append("silent: peak %.4f of full scale" % peak)
        at_full_scale = np.count_nonzero((samples >= audio.FULL_SCALE - 1) | (samples <= -audio.FULL_SCALE))
        if at_full_scale > CLIPPED_SAMPLES:
            found.append("clipped: %d samples at full scale" % at_full_scale)
        if duration_ms < SHORT_MS:
            found.append("very short: %d ms" % duration_ms)
        if duration_ms > LONG_MS:
            found.append("over-long: %d ms" % duration_ms)
        first = self._seen.setdefault(hashlib.sha1(samples.tobytes()).digest(), path)
        if first != path:
            found.append("duplicate of %s" % first)
        return found


def _info(settings, writer, sha256):
    words = collections.defaultdict(lambda: dict.fromkeys(dataset.SPLITS, 0))
    for recording in writer.recordings:
        words[recording.word][recording.split] += 1
    return {
        "source": os.path.basename(os.path.abspath(settings.source)),
        "source_bytes": os.path.getsize(settings.source) if os.path.isfile(settings.source) else None,
        "sha256": sha256,
        "sample_rate": settings.sample_rate,
        "split_rule": "sha1 of the speaker (or file name), modulo 2^27",
        "validation_percentage": settings.validation_percentage,
        "testing_percentage": settings.testing_percentage,
        "words": words,
        "speaker_count": len({recording.speaker for recording in writer.recordings if recording.speaker}),
        "problems": collections.Counter(
            "%s, %s" % (_kind(problem), problem.action) for problem in writer.problems
        ),
    }


def _kind(problem):
    return problem.problem.split(":")[0].split(" of ")[0] if problem.action == "kept" else "unreadable"


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
        % (info["source"], info["clip_count"], len(rows), _speakers(info), len(info["background"]))
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


def _speakers(info):
    return "%d speakers" % info["speaker_count"] if info["speaker_count"] else "unnamed speakers (split by file name)"
