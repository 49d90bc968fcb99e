"""The synthesised recordings: SPLIT/PHRASE/SPEAKER_nohash_N.wav, which people can listen to and kws can prepare.

Every synthetic person (see `voices`) is in one split only. phrases.json says which phrases are hard negatives.
"""
import json
import os
import shutil
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from .. import files
from ..console import Progress, listed, say
from ..data.dataset import SPLITS
from ..data.synthesize import LONGEST_WORD_SAMPLES, SAMPLE_RATE, recorded, speech, write_backgrounds, write_wav
from ..errors import KwsError

PHRASES = "phrases.json"
_RATES = 120, 195  # words per minute
_USUAL_RATE = 165
_MOST_HASTE = 1.3  # how much faster than usual a keyword may be said, so that it fits into a clip
_SHARES = {"validation": 0.1, "testing": 0.15}  # of the people


class Amounts(NamedTuple):
    """How much is synthesised: phrases, and clips of each in each split."""

    keyword_clips: Dict[str, int]
    hard_phrases: int  # of each keyword
    hard_clips: Dict[str, int]
    other_words: int
    other_clips: Dict[str, int]


QUICK = Amounts(
    dict(training=500, validation=60, testing=100), 40, dict(training=12, validation=2, testing=3), 80,
    dict(training=8, validation=12, testing=12),
)
FULL = Amounts(
    dict(training=2000, validation=100, testing=200), 80, dict(training=30, validation=2, testing=3), 240,
    dict(training=12, validation=12, testing=12),
)


class Phrases(NamedTuple):
    """What is said. hard: the hard negatives of all keywords. asked: the request that led to it, as JSON values."""

    keywords: List[str]
    hard: List[str]
    others: List[str]
    asked: Any = None


def read_phrases(folder: str) -> Phrases:
    """The Phrases of a folder of synthesised recordings."""
    return Phrases(**files.read_json(os.path.join(folder, PHRASES), "delete the folder, and run kws words again"))


def make(folder: str, phrases: Phrases, synthesizers: Sequence[Any], amounts: Amounts, seed: int) -> None:
    """Write the recordings of all phrases and of background noise into `folder`, which is there when it is complete."""
    rng, said = np.random.default_rng(seed), []
    plan = [(phrase, amounts.keyword_clips) for phrase in phrases.keywords]
    plan += [(phrase, amounts.hard_clips) for phrase in phrases.hard]
    plan += [(phrase, amounts.other_clips) for phrase in phrases.others]
    speakers, mute = _speakers_by_split(synthesizers, rng), []
    with files.replacing_folder(folder) as part, \
            Progress("synthesising", sum(sum(counts.values()) for _, counts in plan)) as progress:
        for phrase, counts in plan:
            folders = {split: os.path.join(part, split, phrase) for split in counts}
            try:
                for split, count in counts.items():
                    clip = _write(folders[split], phrase, speakers[split], count, rng)
                    progress.update(count)
                    # Noise holds no keyword, and nobody whom the network is measured on.
                    said += [clip] if split == SPLITS[0] and phrase not in phrases.keywords else []
            except KwsError:
                if phrase in phrases.keywords:
                    raise
                mute.append(phrase)
                for folder_of_split in folders.values():
                    shutil.rmtree(folder_of_split, ignore_errors=True)
        write_backgrounds(part, said, rng)
        with open(os.path.join(part, PHRASES), "w", encoding="utf-8") as file:
            json.dump(phrases._asdict(), file, indent=1)
    if mute:
        say("Left out, because a voice says nothing for them or takes too long for a clip: %s" % listed(mute))


def check_length(keyword: str, synthesizer: Any) -> None:
    """Raise a KwsError if a keyword is too long for a clip."""
    voice = synthesizer.voice(synthesizer.speakers[0], np.random.default_rng(0))
    samples = voice.say(keyword, _USUAL_RATE)
    seconds = np.count_nonzero(np.abs(samples) > 0.01) / voice.sample_rate
    longest = LONGEST_WORD_SAMPLES / SAMPLE_RATE
    if seconds > _MOST_HASTE * longest:
        raise KwsError(
            "%r takes about %.1f s to say, but a clip has room for %.1f s" % (keyword, seconds, longest),
            "choose a shorter phrase",
        )


def _speakers_by_split(synthesizers, rng):
    """{split: [(synthesizer, speaker)]}, in random order."""
    people: Dict[Any, List[Any]] = {}
    for number, synthesizer in enumerate(synthesizers):
        for speaker in synthesizer.speakers:
            people.setdefault((number, synthesizer.person(speaker)), []).append((synthesizer, speaker))
    keys = sorted(people)
    order = [people[keys[index]] for index in rng.permutation(len(keys))]
    found = {}
    for split, share in _SHARES.items():
        count = max(1, int(round(share * len(people))))
        found[split], order = sum(order[:count], []), order[count:]
    found[SPLITS[0]] = sum(order, [])
    return {split: [speakers[index] for index in rng.permutation(len(speakers))] for split, speakers in found.items()}


def _write(folder, phrase, speakers, count, rng):
    """Write `count` clips of a phrase by these speakers in turn, from a random one on, and return the last clip."""
    os.makedirs(folder)
    first = rng.integers(len(speakers))
    for number in range(count):
        synthesizer, speaker = speakers[(first + number) % len(speakers)]
        voice = synthesizer.voice(speaker, rng)
        clip = recorded(speech(voice, phrase, rng.uniform(*_RATES)), rng)
        write_wav(os.path.join(folder, "%s_nohash_%d.wav" % (speaker, number)), clip)
    return clip
