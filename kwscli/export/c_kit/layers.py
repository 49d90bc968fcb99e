"""Operators of an 8-bit network -> calls of the kernels in kws_nn.h, with the numbers that TensorFlow Lite prepares."""
import math
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from ...errors import KwsError
from .tflite_file import Network, Tensor

LOW, HIGH = -128, 127
_ADD_BITS = 20
_SOFTMAX_INTEGER_BITS = 5


class Call(NamedTuple):
    """A call of a kernel: function(&layer, inputs..., output).

    struct: the type of the layer, "" if the function takes none. fields: {name: number, list, array or dict}.
    arguments: further arguments before the inputs. in_place: whether the output may overwrite an input of its size.
    """

    function: str
    struct: str
    fields: Dict[str, Any]
    inputs: Sequence[Tensor]
    output: Tensor
    arguments: Sequence[Union[int, np.ndarray]] = ()
    in_place: bool = False
    macs: int = 0


class Alias(NamedTuple):
    """Two tensors that begin at the same place, because an operator changes no value."""

    input: Tensor
    output: Tensor


def calls_of(network: Network) -> List[Union[Call, Alias]]:
    """The calls that run a network, in their order."""
    return [_call(operator) for operator in network.operators]


def _call(operator):
    if operator.name not in _KERNELS:
        raise KwsError("the C kit has no kernel for %s" % operator.name, "use --format tflite-int8")
    return _KERNELS[operator.name](operator, *operator.inputs)


def factor(value: float) -> Tuple[int, int]:
    """A positive number as (multiplier, shift): multiplier * 2^(shift - 31)."""
    fraction, shift = math.frexp(value)
    multiplier = int(math.floor(fraction * 2 ** 31 + 0.5))
    if multiplier == 2 ** 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def _scaled(value, multiplier, shift):
    """What `scaled` in kws_nn.c computes."""
    product = value * 2 ** max(shift, 0) * multiplier
    high = abs(product + (2 ** 30 if product >= 0 else 1 - 2 ** 30)) >> 31
    high = high if product >= 0 else -high
    right = max(-shift, 0)
    mask = 2 ** right - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def _limits(activation, output):
    """The lowest and the highest output that a fused activation allows."""
    if activation == 0:
        return LOW, HIGH
    if activation not in (1, 3):  # relu, relu6
        raise KwsError("the C kit has no activation %d" % activation, "use --format tflite-int8")
    high = HIGH if activation == 1 else min(HIGH, output.zero_point + int(round(6 / float(output.scale))))
    return max(LOW, output.zero_point), high


def _image(tensor):
    """(height, width, channels) of a tensor [1, ...]."""
    return ((1, 1) + tensor.shape[1:])[-3:]


def _window(source, target, kernel, stride, same):
    """The fields of a kws_window. same: whether windows reach over the edges, as with the padding SAME."""
    (height, width, channels), (output_height, output_width, _) = _image(source), _image(target)
    before = [
        max((steps - 1) * step + taps - size, 0) // 2 if same else 0
        for size, steps, taps, step in zip((height, width), (output_height, output_width), kernel, stride)
    ]
    return {
        "input_height": height, "input_width": width, "channels": channels,
        "output_height": output_height, "output_width": output_width,
        "kernel_height": kernel[0], "kernel_width": kernel[1],
        "stride_height": stride[0], "stride_width": stride[1],
        "pad_top": before[0], "pad_left": before[1],
    }


def _convolution(operator, source, window, weights, biases, factors, macs, function="kws_convolve"):
    (target,), filters = operator.outputs, len(factors)
    low, high = _limits(operator.options["activation"], target)
    multipliers, shifts = zip(*factors)
    fields = {
        "window": window, "filters": filters,
        "input_zero": source.zero_point, "output_zero": target.zero_point, "low": low, "high": high,
        "weights": weights,
        "biases": np.zeros(filters, np.int32) if biases is None else biases.data,
        "multipliers": np.array(multipliers, np.int32), "shifts": np.array(shifts, np.int8),
    }
    return Call(function, "kws_convolution", fields, [source], target, macs=macs)


