"""What the number of words, speakers and clips will do to a network, and what to record next. `kws prepare` prints it.

Each rule has its threshold here. `kws guide data` lists them.
"""
from typing import Any, Dict, Iterator

from ..labels import UNKNOWN

FEW_CLIPS = 20  # training clips of a word, below which a network needs the weights of another one to start with
RARE = 0.1  # share of the clips of the most frequent word
SILENT = 0.5  # share of the recordings of a word
FEW_SPEAKERS = 10
FEW_WORDS = 3  # as many or fewer leave nothing that a network could learn _unknown_ from
MANY_WORDS = 50
_SHOWN = 5  # words that a line names


def lines(info: Dict[str, Any]) -> Iterator[str]:
    """A line per problem, given dataset.json."""
    counts = {word: splits["training"] for word, splits in info["words"].items() if word != UNKNOWN}
    yield from _silent(info)
    yield from _clips(counts)
    speakers = info["speaker_count"]
    if 0 < speakers < FEW_SPEAKERS:
        yield ("Only %d speakers: the network will know their voices, and miss those of others. Record %d speakers or "
               "more; until then, train with --speed-percentage 15." % (speakers, FEW_SPEAKERS))
    if len(counts) <= FEW_WORDS and UNKNOWN not in info["words"]:
        yield ("Only %s: if all are keywords, the network hears no other word, and takes every word for one of them. "
               "Put recordings of other words into a folder named other." % _some(counts))
    if len(counts) >= MANY_WORDS:
        yield ("%d words: name those that you need with --wanted-words. For all of them, train a larger network "
               "(--model-size l)." % len(counts))


def _silent(info):
    silent = {word: count for word, count in info.get("silent_clips", {}).items()
              if count >= SILENT * sum(info["words"][word].values())}
    if silent:
        yield "Mostly silent recordings: %s. Check the microphone and its volume, and record again." % _some(silent)


def _clips(counts):
    most = max(counts, key=lambda word: counts[word], default="")
    few = {word: count for word, count in counts.items() if count < FEW_CLIPS}
    rare = {word: count for word, count in counts.items() if count <= RARE * counts[most]}
    if few:
        yield ("Fewer than %d training clips: %s. Start with a trained network (--start-checkpoint ds_cnn_s), "
               "and record more." % (FEW_CLIPS, _some(few)))
    if rare:
        yield ("A tenth of the clips of %s (%d) or fewer: %s. A network that learns them as keywords will miss them. "
               "Record more, or train with --keyword-balance 1." % (most, counts[most], _some(rare)))


def _some(counts):
    names = sorted(counts, key=lambda word: (counts[word], word))
    more = " and %d more" % (len(names) - _SHOWN) if len(names) > _SHOWN else ""
    return ", ".join("%s (%d)" % (name, counts[name]) for name in names[:_SHOWN]) + more
