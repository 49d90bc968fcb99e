"""What was said in truth, from the files that other tools write, and how detections compare with it."""
import bisect
import csv
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .. import console
from ..errors import KwsError
from ..labels import folded

# The names that columns of a CSV file may have.
_WORD = ("word", "label", "keyword", "text", "name", "transcription")
_START = ("start", "time", "start_s", "time_s", "begin", "onset", "timestamp")
_START_MS, _END_MS = ("start_ms", "time_ms", "begin_ms"), ("end_ms", "stop_ms")
_END = ("end", "end_s", "stop", "offset")
_ADVICE = "give lines such as `yes, 12.3`, an Audacity label track, or a CSV file with the columns start, end and word"
_LONGEST_SHOWN = 20
_LAST = "\U0010ffff"  # behind every word


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
            lines = [line.strip("\r\n") for line in file]
    except UnicodeDecodeError:
        raise KwsError("%s is not a text file" % path, _ADVICE)
    rows = [(number, row) for number, row in enumerate(map(_cells, lines), 1) if any(row)]
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


class Heard(NamedTuple):
    """A detection: in seconds, the middle of its window."""

    time: float
    word: str


class Comparison(NamedTuple):
    """Detections against the truth."""

    keywords: Tuple[str, ...]
    hits: List[Tuple[Spoken, Heard]]
    wrong: List[Tuple[Spoken, Heard]]  # another keyword than the one that was said
    misses: List[Spoken]
    false_accepts: List[Heard]
    hours: float

    def to_json(self) -> Dict[str, Any]:
        """The comparison as plain JSON values."""
        return {
            "hits": len(self.hits), "wrong_words": len(self.wrong), "misses": len(self.misses),
            "false_accepts": len(self.false_accepts), "false_accepts_per_hour": self._per_hour(),
            "keywords": [dict(zip(("keyword", "said", "hits", "wrong_words", "misses", "false_accepts"), row))
                         for row in self._rows()],
            "mistakes": [
                {"time": round(time, 3), "said": said, "heard": heard} for time, said, heard in self._mistakes()
            ],
        }

    def __str__(self) -> str:
        said = len(self.hits) + len(self.wrong) + len(self.misses)
        percent = " (%.1f %%)" % (100.0 * len(self.hits) / said) if said else ""
        lines = ["%d of %d keywords found%s, %d wrong words, %d misses, %d false accepts (%.1f per hour)" % (
            len(self.hits), said, percent, len(self.wrong), len(self.misses), len(self.false_accepts), self._per_hour()
        )]
        head = ("keyword", "said", "hits", "wrong", "misses", "false accepts")
        lines += ["", console.table([head] + self._rows(), "<>")]
        mistakes = self._mistakes()
        if mistakes:
            shown = [("%.2f s" % time, "said " + said if said else "", "heard " + heard if heard else "missed")
                     for time, said, heard in mistakes[:_LONGEST_SHOWN]]
            lines += ["", console.table(shown, "><<")]
        if len(mistakes) > _LONGEST_SHOWN:
            lines.append("... and %d more" % (len(mistakes) - _LONGEST_SHOWN))
        return "\n".join(lines)

    def _per_hour(self):
        return len(self.false_accepts) / self.hours if self.hours else 0.0

    def _rows(self):
        rows = []
        for keyword in self.keywords:
            hits, wrong = [sum(said.word == keyword for said, _ in pairs) for pairs in (self.hits, self.wrong)]
            misses = sum(said.word == keyword for said in self.misses)
            false = sum(heard.word == keyword for heard in self.false_accepts)
            rows.append((keyword, hits + wrong + misses, hits, wrong, misses, false))
        return rows

    def _mistakes(self):
        """(time, what was said or "", what was heard or "") of all that went wrong, in order of time."""
        found = [(said.start, said.word, heard.word) for said, heard in self.wrong]
        found += [(said.start, said.word, "") for said in self.misses]
        return sorted(found + [(heard.time, "", heard.word) for heard in self.false_accepts])


def compare(
    keywords: Sequence[str], spoken: Sequence[Spoken], heard: Sequence[Heard], seconds: float, tolerance: float
) -> Comparison:
    """Compare detections with the truth. Words that are not keywords should not be heard.

    A detection belongs to a word if it is at most `tolerance` seconds before its start or after its end. Each belongs
    to one word at most: first the detections of the right keyword, then those of other keywords.
    """
    names = {folded(keyword): keyword for keyword in keywords}
    left = sorted(one._replace(word=names[folded(one.word)]) for one in spoken if folded(one.word) in names)
    heard = sorted(heard)
    pairs: Dict[bool, List[Tuple[Spoken, Heard]]] = {}
    for right in (True, False):
        pairs[right] = []
        for said in list(left):
            first, last = bisect.bisect_left(heard, (said.start - tolerance,)), (said.end + tolerance, _LAST)
            near = [one for one in heard[first : bisect.bisect(heard, last)] if one.word == said.word or not right]
            if near:  # the first one, which leaves the most for the words that follow
                pairs[right].append((said, near[0]))
                left.remove(said)
                heard.remove(near[0])
    return Comparison(tuple(keywords), pairs[True], pairs[False], left, heard, seconds / 3600)
