"""What `kws train` records of single steps: their tensors, the tensors that overflow, and where the time goes.

This module does it on a CPU or a GPU. An NPU does it itself.
"""
import collections
import csv
import functools
import io
import json
import os
import re
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.client import timeline

from .. import console, files
from ..console import say
from ..devices import npu_options
from ..devices.device_settings import DeviceSettings
from . import tensors
from .training_graph import TrainingGraph

# The first steps of a process are not traced, because TensorFlow still chooses how to compute; then some are.
WARM_UP, TRACED = 10, 5
COSTLIEST = 10
_FIELDS = "file", "operation", "kind", "number", "tensor", "dtype", "shape", "nan", "inf"


class Diagnostics:
    """Dumps, overflow dumps and traces, of the steps and as the settings say. folder: where their files go.

    Call `open` before the first step, ask `wants` before each step, and let `run` make the steps that it wants. Call
    `finish` at the end of the training, however it ends.
    """

    def __init__(self, settings: DeviceSettings, folder: str, training: TrainingGraph) -> None:
        self._settings, self._folder, self._training = settings, folder, training
        self._dumps = npu_options.dump_steps(settings.data_dump_step) if settings.data_dump_flag else []
        self._dump_folder, self._dumped = os.path.join(folder, "dump"), []
        self._overflow_folder = os.path.join(folder, "over_dump") if settings.over_dump else None
        self._trace = _Trace(settings, folder) if settings.profiling else None
        self._operations, self._variables = [], []
        self._before = {}  # {tensor: value} of the variables before the last step changed them

    def open(self) -> None:
        """Make the folder, so that an error comes before the training, and find the tensors."""
        if self._dumps or self._overflow_folder or self._trace:
            os.makedirs(self._folder, exist_ok=True)
        if self._dumps or self._overflow_folder:
            self._operations = tensors.operations_of(self._training)
            self._variables = _values_of_variables(self._operations)
        if self._trace:
            self._trace.open()

    def wants(self, step: int) -> bool:
        """Whether `run` has to make a step, counted from 1."""
        return bool(self._overflow_folder or self._trace and self._trace.wants(step)) or self._dumps_at(step)

    def _dumps_at(self, step):
        return _is_in(step, self._dumps)

    def run(self, session: tf.Session, step: int, fetches: Sequence[Any], feed: Dict[tf.Tensor, Any]) -> List[Any]:
        """Return `session.run(fetches, feed)` of a training step, and record what the settings ask for."""
        traced = self._trace and self._trace.wants(step)
        execute = functools.partial(self._trace.run, session, step) if traced else session.run
        self._before = dict(zip(self._variables, session.run(self._variables)))
        values = execute(fetches, feed)
        if self._dumps_at(step):
            # The tensors are computed again: to fetch them in the step would keep TensorFlow from merging operations
            # and change the last bits of the weights. The variables and the batch determine them; dropout depends on
            # the number of the step.
            self._dump(session, step, {**self._before, **feed})
        return values

    def _dump(self, session, step, given):
        places = list(_places(self._operations, self._settings.dump_mode))
        fetched = list(dict.fromkeys(tensor for *_, tensor in places))
        _write(os.path.join(self._dump_folder, str(step)), places, dict(zip(fetched, session.run(fetched, given))))
        self._dumped.append(step)

    def overflow(self, session: tf.Session, step: int, feed: Dict[tf.Tensor, Any]) -> List[str]:
        """After `run` failed: write the tensors of the step that are not finite -> their names in graph order."""
        if not self._overflow_folder:
            return []
        # Tensors that all workers compute together are left out: the others may have no overflow and do not take part.
        checked = tensors.floats_of(tensors.needs_no_one_else(self._operations))
        found = zip(checked, session.run(checked, {**self._before, **feed}))
        found = {tensor: value for tensor, value in found if not np.isfinite(value).all()}
        if found:
            path = os.path.join(self._overflow_folder, str(step))
            try:
                _write(path, _places(self._operations, "output"), found)
                say("%d tensors of step %d are not finite; they are in %s (see index.csv)." % (len(found), step, path))
            except OSError as error:  # the caller still reports the overflow
                say("%d tensors of step %d are not finite; %s." % (len(found), step, files.explain(error)))
        return [tensor.name for tensor in found]

    def finish(self, failure: Optional[type] = None) -> None:
        """Say where the files are. failure: the class of the exception that ended the training."""
        if self._dumped:
            say("The tensors of %d steps are in %s (see index.csv)." % (len(self._dumped), self._dump_folder))
        elif self._dumps and not failure:
            say("No tensors were saved, because the training made no step of --data-dump-step %s."
                % self._settings.data_dump_step)
        if self._trace:
            self._trace.finish(failure)


def _is_in(step, ranges):
    return any(first <= step <= last for first, last in ranges)


def _values_of_variables(operations):
    """The tensors by which operations read variables."""
    return [
        tensor for op in operations if op.type == "ReadVariableOp" or any(map(_is_reference, op.inputs))
        for tensor in op.outputs
    ]


