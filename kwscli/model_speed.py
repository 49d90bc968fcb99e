"""`kws bench MODEL...`: how long models take for a clip, in one table.

Other programs on the machine disturb measurements. So the models are measured in turns.
"""
import contextlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from . import classifiers, console
from .classifiers.classifier import BATCH
from .evaluation.cost import noise
from .sound.features import features
from .timing import lower_quartile, seconds_per_call

CALLS = 10  # per round, with one clip each


class Speed(NamedTuple):
    """What is known about one model. Times are milliseconds per clip."""

    path: str
    format: str
    size: int  # bytes
    one: float  # from the samples of one clip to its scores
    features: Optional[float]  # the part of it that computes the features; None for a model that does so itself
    network: Optional[float]  # the part of it that computes the scores
    batch: float  # from samples to scores, with BATCH clips at once

    def to_json(self) -> Dict[str, Any]:
        return {
            "checkpoint": self.path, "format": self.format, "bytes": self.size, "milliseconds_per_clip": self.one,
            "features_milliseconds": self.features, "network_milliseconds": self.network,
            "batch_milliseconds_per_clip": self.batch, "batch": BATCH,
        }


def measure(paths: Sequence[str], labels: Optional[str], rounds: int) -> List[Speed]:
    """Measure models; see `classifiers.open`."""
    with contextlib.ExitStack() as stack:
        models = [stack.enter_context(classifiers.open(path, labels)) for path in paths]
        parts, times = [_parts(model) for model in models], [[] for _ in models]
        with console.Progress("measuring", rounds, "rounds") as progress:
            for _ in range(rounds):
                for mine, found in zip(parts, times):
                    found.append([_milliseconds(*part) for part in mine])
                progress.update()
        return [_speed(path, model, np.array(found)) for path, model, found in zip(paths, models, times)]


def _parts(model):
    """[(function, its calls per round, clips per call)] of what is measured. The first calls are made here."""
    clips = noise(model, BATCH)
    parts = [(lambda: model.scores(clips[:1]), CALLS, 1), (lambda: model.scores(clips), 1, BATCH)]
    if model.takes_features:
        rows = features(clips[:1], model.features)
        parts += [
            (lambda: features(clips[:1], model.features), CALLS, 1), (lambda: model.scores_of_features(rows), CALLS, 1)
        ]
    for function, _, _ in parts:
        function()
    return parts


def _milliseconds(function, calls, clips):
    """The time per clip, as the mean of some calls."""
    return 1000 * seconds_per_call(function, calls, calls)[0, 0] / clips


def _speed(path, model, times):
    """times [rounds, parts]: milliseconds per clip."""
    one, batch, *apart = [lower_quartile(column) for column in times.T]
    of_features, of_network = apart or (None, None)
    return Speed(path, model.format, model.size, one, of_features, of_network, batch)


def table(speeds: Sequence[Speed]) -> str:
    """The speeds as text."""
    rows = [("model", "format", "bytes", "ms per clip", "features", "network", "in batches of %d" % BATCH)]
    for one in speeds:
        times = one.one, one.features, one.network, one.batch
        rows.append((one.path, one.format, one.size, *(None if value is None else "%.3f" % value for value in times)))
    return console.table(rows, "<<>")
