"""`kws prepare`: turns an archive or a folder of recordings into prepared data (see `dataset`), and lists problems."""
import os
from typing import Any, Dict, List, NamedTuple, Optional

from .. import console, files
from ..console import say
from ..errors import KwsError
from ..settings import PrepareSettings
from . import advice, dataset, packing
from .dataset import PACKED
from .freshness import reason_to_prepare
from .recording_checks import Cut
from .sources import IN_PLACE, Sources, find_source

_MAX_NAMES = 20  # that are listed one by one
SYNTHETIC = "synthetic"  # the folder of a synthesised corpus


class Report(NamedTuple):
    """What was prepared."""

    data_path: str
    info: Dict[str, Any]  # dataset.json
    fresh: bool  # False if it had been prepared before
    not_used: List[str]  # archives, recordings and folders in the data path that are not part of it

    def to_json(self) -> Dict[str, Any]:
        """dataset.json, and what will limit a network, as plain JSON values."""
        return dict(self.info, advice=list(advice.lines(self.info)))

    def __str__(self) -> str:
        return "\n".join(_described(self))


def source_of(
    data_path: str, name: Optional[str] = None, download: Optional[str] = None, synthesize: Optional[str] = None
) -> str:
    """The archive or folder to prepare. Downloads or synthesises it into `data_path` first if asked to.

    download: a version of Speech Commands; synthesize: comma-separated words, "" for the default ones.
    """
    asked = [flag for flag, value in (("--archive", name), ("--download", download)) if value]
    asked += ["--synthesize"] if synthesize is not None else []
    if len(asked) > 1:
        raise KwsError("%s ask for different recordings" % " and ".join(asked), "give one of them")
    if download:
        from .download import download as fetch

        with files.only_one(data_path, "is preparing"):
            return fetch(download, data_path)
    if synthesize is not None:
        with files.only_one(data_path, "is preparing"):
            return _synthesized(os.path.join(data_path, SYNTHETIC), synthesize)
    return find_source(data_path, name)


def _synthesized(folder, words):
    """A corpus of `words` (comma-separated) and of the default words, which serve as `_unknown_`."""
    from . import synthesize as synthesis

    given = [word.strip() for word in words.split(",") if word.strip()]
    words = tuple(dict.fromkeys(given + list(synthesis.DEFAULT_WORDS)))
    if os.path.isdir(folder) and os.listdir(folder):
        lacking = [word for word in words if not os.path.isdir(os.path.join(folder, word))]
        if lacking:
            raise KwsError(
                "%s exists already, but without %s" % (folder, ", ".join(lacking)),
                "delete it and run the same command again",
            )
        say("%s exists already; nothing to synthesise" % folder)
    else:
        synthesis.synthesize(folder, words)
    return folder


def prepare(
    source: str, out: str, settings: PrepareSettings = PrepareSettings(), force: bool = False, wait: bool = False,
    data_path: str = "", cut: Optional[Cut] = None,
) -> Report:
    """Prepare an archive or a folder of WORD/recording into the folder `out`.

    Existing prepared data is kept if the source has not changed since, unless `force`. wait: if another process is
    preparing the same folder, wait for it instead of refusing. data_path: a folder whose own word folders are prepared
    together with the source. cut: gives the part of a recording that is used, for settings with `align`.
    """
    if not os.path.exists(source):
        raise KwsError("there is no archive or folder %s" % source, "check its name")
    sources = Sources(out, source, data_path)
    reason = "" if force else reason_to_prepare(sources, settings)
    if reason is not None:
        with files.only_one(out, "is preparing", wait):
            reason = "" if force else reason_to_prepare(sources, settings)  # another process may just have prepared it
            if reason:
                say(reason)
            if reason is not None:
                packing.pack(sources, settings, cut)
    return Report(out, dataset.read_info(out), reason is not None, sources.not_used())


def _described(report):
    """The lines of a Report."""
    info, words = report.info, sorted(report.info["words"].items())
    if not report.fresh:
        yield "Already prepared; add --force to prepare it again."
    totals = {split: sum(counts[split] for _, counts in words) for split in dataset.SPLITS}
    rows = [[word] + [counts[split] for split in dataset.SPLITS] for word, counts in words + [("all", totals)]]
    yield console.table([("word",) + dataset.SPLITS] + rows, "<>")
    yield "%s: %d clips of %d words by %s, %d background recordings" % (
        _source(report), info["clip_count"], len(words), _speakers(info), len(info["background"])
    )
    beside = info.get("sources", {}).get("word_folders")
    if beside:
        yield "Together with the word folders next to it: %s" % ", ".join(beside)
    if report.not_used:
        yield "Not used: %s" % _some(report.not_used)
    yield from info.get("notes", ())
    yield from ("Passed over: " + line for line in info.get("passed_over", ()))
    if not info["background"]:
        found = info.get("background_count")
        yield "%s: training will not add noise to the clips." % (
            "The %d background recordings cannot be used" % found if found else "No _background_noise_ folder"
        )
    for split in dataset.SPLITS[1:]:
        without = [word for word, counts in words if not counts[split]]
        if without and info[split + "_percentage"]:
            yield "No %s clips of: %s" % (split, ", ".join(without))
    yield from advice.lines(info)
    packed = os.path.join(report.data_path, PACKED)
    for problem, count in sorted(info["problems"].items()):
        yield "%5d %s" % (count, problem)
    if info["problems"]:
        yield "Each problem and its file: %s" % os.path.join(packed, "problems.csv")
    yield "Prepared in %s" % packed


def _some(names):
    """The first of many names."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (" and %d more" % more if more > 0 else "")


def _source(report):
    in_place = report.info["source"] == IN_PLACE
    return os.path.basename(os.path.abspath(report.data_path)) if in_place else report.info["source"]


def _speakers(info):
    return "%d speakers" % info["speaker_count"] if info["speaker_count"] else "unknown speakers (split by file name)"
