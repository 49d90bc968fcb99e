"""`kws freeze`: a checkpoint -> files of the chosen formats, each checked before it counts."""
import contextlib
import dataclasses
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import classifiers, files
from ..console import say
from ..data import dataset
from ..data.batches import EvaluationSet, rng_of
from ..errors import KwsError, Unavailable
from ..labels import write_labels
from ..runs import run_directory
from ..sound import audio
from . import ALL, DEFAULT_FORMATS, checks, chosen, light, load

CLIPS_CHECKED = 32


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
    everything, formats = ALL in formats, chosen(formats)
    path = path or run_directory.newest()
    if classifiers.is_exported(path):
        raise KwsError("%s is frozen already" % path, "name the checkpoint or the run directory it was made from")
    description, prefix = run_directory.resolve(path)
    stem = _stem(output or os.path.dirname(prefix) or ".", description.architecture)
    os.makedirs(os.path.dirname(stem) or ".", exist_ok=True)
    description = dataclasses.replace(
        description, data_path=data_path or description.data_path, validation=run_directory.validation_of(prefix)
    )
    clips, written = _clips_to_check(description), []
    with classifiers.open(prefix) as original, contextlib.ExitStack() as all_or_nothing:
        for name in _on_this_machine(formats):
            try:
                written.append(_write_checked(stem, name, description, original, clips, all_or_nothing))
            except Unavailable as error:
                if not everything:
                    raise
                say("Left out %s: %s" % (name, error))
        write_labels(stem + "_labels.txt", description.labels)
    if os.path.realpath(prefix) == _best_beside(prefix):
        light.update(prefix)
    return [_with_note(one) for one in written]


def _on_this_machine(names):
    """The names of the formats to write, where a format may have a substitute on this machine."""
    found = []
    for name in names:
        module = load(name)
        other = module.instead() if hasattr(module, "instead") else ""
        if other:
            say("This machine cannot write %s, so kws writes %s and shows how to convert it." % (name, other))
        found.append(other or name)
    return list(dict.fromkeys(found))


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


def _write_checked(stem, name, description, original, clips, all_or_nothing):
    """Write one format beside its place and compare it with the checkpoint. It moves to its place at the end."""
    module = load(name)
    path = stem + module.SUFFIX
    with contextlib.ExitStack() as this_one:
        is_folder = getattr(module, "FOLDER", False)
        part = this_one.enter_context(files.replacing_folder(path) if is_folder else files.replacing_path(path))
        module.write(part, description, original.path)
        if hasattr(module, "check"):
            difference, line = module.check(part, description, original, clips)
        else:
            difference = checks.difference(part, original, clips)
            line = checks.agreement(path, difference)
        if is_folder:
            _check_replaceable(path, part)
        size = files.size_of(part)
        all_or_nothing.push(this_one.pop_all())
    return Exported(path, name, module.SUMMARY, size, difference, line, "")


def _with_note(exported):
    module = load(exported.format)
    return exported._replace(note=module.note(exported.path)) if hasattr(module, "note") else exported


def _check_replaceable(path, part):
    """Refuse to replace a folder that has other files than the new one."""
    if os.path.isfile(path):
        raise KwsError("%s is a file, but this format is a folder" % path, "choose another --output")
    others = sorted(set(_files_in(path)) - set(_files_in(part)))
    if others:
        raise KwsError(
            "%s holds files that kws did not write, such as %s" % (path, others[0]), "choose another --output"
        )


def _files_in(folder):
    return [
        os.path.relpath(os.path.join(inside, name), folder) for inside, _, names in os.walk(folder) for name in names
    ]


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
