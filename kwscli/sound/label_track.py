"""Label tracks: what was said in a recording and when, from the files that other tools write."""
import csv
import math
from typing import Iterable, List, NamedTuple, Optional, Sequence

from ..errors import KwsError

# The names that columns of a CSV file may have.
_WORD = ("word", "label", "keyword", "text", "name", "transcription")
_START = ("start", "time", "start_s", "time_s", "begin", "onset", "timestamp")
_START_MS, _END_MS = ("start_ms", "time_ms", "begin_ms"), ("end_ms", "stop_ms")
_END = ("end", "end_s", "stop", "offset")
_ADVICE = "give lines such as `yes, 12.3`, an Audacity label track, or a CSV file with the columns start, end and word"


class Spoken(NamedTuple):
    """A word that was said; start and end are the same where the file has one time."""

    start: float
    end: float
    word: str


def read(path: str) -> List[Spoken]:
    """Read what was said in a recording; see `in_seconds`.

    The file has lines `word, time` of TensorFlow's example, in milliseconds or in seconds; or it is an Audacity label
    track (start, end and word, with tabs between them); or it is CSV with a line of names, or with start, end, word.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return parse(path, list(file))
    except UnicodeDecodeError:
        raise KwsError("%s is not a text file" % path, _ADVICE)


def parse(path: str, lines: Iterable[str]) -> List[Spoken]:
    """As `read`, given the lines of the file."""
    cells = (_cells(line.strip("\r\n")) for line in lines)
    rows = [(number, row) for number, row in enumerate(cells, 1) if any(row)]
    return _of_table(path, rows) if rows and not any(map(_is_number, rows[0][1])) else _of_rows(path, rows)


def in_seconds(spoken: Sequence[Spoken], seconds: float) -> List[Spoken]:
    """What was said in a recording of this many seconds, with times in seconds.

    Whole numbers are milliseconds if as seconds they would be beyond the end.
    """
    times = [time for one in spoken for time in (one.start, one.end)]
    whole = all(time == int(time) for time in times)
    unit = 0.001 if times and whole and max(times) > seconds + 1 else 1.0
    return [Spoken(one.start * unit, one.end * unit, one.word) for one in spoken]


def _cells(line):
    """The parts of a line; a line with a backslash is the frequencies of an Audacity label."""
    if line.startswith(("\\", "#")):
        return []
    delimiter = "\t" if "\t" in line else ";" if ";" in line else ","
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _of_rows(path, rows):
    """Rows of start, end, word; of start, word; or of word, time."""
    spoken = []
    for number, row in rows:
        numbers = [float(cell) for cell in row if _is_number(cell)]
        times = [index for index, cell in enumerate(row) if _is_number(cell)]
        if len(row) == 2 and times in ([0], [1]):
            spoken.append(Spoken(numbers[0], numbers[0], row[1 - times[0]]))
        elif len(row) >= 3 and times[:2] == [0, 1]:
            spoken.append(Spoken(numbers[0], numbers[1], row[2]))
        else:
            raise KwsError("line %d of %s has no word and time: %.40r" % (number, path, ", ".join(row)), _ADVICE)
    return spoken


def _of_table(path, rows):
    """Rows below a line of names."""
    names = [name.lower() for name in rows[0][1]]
    word, start, end = _column(names, _WORD), _column(names, _START + _START_MS), _column(names, _END + _END_MS)
    if word is None or start is None:
        raise KwsError("line 1 of %s has no word and time: %.40r" % (path, ", ".join(rows[0][1])), _ADVICE)
    spoken = []
    for number, row in rows[1:]:
        try:
            times = [float(row[start]), float(row[start if end is None else end])]
            spoken.append(Spoken(times[0], times[1], row[word]))
        except (ValueError, IndexError):
            raise KwsError("line %d of %s has no word and time: %.40r" % (number, path, ", ".join(row)), _ADVICE)
    if names[start] in _START_MS:
        spoken = [Spoken(one.start / 1000, one.end / 1000, one.word) for one in spoken]
    return spoken


def _column(names, wanted) -> Optional[int]:
    return next((index for index, name in enumerate(names) if name in wanted), None)
