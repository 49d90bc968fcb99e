"""The layers that architectures are made of, as TensorFlow graph operations.

`build()` of an architecture gets these layers to train and to infer, and those of `costs` to count what they cost.
Tensors are [batch, height (time), width (frequency), channels], the order that TensorFlow's CPU kernels need.
"""
import zlib
from typing import Collection, ContextManager, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from . import shapes
from .quantization import Floats

NORMALIZATION = "mean", "deviation"  # the variables of `GraphLayers.normalize`, in the scope "features"
_DRAWN = 2 ** 24  # dropout draws integers below this


def _seed_of(name):
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


class GraphLayers:
    """Layers with `tf.get_variable`: built twice under `tf.AUTO_REUSE`, training and inference share variables.

    training: whether dropout is active and batch norm uses the statistics of the batch.
    dropout_rate: share of units to drop wherever the architecture has dropout; None means the rates of its paper.
    rank: number of the worker that trains; each worker drops other units.
    frozen: names of scopes whose variables do not learn, and whose batch norm uses its averages, as inference does.
    quantization: rounds weights and the inputs of layers; it rounds what a kernel writes, such as the output of a
    convolution with its batch norm and relu, where the next layer reads it.
    """

    def __init__(
        self, training: bool, dropout_rate: Optional[float] = None, rank: int = 0,
        quantization: Floats = Floats(), frozen: Collection[str] = (),
    ) -> None:
        self.training, self._frozen = training, frozen
        self._quantization = quantization
        self.dropout_rate, self._rank = dropout_rate, rank
        self._dropouts = 0

    def scope(self, name: str) -> ContextManager:
        """A context that prefixes the names of the variables made inside."""
        return tf.variable_scope(name)

    def shape(self, x: tf.Tensor) -> Tuple[int, ...]:
        """(height, width, channels), (frames, channels) or (units,) of x."""
        return tuple(x.shape.as_list()[1:])

    def reshape(self, x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
        """x [batch, ...] -> [batch, *shape]."""
        return self._quantization.same_values(tf.reshape(x, (-1,) + tuple(shape)), x)

    def conv(
        self, x: tf.Tensor, filters: int, kernel: Sequence[int], stride: Sequence[int] = (1, 1), padding: str = "SAME"
    ) -> tf.Tensor:
        """2-D convolution: x [batch, h, w, c] -> [batch, h', w', filters]."""
        self._slide(x, kernel, stride, padding)
        weights = self._weights("weights", tuple(kernel) + (self.shape(x)[-1], filters))
        x, weights = self._quantization.activations(x), self._quantization.weights(weights, per_channel=3)
        return tf.nn.conv2d(x, weights, strides=(1,) + tuple(stride) + (1,), padding=padding)

    def depthwise_conv(
        self, x: tf.Tensor, kernel: Sequence[int], stride: Sequence[int] = (1, 1), padding: str = "SAME",
        dilation: int = 1,
    ) -> tf.Tensor:
        """One filter per channel: x [batch, h, w, c] -> [batch, h', w', c].

        dilation: frames from one tap of the kernel to the next; above 1, the stride and the kernel width must be 1.
        """
        self._slide(x, kernel, stride, padding)
        weights = self._weights("weights", tuple(kernel) + (self.shape(x)[-1], 1))
        x, weights = self._quantization.activations(x), self._quantization.weights(weights, per_channel=2)
        if dilation > 1:
            return self._dilated(x, weights, dilation)
        if stride[0] != stride[1]:
            padded = self._padded(x, kernel, stride) if padding == "SAME" else x
            y = tf.nn.depthwise_conv2d(padded, weights, strides=(1, 1, 1, 1), padding="VALID")
            return y[:, :: stride[0], :: stride[1], :]  # TensorFlow's kernels only support equal strides
        return tf.nn.depthwise_conv2d(x, weights, strides=(1,) + tuple(stride) + (1,), padding=padding)

    def _dilated(self, x, weights, dilation):
        """Put frames that are `dilation` apart below each other, so that an ordinary convolution does the work.

        TensorFlow's own dilation would go through SpaceToBatch, which is slower.
        """
        height, width, channels = self.shape(x)
        rows = -(-height // dilation)
        x = self.reshape(self._pad(x, 0, rows * dilation - height), (rows, dilation * width, channels))
        y = tf.nn.depthwise_conv2d(x, weights, strides=(1, 1, 1, 1), padding="SAME")
        return self.reshape(y, (rows * dilation, width, channels))[:, :height, :, :]

    def pad_time(self, x: tf.Tensor, frames: int) -> tf.Tensor:
        """Add `frames` frames of zeros before and after: x [batch, h, w, c] -> [batch, h + 2 frames, w, c]."""
        return self._quantization.same_values(self._pad(x, frames, frames), x)

    def dense(self, x: tf.Tensor, units: int, bias: bool = True) -> tf.Tensor:
        """Fully connected: x [batch, n] -> [batch, units]."""
        weights = self._quantization.weights(self._weights("weights", (self.shape(x)[-1], units)))
        y = tf.matmul(self._quantization.activations(x), weights)
        return self.bias(y) if bias else y

    def bias(self, x: tf.Tensor) -> tf.Tensor:
        """Add a learned number to each channel."""
        return tf.nn.bias_add(x, self._constants("biases", 0.0, self.shape(x)[-1:]))

    def batch_norm(
        self, x: tf.Tensor, scale: bool = False, decay: float = 0.96, epsilon: float = 0.001
    ) -> tf.Tensor:
        """Batch normalisation (arXiv 1502.03167) with a learned offset and, if `scale`, a learned factor.

        A training batch moves the averages, which inference uses, by 1 - decay; the training step runs these updates.
        """
        shape = self.shape(x)[-1:]
        beta, mean, variance = self._norm_variables(shape)
        gamma = self._constants("gamma", 1.0, shape) if scale else tf.ones(shape)
        image = x if x.shape.ndims == 4 else self.reshape(x, (1, 1) + shape)
        if self.training and not self._is_frozen():
            y, *batch = tf.nn.fused_batch_norm(image, gamma, beta, epsilon=epsilon, is_training=True)
            self._update((mean, variance), batch, decay)
        else:
            y = tf.nn.fused_batch_norm(image, gamma, beta, mean, variance, epsilon=epsilon, is_training=False)[0]
        return y if x.shape.ndims == 4 else self.reshape(y, shape)

    def sub_spectral_norm(
        self, x: tf.Tensor, bands: int, decay: float = 0.96, epsilon: float = 0.001
    ) -> tf.Tensor:
        """Batch norm of each of `bands` frequency bands (arXiv 2103.13620): x [batch, h, w, c] -> same."""
        x = self._quantization.activations(x)
        height, width, channels = self.shape(x)
        band_width = shapes.band_width(self._name(), (height, width), bands)
        shape = (bands, 1, channels)
        beta, mean, variance = self._norm_variables(shape)
        gamma = self._constants("gamma", 1.0, shape)
        rows = self.reshape(x, (bands, band_width, channels))
        if self.training and not self._is_frozen():
            batch = tf.nn.moments(rows, axes=(0, 2), keepdims=True)
            self._update((mean, variance), [tf.reshape(value, shape) for value in batch], decay)
            mean, variance = batch
        y = tf.nn.batch_normalization(rows, mean, variance, beta, gamma, epsilon)
        return self.reshape(y, (height, width, channels))

    def limit(self, x: tf.Tensor) -> tf.Tensor:
        """Keep the features of a network that is trained for 8-bit integers in the range of these."""
        return self._quantization.features(x)

    def normalize(self, x: tf.Tensor) -> tf.Tensor:
        """x [batch, frames, channels] less the mean of each channel, divided by its deviation; both are constants."""
        with self.scope("features"):
            mean, deviation = [
                self._constants(name, start, self.shape(x)[-1:], trainable=False)
                for name, start in zip(NORMALIZATION, (0.0, 1.0))
            ]
        return (x - mean) * (1 / deviation)

    def relu(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x)

    def swish(self, x: tf.Tensor) -> tf.Tensor:
        x = self._quantization.activations(x)
        return x * self._quantization.activations(tf.sigmoid(x))

    def add(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """x + y, where the size of an axis of y may be 1."""
        return self._quantization.activations(x) + self._quantization.activations(y)

    def max_pool(self, x: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
        """The maximum of each tile of `size`: x [batch, h, w, c] -> [batch, h / size, w / size, c], rounded up."""
        window = (1,) + tuple(size) + (1,)
        x = self._quantization.activations(x)
        return self._quantization.same_values(tf.nn.max_pool(x, ksize=window, strides=window, padding="SAME"), x)

    def average_frequency(self, x: tf.Tensor) -> tf.Tensor:
        """The mean over frequency: x [batch, h, w, c] -> [batch, h, 1, c]."""
        return tf.reduce_mean(self._quantization.activations(x), axis=2, keepdims=True)

    def global_average_pool(self, x: tf.Tensor) -> tf.Tensor:
        """The mean over time and frequency: x [batch, h, w, c] -> [batch, c]."""
        return tf.reduce_mean(self._quantization.activations(x), axis=(1, 2))

    def dropout(self, x: tf.Tensor, rate: float = 0.0, whole_channels: bool = False) -> tf.Tensor:
        """Drop this share of the units (or of the channels, if `whole_channels`) while training."""
        rate = rate if self.dropout_rate is None else self.dropout_rate
        if not rate:
            return x
        x = self._quantization.activations(x)
        if not self.training:
            return x
        shape = (x.shape[0], 1, 1, x.shape[-1]) if whole_channels else x.shape
        # A function of (seed, rank, step), so that a resumed run drops the same units as an unbroken one. The state of
        # tf.nn.dropout is not in a checkpoint.
        self._dropouts += 1
        which = _seed_of("%s/%d/%d" % (tf.get_default_graph().seed or 0, self._rank, self._dropouts))
        step = tf.cast(tf.train.get_or_create_global_step(), tf.int32)
        # Integers, because that is the only stateless random operation that the compiler for NPUs supports.
        drawn = tf.random.stateless_uniform(
            shape, tf.stack([tf.constant(which, tf.int32), step]), maxval=_DRAWN, dtype=tf.int32
        )
        return self._quantization.same_values(x * tf.cast(drawn >= round(rate * _DRAWN), x.dtype) / (1 - rate), x)

    def lstm(
        self, x: tf.Tensor, units: int, projection: Optional[int] = None, peepholes: bool = False
    ) -> tf.Tensor:
        """LSTM unrolled over frames: x [batch, frames, n] -> its last output [batch, projection or units].

        The order of the gates is that of TensorFlow's cells: input, candidate, forget, output. The forget gate starts
        open.
        """
        gates = self._frame_by_frame(x, 4 * units, [0.0] * 2 * units + [1.0] * units + [0.0] * units)
        recurrent = self._weights("recurrent_weights", (projection or units, 4 * units))
        to_input, to_forget, to_output = [
            self._weights("peephole_" + gate, (units,)) if peepholes else None for gate in ("input", "forget", "output")
        ]
        project = self._weights("projection_weights", (units, projection)) if projection else None
        output = cell = None  # both are zero before the first frame, which needs no products with them
        for gate in gates:
            if cell is None:
                i, j, _, o = tf.split(gate, 4, axis=1)
                cell = tf.sigmoid(i) * tf.tanh(j)
            else:
                i, j, f, o = tf.split(gate + tf.matmul(output, recurrent), 4, axis=1)
                if peepholes:
                    i, f = i + to_input * cell, f + to_forget * cell
                cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(j)
            output = tf.sigmoid(o + to_output * cell if peepholes else o) * tf.tanh(cell)
            output = tf.matmul(output, project) if projection else output
        return output

    def gru(self, x: tf.Tensor, units: int, layers: int = 1) -> tf.Tensor:
        """A stack of `layers` GRUs, unrolled: x [batch, frames, n] -> the last output [batch, units]."""
        for layer in range(1, layers + 1):
            with self.scope("layer_%d" % layer):
                outputs = self._gru_outputs(x, units)
            x = tf.stack(outputs, axis=1) if layer < layers else None
        return outputs[-1]

    def _gru_outputs(self, x, units):
        """One GRU: x [batch, frames, n] -> [batch, units] for each frame. Both gates start open."""
        inputs = self._frame_by_frame(x, 3 * units, [1.0] * 2 * units + [0.0] * units)
        gate_weights = self._weights("gate_weights", (units, 2 * units))
        candidate_weights = self._weights("candidate_weights", (units, units))
        outputs = []
        for frame in inputs:
            gates, candidate = tf.split(frame, (2 * units, units), axis=1)
            if not outputs:  # the output before the first frame is zero
                update = tf.sigmoid(gates[:, units:])
                outputs.append((1.0 - update) * tf.tanh(candidate))
                continue
            last = outputs[-1]
            reset, update = tf.split(tf.sigmoid(gates + tf.matmul(last, gate_weights)), 2, axis=1)
            candidate = tf.tanh(candidate + tf.matmul(reset * last, candidate_weights))
            outputs.append(candidate + update * (last - candidate))
        return outputs

    def _frame_by_frame(self, x, units, start):
        """What each frame adds to the gates, in one product: x [batch, frames, n] -> [batch, units] for each frame."""
        frames, channels = self.shape(x)
        y = tf.matmul(tf.reshape(x, (-1, channels)), self._weights("input_weights", (channels, units)))
        y = tf.nn.bias_add(y, self._constants("biases", start, (units,)))
        return tf.unstack(self.reshape(y, (frames, units)), axis=1)

    def _slide(self, x, kernel, stride, padding):
        return shapes.slide(self._name(), self.shape(x), kernel, stride, padding)

    def _name(self):
        return tf.get_variable_scope().name

    def _is_frozen(self):
        return self._name() in self._frozen

    def _pad(self, x, before, after):
        return tf.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))

    def _padded(self, x, kernel, stride):
        """x with the zeros that "SAME" adds for these strides: half before and half after; an odd one goes after."""
        missing = [
            max((-(-size // step) - 1) * step + taps - size, 0)
            for size, taps, step in zip(self.shape(x), kernel, stride)
        ]
        return tf.pad(x, [(0, 0)] + [(count // 2, count - count // 2) for count in missing] + [(0, 0)])

    def _weights(self, name, shape):
        """Glorot's uniform distribution, seeded by name: the rest of the graph does not change the weights."""
        seed = _seed_of("%s/%s" % (self._name(), name))
        return self._variable(name, shape, tf.glorot_uniform_initializer(seed))

    def _constants(self, name, start, shape, trainable=True):
        return self._variable(name, shape, tf.constant_initializer(start), trainable)

    def _variable(self, name, shape, initializer, trainable=True):
        collections = [tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES]
        return tf.get_variable(
            name, shape, initializer=initializer, trainable=trainable and not self._is_frozen(),
            collections=collections,
        )

    def _norm_variables(self, shape):
        """(offset, average of means, average of variances) of a norm."""
        return (
            self._constants("beta", 0.0, shape),
            self._constants("moving_mean", 0.0, shape, trainable=False),
            self._constants("moving_variance", 1.0, shape, trainable=False),
        )

    def _update(self, averages, batch, decay):
        """Add the operations that move averages towards those of a batch; the training step runs them."""
        for average, value in zip(averages, batch):
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign_sub(average, (1 - decay) * (average - value)))
