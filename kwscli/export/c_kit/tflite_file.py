"""Reads the network in a .tflite file, without TensorFlow: operators, tensors, scales and weights.

The numbers of fields, operators and types are those of TensorFlow Lite's schema (schema.fbs, version 3).
"""
import struct
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 9: "FULLY_CONNECTED", 14: "LOGISTIC",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 25: "SOFTMAX", 34: "PAD", 40: "MEAN", 41: "SUB",
    43: "SQUEEZE", 45: "STRIDED_SLICE", 70: "EXPAND_DIMS", 114: "QUANTIZE",
}
_TYPES = {0: np.float32, 2: np.int32, 4: np.int64, 9: np.int8}
# {operator: (name, type in the file, value where the file has none) of each field of its options}
_WINDOW = (("padding", "b", 0), ("stride_width", "i", 0), ("stride_height", "i", 0))
_DILATION = (("dilation_width", "i", 1), ("dilation_height", "i", 1))
_ACTIVATION = (("activation", "b", 0),)
_POOL = _WINDOW + (("kernel_width", "i", 0), ("kernel_height", "i", 0)) + _ACTIVATION
_OPTIONS = {
    "ADD": _ACTIVATION,
    "AVERAGE_POOL_2D": _POOL,
    "CONV_2D": _WINDOW + _ACTIVATION + _DILATION,
    "DEPTHWISE_CONV_2D": _WINDOW + (("multiplier", "i", 0),) + _ACTIVATION + _DILATION,
    "FULLY_CONNECTED": _ACTIVATION,
    "MAX_POOL_2D": _POOL,
    "MEAN": (("keep_dims", "b", 0),),
    "MUL": _ACTIVATION,
    "SOFTMAX": (("beta", "f", 0.0),),
    "STRIDED_SLICE": tuple((name + "_mask", "i", 0) for name in ("begin", "end", "ellipsis", "new_axis", "shrink")),
    "SUB": _ACTIVATION,
}


class Tensor(NamedTuple):
    """A tensor of the network. data: its constant value; None for an activation."""

    index: int
    shape: Tuple[int, ...]
    scales: np.ndarray  # float32: one, or one per channel; empty if it is not quantised
    zero_point: int
    data: Optional[np.ndarray]

    @property
    def scale(self) -> np.float32:
        return self.scales[0]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Operator(NamedTuple):
    """One step of the network. An input that is left out is None."""

    name: str
    options: dict
    inputs: List[Optional[Tensor]]
    outputs: List[Tensor]


class Network(NamedTuple):
    """The operators in their order, and the ends of the network."""

    operators: List[Operator]
    input: Tensor
    output: Tensor


def read(content: bytes) -> Network:
    """The network in the content of a .tflite file that has one input and one output."""
    model = _Table(content, struct.unpack_from("<I", content)[0])
    codes = [max(code.number(0, "b", 0), code.number(3, "i", 0)) for code in model.tables(1)]
    graph, buffers = model.tables(2)[0], model.tables(4)
    tensors = [_tensor(index, table, buffers) for index, table in enumerate(graph.tables(0))]
    operators = []
    for table in graph.tables(3):
        code = codes[table.number(0, "I", 0)]
        name = OPERATORS.get(code, "operator %d" % code)
        options = table.table(4)
        operators.append(Operator(
            name,
            {
                field: options.number(number, kind, default) if options else default
                for number, (field, kind, default) in enumerate(_OPTIONS.get(name, ()))
            },
            [tensors[index] if index >= 0 else None for index in table.numbers(1, np.int32)],
            [tensors[index] for index in table.numbers(2, np.int32)],
        ))
    (source,), (target,) = graph.numbers(1, np.int32), graph.numbers(2, np.int32)
    return Network(operators, tensors[source], tensors[target])


def _tensor(index, table, buffers):
    shape = tuple(int(size) for size in table.numbers(0, np.int32))
    data = buffers[table.number(2, "I", 0)].numbers(0, np.uint8)
    scales, zero_points = np.empty(0, np.float32), ()
    quantization = table.table(4)
    if quantization:
        scales, zero_points = quantization.numbers(2, np.float32), quantization.numbers(3, np.int64)
    kind = _TYPES.get(table.number(1, "b", 0), np.uint8)
    value = np.frombuffer(data.tobytes(), kind).reshape(shape) if len(data) else None
    return Tensor(index, shape, scales, int(zero_points[0]) if len(zero_points) else 0, value)


class _Table:
    """A table of a FlatBuffer: fields by number, each of which may be absent."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content, self._position = content, position

    def number(self, field: int, kind: str, default: Any) -> Any:
        """A scalar field. kind: as in the module struct."""
        place = self._place(field)
        return struct.unpack_from("<" + kind, self._content, place)[0] if place else default

    def numbers(self, field: int, dtype: type) -> np.ndarray:
        """A vector of scalars."""
        start, length = self._vector(field)
        return np.frombuffer(self._content, np.dtype(dtype).newbyteorder("<"), length, start)

    def table(self, field: int) -> Optional["_Table"]:
        """A table inside this table."""
        place = self._place(field)
        return _Table(self._content, self._follow(place)) if place else None

    def tables(self, field: int) -> List["_Table"]:
        """A vector of tables."""
        start, length = self._vector(field)
        return [_Table(self._content, self._follow(start + 4 * index)) for index in range(length)]

    def _vector(self, field):
        place = self._place(field)
        if not place:
            return 0, 0
        start = self._follow(place)
        return start + 4, struct.unpack_from("<I", self._content, start)[0]

    def _follow(self, place):
        return place + struct.unpack_from("<I", self._content, place)[0]

    def _place(self, field):
        """Where a field is in the file; 0 if it is absent."""
        names = self._position - struct.unpack_from("<i", self._content, self._position)[0]
        if 4 + 2 * field >= struct.unpack_from("<H", self._content, names)[0]:
            return 0
        offset = struct.unpack_from("<H", self._content, names + 4 + 2 * field)[0]
        return self._position + offset if offset else 0
