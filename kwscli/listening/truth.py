"""How detections compare with what was said in truth."""
import bisect
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from .. import console
from ..labels import folded
from ..sound.label_track import Spoken, in_seconds, read  # noqa: F401  (read and in_seconds belong to a truth, too)

_LONGEST_SHOWN = 20
_LAST = "\U0010ffff"  # behind every word


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
