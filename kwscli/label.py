"""`kws label`: names what is spoken in sound files."""
import os
import sys
from typing import NamedTuple, Tuple

import numpy as np

from .errors import KwsError
from .sound import audio

STDIN = "-"


class Labelled(NamedTuple):
    """What was heard in a file: (label, score) from the most to the least likely, and which part of it was scored."""

    file: str
    start_ms: int = 0
    duration_ms: int = 0
    scores: Tuple[Tuple[str, float], ...] = ()
    error: str = ""  # why nothing was heard

    def __str__(self):
        if self.error:
            return "Error: " + self.error
        return "%s  %s" % (self.file, "  ".join("%s %.1f %%" % (name, 100 * score) for name, score in self.scores))

    def to_json(self):
        if self.error:
            return {"file": self.file, "error": self.error}
        place = {"start_ms": self.start_ms, "duration_ms": self.duration_ms}
        return dict(place, file=self.file, label=self.scores[0][0], scores=dict(self.scores))


def expand(paths):
    """Files as they are, folders as the sound files below them, in order."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        found = [
            os.path.join(folder, name)
            for folder, folders, names in os.walk(path)
            for name in sorted(names)
            if folders.sort() is None and audio.is_sound(name)
        ]
        if not found:
            raise KwsError("there is no sound file in %s" % path)
        yield from found


def label_all(classifier, paths, top=None):
    """Yield a Labelled for each file; one that cannot be read says so and the others go on."""
    for path in paths:
        try:
            yield label(classifier, path, top)
        except audio.UnreadableAudio as error:
            yield Labelled(path, error=str(error))


def label(classifier, path, top=None):
    """Score one file (`-`: standard input). One that is longer than a clip is judged by its loudest part."""
    source = sys.stdin.buffer.read() if path == STDIN else path
    if source == b"":
        raise audio.UnreadableAudio("standard input is empty; pipe a sound file into it")
    settings = classifier.features
    samples = audio.read(source, settings.sample_rate, "standard input" if path == STDIN else path)
    start, clip = audio.loudest_clip(samples, settings.clip_samples, settings.sample_rate)
    scores = classifier.scores(clip[np.newaxis])[0]
    ranked = [(classifier.labels[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")]
    milliseconds = 1000 / settings.sample_rate
    scored = min(len(samples), settings.clip_samples)
    return Labelled(path, round(start * milliseconds), round(scored * milliseconds), tuple(ranked[:top]))