def _conv_2d(operator, source, weights, biases):
    options, (target,) = operator.options, operator.outputs
    if (options["dilation_height"], options["dilation_width"]) != (1, 1):
        raise KwsError("the C kit has no kernel for dilated convolutions", "use --format tflite-int8")
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    if depthwise and _image(source)[2] == 1:  # all filters read one channel, as in a convolution
        depthwise, weights = False, _filters_first(weights)
    if depthwise and _image(source)[2] != _image(target)[2]:
        raise KwsError("the C kit has no kernel for several filters per channel", "use --format tflite-int8")
    window = _window(
        source, target, weights.shape[1:3], (options["stride_height"], options["stride_width"]), not options["padding"]
    )
    scales = np.broadcast_to(weights.scales, _image(target)[2:]).astype(np.float64)
    factors = [factor(float(source.scale) * scale / float(target.scale)) for scale in scales]
    macs = target.size * weights.size // _image(target)[2]
    function = "kws_convolve_depthwise" if depthwise else "kws_convolve"
    return _convolution(operator, source, window, weights.data, biases, factors, macs, function)


def _filters_first(weights):
    """Weights [1, height, width, filters] -> [filters, height, width, 1]."""
    data = np.ascontiguousarray(weights.data.transpose(3, 1, 2, 0))
    return weights._replace(shape=data.shape, data=data)


def _fully_connected(operator, source, weights, biases=None):
    (target,) = operator.outputs
    units, inputs = weights.shape
    window = _window(source._replace(shape=(1, 1, inputs)), target._replace(shape=(1, 1, units)), (1, 1), (1, 1), False)
    if len(weights.scales) == 1:
        product = float(np.float32(source.scale * weights.scale))  # TensorFlow Lite multiplies them as 32-bit floats
        factors = units * [factor(product / float(target.scale))]
    else:
        factors = [
            factor(float(source.scale) * float(scale) / float(target.scale)) for scale in weights.scales
        ]
    return _convolution(operator, source, window, weights.data, biases, factors, weights.size)


