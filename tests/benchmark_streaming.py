"""Compare windows that slide, as in `kws listen`, with a network that computes only what a new window changes.

    python tests/benchmark_streaming.py
    python tests/benchmark_streaming.py --stride-ms 40 --rounds 21

Both give the same scores. A window begins and ends with zeros of padding, so the second network computes the rows (the
frames of a layer) that depend on them again, besides the new ones. It keeps all others from the window before. The
weights are random, because they do not change the time. TensorFlow Lite runs both networks on one thread; the times are
processor time per window. It needs TensorFlow 2.x.
"""
import argparse
import os
import sys
import time
from typing import List, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from kwscli import models  # noqa: E402
from kwscli.classifiers.interpreter import interpreter  # noqa: E402
from kwscli.console import table  # noqa: E402
from kwscli.devices import session  # noqa: E402
from kwscli.export.folded_graph import FoldedLayers  # noqa: E402
from kwscli.models.folding import norm  # noqa: E402
from kwscli.models.graph import GraphLayers  # noqa: E402
from kwscli.sound.feature_settings import FeatureSettings  # noqa: E402

NETWORKS = ("ds_cnn", "s"), ("bc_resnet", "1")
LABEL_COUNT, WINDOWS, DIFFERENCE_ALLOWED = 12, 50, 1e-5
FEATURES = "features"


class Rows:
    """The rows of a layer's output that a new window changes: those before `low`, and those from `high - step` on.

    The others are those of the window before, `step` rows further down. height: of the whole output, in rows. padding:
    rows of zeros around it. make(factor): adds the changed rows to the graph; the factor per channel, or 1, multiplies
    the weights that they come from.
    """

    def __init__(self, make, height, low, high, step, padding=0):
        everything = low >= high - step
        self.height, self.low, self.high, self.step, self.padding = height, low, high, step, padding
        if everything:
            self.low, self.high = height, height + step
        self.times, self._tensor = make, None

    @property
    def tensor(self):
        if self._tensor is None:
            self._tensor = self.times(1)
        return self._tensor

    @property
    def span(self):
        return self.height, self.low, self.high, self.step

    @property
    def ranges(self):
        """The first row, and the one behind the last, of both parts; a part may be empty."""
        return [(first, end) for first, end in ((0, self.low), (self.high - self.step, self.height)) if first < end]

    def same(self, make, padding=0):
        """The same rows of another layer."""
        return Rows(make, *self.span, padding)


