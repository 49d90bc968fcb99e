"""The run directory: everything a training leaves, and everything needed to use or go on with it.

    RUN/
      model.json            the network, its features, labels and how it was trained; written before step 1
      labels.txt            the labels, one a line
      NAME-STEP.ckpt.*      checkpoints (TensorFlow's Saver format): the best, and the last two
      state.json            which checkpoints there are and which is best; replaced only when a new one is whole
      metrics.jsonl         a line every few steps and at each validation
      train_ID.log          every loss
"""
import contextlib
import dataclasses
import glob
import json
import os
import platform
import re
import shutil
from typing import Dict, NamedTuple, Optional, Tuple

from .. import __version__, files
from ..errors import KwsError
from ..labels import write_labels
from ..models import ARCHITECTURES
from ..settings import DataSettings, TrainSettings, from_json, to_json
from ..sound.feature_settings import FeatureSettings

FORMAT = 1
MODEL, STATE, METRICS, LABELS = "model.json", "state.json", "metrics.jsonl", "labels.txt"
_SETTINGS = {"features": FeatureSettings, "data": DataSettings, "train": TrainSettings}


@dataclasses.dataclass(frozen=True)
class Description:
    """What model.json holds: enough to rebuild the network, its features and its labels."""

    architecture: str
    model_size_info: Tuple[int, ...]
    labels: Tuple[str, ...]
    features: FeatureSettings
    data: DataSettings
    train: TrainSettings
    data_path: str = ""
    data_sha256: str = ""
    start_checkpoint: str = ""
    workers: int = 1  # that train together
    versions: Dict[str, str] = dataclasses.field(default_factory=dict, compare=False)

    def to_json(self):
        """As plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values.update({name: to_json(values[name]) for name in _SETTINGS})
        return dict(values, format=FORMAT, model_size_info=list(self.model_size_info), labels=list(self.labels))

    @classmethod
    def from_json(cls, values, where):
        """The description that `to_json` gave; `where` is named in errors."""
        values = dict(values)
        if values.get("format") != FORMAT:
            raise KwsError(
                "%s has format %s and this kws %s reads %d; use the kws that wrote it, or a newer one"
                % (where, values.get("format"), __version__, FORMAT)
            )
        del values["format"]
        names = {field.name for field in dataclasses.fields(cls)}
        unknown, missing = sorted(set(values) - names), sorted(names - {"workers"} - set(values))
        if unknown or missing:
            raise KwsError("%s lacks %s; it is damaged or of another version of kws" % (where, missing) if missing else
                           "%s holds %s, which this kws %s does not know; update kws" % (where, unknown, __version__))
        values.update({name: from_json(kind, values[name], where) for name, kind in _SETTINGS.items()})
        for name in ("model_size_info", "labels"):
            values[name] = tuple(values[name])
        return cls(**values)

    def differences(self, other):
        """Settings in which two descriptions differ, as `name: mine, not theirs`."""
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        different = [name for name in mine if mine[name] != theirs.get(name)]
        return ["%s %s, not %s" % (name, mine[name], theirs.get(name)) for name in different]


def _flat(values):
    """{"train": {"seed": 1}} -> {"seed": 1}, without what is only for the record."""
    flat = {}
    for name, value in values.items():
        if name != "versions":
            flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def versions(tensorflow_version):
    """What a run was made with, for the record."""
    return {"kws": __version__, "python": platform.python_version(), "tensorflow": tensorflow_version}


def read_description(path):
    """The Description in a model.json."""
    try:
        with open(path, encoding="utf-8") as file:
            return Description.from_json(json.load(file), path)
    except FileNotFoundError:
        raise KwsError(
            "there is no %s; a checkpoint is used with the model.json that kws train wrote beside it" % path
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise KwsError("%s is damaged: %s" % (path, error))


class Checkpoint(NamedTuple):
    """An entry of state.json: a checkpoint, and how far the run's other files went when it was made."""

    step: int
    seconds: float  # of training so far
    loss: float
    best_step: Optional[int]
    best_accuracy: Optional[float]
    file_sizes: Dict[str, int]


