"""The layers as nodes of an ONNX graph, with the weights of a checkpoint: a third implementation beside `graph`.

Maps are [batch, channels, height, width], the order that ONNX has, so that a graph has few transpositions. Like in the
other implementations, a shape has the order (height, width, channels).
"""
import contextlib
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..imports import optional
from . import FEATURES_RANGE, shapes
from .folding import norm
from .shapes import band_width

EXTRA = "onnx"
_ALONG_CHANNELS = {"Conv": (-1, 1, 1, 1), "MatMul": (-1,)}  # the shape of a factor for the weights of a layer


class Tensor(NamedTuple):
    """What `OnnxLayers` passes between layers."""

    name: str
    shape: Tuple[int, ...]  # without the batch: (height, width, channels), (frames, channels) or (units,)


class OnnxLayers:
    """The methods of `graph.GraphLayers`, which add nodes here. `nodes` and `weights` make the graph.

    values: {name of a variable: its value} of a checkpoint. Batch norm multiplies the weights of the layer before it,
    where there is one, and adds a bias.
    """

    def __init__(self, values: Dict[str, np.ndarray]) -> None:
        self._helper = optional("onnx.helper", EXTRA)
        self._values = values
        self._scopes = []
        self._makers = {}  # {name of a tensor: the node that makes it}
        self.nodes: List[Any] = []
        self.weights: Dict[str, np.ndarray] = {}

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def shape(self, x: Tensor) -> Tuple[int, ...]:
        return x.shape

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The values keep the order that they have in [batch, height, width, channels]."""
        shape = tuple(shape)
        if shape == x.shape:
            return x
        if len(x.shape) == 3 and _moves(x.shape):
            x = self._add("Transpose", [x], x.shape, perm=[0, 2, 3, 1])
        if len(shape) != 3:
            return self._reshaped(x, shape, shape)
        if not _moves(shape):
            return self._reshaped(x, (shape[2],) + shape[:2], shape)
        return self._add("Transpose", [self._reshaped(x, shape, shape)], shape, perm=[0, 3, 1, 2])

    def conv(
        self, x: Tensor, filters: int, kernel: Sequence[int], stride: Sequence[int] = (1, 1), padding: str = "SAME"
    ) -> Tensor:
        weights = self._value("weights").transpose(3, 2, 0, 1)
        return self._convolution(x, filters, weights, kernel, stride, padding)

    def depthwise_conv(
        self, x: Tensor, kernel: Sequence[int], stride: Sequence[int] = (1, 1), padding: str = "SAME", dilation: int = 1
    ) -> Tensor:
        channels = x.shape[2]
        weights = self._value("weights").transpose(2, 3, 0, 1)
        return self._convolution(x, channels, weights, kernel, stride, padding, channels, dilation)

    def pad_time(self, x: Tensor, frames: int) -> Tensor:
        height, width, channels = x.shape
        pads = np.array([0, 0, frames, 0, 0, 0, frames, 0], np.int64)
        return self._add("Pad", [x, pads], (height + 2 * frames, width, channels))

    def dense(self, x: Tensor, units: int, bias: bool = True) -> Tensor:
        y = self._add("MatMul", [x, self._value("weights")], (units,))
        return self.bias(y) if bias else y

    def bias(self, x: Tensor) -> Tensor:
        return self._plus(x, self._value("biases"))

    def batch_norm(self, x: Tensor, scale: bool = False, decay: float = 0.96, epsilon: float = 0.001) -> Tensor:
        factor, offset = norm(self._value, scale, epsilon)
        return self._plus(self._multiplied(x, factor), offset)

    def sub_spectral_norm(self, x: Tensor, bands: int, decay: float = 0.96, epsilon: float = 0.001) -> Tensor:
        width = band_width("/".join(self._scopes), x.shape, bands)
        # [bands, 1, channels] -> one number for each channel and frequency: [channels, 1, width]
        factor, offset = [
            np.repeat(one.transpose(2, 1, 0), width, axis=2) for one in norm(self._value, True, epsilon)
        ]
        return self._add("Add", [self._add("Mul", [x, factor], x.shape), offset], x.shape)

    def normalize(self, x: Tensor) -> Tensor:
        with self.scope("features"):
            mean, deviation = self._value("mean"), self._value("deviation")
        return self._add("Mul", [self._add("Sub", [x, mean], x.shape), 1 / deviation], x.shape)

    def limit(self, x: Tensor) -> Tensor:
        low, high = self._value(FEATURES_RANGE + "_low"), self._value(FEATURES_RANGE + "_high")
        return self._add("Min", [self._add("Max", [x, low], x.shape), high], x.shape)

    def relu(self, x: Tensor) -> Tensor:
        return self._add("Relu", [x], x.shape)

    def swish(self, x: Tensor) -> Tensor:
        return self._add("Mul", [x, self._add("Sigmoid", [x], x.shape)], x.shape)

    def softmax(self, x: Tensor, name: str) -> Tensor:
        """The scores of logits [batch, label_count], under this name: the last layer of a graph."""
        return self._add("Softmax", [x], x.shape, name, axis=1)

    def dropout(self, x: Tensor, rate: float = 0.0, whole_channels: bool = False) -> Tensor:
        return x

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self._add("Add", [x, y], x.shape)

    def max_pool(self, x: Tensor, size: Sequence[int]) -> Tensor:
        height, width = self._slide(x, size, size, "SAME")
        return self._add(
            "MaxPool", [x], (height, width, x.shape[2]), kernel_shape=list(size), strides=list(size),
            pads=_pads(x.shape, size, size),
        )

    def average_frequency(self, x: Tensor) -> Tensor:
        return self._add("ReduceMean", [x], (x.shape[0], 1, x.shape[2]), axes=[3], keepdims=1)

    def global_average_pool(self, x: Tensor) -> Tensor:
        return self._add("ReduceMean", [x], (x.shape[2],), axes=[2, 3], keepdims=0)

    def lstm(self, x: Tensor, units: int, projection: Optional[int] = None, peepholes: bool = False) -> Tensor:
        """Unrolled over frames, because the LSTM of ONNX has no projection."""
        recurrent = self._weight("recurrent_weights")
        to_input, to_forget, to_output = [
            self._weight("peephole_" + gate) if peepholes else None for gate in ("input", "forget", "output")
        ]
        project = self._weight("projection_weights") if projection else None
        output = cell = None
        for gates in self._frame_by_frame(x, 4 * units):
            if output:
                gates = self._op("Add", gates, self._op("MatMul", output, recurrent))
            i, j, f, o = self._split(gates, 4)
            if cell and peepholes:
                i = self._op("Add", i, self._op("Mul", to_input, cell))
                f = self._op("Add", f, self._op("Mul", to_forget, cell))
            new = self._op("Mul", self._op("Sigmoid", i), self._op("Tanh", j))
            cell = self._op("Add", self._op("Mul", self._op("Sigmoid", f), cell), new) if cell else new
            if peepholes:
                o = self._op("Add", o, self._op("Mul", to_output, cell))
            output = self._op("Mul", self._op("Sigmoid", o), self._op("Tanh", cell))
            output = self._op("MatMul", output, project) if projection else output
        return Tensor(output, (projection or units,))

    def gru(self, x: Tensor, units: int, layers: int = 1) -> Tensor:
        for layer in range(1, layers + 1):
            with self.scope("layer_%d" % layer):
                outputs = self._gru_outputs(x, units)
            if layer < layers:
                frames = [self._op("Unsqueeze", output, self._constant(np.array([1], np.int64))) for output in outputs]
                x = Tensor(self._op("Concat", *frames, axis=1), (len(frames), units))
        return Tensor(outputs[-1], (units,))

    def _gru_outputs(self, x, units):
        """The output of each frame. The order of the gates is reset, update, candidate."""
        gate_weights, candidate_weights = self._weight("gate_weights"), self._weight("candidate_weights")
        one, outputs = self._constant(np.float32(1)), []
        for frame in self._frame_by_frame(x, 3 * units):
            reset, update, candidate = self._split(frame, 3)
            if not outputs:
                rest = self._op("Sub", one, self._op("Sigmoid", update))
                outputs.append(self._op("Mul", rest, self._op("Tanh", candidate)))
                continue
            last = outputs[-1]
            from_reset, from_update = self._split(self._op("MatMul", last, gate_weights), 2)
            reset = self._op("Sigmoid", self._op("Add", reset, from_reset))
            update = self._op("Sigmoid", self._op("Add", update, from_update))
            remembered = self._op("MatMul", self._op("Mul", reset, last), candidate_weights)
            candidate = self._op("Tanh", self._op("Add", candidate, remembered))
            kept = self._op("Mul", update, self._op("Sub", last, candidate))
            outputs.append(self._op("Add", candidate, kept))
        return outputs

    def _frame_by_frame(self, x, units):
        """The name of what each frame [batch, units] adds to the gates."""
        frames = x.shape[0]
        y = self._plus(
            self._add("MatMul", [x, self._value("input_weights")], (frames, units)), self._value("biases")
        )
        axis = self._constant(np.array([1], np.int64))
        return [self._op("Squeeze", one, axis) for one in self._split(y.name, frames)]

    def _convolution(self, x, filters, weights, kernel, stride, padding, groups=1, dilation=1):
        height, width = self._slide(x, kernel, stride, padding)
        return self._add(
            "Conv", [x, weights], (height, width, filters), kernel_shape=list(kernel), strides=list(stride),
            pads=_pads(x.shape, kernel, stride, dilation) if padding == "SAME" else [0, 0, 0, 0],
            dilations=[dilation, 1], group=groups,
        )

    def _slide(self, x, kernel, stride, padding):
        return shapes.slide("/".join(self._scopes), x.shape, kernel, stride, padding)

    def _multiplied(self, x, factor):
        """x times a factor per channel, which is part of the weights of the layer before, if that has weights."""
        maker = self._makers.get(x.name)
        if maker is None or maker.op_type not in _ALONG_CHANNELS or len(maker.input) > 2:
            return self._add("Mul", [x, self._per_channel(x, factor)], x.shape)
        self.weights[maker.input[1]] *= factor.reshape(_ALONG_CHANNELS[maker.op_type])
        return x

    def _plus(self, x, offset):
        """x plus a number per channel, which is the bias of a convolution, if x comes from one."""
        maker = self._makers.get(x.name)
        if maker is None or maker.op_type != "Conv" or len(maker.input) > 2:
            return self._add("Add", [x, self._per_channel(x, offset)], x.shape)
        maker.input.append(self._constant(offset))
        return x

    def _per_channel(self, x, values):
        return values.reshape(-1, 1, 1) if len(x.shape) == 3 else values

    def _reshaped(self, x, stored, shape):
        return self._add("Reshape", [x, np.array((-1,) + stored, np.int64)], shape)

    def _split(self, name, count):
        """The names of `count` equal parts along axis 1."""
        outputs = ["split_%d_%d" % (len(self.nodes), part) for part in range(count)]
        self.nodes.append(self._helper.make_node("Split", [name], outputs, axis=1))
        return outputs

    def _add(self, operation, inputs, shape, name=None, **attributes):
        """Add a node -> its Tensor."""
        names = [self._constant(one) if isinstance(one, np.ndarray) else one.name for one in inputs]
        return Tensor(self._op(operation, *names, name=name, **attributes), tuple(shape))

    def _op(self, operation, *names, name=None, **attributes):
        """Add a node -> the name of its output."""
        name = name or "%s_%d" % (operation.lower(), len(self.nodes))
        node = self._helper.make_node(operation, list(names), [name], **attributes)
        self.nodes.append(node)
        self._makers[name] = node
        return name

    def _weight(self, name):
        """The name of a weight in the graph."""
        return self._constant(self._value(name))

    def _constant(self, value):
        """The name of a constant in the graph."""
        name = "/".join(self._scopes + ["constant_%d" % len(self.weights)])
        self.weights[name] = np.array(value)
        return name

    def _value(self, name):
        return self._values["/".join(self._scopes + [name])]


def _pads(shape, kernel, stride, dilation=1):
    """The zeros that "SAME" adds before and after each axis: half on each side; an odd one goes after."""
    missing = [max((-(-size // step) - 1) * step + taps - size, 0) for size, taps, step in zip(shape, kernel, stride)]
    if dilation > 1:  # the stride is 1
        missing[0] = kernel[0] - 1
    before = [count // 2 for count in missing]
    after = [count - half for count, half in zip(missing, before)]
    return [before[0] * dilation, before[1], after[0] * dilation, after[1]]


def _moves(shape):
    """Whether a map (height, width, channels) has another order with its channels first."""
    return shape[2] > 1 and shape[0] * shape[1] > 1
