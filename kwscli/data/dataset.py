"""Prepared data: all recordings of a data set in one int16 array on disk, with a manifest that people can read.

    FOLDER/packed/
      dataset.json     counts, source and its hash, sample rate, split rule; written last
      manifest.csv     one line per recording, in the order of clips.npy
      clips.npy        the samples of all recordings, one after the other, int16; mapped into memory, never read whole
      background.npy   the same for the background recordings
      problems.csv     what `kws prepare` found wrong, and with which file
      sources.csv      the size, times and checksum of each source file, to notice changes; see `fingerprint`
"""
import csv
import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from .. import files
from ..errors import KwsError
from ..sound import audio

FORMAT = 1
PACKED = "packed"
BACKGROUND = "_background_noise_"
SPLITS = ("training", "validation", "testing")
_INFO, _MANIFEST, _PROBLEMS = "dataset.json", "manifest.csv", "problems.csv"
_CLIPS, _BACKGROUND = "clips.npy", "background.npy"
FILES = (_INFO, _MANIFEST, _PROBLEMS, _CLIPS, _BACKGROUND)
# The reference's limit of clips per word (input_data.py, MAX_NUM_WAVS_PER_CLASS): it computes a hash modulo this + 1.
_MAX_CLIPS = 2 ** 27 - 1
# The values of dataset.json that this program uses.
_INFO_TYPES = {
    "source": str, "source_bytes": int, "sha256": str, "sample_rate": int, "validation_percentage": (int, float),
    "testing_percentage": (int, float), "clip_count": int, "speaker_count": int, "words": dict, "problems": dict,
    "background": list,
}
# "speaker" with a name, a number or a letter behind it; "speakers-01.wav" does not name one.
_SPEAKER = re.compile(r"(?:^|[_.-])(speaker(?:[_-][^_.-]+|\d[^_.-]*|[a-rt-z](?=[_.-])))", re.IGNORECASE)


def speaker_of(path: str) -> str:
    """The speaker of a recording, from its file name, or "" if the name does not say.

    `0a7c2a8d_nohash_0.wav` -> `0a7c2a8d` (the field's convention); `yes-speaker12-3.wav` -> `speaker12`.
    """
    name = os.path.basename(path)
    if "_nohash_" in name:
        return name[: name.index("_nohash_")]
    found = _SPEAKER.search(name)
    return found.group(1) if found else ""


def split_of(
    path: str, validation_percentage: float, testing_percentage: float, speaker: Optional[str] = None
) -> str:
    """The split of a recording, from a hash of its speaker, or of its file name if the speaker is unknown.

    speaker: "" if unknown; None if the file name may say it.

    A speaker is never in two splits, and no recording changes its split when others are added. For Speech Commands,
    10 and 10 percent reproduce the official validation_list.txt and testing_list.txt.
    """
    key = (speaker_of(path) if speaker is None else speaker) or os.path.basename(path)
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
    peak: float  # 1 is full scale
    sample_count: int
    problems: str  # separated by "; "


class Problem(NamedTuple):
    """A line of problems.csv."""

    path: str
    problem: str
    action: str  # "kept" or "left out"


