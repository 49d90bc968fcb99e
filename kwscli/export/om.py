"""A model for Ascend chips, which CANN's `atc` makes from the graph of `pb-features`. Only such a chip can run it."""
import os
import shutil
import subprocess
import tempfile
from typing import Tuple

import numpy as np

from ..classifiers.classifier import Classifier
from ..errors import KwsError
from ..runs.description import Description
from . import checks, pb_features

SUFFIX = ".om"
SUMMARY = "for Ascend chips"


def instead() -> str:
    """The format that takes the place of this one on this machine, "" for none."""
    return "" if shutil.which("atc") else "pb-features"


def write(path: str, description: Description, prefix: str) -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        graph, made = os.path.join(folder, "graph.pb"), os.path.join(folder, "model")
        pb_features.write(graph, description, prefix)
        done = subprocess.run(
            pb_features.atc(graph, made), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        if done.returncode or not os.path.exists(made + SUFFIX):
            lines = done.stdout.strip().splitlines() or ["it wrote nothing"]
            raise KwsError(
                "atc ended with exit status %d: %s" % (done.returncode, lines[-1]),
                "choose the chip with the environment variable %s, or run the command that --format pb-features shows"
                % pb_features.SOC_VERSION,
            )
        shutil.copyfile(made + SUFFIX, path)


def check(path: str, description: Description, original: Classifier, clips: np.ndarray) -> Tuple[float, str]:
    """Compare the graph that the file was made from with the checkpoint: only a chip can run the file itself."""
    with tempfile.TemporaryDirectory() as folder:
        graph = os.path.join(folder, "graph.pb")
        pb_features.write(graph, description, original.path)
        difference = checks.difference(graph, original, clips)
    return difference, "made from a graph with " + checks.agreement(path, difference)
