"""Models for Ascend chips (.om), which kws writes but cannot run."""
from typing import Optional

from ..errors import KwsError
from .classifier import Classifier


def open_model(path: str, labels_path: Optional[str] = None) -> Classifier:
    """Say what to use instead."""
    raise KwsError("only an Ascend chip can run %s" % path, "name the checkpoint or the graph that it was made from")
