"""The run directory: everything that a training leaves, and everything that is needed to use or continue it.

    RUN/
      model.json            the network, its features, its labels and how it was trained; written before step 1
      labels.txt            one label per line
      NAME-STEP.ckpt.*      checkpoints (TensorFlow's Saver format): the best one and the last two
      state.json            which checkpoints exist and which one is best; replaced only when a new one is complete
      light.tflite          the best checkpoint for TensorFlow Lite, see classifiers.light; absent or old for a while
      metrics.jsonl         one line every few steps and at each validation
      train_ID.log          every loss
"""
import contextlib
import dataclasses
import glob
import json
import os
import re
import shutil
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .. import files
from ..errors import KwsError
from ..labels import write_labels
from ..metrics import Result
from ..models import ARCHITECTURES
from .description import MODEL, Description, read_description

STATE, METRICS, LABELS, LIGHT = "state.json", "metrics.jsonl", "labels.txt", "light.tflite"
OUTPUT = "output"  # the folder that runs go to by default
SEED_FOLDER = "seed-%d"  # the run of a seed in the train dir of kws train --seeds
_CHECKPOINT_SUFFIXES = ".index", ".meta", ".data-00000-of-00001"


class Checkpoint(NamedTuple):
    """An entry of state.json: a checkpoint, and how long the run's other files were when it was made."""

    step: int
    seconds: float  # of training so far
    loss: float
    best_step: Optional[int]
    best_accuracy: Optional[float]
    file_sizes: Dict[str, int]


class RunResult(NamedTuple):
    """The accuracies of the best weights of a finished run; None where there were no clips."""

    validation: Optional[float]
    testing: Optional[float]
    testing_clips: int


class RunDirectory:
    """A run directory that this process trains in. Use `opened`.

    checkpoints: those that are there already, oldest first.
    """

    def __init__(self, path: str, description: Description, log_name: str, checkpoints: List[Checkpoint]) -> None:
        self.path, self.description, self.checkpoints = path, description, checkpoints
        self._log_name = log_name
        self._files, self._tested = {}, {}

    def file(self, name: str) -> str:
        """The path of a file in the directory."""
        return os.path.join(self.path, name)

    def prefix(self, step: int) -> str:
        """The path of a checkpoint, in the form that TensorFlow's Saver takes."""
        return self.file(checkpoint_name(self.description, step))

    def begin(self) -> None:
        """Write the files that describe the run, before its first step."""
        write_labels(self.file(LABELS), self.description.labels)
        with files.replacing(self.file(MODEL)) as file:
            json.dump(self.description.to_json(), file, indent=1)

    def go_on_from(self, checkpoint: Optional[Checkpoint]) -> None:
        """Cut the logs to their length at a checkpoint (None: the beginning) and forget later checkpoints."""
        self.checkpoints = [one for one in self.checkpoints if checkpoint and one.step <= checkpoint.step]
        for name in (METRICS, self._log_name):
            self._files[name] = open(self.file(name), "a", encoding="utf-8")
            self._files[name].truncate(checkpoint.file_sizes.get(name, 0) if checkpoint else 0)

    def log(self, line: str) -> None:
        """Add a line to the log file."""
        self._files[self._log_name].write(line + "\n")

    def metric(self, **values: Any) -> None:
        """Add a line to metrics.jsonl."""
        self._files[METRICS].write(json.dumps(values) + "\n")

    def flush(self) -> None:
        """Write what is still in memory to the files."""
        for file in self._files.values():
            file.flush()

    def save(
        self, step: int, seconds: float, loss: float, best: Optional[Tuple[int, float]], write: Callable[[str], Any]
    ) -> None:
        """Keep the checkpoint that write(prefix) makes. best: (step, accuracy) of the best validation so far."""
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

    def finish(self, summary: Dict[str, Any], test: Optional[Result] = None) -> None:
        """Mark the run as complete, and write `Key = value` lines of its summary to the log and to CASENAME.log.

        test: the Result of the best weights; None if there are no testing clips.
        """
        lines = ["%s = %s" % item for item in summary.items()]
        for line in lines:
            self.log(line)
        self.flush()
        with files.replacing(self.file(summary["CaseName"] + ".log")) as file:
            file.write("\n".join(lines) + "\n")
        if test:
            self._tested = {"test_accuracy": test.accuracy, "test_clips": test.count}
        self._write_state(finished=True)

    def _write_state(self, finished):
        with files.replacing(self.file(STATE)) as file:
            state = {"finished": finished, "checkpoints": [one._asdict() for one in self.checkpoints]}
            json.dump(dict(state, **self._tested), file, indent=1)

    def _prune(self, best_step):
        """Keep the last two checkpoints, and the best one as of each of them."""
        last_two = self.checkpoints[-2:]
        steps = {best_step} | {one.step for one in last_two} | {one.best_step for one in last_two}
        self.checkpoints = [one for one in self.checkpoints if one.step in steps]

    def _remove_others(self):
        kept = {checkpoint_name(self.description, one.step) for one in self.checkpoints}
        for name in _checkpoint_files(self.path):
            if name.partition(".ckpt")[0] + ".ckpt" not in kept:
                os.remove(self.file(name))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def checkpoint_name(description: Description, step: int) -> str:
    """`ds_cnn-400.ckpt`."""
    return "%s-%d.ckpt" % (description.architecture, step)


