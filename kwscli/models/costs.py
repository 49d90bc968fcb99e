"""What a network costs, without TensorFlow: an implementation of the layers that only counts.

The rules are those of Hello Edge (arXiv 1711.07128): batch norm is folded into the convolution before it; a product
counts where a weight meets an activation; a weight and an activation take 8 bits each; memory holds all weights and the
tensors that are alive at one time. In a chain of layers these tensors are the two largest neighbours; a shortcut stays
alive until it is added.
"""
import contextlib
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..sound.feature_settings import FeatureSettings
from . import load, shapes


class Tensor(NamedTuple):
    """What `CostLayers` passes between layers. Layers that can work in place share a buffer."""

    shape: Tuple[int, ...]
    buffer: int


class Layer(NamedTuple):
    """A layer that has weights, or moves data, or both."""

    name: str
    kind: str
    output_shape: Tuple[int, ...]
    weights: int = 0
    biases: int = 0
    macs: int = 0
    activations: int = 0  # number of values that the layer writes

    @property
    def parameters(self) -> int:
        return self.weights + self.biases


class CostLayers:
    """The methods of `graph.GraphLayers`, which count here. `layers` is what they counted."""

    def __init__(self) -> None:
        self.layers: List[Layer] = []
        self._scopes = []
        self._buffers = []  # (values, the layer that writes them, the last layer that reads them)

    @property
    def names(self) -> Tuple[str, ...]:
        """The names of the layers that have weights."""
        return tuple(dict.fromkeys(layer.name for layer in self.layers if layer.parameters))

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights and biases, with batch norm folded."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """The most memory that 8-bit activations take at one time."""
        return max(
            sum(values for values, written, read in self._buffers if written <= index <= read)
            for index in range(len(self.layers))
        )

    @property
    def memory_bytes(self) -> int:
        """8-bit weights and biases, and the activations."""
        return self.parameters + self.activation_bytes

    @property
    def float32_bytes(self) -> int:
        """Weights and biases in a file of 32-bit numbers."""
        return 4 * self.parameters

    @property
    def int8_bytes(self) -> int:
        """8-bit weights and 32-bit biases in a file, as integer kernels need them."""
        return 4 * self.parameters - 3 * self.weights

    def input(self, shape: Sequence[int]) -> Tensor:
        """The features, as the first tensor."""
        return self._tensor(shape, written=0)

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def shape(self, x: Tensor) -> Tuple[int, ...]:
        return x.shape

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x._replace(shape=tuple(shape))

    def conv(
        self, x: Tensor, filters: int, kernel: Sequence[int], stride: Sequence[int] = (1, 1), padding: str = "SAME"
    ) -> Tensor:
        height, width = shapes.slide(self._name(), x.shape, kernel, stride, padding)
        weights = kernel[0] * kernel[1] * x.shape[2] * filters
        kind = "pointwise_conv" if tuple(kernel) == (1, 1) else "conv"
        return self._layer(kind, [x], (height, width, filters), weights, macs=weights * height * width)

    def depthwise_conv(
        self, x: Tensor, kernel: Sequence[int], stride: Sequence[int] = (1, 1), padding: str = "SAME", dilation: int = 1
    ) -> Tensor:
        height, width = shapes.slide(self._name(), x.shape, kernel, stride, padding)
        weights = kernel[0] * kernel[1] * x.shape[2]
        return self._layer("depthwise_conv", [x], (height, width, x.shape[2]), weights, macs=weights * height * width)

    def pad_time(self, x: Tensor, frames: int) -> Tensor:
        """This costs nothing, because kernels pad as they read."""
        return x._replace(shape=(x.shape[0] + 2 * frames,) + x.shape[1:])

    def dense(self, x: Tensor, units: int, bias: bool = True) -> Tensor:
        weights = x.shape[0] * units
        return self._layer("dense", [x], (units,), weights, units if bias else 0, macs=weights)

    def bias(self, x: Tensor) -> Tensor:
        self.layers[-1] = self.layers[-1]._replace(biases=self.layers[-1].biases + x.shape[-1])
        return x

    def batch_norm(self, x: Tensor, scale: bool = False, decay: float = 0.96, epsilon: float = 0.001) -> Tensor:
        """The layer before takes it up: the factor goes into its weights, and the offset becomes a bias."""
        return self.bias(x)

    def sub_spectral_norm(self, x: Tensor, bands: int, decay: float = 0.96, epsilon: float = 0.001) -> Tensor:
        """A factor and an offset for each band and channel, which the layer before cannot take up."""
        shapes.band_width(self._name(), x.shape, bands)
        count = bands * x.shape[2]
        return self._layer("sub_spectral_norm", [x], x.shape, count, count, macs=_values(x.shape), in_place=x)

    def relu(self, x: Tensor) -> Tensor:
        return x

    def swish(self, x: Tensor) -> Tensor:
        return x

    def dropout(self, x: Tensor, rate: float = 0.0, whole_channels: bool = False) -> Tensor:
        return x

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self._layer("add", [x, y], x.shape, in_place=x)

    def max_pool(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return self._layer("max_pool", [x], shapes.slide(self._name(), x.shape, size, size, "SAME") + x.shape[2:])

    def average_frequency(self, x: Tensor) -> Tensor:
        return self._layer("average_frequency", [x], (x.shape[0], 1, x.shape[2]))

    def global_average_pool(self, x: Tensor) -> Tensor:
        return self._layer("global_average_pool", [x], x.shape[2:])

    def lstm(self, x: Tensor, units: int, projection: Optional[int] = None, peepholes: bool = False) -> Tensor:
        """Its activations are the four gates of one frame and, if there is one, the projection."""
        frames, channels = x.shape
        outputs = projection or units
        matrices = (channels + outputs) * 4 * units + (projection or 0) * units
        weights = matrices + (3 * units if peepholes else 0)
        activations = 4 * units + (projection or 0)
        return self._layer("lstm", [x], (outputs,), weights, 4 * units, matrices * frames, activations)

    def gru(self, x: Tensor, units: int, layers: int = 1) -> Tensor:
        """Its activations are the three gates of one frame; stacked layers take turns with the same memory."""
        frames, channels = x.shape
        for layer in range(1, layers + 1):
            with self.scope("layer_%d" % layer):
                weights = (channels + units) * 3 * units
                gates = x if layer > 1 else None
                x = self._layer("gru", [x], (units,), weights, 3 * units, weights * frames, 3 * units, in_place=gates)
            channels = units
        return x

    def _layer(self, kind, inputs, shape, weights=0, biases=0, macs=0, activations=None, in_place=None):
        """Record a layer and return its output, in a new buffer or in the buffer of `in_place`, which it overwrites."""
        index = len(self.layers)
        activations = _values(shape) if activations is None else activations
        self.layers.append(Layer(self._name(), kind, tuple(shape), weights, biases, macs, activations))
        for x in inputs:
            values, written, _ = self._buffers[x.buffer]
            self._buffers[x.buffer] = (values, written, index)
        return self._tensor(shape, index, activations) if in_place is None else Tensor(tuple(shape), in_place.buffer)

    def _tensor(self, shape, written, values=None):
        self._buffers.append((_values(shape) if values is None else values, written, written))
        return Tensor(tuple(shape), len(self._buffers) - 1)

    def _name(self):
        return "/".join(self._scopes)


def _values(shape):
    """The number of values in a tensor of this shape."""
    product = 1
    for size in shape:
        product *= size
    return product


def count(
    architecture: str, model_size_info: Sequence[int], feature_settings: FeatureSettings, label_count: int
) -> CostLayers:
    """Count the layers of a network."""
    net = CostLayers()
    features = net.input(feature_settings.shape)
    load(architecture).build(net, features, label_count, tuple(model_size_info))
    return net
