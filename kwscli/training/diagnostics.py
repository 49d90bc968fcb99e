"""What a training step can be looked at for: its tensors, where one overflows, where its time goes.

Done here on a CPU or a GPU. On an NPU Huawei's adapter does it, and nothing here acts.
"""
import collections
import csv
import functools
import io
import json
import os
import re

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.client import timeline

from .. import files
from ..console import say
from ..devices import npu_options
from ..models import network

WARM_UP, TRACED = 10, 5  # steps of this process: left out, as TensorFlow still chooses how to compute; traced
COSTLIEST = 10
_FIELDS = "file", "operation", "kind", "number", "tensor", "dtype", "shape", "nan", "inf"


class Diagnostics:
    """What --data-dump-flag, --over-dump and --profiling ask for, of the steps they ask it for; folder: where it goes.

    Ask `wants` before every step, and let `run` make those it wants; `finish` however the training ends.
    """

    def __init__(self, settings, folder, training, on_npu):
        acts = not on_npu
        if acts and (settings.data_dump_flag or settings.over_dump or settings.profiling):
            os.makedirs(folder, exist_ok=True)  # what cannot be is told now, not when there is something to keep
        self._settings = settings
        self._dumps = npu_options.dump_steps(settings.data_dump_step) if settings.data_dump_flag and acts else []
        self._dump_folder, self._dumped = os.path.join(folder, "dump"), []
        self._overflow_folder = os.path.join(folder, "over_dump") if settings.over_dump and acts else None
        self._trace = _Trace(settings, folder) if settings.profiling and acts else None
        self._operations = network.operations_of(training) if self._dumps or self._overflow_folder else []
        self._variables = _values_of_variables(self._operations)
        self._before = {}  # what they were at the last step, before it changed them

    def wants(self, step):
        """Whether a step, counted from 1, is one for `run`."""
        return bool(self._overflow_folder or self._trace and self._trace.wants(step)) or self._dumps_at(step)

    def _dumps_at(self, step):
        return _lies_in(step, self._dumps)

    def run(self, session, step, fetches, feed):
        """`session.run(fetches, feed)` of a training step, and what was asked of it written down -> the same values."""
        traced = self._trace and self._trace.wants(step)
        execute = functools.partial(self._trace.run, session, step) if traced else session.run
        self._before = dict(zip(self._variables, session.run(self._variables)))
        values = execute(fetches, feed)
        if self._dumps_at(step):
            # Not with the step: that would keep TensorFlow from merging operations, and change the last bits of its
            # weights. What it was given, variables and a batch, decides everything; dropout goes by the step.
            self._dump(session, step, {**self._before, **feed})
        return values

    def _dump(self, session, step, given):
        places = list(_places(self._operations, self._settings.dump_mode))
        tensors = list(dict.fromkeys(tensor for *_, tensor in places))
        _write(os.path.join(self._dump_folder, str(step)), places, dict(zip(tensors, session.run(tensors, given))))
        self._dumped.append(step)

    def overflow(self, session, step, feed):
        """Write down what was not finite in a step that `run` made and that failed -> names, in graph order."""
        if not self._overflow_folder:
            return []
        # Without those that all workers compute together: the others may have no overflow, and are elsewhere.
        tensors = network.floats_of(network.needs_no_one_else(self._operations))
        found = zip(tensors, session.run(tensors, {**self._before, **feed}))
        found = {tensor: value for tensor, value in found if not np.isfinite(value).all()}
        if found:
            path = os.path.join(self._overflow_folder, str(step))
            try:
                _write(path, _places(self._operations, "output"), found)
                say("Tensors of step %d that are not finite: %d, in %s; see index.csv." % (step, len(found), path))
            except OSError as error:  # no reason to keep quiet about the overflow
                say("Tensors of step %d that are not finite: %d; %s" % (step, len(found), files.explain(error)))
        return [tensor.name for tensor in found]

    def finish(self, failure=None):
        """Say where everything is; failure: the kind of error that ended the training, if one did."""
        if self._dumped:
            say("Tensors of %d steps are in %s; see index.csv." % (len(self._dumped), self._dump_folder))
        elif self._dumps and not failure:
            say("No step of --data-dump-step %s was made: no tensors are kept." % self._settings.data_dump_step)
        if self._trace:
            self._trace.finish(failure)