def _mean(operator, source, axes):
    (target,) = operator.outputs
    axes = {int(axis) % len(source.shape) for axis in axes.data.ravel()}
    if len(source.shape) != 4 or axes not in ({1}, {2}, {1, 2}):
        raise KwsError("the C kit has no kernel for a MEAN over other axes than time and frequency",
                       "use --format tflite-int8")
    kernel = [source.shape[axis] if axis in axes else 1 for axis in (1, 2)]
    image = target._replace(shape=(1,) + tuple(size // taps for size, taps in zip(source.shape[1:3], kernel)) + (1,))
    count = kernel[0] * kernel[1]
    multiplier, shift = factor(float(source.scale) / float(target.scale))
    # The division by the count goes into the factor, with as many bits as it has room for.
    bits = min(count.bit_length() - 1, 31 + shift)
    fields = {
        "window": _window(source, image, kernel, kernel, False),
        "input_zero": source.zero_point, "output_zero": target.zero_point,
        "multiplier": (multiplier << bits) // count, "shift": shift - bits,
    }
    return Call("kws_mean", "kws_mean_layer", fields, [source], target)


def _pool(operator, source):
    options, (target,) = operator.options, operator.outputs
    kernel, stride = [(options[name + "_height"], options[name + "_width"]) for name in ("kernel", "stride")]
    low, high = _limits(options["activation"], target)
    fields = {"window": _window(source, target, kernel, stride, not options["padding"]), "low": low, "high": high}
    function = "kws_max_pool" if operator.name == "MAX_POOL_2D" else "kws_average_pool"
    return Call(function, "kws_pool", fields, [source], target)


def _add(operator, first, second):
    (target,) = operator.outputs
    sign = -1 if operator.name == "SUB" else 1
    scales = [float(one.scale) for one in (first, second)]
    largest = 2 * max(scales)
    factors = [factor(scale / largest) for scale in scales]
    output = factor(largest / (2 ** _ADD_BITS * float(target.scale)))
    multipliers = [factors[0][0], sign * factors[1][0]]
    return _pair(operator, "kws_add", first, second, output, multipliers, [shift for _, shift in factors])


def _multiply(operator, first, second):
    (target,) = operator.outputs
    output = factor(float(first.scale) * float(second.scale) / float(target.scale))
    return _pair(operator, "kws_multiply", first, second, output, (0, 0), (0, 0))


def _pair(operator, function, first, second, output, multipliers, shifts):
    (target,) = operator.outputs
    low, high = _limits(operator.options["activation"], target)
    shape = _four(target.shape)
    strides = []
    for one in (first, second):
        own = _four(one.shape)
        strides.append([step if size > 1 else 0 for step, size in zip(_strides(own), own)])
    fields = {
        "shape": shape, "strides": strides, "zeros": [first.zero_point, second.zero_point],
        "output_zero": target.zero_point, "low": low, "high": high,
        "multipliers": multipliers, "shifts": shifts, "multiplier": output[0], "shift": output[1],
    }
    return Call(function, "kws_pair", fields, [first, second], target, in_place=True)


def _four(shape):
    """A shape with four axes."""
    shape = tuple(shape)
    while len(shape) > 4 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > 4:
        raise KwsError("the C kit has no kernel for tensors of %d axes" % len(shape), "use --format tflite-int8")
    return (1,) * (4 - len(shape)) + shape


def _strides(shape):
    """How far apart the neighbours on each axis are."""
    return [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]


def _pad(operator, source, widths):
    (target,) = operator.outputs
    before = (0,) * (4 - len(source.shape)) + tuple(int(one) for one in widths.data[:, 0])
    size = _four(source.shape)
    return _part(source, target, before, size, 0, _strides(size))


def _strided_slice(operator, source, begin, end, step):
    (target,), masks = operator.outputs, operator.options
    if masks["ellipsis_mask"] or masks["new_axis_mask"] or masks["shrink_mask"] or min(step.data) < 1:
        raise KwsError("the C kit has no kernel for this STRIDED_SLICE", "use --format tflite-int8")
    starts = [
        0 if masks["begin_mask"] >> axis & 1 else int(start) % source.shape[axis]
        for axis, start in enumerate(begin.data)
    ]
    strides = _strides(source.shape)
    first = sum(start * stride for start, stride in zip(starts, strides))
    strides = [stride * int(one) for stride, one in zip(strides, step.data)]
    own = _strides(target.shape)
    if first == 0 and all(size == 1 or a == b for size, a, b in zip(target.shape, strides, own)):
        return Alias(source, target)
    return _part(source, target, (0,) * 4, _four(target.shape), first, (0,) * (4 - len(strides)) + tuple(strides))


def _part(source, target, before, size, first, strides):
    fields = {
        "shape": _four(target.shape), "before": before, "size": size, "first": first, "strides": strides,
        "value": source.zero_point,
    }
    return Call("kws_copy_part", "kws_part", fields, [source], target)


def _table(function, operator, source):
    """A call that looks up function(integer) -> integer."""
    (target,) = operator.outputs
    values = [function(value) for value in range(LOW, HIGH + 1)]
    table = np.clip(values, LOW, HIGH).astype(np.int8)
    return Call("kws_look_up", "", {}, [source], target, [table, source.size], in_place=True)


def _logistic(operator, source):
    (target,) = operator.outputs
    return _table(lambda value: _rounded(
        1 / (1 + math.exp(-float(source.scale) * (value - source.zero_point))) / float(target.scale)
    ) + target.zero_point, operator, source)


def _rounded(value):
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _rescale(operator, source):
    (target,) = operator.outputs
    lowest = target.zero_point if operator.name == "RELU" else LOW
    ratio = factor(float(source.scale) / float(target.scale))
    return _table(
        lambda value: max(lowest, _scaled(value - source.zero_point, *ratio) + target.zero_point), operator, source
    )


def _softmax(operator, source):
    (target,) = operator.outputs
    if (float(target.scale), target.zero_point) != (1 / 256, LOW):
        raise KwsError("the scores of the network have another scale than 1/256", "freeze it again")
    fraction = 31 - _SOFTMAX_INTEGER_BITS
    multiplier, shift = factor(min(operator.options["beta"] * float(source.scale) * 2 ** fraction, 2 ** 31 - 1.0))
    lowest = -math.floor((2 ** _SOFTMAX_INTEGER_BITS - 1) * 2.0 ** (fraction - shift))
    fields = {"size": source.size, "multiplier": multiplier, "shift": shift, "lowest": max(lowest, -256)}
    return Call("kws_softmax", "kws_softmax_layer", fields, [source], target)


def _alias(operator, source, *_):
    (target,) = operator.outputs
    return Alias(source, target)


_KERNELS: Dict[str, Callable[..., Union[Call, Alias]]] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _conv_2d,
    "EXPAND_DIMS": _alias,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "MUL": _multiply,
    "PAD": _pad,
    "QUANTIZE": _rescale,
    "RELU": _rescale,
    "RESHAPE": _alias,
    "SOFTMAX": _softmax,
    "SQUEEZE": _alias,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _add,
}
