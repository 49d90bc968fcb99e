"""Prepared data: every recording of a data set in one int16 array on disk, with a manifest that people can read.

    FOLDER/packed/
      dataset.json     counts, source and its hash, sample rate, split rule; written last
      manifest.csv     a line a recording, in the order of clips.npy
      clips.npy        all samples of all recordings, one after the other, int16; mapped into memory, never read whole
      background.npy   the same of the background recordings
      problems.csv     what `kws prepare` found wrong with which file
"""
import csv
import hashlib
import json
import os
import re
from typing import NamedTuple

import numpy as np

from ..errors import KwsError
from ..sound import audio

FORMAT = 1
PACKED = "packed"
BACKGROUND = "_background_noise_"
SPLITS = ("training", "validation", "testing")
_INFO, _MANIFEST, _PROBLEMS = "dataset.json", "manifest.csv", "problems.csv"
_CLIPS, _BACKGROUND = "clips.npy", "background.npy"
# The reference's bound on clips a word (input_data.py, MAX_NUM_WAVS_PER_CLASS): the split is a hash modulo one more.
_MAX_CLIPS = 2 ** 27 - 1
_SPEAKER = re.compile(r"(?:^|[_.-])(speaker[_-]?[^_.-]+)", re.IGNORECASE)


def speaker_of(path):
    """Who speaks in a recording, by its file name, or "" where the name does not tell.

    `0a7c2a8d_nohash_0.wav` -> `0a7c2a8d` (the field's convention); `yes-speaker12-3.wav` -> `speaker12`.
    """
    name = os.path.basename(path)
    if "_nohash_" in name:
        return name[: name.index("_nohash_")]
    found = _SPEAKER.search(name)
    return found.group(1) if found else ""


def split_of(path, validation_percentage, testing_percentage):
    """The split of a recording: a hash of its speaker, or of its whole file name where the name tells no speaker.

    A speaker is never in two splits, and no recording changes its split when others are added. For Speech Commands
    it reproduces the official validation_list.txt and testing_list.txt (at 10 and 10 percent).
    """
    key = speaker_of(path) or os.path.basename(path)
    number = int(hashlib.sha1(key.encode("utf-8")).hexdigest(), 16) % (_MAX_CLIPS + 1)
    percentage = number * (100.0 / _MAX_CLIPS)
    if percentage < validation_percentage:
        return "validation"
    return "testing" if percentage < validation_percentage + testing_percentage else "training"


class Recording(NamedTuple):
    """A line of the manifest."""

    path: str
    word: str
    speaker: str
    split: str
    duration_ms: int
    peak: float  # of 1
    sample_count: int
    problems: str  # separated by "; "


class Problem(NamedTuple):
    """A line of problems.csv."""

    path: str
    problem: str
    action: str  # "kept" or "left out"


class Writer:
    """Writes prepared data into a folder, recording by recording; `finish` makes it complete."""

    def __init__(self, folder):
        self._folder = folder
        self._clips = _SampleFile(os.path.join(folder, _CLIPS))
        self._background = _SampleFile(os.path.join(folder, _BACKGROUND))
        self.recordings, self.background, self.problems = [], [], []

    def add(self, recording, samples):
        self._clips.append(samples)
        self.recordings.append(recording)

    def add_background(self, path, samples):
        self._background.append(samples)
        self.background.append({"path": path, "sample_count": len(samples)})

    def close(self):
        self._clips.close()
        self._background.close()

    def finish(self, info):
        """Write the manifest and, last, dataset.json: `info` and what it says about the recordings."""
        self.close()
        _write_csv(os.path.join(self._folder, _MANIFEST), Recording, self.recordings)
        _write_csv(os.path.join(self._folder, _PROBLEMS), Problem, self.problems)
        info = dict(info, format=FORMAT, background=self.background, clip_count=len(self.recordings))
        with open(os.path.join(self._folder, _INFO), "w", encoding="utf-8") as file:
            json.dump(info, file, indent=1, sort_keys=True)


class _SampleFile:
    """A one-dimensional int16 .npy file whose length is known only at the end."""

    def __init__(self, path):
        self._file, self._count = open(path, "wb", buffering=1 << 20), 0
        self._write_header()

    def _write_header(self):
        header = {"descr": "<i2", "fortran_order": False, "shape": (self._count,)}
        np.lib.format.write_array_header_1_0(self._file, header)  # 128 bytes for any count

    def append(self, samples):
        self._file.write(np.ascontiguousarray(samples, "<i2").data)
        self._count += len(samples)

    def close(self):
        if not self._file.closed:
            self._file.seek(0)
            self._write_header()
            self._file.close()


