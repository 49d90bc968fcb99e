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
from . import DEFAULT_FORMATS, chosen, load

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
    return written


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
    replacing = files.replacing_folder if getattr(module, "FOLDER", False) else files.replacing_path
    with replacing(path) as part:
        module.write(part, description, original.path)
        if hasattr(module, "finish"):
            difference, check = module.finish(part, original, description, clips)
        else:
            difference, check = _compared(path, part, module, description, original, clips)
        _check_replaceable(path, part)
    note = module.note(path) if hasattr(module, "note") else ""
    return Exported(path, name, module.SUMMARY, _size(path), difference, check, note)


def _check_replaceable(path, part):
    """Refuse to replace a folder that holds other files than the new one, or to replace a file by a folder."""
    if os.path.isdir(part) and os.path.lexists(path):
        if not os.path.isdir(path):
            raise KwsError("%s is a file, not a folder" % path, "move it, or choose another --output")
        others = sorted(set(os.listdir(path)) - set(os.listdir(part)))
        if others:
            raise KwsError(
                "%s holds other files (%s)" % (path, ", ".join(others[:3]) + ", ..." * (len(others) > 3)),
                "move them, or choose another --output",
            )


def _compared(path, part, module, description, original, clips):
    """Open a file that was written and compare it -> (largest difference, how it agrees in one line)."""
    with classifiers.open(part) as exported:
        difference = float(np.abs(exported.scores(clips) - original.scores(clips)).max())
        if hasattr(module, "check"):
            return difference, module.check(exported, original, description)
        return difference, _check_scores(path, difference)


def _size(path):
    """The bytes of a file, or of all files in a folder."""
    if os.path.isdir(path):
        return sum(_size(os.path.join(path, name)) for name in os.listdir(path))
    return os.path.getsize(path)


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