class RunDirectory:
    """A run directory that this process trains in. Use `opened`."""

    def __init__(self, path, description, log_name):
        self.path, self.description, self._log_name = path, description, log_name
        self.checkpoints = read_state(path)[1]
        self._files = {}

    def file(self, name):
        return os.path.join(self.path, name)

    def prefix(self, step):
        """The path of a checkpoint, as TensorFlow's Saver takes it."""
        return self.file(checkpoint_name(self.description, step))

    def begin(self):
        """Write what describes the run, before its first step."""
        write_labels(self.file(LABELS), self.description.labels)
        with files.replacing(self.file(MODEL)) as file:
            json.dump(self.description.to_json(), file, indent=1)

    def go_on_from(self, checkpoint):
        """Cut the logs to where they were at a checkpoint (None: the beginning) and forget what came after it."""
        self.checkpoints = [one for one in self.checkpoints if checkpoint and one.step <= checkpoint.step]
        for name in (METRICS, self._log_name):
            self._files[name] = open(self.file(name), "a", encoding="utf-8")
            self._files[name].truncate(checkpoint.file_sizes.get(name, 0) if checkpoint else 0)

    def log(self, line):
        """A line for the log file."""
        self._files[self._log_name].write(line + "\n")

    def metric(self, **values):
        """A line for metrics.jsonl."""
        self._files[METRICS].write(json.dumps(values) + "\n")

    def flush(self):
        for file in self._files.values():
            file.flush()

    def save(self, step, seconds, loss, best, write):
        """Keep a checkpoint that write(prefix) makes. best: (step, accuracy) of the best validation so far, or None."""
        self.flush()
        sizes = {name: os.path.getsize(self.file(name)) for name in self._files}
        part = self.file(".part.ckpt")
        write(part)
        for made in glob.glob(glob.escape(part) + ".*"):
            os.replace(made, self.prefix(step) + made[len(part):])
        best_step, best_accuracy = best or (None, None)
        self.checkpoints.append(Checkpoint(step, seconds, loss, best_step, best_accuracy, sizes))
        self._prune(best_step)
        self._write_state(finished=False)
        self._remove_others()

    def finish(self, summary):
        """The run is complete: keep its summary, `Key = value` a line, in the log and in CASENAME.log."""
        lines = ["%s = %s" % item for item in summary.items()]
        for line in lines:
            self.log(line)
        self.flush()
        with files.replacing(self.file(summary["CaseName"] + ".log")) as file:
            file.write("\n".join(lines) + "\n")
        self._write_state(finished=True)

    def _write_state(self, finished):
        with files.replacing(self.file(STATE)) as file:
            state = {"finished": finished, "checkpoints": [one._asdict() for one in self.checkpoints]}
            json.dump(state, file, indent=1)

    def _prune(self, best_step):
        """Keep the last two checkpoints and those that are the best of one of them."""
        last_two = self.checkpoints[-2:]
        steps = {best_step} | {one.step for one in last_two} | {one.best_step for one in last_two}
        self.checkpoints = [one for one in self.checkpoints if one.step in steps]

    def _remove_others(self):
        kept = {checkpoint_name(self.description, one.step) for one in self.checkpoints}
        for name in _checkpoint_files(self.path):
            if name.partition(".ckpt")[0] + ".ckpt" not in kept:
                os.remove(self.file(name))

    def close(self):
        for file in self._files.values():
            file.close()


def checkpoint_name(description, step):
    return "%s-%d.ckpt" % (description.architecture, step)


def _checkpoint_files(path):
    """Names in a run directory that kws gave to checkpoints; what else lies there is not its own."""
    ours = re.compile(r"(\.part|(%s)-\d+)\.ckpt\." % "|".join(ARCHITECTURES))
    return [name for name in os.listdir(path) if ours.match(name)]


