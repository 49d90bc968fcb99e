"""`--start-checkpoint`: what a training takes over, except for the weights themselves: the network and its features."""
import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

from .. import classifiers, files, models
from ..errors import KwsError
from ..runs import run_directory
from ..runs.description import MODEL, Description, read_description
from ..settings import flag_of
from ..sound import feature_settings


class Start(NamedTuple):
    """What a training starts with."""

    path: str = ""  # in full; "" if it starts with random weights
    sha256: str = ""  # of its weights; "" if the file is gone, which only a run that continues allows
    known: Optional[Description] = None  # of the network that the training must keep; None if it may choose

    def __bool__(self) -> bool:
        return bool(self.path or self.known)

    def train_settings(self) -> Dict[str, Any]:
        """The settings {name: value} of TrainSettings that are a part of the network."""
        return {"normalize_features": self.known.train.normalize_features} if self.known else {}

    def network(self, flags: Dict[str, Any]) -> Tuple[str, models.Size, feature_settings.FeatureSettings]:
        """(architecture, size, features) of the known network. Refuses flags {name: value or None} that differ."""
        known = self.known
        _refuse("architecture", flags, known.architecture, flag="--model-architecture")
        size = models.custom(*known.network)
        if flags["model_size"]:
            wanted = models.published(known.architecture, flags["model_size"]).model_size_info
            if wanted != size.model_size_info:
                raise _differs("--model-size", flags["model_size"], ",".join(map(str, size.model_size_info)))
        _refuse("model_size_info", flags, size.model_size_info)
        _refuse("normalize_features", flags, known.train.normalize_features)
        feature_settings.chosen(flags, vars(known.features))
        for name, value in vars(known.features).items():
            _refuse(name, flags, value)
        return known.architecture, size, known.features


def find(path: Optional[str], run_path: str, overwrite: bool) -> Start:
    """What --start-checkpoint names, or what the run that continues has started with."""
    start, sha256 = _located(path, run_path, overwrite) if path else ("", "")
    if _continues(run_path, overwrite):
        before = read_description(os.path.join(run_path, MODEL))
        if before.start_checkpoint:
            return Start(start, sha256, before)
    return Start(start, sha256, classifiers.description(start) if start else None)


def _refuse(name, flags, known, flag=None):
    if flags[name] not in (None, known):
        raise _differs(flag or flag_of(name), _shown(flags[name]), _shown(known))


def _shown(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _differs(flag, mine, theirs):
    return KwsError(
        "%s is %s, but that of the start checkpoint is %s" % (flag, mine, theirs),
        "leave %s out, or start without --start-checkpoint" % flag,
    )


def _located(path, run_path, overwrite):
    """(the full path of a start checkpoint, the SHA-256 of its weights).

    Refuses one that this run would overwrite, or that kws cannot read. A run that continues does not read it again, so
    it may be gone by then; its SHA-256 is "" then.
    """
    sha256 = ""
    try:
        path = classifiers.located(path)
        sha256 = files.sha256_of(classifiers.weights_file(path))
    except (KwsError, OSError):
        if not _continues(run_path, overwrite):
            raise
    start = os.path.realpath(path)
    if os.path.realpath(run_path) == (start if os.path.isdir(start) else os.path.dirname(start)):
        raise KwsError(
            "--start-checkpoint %s is in %s, which is also the train dir of this run" % (path, run_path),
            "choose another --train-dir",
        )
    return os.path.abspath(path), sha256


def _continues(run_path, overwrite):
    return not overwrite and bool(run_directory.read_state(run_path)[1])
