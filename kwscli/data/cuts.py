"""Long recordings with a label track beside them: `session.wav` and `session.txt`. Each label becomes a recording."""
import os
from typing import Callable, Dict, Iterable, List, NamedTuple, Sequence, Set, Tuple

from ..errors import KwsError
from ..sound import audio, label_track
from ..sound.label_track import Spoken

SUFFIXES = ".txt", ".csv"
_LEAST_SECONDS = 1.0  # of a cut, so that a network hears what is around the word, too


class Track(NamedTuple):
    """What the label track of a recording says."""

    spoken: List[Spoken]
    problem: str = ""  # why it is not a label track


def name_of(path: str, number: int) -> str:
    """What the manifest calls the part of a recording with this number, counted from 1."""
    return "%s#%d" % (path, number)


def beside(paths: Iterable[str]) -> Dict[str, str]:
    """{path of a sound file: path of the file that may be its label track}."""
    sounds = {os.path.splitext(path)[0]: path for path in paths if audio.is_sound(path)}
    found = [os.path.splitext(path) + (path,) for path in paths]
    return {sounds[stem]: path for stem, suffix, path in found if suffix.lower() in SUFFIXES and stem in sounds}


def relevant(paths: Iterable[str], word_of: Callable[[str], str]) -> Set[str]:
    """The paths that may be label tracks of recordings that are not in a word's folder."""
    return {track for sound, track in beside(list(paths)).items() if not word_of(sound)}


def read(path: str, lines: Iterable[str]) -> Track:
    """The label track in a file, given its lines."""
    try:
        return Track(label_track.parse(path, lines))
    except KwsError as error:
        return Track([], error.problem)


def spans(spoken: Sequence[Spoken], sample_count: int, rate: int) -> List[Tuple[int, int]]:
    """The first and the last sample of each label's part of a recording; equal for a label beyond its end.

    A part has at least a second, but reaches no further than halfway to the next label.
    """
    seconds = sample_count / rate
    timed = label_track.in_seconds(spoken, seconds)
    found = []
    for one in timed:
        before = max((other.end for other in timed if other.start < one.start), default=-one.start)
        after = min((other.start for other in timed if other.start > one.start), default=2 * seconds - one.end)
        middle = (one.start + one.end) / 2
        first = max(middle - _LEAST_SECONDS / 2, (before + one.start) / 2)
        last = min(middle + _LEAST_SECONDS / 2, (one.end + after) / 2)
        ends = min(one.start, first), max(one.end, last)
        found.append(tuple(min(max(0, round(end * rate)), sample_count) for end in ends))
    return found
