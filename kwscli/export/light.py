"""Writes the light model of a run; see `classifiers.light`. It is an extra: where it fails, the work goes on."""
import time
from typing import Optional

import numpy as np

from .. import classifiers, files, imports
from ..classifiers import light
from ..console import say
from ..data.batches import rng_of
from ..errors import KwsError
from ..runs import run_directory

CLIPS_CHECKED = 4
TOLERANCE = 1e-4  # of its scores
SHARE = 0.01  # of the time of a training that light models may take before its end
FIRST_SECONDS = 5.0  # that the first one takes, for all that is known before


def update(path: str) -> None:
    """Make the light model of a run directory, or of a checkpoint, where there is none that belongs to it."""
    try:
        if not light.find(path):
            _write(*run_directory.resolve(path))
    except (KwsError, OSError) as error:
        say("There is no light model in %s, so kws label waits for TensorFlow: %s." % (path, error))


def _write(description, prefix):
    with imports.guarded():
        from . import tflite

    path = light.path_of(prefix)
    with files.replacing_path(path) as part:
        tflite.write(part, description, prefix, {light.MARK: light.mark(prefix).encode("utf-8")})
        shape = CLIPS_CHECKED, description.features.clip_samples
        noise = rng_of(0).uniform(-0.3, 0.3, shape).astype(np.float32)
        with classifiers.open(prefix) as original, classifiers.open(part) as made:
            difference = np.abs(original.scores(noise) - made.scores(noise)).max()
        if not difference <= TOLERANCE:
            raise KwsError("its scores are not those of the checkpoint: they differ by %.2g" % difference)


class Refresher:
    """Keeps the light model of a run fresh during the training, as far as that takes little of its time."""

    def __init__(self, folder: str) -> None:
        self._folder, self._spent, self._last = folder, 0.0, FIRST_SECONDS
        self._made: Optional[int] = None

    def refresh(self, best_step: int, training_seconds: float) -> None:
        """Make it for a new best step, unless it would take more than SHARE of the seconds of training so far."""
        if best_step == self._made or self._spent + self._last > SHARE * training_seconds:
            return
        began = time.monotonic()
        update(self._folder)
        self._last = time.monotonic() - began
        self._spent += self._last
        self._made = best_step