def _write_csv(path, row_type, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(row_type._fields)
        writer.writerows(rows)


def is_prepared(data_path):
    """Whether `data_path` holds complete prepared data."""
    return os.path.exists(os.path.join(data_path, PACKED, _INFO))


def read_info(data_path):
    """The content of dataset.json."""
    path = os.path.join(data_path, PACKED, _INFO)
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
    except ValueError as error:
        raise _damaged(path, error)
    found = info.get("format") if isinstance(info, dict) else None
    if found != FORMAT:
        raise KwsError(
            "%s has format %s and this kws reads %d; run kws prepare --data-path %s --force"
            % (path, found, FORMAT, data_path)
        )
    return info


class Dataset:
    """Prepared data, ready to be sampled.

    words, splits: arrays [n] of str; info: dataset.json; background: a list of int16 arrays.
    validation_percentage, testing_percentage: another split than the one prepared; None keeps it.
    """

    def __init__(self, data_path, validation_percentage=None, testing_percentage=None):
        self.path, self.info = data_path, read_info(data_path)
        folder = os.path.join(data_path, PACKED)
        columns = _read_manifest(os.path.join(folder, _MANIFEST))
        self.paths, self.words, self.splits = columns.path, np.array(columns.word), np.array(columns.split)
        wanted = [validation_percentage, testing_percentage]
        prepared = [self.info["validation_percentage"], self.info["testing_percentage"]]
        wanted = [was if now is None else now for now, was in zip(wanted, prepared)]
        if wanted != prepared:
            self.splits = np.array([split_of(path, *wanted) for path in columns.path])
        self.sample_rate = self.info["sample_rate"]
        self.counts = columns.sample_count
        self.offsets = np.cumsum(self.counts) - self.counts
        self._samples = _map(os.path.join(folder, _CLIPS), self.counts.sum())
        ends = np.cumsum([one["sample_count"] for one in self.info["background"]], dtype=np.int64)
        noise = _map(os.path.join(folder, _BACKGROUND), ends[-1] if len(ends) else 0)
        self.background = np.split(noise, ends[:-1]) if len(ends) else []
        self._starts = {}

    def recording(self, index):
        """Samples [n] int16 of one recording, a view of the file."""
        return self._samples[self.offsets[index] : self.offsets[index] + self.counts[index]]

    def starts(self, clip_samples):
        """Where in each recording its clip begins [n]: 0, or the loudest part of one that is longer than a clip."""
        if clip_samples not in self._starts:
            starts = np.zeros(len(self.counts), np.int64)
            for index in np.flatnonzero(self.counts > clip_samples):
                starts[index] = audio.loudest_clip(self.recording(index), clip_samples, self.sample_rate)[0]
            self._starts[clip_samples] = starts
        return self._starts[clip_samples]


def _read_manifest(path):
    """The manifest -> a Recording of columns."""
    names = Recording._fields
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0] != list(names):
            raise ValueError("its first line is not %s" % ",".join(names))
        wrong = next((row for row in rows if len(row) != len(names)), None)
        if wrong is not None:
            raise ValueError("a line has %d columns, not %d: %s" % (len(wrong), len(names), ",".join(wrong)))
        columns = Recording(*(zip(*rows[1:]) if rows[1:] else [()] * len(names)))
        return columns._replace(sample_count=np.array(columns.sample_count, np.int64))
    except (ValueError, csv.Error) as error:
        raise _damaged(path, error)


def _map(path, count):
    try:
        samples = np.load(path, mmap_mode="r") if count else np.zeros(0, np.int16)
    except (ValueError, EOFError) as error:  # cut off, or no array
        raise _damaged(path, error)
    if samples.shape != (count,):
        raise _damaged(path, "it holds %d samples and the manifest says %d" % (samples.size, count))
    return samples


def _damaged(path, why):
    data_path = os.path.dirname(os.path.dirname(path))
    return KwsError("%s is damaged (%s); run kws prepare --data-path %s --force" % (path, why, data_path))


def load(data_path, validation_percentage=None, testing_percentage=None):
    """The prepared data in a folder."""
    if not os.path.isdir(data_path):
        raise KwsError(
            "there is no folder %s; name the one with your recordings by --data-path or $KWS_DATA_PATH" % data_path
        )
    if not is_prepared(data_path):
        raise KwsError("%s holds no prepared data; run kws prepare --data-path %s first" % (data_path, data_path))
    return Dataset(data_path, validation_percentage, testing_percentage)