def _lies_in(step, ranges):
    return any(first <= step <= last for first, last in ranges)


def _values_of_variables(operations):
    """Where operations read variables."""
    return [
        tensor for op in operations if op.type == "ReadVariableOp" or any(map(_is_reference, op.inputs))
        for tensor in op.outputs
    ]


def _is_reference(tensor):
    """To a variable itself, as TensorFlow 1.15 makes them, not to its value."""
    return tensor.dtype != tensor.dtype.base_dtype


def _is_value(tensor):
    handles = tf.resource, tf.variant, tf.string
    return not _is_reference(tensor) and tensor.dtype not in handles and tensor.graph.is_fetchable(tensor)


def _places(operations, mode):
    """Yield (operation, input or output, its number, tensor)."""
    for op in operations:
        for kind, tensors in ("input", op.inputs), ("output", op.outputs):
            if mode in (kind, "all"):
                yield from ((op, kind, number, tensor) for number, tensor in enumerate(tensors) if _is_value(tensor))


def _write(path, places, values):
    """{tensor: array} as .npy files in a folder, with index.csv: which is an input or output of which operation."""
    with files.replacing_folder(path) as part:
        names = {}
        for tensor, value in values.items():
            safe = re.sub(r"[^A-Za-z0-9_.-]", "_", tensor.name)[-200:]  # a file's name has at most 255 characters
            names[tensor] = "%05d_%s.npy" % (len(names), safe)
            packed = io.BytesIO()  # of a full disk, numpy's own writing tells no more than a number of bytes
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
        options = json.loads(settings.profiling_options or "{}")
        self._chosen = npu_options.dump_steps(settings.profiling_steps) if settings.profiling_steps else None
        self._which = settings.profiling_steps or "%d to %d" % (WARM_UP + 1, WARM_UP + TRACED)
        self._folder = options.pop("output", None) or os.path.join(folder, "profiling")
        if options:
            say("--profiling-options: only an NPU knows %s; TensorFlow traces every operation." % ", ".join(options))
        self._first, self._steps = None, []
        self._costs = collections.defaultdict(list)  # {(type, name): microseconds of each call}

    def wants(self, step):
        if self._chosen:
            return _lies_in(step, self._chosen)
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
                say("Nothing was traced: steps %s of a run would have been." % self._which)
            return
        with files.replacing(os.path.join(self._folder, "operations.txt")) as file:
            file.write(self._table() + "\n")
        say("Steps %d to %d: traced in %s, for chrome://tracing or ui.perfetto.dev; the costliest operations:\n%s" % (
            self._steps[0], self._steps[-1], self._folder, self._table()
        ))

    def _table(self):
        """The costliest operations, by their own time in all traced steps."""
        total = sum(map(sum, self._costs.values())) or 1
        costliest = sorted(self._costs.items(), key=lambda item: -sum(item[1]))[:COSTLIEST]
        rows = [("calls", "ms", "share", "type", "name")] + [
            ("%d" % len(times), "%.2f" % (sum(times) / 1000), "%.1f %%" % (100 * sum(times) / total), kind, name)
            for (kind, name), times in costliest
        ]
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join(
            "  ".join([cell.rjust(width) for cell, width in zip(row[:3], widths)] + [row[3].ljust(widths[3]), row[4]])
            for row in rows
        )


def _calls(step_stats):
    """Yield (type, name, microseconds) of every operation in a trace."""
    devices = [one for one in step_stats.dev_stats if re.search(r"/device:(CPU:\d+|GPU:\d+/stream:all)$", one.device)]
    for device in devices:  # not /host:CPU, a second list of the same in TensorFlow 1.15; nor how kernels were queued
        for node in device.node_stats:
            # "[cpu 0.6MB 0.6MB] name = Type(inputs)", or of a GPU's kernels a node called "name:Type"
            label = re.match(r"(?:\[.*?\] )?(\S+) = (\w+)\(", node.timeline_label)
            name, kind = label.groups() if label else (node.node_name.rpartition(":")[::2])
            yield kind, name or kind, node.op_end_rel_micros - node.op_start_rel_micros