def read_state(path):
    """state.json of a run directory -> (whether the run is finished, its Checkpoints, oldest first)."""
    state = os.path.join(path, STATE)
    if not os.path.exists(state):
        return False, []
    try:
        with open(state, encoding="utf-8") as file:
            values = json.load(file)
        return values["finished"], [Checkpoint(**entry) for entry in values["checkpoints"]]
    except (ValueError, KeyError, TypeError) as error:
        raise KwsError("%s is damaged (%s); name a checkpoint of %s by its file, or train anew" % (state, error, path))


def read_metrics(path):
    """The lines of metrics.jsonl in a run directory."""
    with open(os.path.join(path, METRICS), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def opened(path, description, log_name, overwrite=False):
    """The run directory at `path`, for this process alone. An earlier run with other settings is an error."""
    with files.only_one(path, "is training in"):
        if os.path.exists(os.path.join(path, MODEL)):
            if overwrite:
                _clear(path)
            else:
                _check_same(path, description)
        run = RunDirectory(path, description, log_name)
        try:
            run.begin()
            yield run
        finally:
            run.close()


def _check_same(path, description):
    earlier = read_description(os.path.join(path, MODEL))
    differences = description.differences(earlier)
    if differences and _checkpoint_files(path):  # else nothing would be lost
        raise KwsError(
            "%s holds a run with other settings (now %s); use another --train-dir, or --overwrite to lose that run"
            % (path, "; ".join(differences))
        )
    if read_state(path)[0]:
        raise KwsError(
            "%s holds a finished run with these settings; use another --train-dir, or --overwrite to lose that run"
            % path
        )


def _clear(path):
    """Remove what a run leaves, and nothing else."""
    logs = re.compile(r"train_\d+\.log|.*_bs\d+_\d+p_acc\.log")
    others = [name for name in os.listdir(path) if logs.fullmatch(name) or name in (MODEL, STATE, METRICS, LABELS)]
    for name in _checkpoint_files(path) + others:
        os.remove(os.path.join(path, name))
    if os.path.isdir(os.path.join(path, "summaries")):
        shutil.rmtree(os.path.join(path, "summaries"))


def newest(folder="output"):
    """The run directory under `folder` that was trained last."""
    found = glob.glob(os.path.join(glob.escape(folder), "**", STATE), recursive=True)
    if not found:
        raise KwsError("there is no trained network under %s; run kws train, or name one with --checkpoint" % folder)
    return os.path.dirname(max(found, key=os.path.getmtime))


def resolve(path):
    """A run directory (meaning its best checkpoint), a checkpoint or one of its files -> (Description, prefix)."""
    if os.path.isdir(path):
        description = read_description(os.path.join(path, MODEL))
        checkpoints = read_state(path)[1]
        if not checkpoints:
            there = sorted(name for name in _checkpoint_files(path) if name.endswith(".index"))
            if there:
                raise KwsError("%s lacks %s, which says which checkpoint is the best; name one by its file: %s"
                               % (path, STATE, os.path.join(path, there[-1])))
            raise KwsError("%s holds no checkpoint yet; let kws train go on until the first" % path)
        last = checkpoints[-1]
        prefix = os.path.join(path, checkpoint_name(description, last.best_step or last.step))
    else:
        prefix = path
        for suffix in (".index", ".meta", ".data-00000-of-00001"):
            prefix = prefix[: -len(suffix)] if prefix.endswith(suffix) else prefix
        if not glob.glob(glob.escape(prefix) + ".*"):
            raise KwsError("there is no checkpoint %s" % path)
        description = read_description(os.path.join(os.path.dirname(prefix), MODEL))
    for suffix in (".index", ".data-00000-of-00001"):
        if not os.path.exists(prefix + suffix):
            missing = os.path.basename(prefix) + suffix
            raise KwsError("the checkpoint %s is not whole: %s is missing" % (prefix, missing))
    return description, prefix
