"""What limits the meaning of an accuracy: too few clips, labels without clips, and clips that training has seen."""
from typing import List

from .. import significance
from ..console import listed
from ..data import dataset, leakage
from ..metrics import Result

HALF_WIDTH = 0.01  # of the interval that an accuracy should have
FEW_CLIPS = 100  # The recall of a label with fewer clips is uncertain.
_NAMED = 5  # labels


def of_result(result: Result) -> List[str]:
    """What the numbers of clips do not show, in lines."""
    clips = {label: count for label, count, _, _ in result.per_label()}
    return _enough(result) + _one_label(clips) + _without_clips(clips) + _few_clips(result)


def _enough(result):
    needed = significance.clips_for_half_width(result.accuracy, HALF_WIDTH)
    if result.count >= needed:
        return []
    return [
        "For an interval of +-1 point, the accuracy needs about {:,} clips; these are {:,}.".format(
            needed, result.count
        )
    ]


def _one_label(clips):
    there = [label for label, count in clips.items() if count]
    if len(there) > 1:
        return []
    return [
        "All clips have the label %s: the accuracy does not show how often other sounds are taken for it." % there[0]
    ]


def _without_clips(clips):
    missing = [label for label, count in clips.items() if not count]
    return ["No clips of %s: the accuracy says nothing about %s." % (
        listed(missing, _NAMED), "it" if len(missing) == 1 else "them"
    )] if missing else []


def _few_clips(result):
    few = sorted((clips, label, recall) for label, clips, _, recall in result.per_label() if 0 < clips < FEW_CLIPS)
    shown = [
        "%s (%d clips: %.0f to %.0f %%)" % ((label, clips) + _interval(recall, clips)) for clips, label, recall in few
    ]
    if not few:
        return []
    return ["With fewer than %d clips, the recall of a label is uncertain: %s." % (FEW_CLIPS, listed(shown, _NAMED))]


def _interval(recall, clips):
    low, high = significance.wilson_interval(int(round(recall * clips)), clips)
    return 100 * low, 100 * high


def of_data(data: dataset.Dataset, split: str) -> List[str]:
    """What a split shares with the others, in lines."""
    found = leakage.find(data.paths, data.speakers, data.splits, data.problems).with_split(split)
    return [line + "." for line in found.lines()]
