"""The light model of a run: light.tflite beside its checkpoints, for commands that need not wait for TensorFlow.

`export.light` writes it. It counts for one checkpoint, whose mark is inside.
"""
import os
from typing import Optional

from .. import files
from ..errors import KwsError
from ..runs import run_directory
from ..runs.description import MODEL, write_detector as write_into_run
from ..settings import DetectorSettings
from . import tflite

MARK = "checkpoint.txt"  # the file, in the zip archive at its end, with `mark`


def path_of(prefix: str) -> str:
    """Where the light model of a checkpoint is, if there is one."""
    return os.path.join(os.path.dirname(prefix), run_directory.LIGHT)


def mark(prefix: str) -> str:
    """What tells a checkpoint from all others: its name, its size, and the hash of its index.

    The index has checksums of all weights, and is much smaller.
    """
    size = os.path.getsize(run_directory.weights_file(prefix))
    return "%s %d %s\n" % (os.path.basename(prefix), size, files.sha256_of(prefix + ".index"))


def find(path: str) -> Optional[str]:
    """The light model that was made from a checkpoint, or from the best one of a run directory; None without one."""
    description, prefix = run_directory.resolve(path)
    light = path_of(prefix)
    try:
        found, inside = tflite.member(light, MARK), tflite.description_of(light)
    except (KwsError, OSError):  # there is none, or it cannot be read
        return None
    compared = "network", "labels", "features", "detector"
    same = all(getattr(inside, name) == getattr(description, name) for name in compared)
    return light if same and found == mark(prefix).encode("utf-8") else None


def write_detector(path: str, settings: DetectorSettings) -> None:
    """Write settings of the detector into the model.json of a run or a checkpoint, and into its light model."""
    light, prefix = find(path), run_directory.resolve(path)[1]
    write_into_run(os.path.join(os.path.dirname(prefix), MODEL), settings)
    if light:
        tflite.write_detector(light, settings)
