"""`kws freeze`: a checkpoint -> files of the chosen formats, each checked before it counts."""
import dataclasses
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import classifiers, files, imports
from ..console import say
from ..data import dataset
from ..data.batches import EvaluationSet, rng_of
from ..errors import KwsError
from ..labels import write_labels
from ..runs import run_directory
from ..sound import audio
from . import DEFAULT_FORMATS, chosen, light, load

CLIPS_CHECKED = 32
# The largest difference from the checkpoint's scores that counts as the same network.
TOLERANCE = 1e-4


class Exported(NamedTuple):
    """A file that was written: its format, its size in bytes, and how far its scores are from the checkpoint's."""

    path: str
    format: str
    summary: str
    size: int
    difference: float
    check: str  # how it agrees with the checkpoint, in one line
    note: str  # what to do with it, "" for nothing in particular


def freeze(
    path: Optional[str] = None, output: Optional[str] = None, data_path: Optional[str] = None,
    formats: Sequence[str] = DEFAULT_FORMATS,
) -> List[Exported]:
    """Write a checkpoint in some formats, and its labels to NAME_labels.txt beside them.

    path: a run directory or a checkpoint; None: the newest run. output: a file name, whose ending is replaced by that
    of each format, or a folder. data_path: prepared data for the clips that the files are checked on.
    """
    formats = chosen(formats)
    path = path or run_directory.newest()
    if path.endswith(tuple(classifiers.BY_SUFFIX)):
        raise KwsError("%s is frozen already" % path, "name the checkpoint or the run directory it was made from")
    description, prefix = run_directory.resolve(path)
    stem = _stem(output or os.path.dirname(prefix) or ".", description.architecture)
    os.makedirs(os.path.dirname(stem) or ".", exist_ok=True)
    description = dataclasses.replace(description, data_path=data_path or description.data_path)
    clips = _clips_to_check(description)
    with classifiers.open(prefix) as original:
        written = [_write_checked(stem, name, description, original, clips) for name in formats]
    write_labels(stem + "_labels.txt", description.labels)
    if os.path.realpath(prefix) == _best_beside(prefix):
        light.update(prefix)
    return written


def _best_beside(prefix):
    """The best checkpoint of the run that a checkpoint is in; None where it is in none."""
    folder = os.path.dirname(prefix) or "."
    if not run_directory.read_state(folder)[1]:
        return None
    return os.path.realpath(run_directory.resolve(folder)[1])


def settings_of(path: Optional[str]) -> Dict[str, Any]:
    """{name: value} of what a run directory or a checkpoint says about its network."""
    description = run_directory.resolve(path or run_directory.newest())[0]
    known = dict(vars(description.features), **vars(description.data))
    return dict(known, model_architecture=description.architecture, model_size_info=description.model_size_info)


def _stem(output, name):
    """What the names of all files begin with: FILE of FILE.pb or FILE.tflite, or `name` in a folder."""
    if os.path.isdir(output) or output.endswith(os.sep):
        return os.path.join(output, name)
    stem, suffix = os.path.splitext(output)
    return stem if suffix in classifiers.BY_SUFFIX else output


def _write_checked(stem, name, description, original, clips):
    """Write one format beside its place, compare it with the checkpoint's Classifier, and move it to its place."""
    with imports.guarded():
        module = load(name)
    path = stem + module.SUFFIX
    with files.replacing_path(path) as part:
        module.write(part, description, original.path)
        with classifiers.open(part) as exported:
            difference = float(np.abs(exported.scores(clips) - original.scores(clips)).max())
            if hasattr(module, "check"):
                check = module.check(exported, original, description)
            else:
                check = _check_scores(path, difference)
    note = module.note(path) if hasattr(module, "note") else ""
    return Exported(path, name, module.SUMMARY, os.path.getsize(path), difference, check, note)


def _check_scores(path, difference):
    """Refuse a file whose scores are not those of the checkpoint -> one line that says how they agree."""
    if not difference <= TOLERANCE:
        raise KwsError("the scores of %s are not those of the checkpoint: they differ by %.2g" % (path, difference))
    return "scores within %.1g of the checkpoint's" % difference


def _clips_to_check(description):
    """Real clips where the data of the run is still there, else noise."""
    data_path = description.data_path
    if data_path and dataset.is_prepared(data_path):
        clips = EvaluationSet(dataset.load(data_path), description.data.wanted_words, description.features, "testing")
        if len(clips):
            return _as_16_bit(clips.clips(slice(0, CLIPS_CHECKED)))
    say("There is no prepared data in %s, so the files are checked on noise." % (data_path or "the run's model.json"))
    noise = rng_of(0).uniform(-0.3, 0.3, (CLIPS_CHECKED, description.features.clip_samples)).astype(np.float32)
    return _as_16_bit(noise)


def _as_16_bit(clips):
    """Clips as they are read from a WAV file, because some formats take the bytes of a WAV file."""
    return audio.to_int16(clips) / np.float32(audio.FULL_SCALE)
