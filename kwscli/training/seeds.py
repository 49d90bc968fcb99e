"""`kws train --seeds N`: N trainings that differ only in their seed, one after the other, and what they have in common.

Each training is a process of its own, because an NPU keeps some options for the life of a process, and a run of its
own, TRAIN_DIR/seed-SEED. The same command continues the run that was interrupted, and reads those that are finished.
"""
import dataclasses
import os
import sys
from typing import List, NamedTuple, Tuple

from .. import interrupts
from ..console import say, table
from ..data import dataset
from ..errors import Interrupted, KwsError
from ..runs import run_directory
from ..runs.description import MODEL, read_description
from ..significance import mean_interval
from ..workers import launch
from .job import Job

_MAX_SEED = 2 ** 31 - 1
_STOPPED = tuple(128 + number for number in interrupts.STOPPING)


class Report(NamedTuple):
    """The result of each seed, in order."""

    results: Tuple[Tuple[int, run_directory.RunResult], ...]  # (seed, result)

    def __str__(self) -> str:
        headings = "seed", "validation", "testing", "testing clips"
        rows = [
            (seed, _percent(one.validation), _percent(one.testing), one.testing_clips) for seed, one in self.results
        ]
        lines = [table([headings] + rows, ">"), ""]
        lines += filter(None, (self._mean("validation"), self._mean("testing")))
        lines.append("The interval is that of the mean over seeds (Student's t), for the same clips each time.")
        return "\n".join(lines)

    def _mean(self, split):
        """The mean accuracy on a split in one line, "" if a run has none."""
        values = [getattr(one, split) for _, one in self.results]
        if None in values:
            return ""
        return "mean of %d seeds on %s: %.2f %% (95 %% interval %.2f to %.2f)" % (
            (len(values), split) + tuple(100 * one for one in mean_interval(values))
        )


def train(job: Job, count: int) -> Report:
    """Train with the seeds SEED to SEED + count - 1, by this same `kws train` command in other processes."""
    _check(job, count)
    results: List[Tuple[int, run_directory.RunResult]] = []
    with interrupts.signals_close():
        for number in range(count):
            one = _job_of(job, job.train.seed + number)
            seed, found = one.train.seed, None if job.overwrite else _finished(one)
            if found:
                say("The training with seed %d is finished: %s." % (seed, one.run_path))
            else:
                say("Training with seed %d, %d of %d." % (seed, number + 1, count))
                _train(one, number, count)
                found = run_directory.read_result(one.run_path)
            results.append((seed, found))
    return Report(tuple(results))


def _check(job, count):
    """Refuse what several seeds cannot be combined with."""
    if job.cluster.size > 1:
        raise KwsError(
            "--seeds trains one run after the other from one machine, but the environment describes %d workers"
            % job.cluster.size, "start a training per seed, or use --workers",
        )
    if job.train.seed + count - 1 > _MAX_SEED:
        raise KwsError("--seed %d and --seeds %d go beyond the largest seed, %d" % (job.train.seed, count, _MAX_SEED),
                       "lower --seed")
    if os.path.exists(os.path.join(job.run_path, MODEL)):
        raise KwsError("%s contains a run, so the runs of several seeds cannot go into it" % job.run_path,
                       "choose another --train-dir")


def _job_of(job, seed):
    """The job of one seed."""
    folder = run_directory.SEED_FOLDER % seed
    return job._replace(
        run_path=os.path.join(job.run_path, folder), train=dataclasses.replace(job.train, seed=seed),
        summaries_dir=os.path.join(job.summaries_dir, folder) if job.summaries_dir else "",
    )


def _finished(job):
    """The result of a run if it is finished and has these settings, else None: then `kws train` decides."""
    finished, checkpoints = run_directory.read_state(job.run_path)
    if not finished or checkpoints[-1].step < job.train.step_count or not dataset.is_prepared(job.data_path):
        return None
    before = read_description(os.path.join(job.run_path, MODEL))
    now = job.description(dataset.read_info(job.data_path)["sha256"], "")
    return None if now.differences(before) else run_directory.read_result(job.run_path)


def _train(job, done, count):
    """Train one seed in a process of its own; a KwsError if it does not end well."""
    seed = job.train.seed
    # Of a flag that is given twice, the last one counts.
    command = [sys.executable, "-m", "kwscli"] + sys.argv[1:]
    command += ["--seeds", "1", "--seed", str(seed), "--train-dir", job.run_path]
    if job.summaries_dir:
        command += ["--summaries-dir", job.summaries_dir]
    status = launch.launch(1, command, lambda ports: [{}])
    if status in _STOPPED:
        same = "the same command without --overwrite" if job.overwrite else "the same command"
        raise Interrupted("stopped in the training with seed %d; %d of %d seeds are finished" % (seed, done, count),
                          "%s continues from there" % same, status - 128)
    if status:
        raise KwsError("the training with seed %d failed; %d of %d seeds are finished" % (seed, done, count),
                       "solve the problem above, and run the same command again")


def _percent(share):
    return None if share is None else "%.2f %%" % (100 * share)
