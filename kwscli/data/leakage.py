"""Leakage between splits: the same speaker, or the same recording, in two of them makes an accuracy too high."""
import collections
from typing import Any, Dict, Iterator, NamedTuple, Sequence, Tuple

from ..console import listed
from ..labels import folded

DUPLICATE = "duplicate: the same samples as "  # the problem of a recording, with the path of the first one behind it


class Leakage(NamedTuple):
    """What two or more splits have in common."""

    speakers: Tuple[Tuple[str, Tuple[str, ...]], ...]  # (name, splits)
    recordings: Tuple[Tuple[str, Tuple[str, ...]], ...]  # (path of the first one, splits of it and its duplicates)
    nameless: int  # recordings whose speaker is unknown

    def with_split(self, split: str) -> "Leakage":
        """Only that which concerns a split."""
        kept = [tuple(one for one in found if split in one[1]) for found in (self.speakers, self.recordings)]
        return self._replace(speakers=kept[0], recordings=kept[1])

    def lines(self) -> Iterator[str]:
        """What a person should know and do about it."""
        if self.speakers:
            yield "%s in more than one split (%s): the accuracy will look better than it is; %s" % (
                _counted(self.speakers, "speaker"), _named(self.speakers),
                "put all recordings of a speaker into one split",
            )
        if self.recordings:
            yield "%s in more than one split (%s): the accuracy will look better than it is; %s" % (
                _counted(self.recordings, "recording"), _named(self.recordings),
                "delete the copies, which problems.csv lists",
            )
        if self.nameless:
            count = "1 recording" if self.nameless == 1 else "{:,} recordings".format(self.nameless)
            yield "The speaker of %s is unknown, and may be in more than one split; %s" % (
                count, "name files after their speakers, as in anna_nohash_0.wav"
            )

    def to_json(self) -> Dict[str, Any]:
        return {"speakers": dict(self.speakers), "recordings": dict(self.recordings), "nameless": self.nameless}


def find(paths: Sequence[str], speakers: Sequence[str], splits: Sequence[str], problems: Sequence[str]) -> Leakage:
    """The Leakage between the splits of recordings, given columns of the manifest.

    `Anna` and `anna` are one speaker. Recordings are the same if kws prepare found that they have the same samples.
    """
    of_speaker, of_recording = collections.defaultdict(set), collections.defaultdict(set)
    name_of, split_of = {}, dict(zip(paths, splits))
    for path, speaker, split, problem in zip(paths, speakers, splits, problems):
        if speaker:
            form = folded(speaker)
            name_of.setdefault(form, speaker)
            of_speaker[form].add(split)
        if DUPLICATE in problem:
            first = problem[problem.index(DUPLICATE) + len(DUPLICATE):]
            of_recording[first] |= {split, split_of.get(first, split)}
    return Leakage(
        _shared((name_of[form], found) for form, found in of_speaker.items()), _shared(of_recording.items()),
        sum(not speaker for speaker in speakers),
    )


def _shared(found):
    return tuple(sorted((name, tuple(sorted(map(str, splits)))) for name, splits in found if len(splits) > 1))


def _named(found):
    return listed(["%s: %s" % (name, " and ".join(splits)) for name, splits in found], 3)


def _counted(found, what):
    return "1 %s is" % what if len(found) == 1 else "{:,} {}s are".format(len(found), what)