class Writer:
    """Writes prepared data into a folder, recording by recording; `finish` completes it.

        with Writer(folder) as writer:
            writer.add(recording, samples)
            writer.finish(info)
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._clips = _SampleFile(os.path.join(folder, _CLIPS))
        self._background = _SampleFile(os.path.join(folder, _BACKGROUND))
        self.recordings: List[Recording] = []
        self.background: List[Dict[str, Any]] = []
        self.problems: List[Problem] = []

    def __enter__(self) -> "Writer":
        self._clips.open()
        self._background.open()
        return self

    def __exit__(self, *error: Any) -> None:
        self._clips.close()
        self._background.close()

    def add(self, recording: Recording, samples: np.ndarray) -> None:
        """Add a recording of a word."""
        self._clips.append(samples)
        self.recordings.append(recording)

    def add_background(self, path: str, samples: np.ndarray) -> None:
        """Add a background recording."""
        self._background.append(samples)
        self.background.append({"path": path, "sample_count": len(samples)})

    def finish(self, info: Dict[str, Any]) -> None:
        """Write the manifest and, last, dataset.json, which holds `info` and the counts."""
        self._clips.close()
        self._background.close()
        _write_csv(os.path.join(self._folder, _MANIFEST), Recording, self.recordings)
        _write_csv(os.path.join(self._folder, _PROBLEMS), Problem, self.problems)
        info = dict(info, format=FORMAT, background=self.background, clip_count=len(self.recordings))
        with open(os.path.join(self._folder, _INFO), "w", encoding="utf-8") as file:
            json.dump(info, file, indent=1, sort_keys=True)


class _SampleFile:
    """A one-dimensional int16 .npy file whose length is known only at the end."""

    def __init__(self, path):
        self._path, self._file, self._count = path, None, 0

    def open(self):
        self._file = open(self._path, "wb", buffering=1 << 20)
        self._write_header()

    def _write_header(self):
        header = {"descr": "<i2", "fortran_order": False, "shape": (self._count,)}
        np.lib.format.write_array_header_1_0(self._file, header)  # always 128 bytes

    def append(self, samples):
        self._file.write(np.ascontiguousarray(samples, "<i2").data)
        self._count += len(samples)

    def close(self):
        if self._file and not self._file.closed:
            self._file.seek(0)
            self._write_header()
            self._file.close()


def _write_csv(path, row_type, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(row_type._fields)
        writer.writerows(rows)


def is_prepared(data_path: str) -> bool:
    """Whether `data_path` holds complete prepared data."""
    return os.path.exists(os.path.join(data_path, PACKED, _INFO))


def read_info(data_path: str) -> Dict[str, Any]:
    """Read dataset.json."""
    path = os.path.join(data_path, PACKED, _INFO)
    info = files.read_json(path, _prepare_again(data_path))
    if info.get("format") != FORMAT:
        raise KwsError(
            "%s has format %s, but this version of kws reads format %d" % (path, info.get("format"), FORMAT),
            _prepare_again(data_path),
        )
    for name, kind in _INFO_TYPES.items():
        if not isinstance(info.get(name), kind):
            raise _damaged(path, "%s is %.40r" % (name, info[name]) if name in info else "%s is missing" % name)
    return info


class Dataset:
    """Prepared data, ready for use.

    words, splits, speakers: arrays [n] of str; info: dataset.json; background: a list of int16 arrays.
    validation_percentage, testing_percentage: split the recordings anew; None keeps the prepared percentage.
    """

    def __init__(
        self, data_path: str, validation_percentage: Optional[float] = None,
        testing_percentage: Optional[float] = None,
    ) -> None:
        self.path, self.info = data_path, read_info(data_path)
        folder = os.path.join(data_path, PACKED)
        columns = _read_manifest(os.path.join(folder, _MANIFEST))
        self.paths, self.words, self.splits = columns.path, np.array(columns.word), np.array(columns.split)
        self.speakers = np.array(columns.speaker)
        wanted = [validation_percentage, testing_percentage]
        prepared = [self.info["validation_percentage"], self.info["testing_percentage"]]
        wanted = [was if now is None else now for now, was in zip(wanted, prepared)]
        if wanted != prepared:
            self.splits = self._other_splits(columns, *wanted)
        self.sample_rate = self.info["sample_rate"]
        self.counts = columns.sample_count
        self.offsets = np.cumsum(self.counts) - self.counts
        self._samples = _map(os.path.join(folder, _CLIPS), self.counts.sum())
        self.background = _backgrounds(folder, self.info["background"])
        self._starts = {}

    def _other_splits(self, columns, validation_percentage, testing_percentage):
        if self.info.get("given_splits"):
            raise KwsError(
                "the splits of %s come with its recordings, and have no other percentages" % self.path,
                "leave out --validation-percentage and --testing-percentage",
            )
        return np.array([
            split_of(path, validation_percentage, testing_percentage, speaker)
            for path, speaker in zip(columns.path, columns.speaker)
        ])

    def recording(self, index: int) -> np.ndarray:
        """The samples [n] int16 of one recording, a view of the file."""
        return self._samples[self.offsets[index] : self.offsets[index] + self.counts[index]]

    def starts(self, clip_samples: int) -> np.ndarray:
        """The sample at which the clip of each recording begins [n]: the loudest part if it is longer than a clip."""
        if clip_samples not in self._starts:
            starts = np.zeros(len(self.counts), np.int64)
            for index in np.flatnonzero(self.counts > clip_samples):
                starts[index] = audio.loudest_clip(self.recording(index), clip_samples, self.sample_rate)[0]
            self._starts[clip_samples] = starts
        return self._starts[clip_samples]


def _read_manifest(path):
    """The manifest as a Recording of columns."""
    names = Recording._fields
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0] != list(names):
            raise ValueError("the first line is not %s" % ",".join(names))
        wrong = next((row for row in rows if len(row) != len(names)), None)
        if wrong is not None:
            raise ValueError("a line has %d columns, not %d: %.60r" % (len(wrong), len(names), ",".join(wrong)))
        columns = Recording(*(zip(*rows[1:]) if rows[1:] else [()] * len(names)))
        return columns._replace(sample_count=np.array(columns.sample_count, np.int64))
    except (ValueError, OverflowError, csv.Error) as error:
        raise _damaged(path, error)


def _backgrounds(folder, listed):
    """The samples of each background recording in dataset.json, views of one file."""
    try:
        ends = np.cumsum([one["sample_count"] for one in listed], dtype=np.int64)
    except (KeyError, TypeError):
        raise _damaged(os.path.join(folder, _INFO), "background lacks a sample_count")
    noise = _map(os.path.join(folder, _BACKGROUND), ends[-1] if len(ends) else 0)
    return np.split(noise, ends[:-1]) if len(ends) else []


def _map(path, count):
    try:
        samples = np.load(path, mmap_mode="r") if count else np.zeros(0, np.int16)
    except (ValueError, EOFError) as error:  # cut off, or not an array
        raise _damaged(path, error)
    if samples.shape != (count,):
        raise _damaged(path, "it holds %d samples, but the manifest lists %d" % (samples.size, count))
    return samples


def _prepare_again(data_path):
    return "run kws prepare --data-path %s --force" % data_path


def _damaged(path, why):
    return KwsError("%s is damaged: %s" % (path, why), _prepare_again(os.path.dirname(os.path.dirname(path))))


def load(
    data_path: str, validation_percentage: Optional[float] = None, testing_percentage: Optional[float] = None
) -> Dataset:
    """Load the prepared data in a folder."""
    if not os.path.isdir(data_path):
        raise KwsError(
            "there is no folder %s" % data_path, "give the folder of your recordings with --data-path or $KWS_DATA_PATH"
        )
    if not is_prepared(data_path):
        raise KwsError("%s holds no prepared data" % data_path, "run kws prepare --data-path %s first" % data_path)
    return Dataset(data_path, validation_percentage, testing_percentage)


def check_sample_rate(dataset: Dataset, sample_rate: int) -> None:
    """Raise a KwsError unless the data was prepared at the sample rate of the network."""
    if dataset.sample_rate != sample_rate:
        raise KwsError(
            "%s was prepared at %d samples per second, but the network needs %d"
            % (dataset.path, dataset.sample_rate, sample_rate),
            "run kws prepare --data-path %s --sample-rate %d --force" % (dataset.path, sample_rate),
        )
