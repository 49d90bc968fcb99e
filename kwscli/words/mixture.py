"""Synthesised recordings, recordings of the user and other speech -> one folder of prepared data to train on."""
import hashlib
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import files
from ..console import say
from ..data import packing
from ..data.batches import rng_of
from ..data.dataset import PACKED, SPLITS, Dataset, Recording, Writer
from ..data.layouts import Layout
from ..data.recording_checks import SILENT_PEAK
from ..errors import KwsError
from ..labels import folded
from ..settings import PrepareSettings
from ..sound import audio

TRAINING, VALIDATION, TESTING = SPLITS
_FEWEST_SPEAKERS = 4  # of which one is kept for the test
_FEWEST_RECORDINGS = 8  # of a word, of which a quarter is kept for the test where there are fewer speakers
_OWN_SHARE = 0.5  # of the synthesised clips of a keyword: the user's clips are repeated until they are as many
_MOST_REPEATS = 25


class Part(NamedTuple):
    """Some recordings of a data set. words, splits: of each of these rows; repeats: how often each is trained."""

    dataset: Dataset
    rows: np.ndarray
    words: np.ndarray
    splits: np.ndarray
    repeats: Optional[np.ndarray] = None

    def of(self, split: str, words: Sequence[str]) -> "Part":
        """The rows of a split that hold one of these words."""
        return self.chosen((self.splits == split) & np.isin(self.words, list(words)))

    def chosen(self, which: np.ndarray) -> "Part":
        """Some of the rows, by their indices or by [n] bool."""
        repeats = None if self.repeats is None else self.repeats[which]
        return Part(self.dataset, self.rows[which], self.words[which], self.splits[which], repeats)


def whole(dataset: Dataset, keywords: Sequence[str]) -> Part:
    """All recordings of a data set; keywords are spelled as given."""
    spelled = {folded(keyword): keyword for keyword in keywords}
    words = np.array([spelled.get(folded(word), word) for word in dataset.words])
    return Part(dataset, np.arange(len(words)), words, dataset.splits)


def own(dataset: Dataset, keywords: Sequence[str]) -> Tuple[Part, str]:
    """The user's recordings, and how some are kept for the test: "splits", "speakers", "recordings" or "".

    Raises a KwsError if all recordings of a keyword are silent.
    """
    part = whole(dataset, keywords)
    part = _without_silent(part, keywords)
    if dataset.info.get("given_splits"):
        return part, "splits"
    speakers = np.array([folded(name) for name in dataset.speakers[part.rows]])
    names = sorted(set(speakers) - {""}, key=_hash)
    if len(names) >= _FEWEST_SPEAKERS and "" not in speakers:
        tested = np.isin(speakers, names[: max(1, len(names) // 4)])
        return part._replace(splits=np.where(tested, TESTING, TRAINING)), "speakers"
    splits, kept = np.full(len(part.rows), TRAINING, "U10"), ""
    for keyword in keywords:
        mine = np.flatnonzero(part.words == keyword)
        if len(mine) >= _FEWEST_RECORDINGS:
            splits[mine[::4]], kept = TESTING, "recordings"
    return part._replace(splits=splits), kept


def _hash(name):
    return hashlib.sha1(name.encode("utf-8")).hexdigest()


def _without_silent(part, keywords):
    recordings = [part.dataset.recording(row) for row in part.rows]
    # Half of the swing, because a microphone that is switched off may give a constant value other than zero.
    silent = np.array([(int(one.max()) - int(one.min())) / 2 < SILENT_PEAK * audio.FULL_SCALE for one in recordings])
    for keyword in keywords:
        mine = part.words == keyword
        if mine.any() and silent[mine].all():
            raise KwsError(
                "all %d recordings of %s are silent" % (mine.sum(), keyword),
                "check the microphone, and record them again, for example with kws record",
            )
    if silent.any():
        say("Left out: %d silent recordings of yours, such as %s."
            % (silent.sum(), part.dataset.paths[part.rows[silent.argmax()]]))
    return part.chosen(~silent)


def weighted(mine: Part, synthetic: Part, keywords: Sequence[str]) -> Part:
    """The user's recordings, the training clips of keywords repeated so that they count as much as their share."""
    repeats = np.ones(len(mine.rows), int)
    for keyword in keywords:
        ours, theirs = ((part.splits == TRAINING) & (part.words == keyword) for part in (mine, synthetic))
        if ours.any():
            repeats[ours] = np.clip(round(_OWN_SHARE * theirs.sum() / ours.sum()), 1, _MOST_REPEATS)
    return mine._replace(repeats=repeats)


def others(dataset: Dataset, keywords: Sequence[str], clips_per_word: Dict[str, int]) -> Part:
    """Some recordings of each word of a data set that is no keyword. clips_per_word: {split: how many}."""
    part, rng = whole(dataset, keywords), rng_of(0)
    chosen: List[np.ndarray] = []
    for split, count in clips_per_word.items():
        for word in sorted(set(part.words) - set(keywords)):
            mine = np.flatnonzero((part.splits == split) & (part.words == word))
            chosen.append(np.sort(rng.permutation(mine)[:count]))
    return part.chosen(np.concatenate(chosen)) if chosen else part.chosen(np.zeros(0, int))


def write(out: str, parts: Sequence[Part], sample_rate: int) -> None:
    """Write the recordings of all parts as prepared data into the folder `out`."""
    digest = hashlib.sha256()
    with files.replacing_folder(out) as folder:
        packed = os.path.join(folder, PACKED)
        os.mkdir(packed)
        with Writer(packed) as writer:
            for part in parts:
                _add(writer, part, digest)
            layout = Layout(places={}, given_splits=SPLITS, notes=[], cuts={}, passed_over=[])
            writer.finish(dict(
                vars(PrepareSettings(sample_rate=sample_rate)), source="kws words", source_bytes=0,
                sha256=digest.hexdigest(), **packing.summary(writer, layout)
            ))


def _add(writer, part, digest):
    data = part.dataset
    for index, row in enumerate(part.rows):
        samples, split = data.recording(row), str(part.splits[index])
        peak = max(int(samples.max()), -int(samples.min())) / audio.FULL_SCALE
        recording = Recording(
            data.paths[row], str(part.words[index]), str(data.speakers[row]), split,
            1000 * len(samples) // data.sample_rate, round(peak, 4), len(samples), "",
        )
        digest.update(repr(recording).encode("utf-8") + samples.tobytes())
        for _ in range(1 if part.repeats is None or split != TRAINING else part.repeats[index]):
            writer.add(recording, samples)
    for number, noise in enumerate(data.background):
        digest.update(noise.tobytes())
        writer.add_background("%s/%s" % (data.path, data.info["background"][number]["path"]), noise)