class StreamingLayers(FoldedLayers):
    """`FoldedLayers` that take and give `Rows`. kept: (input, output) for the rows that are kept between windows."""

    def __init__(self, values):
        super().__init__(values)
        self.kept: List[Tuple[tf.Tensor, tf.Tensor]] = []
        self._whole = {}

    def shape(self, x):
        return super().shape(x.tensor if isinstance(x, Rows) else x)

    def conv(self, x, filters, kernel, stride=(1, 1), padding="SAME"):
        weights = self._weights("weights", tuple(kernel) + (self.shape(x)[-1], filters))

        def convolve(rows, factor):
            return tf.nn.conv2d(rows, weights_times(weights, factor), (1,) + tuple(stride) + (1,), "VALID")

        return self._slid(x, kernel, stride, padding, 1, convolve)

    def depthwise_conv(self, x, kernel, stride=(1, 1), padding="SAME", dilation=1):
        weights = self._weights("weights", tuple(kernel) + (self.shape(x)[-1], 1))
        in_frequency = stride[1] if stride[0] != stride[1] else 1  # the kernels need equal strides

        def convolve(rows, factor):
            scaled = weights_times(weights, factor if np.ndim(factor) == 0 else factor.reshape(-1, 1))
            strides = (1, 1, 1, 1) if in_frequency > 1 else (1,) + tuple(stride) + (1,)
            rate = (dilation, 1) if dilation > 1 else None
            y = tf.nn.depthwise_conv2d(rows, scaled, strides, "VALID", rate=rate)
            return y[:, :, ::in_frequency] if in_frequency > 1 else y

        return self._slid(x, kernel, stride, padding, dilation, convolve)

    def _slid(self, x, kernel, stride, padding, dilation, convolve):
        """Rows of a convolution. convolve(rows with all zeros around them, factor) -> its output."""
        columns = same_padding(self.shape(x)[1], kernel[1], stride[1]) if padding == "SAME" else (0, 0)
        if kernel[0] == stride[0] == 1:
            return x.same(lambda factor: convolve(padded(x.tensor, (0, 0), columns), factor))
        taps = (kernel[0] - 1) * dilation + 1
        assert x.step % stride[0] == 0, "--stride-ms has to be a multiple of %d frames" % stride[0]
        before, after = same_padding(x.height, taps, stride[0]) if padding == "SAME" else (x.padding, x.padding)
        height = (x.height + before + after - taps) // stride[0] + 1
        low = min(height, -(-(x.low + before) // stride[0]))
        high = min(height, (x.high + before - taps) // stride[0] + 1)
        whole = self._complete(x)

        def make(factor):
            parts = []
            for first, end in found.ranges:
                top, bottom = first * stride[0] - before, (end - 1) * stride[0] - before + taps
                part = whole[:, max(0, top) : min(bottom, x.height)]
                part = padded(part, (max(0, -top), max(0, bottom - x.height)), columns)
                parts.append(convolve(part, factor))
            return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

        found = Rows(make, height, low, high, x.step // stride[0])
        return found

    def _complete(self, x):
        """All rows of an output, with those that were kept."""
        if x not in self._whole:
            self._whole[x] = x.tensor
            if x.low < x.height:
                _, width, channels = self.shape(x)
                kept = tf.placeholder(tf.float32, (1, x.high - x.step - x.low, width, channels))
                whole = tf.concat([x.tensor[:, : x.low], kept, x.tensor[:, x.low :]], axis=1)
                self.kept.append((kept, tf.identity(whole[:, x.low + x.step : x.high])))
                self._whole[x] = whole
        return self._whole[x]

    def batch_norm(self, x, scale=False, decay=0.96, epsilon=0.001):
        factor, offset = norm(self._value, scale, epsilon)
        return x.same(lambda _, y=x.times(factor): tf.nn.bias_add(y, offset))

    def add(self, x, y):
        span = Rows(None, x.height, max(x.low, y.low), min(x.high, y.high), x.step)
        return span.same(lambda _, parts=[self._rows_of(one, span) for one in (x, y)]: parts[0] + parts[1])

    def _rows_of(self, x, span):
        """The rows of x that are in another span."""
        if x.span == span.span:
            return x.tensor
        parts = [self._complete(x)[:, first:end] for first, end in span.ranges]
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def global_average_pool(self, x):
        return super().global_average_pool(self._complete(x))

    def pad_time(self, x, frames):
        return x.same(lambda _: x.tensor, frames)


def _row_by_row(name):
    def layer(self, x, *arguments, **named):
        method = getattr(super(StreamingLayers, self), name)
        if not isinstance(x, Rows):
            return method(x, *arguments, **named)
        y = method(x.tensor, *arguments, **named)
        return x.same(lambda _: y)

    return layer


for _name in ("reshape", "relu", "swish", "average_frequency", "sub_spectral_norm"):
    setattr(StreamingLayers, _name, _row_by_row(_name))


def weights_times(weights, factor):
    """Constant weights times a factor per channel."""
    return tf.constant(tf.make_ndarray(weights.op.get_attr("value")) * np.float32(factor))


def same_padding(size, taps, stride):
    """The zeros that "SAME" adds (before, after)."""
    missing = max((-(-size // stride) - 1) * stride + taps - size, 0)
    return missing // 2, missing - missing // 2


def padded(x, rows, columns):
    return tf.pad(x, ((0, 0), rows, columns, (0, 0))) if sum(rows + columns) else x


def random_values(architecture, size, settings):
    """{name: value} of the weights of a network."""
    with tf.Graph().as_default(), tf.variable_scope(architecture):
        features = tf.placeholder(tf.float32, (1,) + settings.shape)
        models.load(architecture).build(GraphLayers(training=False), features, LABEL_COUNT, size)
        shapes = {one.op.name: one.shape.as_list() for one in tf.global_variables()}
    rng = np.random.RandomState(0)
    return {
        name: (rng.uniform(0.5, 1, shape) if name.endswith(("gamma", "variance")) else
               rng.normal(0, 1 / np.sqrt(max(1, np.prod(shape[:-1]))), shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


class Network:
    """A network in TensorFlow Lite that takes the features of one window after the other."""

    def __init__(self, architecture, size, settings, values, step):
        """step: frames from one window to the next, to compute only what they change; None for whole windows."""
        net = StreamingLayers(values) if step else FoldedLayers(values)
        with tf.Graph().as_default() as graph, session.open_session(graph) as opened:
            taken = step or settings.frame_count
            features = source = tf.placeholder(tf.float32, (1, taken, settings.channel_count), name=FEATURES)
            if step:
                features = Rows(lambda _: source, settings.frame_count, 0, settings.frame_count, step)
            with tf.variable_scope(architecture):
                logits = models.load(architecture).build(net, features, LABEL_COUNT, size)
            kept = getattr(net, "kept", [])
            ins, outs = [source] + [one for one, _ in kept], [tf.nn.softmax(logits)] + [one for _, one in kept]
            content = tf.lite.TFLiteConverter.from_session(opened, ins, outs).convert()
        self.frames, self._names, self._shapes = taken, [one.op.name for one in ins], [one.shape for one in outs]
        self._interpreter = interpreter(content, architecture)
        inputs = {one["name"].split(":")[0]: one["index"] for one in self._interpreter.get_input_details()}
        self._inputs = [inputs[name] for name in self._names]
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]
        self.seconds = 0.0  # of processor time, in the interpreter

    def scores(self, features):
        """Features [windows, frames, channels] of windows in their order -> their scores."""
        run, found = self._interpreter, []
        for window in features:
            run.set_tensor(self._inputs[0], window[np.newaxis, -self.frames :])
            began = time.process_time()
            run.invoke()
            self.seconds += time.process_time() - began
            found.append(run.get_tensor(self._outputs[0])[0])
            for source, target in zip(self._inputs[1:], self._outputs[1:]):
                run.set_tensor(source, run.get_tensor(target))
        return np.array(found)


def compare(architecture, size, stride_ms, rounds):
    """(frames between windows, milliseconds per window of both networks, largest difference of a score)."""
    published = models.published(architecture, size)
    settings = FeatureSettings(**published.feature_settings)
    step = int(round(stride_ms / settings.window_stride_ms))
    values = random_values(architecture, published.model_size_info, settings)
    networks = [
        Network(architecture, published.model_size_info, settings, values, one) for one in (None, step)
    ]
    rng = np.random.RandomState(1)
    frames = rng.normal(0, 1, (settings.frame_count + (2 * WINDOWS - 1) * step, settings.channel_count))
    windows = np.stack([frames[first * step :][: settings.frame_count] for first in range(2 * WINDOWS)])
    windows = windows.astype(np.float32)
    scores = [one.scores(windows)[WINDOWS:] for one in networks]  # the first windows fill what is kept
    times = []
    for _ in range(rounds):
        for one in networks:
            one.seconds = 0.0
            one.scores(windows)
            times.append(one.seconds)
    medians = 1000 * np.median(np.reshape(times, (rounds, 2)), axis=0) / len(windows)
    return step, medians, np.abs(scores[0] - scores[1]).max()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride-ms", type=float, default=240, help="Time from one window to the next.")
    parser.add_argument("--rounds", type=int, default=11, help="Number of measurements; the medians count.")
    chosen = parser.parse_args()
    rows = [("network", "frames", "whole windows", "what is new", "ratio", "difference")]
    for architecture, size in NETWORKS:
        step, (whole, new), difference = compare(architecture, size, chosen.stride_ms, chosen.rounds)
        assert difference < DIFFERENCE_ALLOWED, "the scores differ by %g" % difference
        name = "%s-%s" % (architecture, size)
        rows.append((name, step, "%.3f ms" % whole, "%.3f ms" % new, "%.2f" % (whole / new), "%.0e" % difference))
    print(table(rows, "<>"))


if __name__ == "__main__":
    main()