def _is_reference(tensor):
    """Whether a tensor is a variable of TensorFlow 1.15 itself, not its value."""
    return tensor.dtype != tensor.dtype.base_dtype


def _is_value(tensor):
    handles = tf.resource, tf.variant, tf.string
    return not _is_reference(tensor) and tensor.dtype not in handles and tensor.graph.is_fetchable(tensor)


def _places(operations, mode):
    """Yield (operation, "input" or "output", its number, tensor)."""
    for op in operations:
        for kind, found in ("input", op.inputs), ("output", op.outputs):
            if mode in (kind, "all"):
                yield from ((op, kind, number, tensor) for number, tensor in enumerate(found) if _is_value(tensor))


def _write(path, places, values):
    """Write {tensor: array} as .npy files, and index.csv with the operations that each one is an input or output of."""
    with files.replacing_folder(path) as part:
        names = {}
        for tensor, value in values.items():
            safe = re.sub(r"[^A-Za-z0-9_.-]", "_", tensor.name)[-200:]  # a file name has at most 255 characters
            names[tensor] = "%05d_%s.npy" % (len(names), safe)
            packed = io.BytesIO()  # because np.save to a file does not report a full disk as an OSError with its reason
            np.save(packed, value, allow_pickle=False)
            with open(os.path.join(part, names[tensor]), "wb") as file:
                file.write(packed.getbuffer())
        with open(os.path.join(part, "index.csv"), "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_FIELDS)
            for op, kind, number, tensor in places:
                if tensor in values:
                    value = values[tensor]
                    rows.writerow([
                        names[tensor], op.name, kind, number, tensor.name, value.dtype, "x".join(map(str, value.shape)),
                        np.count_nonzero(np.isnan(value)), np.count_nonzero(np.isinf(value)),
                    ])


class _Trace:
    """TensorFlow's own trace of some steps, and what their operations cost together."""

    def __init__(self, settings, folder):
        self._options = json.loads(settings.profiling_options or "{}")
        self._folder = self._options.pop("output", None) or os.path.join(folder, "profiling")
        self._chosen = npu_options.dump_steps(settings.profiling_steps) if settings.profiling_steps else None
        self._which = settings.profiling_steps or "%d to %d" % (WARM_UP + 1, WARM_UP + TRACED)
        self._first, self._steps = None, []
        self._costs = collections.defaultdict(list)  # {(type, name): microseconds of each call}

    def open(self):
        if self._options:
            say("--profiling-options: %s have an effect on NPUs only; here TensorFlow traces every operation."
                % ", ".join(self._options))

    def wants(self, step):
        if self._chosen:
            return _is_in(step, self._chosen)
        if self._first is None:
            self._first = step + WARM_UP
        return self._first <= step < self._first + TRACED

    def run(self, session, step, fetches, feed):
        metadata = tf.RunMetadata()
        values = session.run(fetches, feed, tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
        os.makedirs(self._folder, exist_ok=True)
        with files.replacing(os.path.join(self._folder, "step-%d.json" % step)) as file:
            file.write(timeline.Timeline(metadata.step_stats).generate_chrome_trace_format())
        for kind, name, microseconds in _calls(metadata.step_stats):
            self._costs[kind, name].append(microseconds)
        self._steps.append(step)
        return values

    def finish(self, failure):
        if not self._steps:
            if not failure:
                say("No step was traced, because the training made no step of %s." % self._which)
            return
        table = self._table()
        with files.replacing(os.path.join(self._folder, "operations.txt")) as file:
            file.write(table + "\n")
        say("The traces of steps %d to %d are in %s; open them in chrome://tracing or ui.perfetto.dev. "
            "The slowest operations:\n%s" % (self._steps[0], self._steps[-1], self._folder, table))

    def _table(self):
        """The operations that took the most time in all traced steps together."""
        total = sum(map(sum, self._costs.values())) or 1
        costliest = sorted(self._costs.items(), key=lambda item: -sum(item[1]))[:COSTLIEST]
        rows = [("calls", "ms", "share", "type", "name")] + [
            (len(times), "%.2f" % (sum(times) / 1000), "%.1f %%" % (100 * sum(times) / total), kind, name)
            for (kind, name), times in costliest
        ]
        return console.table(rows, ">>><")


def _calls(step_stats):
    """Yield (type, name, microseconds) of every operation in a trace."""
    # TensorFlow 1.15 lists operations again under /host:CPU; other streams of a GPU show how kernels were queued.
    devices = [one for one in step_stats.dev_stats if re.search(r"/device:(CPU:\d+|GPU:\d+/stream:all)$", one.device)]
    for device in devices:
        for node in device.node_stats:
            # "[cpu 0.6MB 0.6MB] name = Type(inputs)"; for a GPU's kernels the name of the node is "name:Type".
            label = re.match(r"(?:\[.*?\] )?(\S+) = (\w+)\(", node.timeline_label)
            name, kind = label.groups() if label else (node.node_name.rpartition(":")[::2])
            yield kind, name or kind, node.op_end_rel_micros - node.op_start_rel_micros