def _checkpoint_files(path):
    """Names of the checkpoint files in a run directory. Files of other programs have other names."""
    ours = re.compile(r"(\.part|(%s)-\d+)\.ckpt\." % "|".join(ARCHITECTURES))
    return [name for name in os.listdir(path) if ours.match(name)]


def read_state(path: str) -> Tuple[bool, List[Checkpoint]]:
    """state.json of a run directory -> (whether the run is finished, its checkpoints, oldest first)."""
    state = os.path.join(path, STATE)
    if not os.path.exists(state):
        return False, []
    advice = "name a checkpoint file in %s instead, or train again" % path
    values = files.read_json(state, advice)
    try:
        return values["finished"], [Checkpoint(**entry) for entry in values["checkpoints"]]
    except (KeyError, TypeError) as error:
        raise KwsError("%s is damaged: %s" % (state, error), advice)


def read_result(path: str) -> RunResult:
    """The accuracies that state.json of a finished run holds."""
    best = read_state(path)[1][-1].best_accuracy
    state = files.read_json(os.path.join(path, STATE), "train again")
    return RunResult(best, state.get("test_accuracy"), state.get("test_clips", 0))


def read_metrics(path: str) -> List[Dict[str, Any]]:
    """The lines of metrics.jsonl in a run directory."""
    with open(os.path.join(path, METRICS), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def opened(path: str, description: Description, log_name: str, overwrite: bool = False) -> Iterator[RunDirectory]:
    """The run directory at `path`, locked for this process. An earlier run with other settings is an error."""
    with files.only_one(path, "is training in"):
        if overwrite and os.path.exists(os.path.join(path, MODEL)):
            _clear(path)
        checkpoints = read_state(path)[1]
        if os.path.exists(os.path.join(path, MODEL)):
            description, checkpoints = _continued(path, description)
        directory = RunDirectory(path, description, log_name, checkpoints)
        try:
            directory.begin()
            yield directory
        finally:
            directory.close()


def _continued(path, description):
    """(the Description, the checkpoints to continue from) of a training in the directory of an earlier run."""
    before = read_description(os.path.join(path, MODEL))
    differences = description.differences(before)
    if differences and _checkpoint_files(path):  # without checkpoints, nothing can be lost
        choice = "use another --train-dir, or --overwrite to delete the existing run first"
        if description.start_checkpoint and any(one.startswith("start_checkpoint ") for one in differences):
            choice = "leave --start-checkpoint out to continue that run, " + choice
        raise KwsError("%s contains a run with other settings (now %s)" % (path, "; ".join(differences)), choice)
    finished, checkpoints = read_state(path)
    if finished and checkpoints[-1].step >= description.train.step_count:
        raise KwsError(
            "%s contains a finished run with these settings" % path,
            "to continue it, give more --how-many-training-steps; to start another run from its weights, use "
            "--start-checkpoint %s and another --train-dir; to delete it first, use --overwrite" % path,
        )
    if not checkpoints:
        return description, checkpoints
    kept = {name: getattr(before, name) for name in ("start_checkpoint", "start_sha256", "detector")}
    description = dataclasses.replace(description, **kept)
    if finished and len(checkpoints) > 1 and checkpoints[-1].step % description.train.eval_step_interval:
        # A longer run would not have validated this step, and its best checkpoint could be another one.
        return description, checkpoints[:-1]
    return description, checkpoints


def _clear(path):
    """Remove the files of a run, and nothing else."""
    logs = re.compile(r"train_\d+\.log|.*_bs\d+_\d+p_acc\.log")
    ours = MODEL, STATE, METRICS, LABELS, LIGHT
    others = [name for name in os.listdir(path) if logs.fullmatch(name) or name in ours]
    for name in _checkpoint_files(path) + others:
        os.remove(os.path.join(path, name))
    if os.path.isdir(os.path.join(path, "summaries")):
        shutil.rmtree(os.path.join(path, "summaries"))


def seed_runs(path: str) -> List[str]:
    """The runs in the train dir of `kws train --seeds`, by their seeds; [] if it is no such folder."""
    if not os.path.isdir(path) or os.path.exists(os.path.join(path, MODEL)):
        return []
    seeds = sorted(int(name[5:]) for name in os.listdir(path) if re.fullmatch(r"seed-\d+", name))
    found = [os.path.join(path, SEED_FOLDER % seed) for seed in seeds]
    return [run for run in found if os.path.exists(os.path.join(run, MODEL))]


def find_newest(folder: str = OUTPUT) -> Optional[str]:
    """The run directory under `folder` that was trained last; None if there is no run."""
    found = glob.glob(os.path.join(glob.escape(folder), "**", STATE), recursive=True)
    return os.path.dirname(max(found, key=os.path.getmtime)) if found else None


def newest(folder: str = OUTPUT) -> str:
    """The run directory under `folder` that was trained last."""
    found = find_newest(folder)
    if found is None:
        raise KwsError(
            "there is no trained network under %s" % folder, "run kws train, or name a network with --checkpoint"
        )
    return found


def is_there(path: str) -> bool:
    """Whether a path is a run directory, a checkpoint, or one of its files."""
    return os.path.isdir(path) or any(os.path.exists(_prefix_of(path) + suffix) for suffix in _CHECKPOINT_SUFFIXES)


def resolve(path: str) -> Tuple[Description, str]:
    """A run directory (its best checkpoint), a checkpoint, or one of its files -> (its Description, its prefix)."""
    description, prefix = (_best if os.path.isdir(path) else _named)(path)
    for suffix in (".index", ".data-00000-of-00001"):
        if not os.path.exists(prefix + suffix):
            missing = os.path.basename(prefix) + suffix
            raise KwsError("the checkpoint %s is incomplete" % prefix, "%s is missing" % missing)
    return description, prefix


def weights_file(prefix: str) -> str:
    """The file that holds the weights of a checkpoint."""
    return prefix + ".data-00000-of-00001"


def validation_of(prefix: str) -> Dict[str, Any]:
    """What a checkpoint scored on the validation split, {"accuracy": share, "clips": count}; {} if nobody measured."""
    path, name = os.path.split(prefix)
    if os.path.exists(os.path.join(path, METRICS)):
        for line in read_metrics(path):
            if "validation_accuracy" in line and name.endswith("-%d.ckpt" % line["step"]):
                return {"accuracy": line["validation_accuracy"], "clips": line["clips"]}
    return {}


def _best(path):
    description = read_description(os.path.join(path, MODEL))
    checkpoints = read_state(path)[1]
    if checkpoints:
        last = checkpoints[-1]
        return description, os.path.join(path, checkpoint_name(description, last.best_step or last.step))
    there = sorted(name for name in _checkpoint_files(path) if name.endswith(".index"))
    if there:
        raise KwsError(
            "%s lacks %s, which says which checkpoint is the best one" % (path, STATE),
            "name a checkpoint file instead: %s" % os.path.join(path, there[-1]),
        )
    raise KwsError("%s contains no checkpoint yet" % path, "let kws train run until it saves the first one")


def is_checkpoint_file(path: str) -> bool:
    """Whether a file is one of the files of a checkpoint, by its name."""
    return path.endswith(_CHECKPOINT_SUFFIXES)


def _prefix_of(path):
    """The path of a checkpoint, without the suffix of one of its files."""
    for suffix in _CHECKPOINT_SUFFIXES:
        path = path[: -len(suffix)] if path.endswith(suffix) else path
    return path


def _named(path):
    if not is_there(path):
        raise KwsError("there is no checkpoint %s" % path)
    prefix = _prefix_of(path)
    model = os.path.join(os.path.dirname(prefix), MODEL)
    if not os.path.exists(model):
        raise KwsError(
            "%s has no model.json beside it, which says what its network is" % path,
            "keep a checkpoint together with the model.json that kws train wrote; freeze a checkpoint of other scripts "
            "with the freeze.py of these scripts, and give the .pb graph",
        )
    return read_description(model), prefix
