"""What a network costs, without TensorFlow: the layers that architectures are written in, as bookkeeping.

The rules are those of Hello Edge (arXiv 1711.07128): batch norm folded into the convolution before it, products counted
where a weight meets an activation, 8 bits for each weight and activation, and memory for all weights plus the tensors
alive at one time. In a chain of layers those are the two largest neighbours; a shortcut stays alive until it is added.
"""
import contextlib
from typing import NamedTuple, Tuple

from . import load, shapes


class Tensor(NamedTuple):
    """What `CostLayers` passes between layers; layers that can work in place share a buffer."""

    shape: Tuple[int, ...]
    buffer: int


class Layer(NamedTuple):
    """One layer that has weights, moves data, or both."""

    name: str
    kind: str
    output_shape: Tuple[int, ...]
    weights: int = 0
    biases: int = 0
    macs: int = 0
    activations: int = 0  # values that the layer writes

    @property
    def parameters(self):
        return self.weights + self.biases


class CostLayers:
    """The layers of `graph.GraphLayers`, counted. `layers` is the list of `Layer`."""

    def __init__(self):
        self.layers = []
        self._scopes = []
        self._buffers = []  # (values, the layer that writes them, the last layer that reads them)

    @property
    def weights(self):
        return sum(layer.weights for layer in self.layers)

    @property
    def parameters(self):
        """Weights and biases, batch norm folded."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self):
        return sum(layer.macs for layer in self.layers)

    @property
    def activation_bytes(self):
        """The most memory that activations of 8 bits take at one time."""
        return max(
            sum(values for values, written, read in self._buffers if written <= index <= read)
            for index in range(len(self.layers))
        )

    @property
    def memory_bytes(self):
        """8-bit weights and biases, and the activations."""
        return self.parameters + self.activation_bytes

    @property
    def float32_bytes(self):
        """Weights and biases in a file of 32-bit numbers."""
        return 4 * self.parameters

    @property
    def int8_bytes(self):
        """Weights of 8 bits and biases of 32 in a file, as integer kernels want them."""
        return 4 * self.parameters - 3 * self.weights

    def input(self, shape):
        """The features, as the first tensor."""
        return self._tensor(shape, written=0)

    @contextlib.contextmanager
    def scope(self, name):
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def shape(self, x):
        return x.shape

    def reshape(self, x, shape):
        return x._replace(shape=tuple(shape))

    def conv(self, x, filters, kernel, stride=(1, 1), padding="SAME"):
        height, width = shapes.slide(self._name(), x.shape, kernel, stride, padding)
        weights = kernel[0] * kernel[1] * x.shape[2] * filters
        return self._layer("conv", [x], (height, width, filters), weights, macs=weights * height * width)

    def depthwise_conv(self, x, kernel, stride=(1, 1), padding="SAME", dilation=1):
        height, width = shapes.slide(self._name(), x.shape, kernel, stride, padding)
        weights = kernel[0] * kernel[1] * x.shape[2]
        return self._layer("depthwise_conv", [x], (height, width, x.shape[2]), weights, macs=weights * height * width)

    def pad_time(self, x, frames):
        """Costs nothing: kernels pad as they read."""
        return x._replace(shape=(x.shape[0] + 2 * frames,) + x.shape[1:])

    def dense(self, x, units, bias=True):
        weights = x.shape[0] * units
        return self._layer("dense", [x], (units,), weights, units if bias else 0, macs=weights)

    def bias(self, x):
        self.layers[-1] = self.layers[-1]._replace(biases=self.layers[-1].biases + x.shape[-1])
        return x

    def constant_matmul(self, x, matrix):
        """Costs nothing: it undoes a step of the features that is then left out as well."""
        return x._replace(shape=x.shape[:-1] + (matrix.shape[1],))

    def batch_norm(self, x, scale=False, decay=0.96, epsilon=0.001):
        """Folds into the layer before: its factor into the weights, its offset as a bias."""
        return self.bias(x)

    def sub_spectral_norm(self, x, bands, decay=0.96, epsilon=0.001):
        """A factor and an offset for each band and channel, which no kernel can take up."""
        shapes.band_width(self._name(), x.shape, bands)
        count = bands * x.shape[2]
        return self._layer("sub_spectral_norm", [x], x.shape, count, count, macs=_values(x.shape), in_place=x)

    def relu(self, x):
        return x

    def swish(self, x):
        return x

    def dropout(self, x, rate=0.0, whole_channels=False):
        return x

    def add(self, x, y):
        return self._layer("add", [x, y], x.shape, in_place=x)

    def max_pool(self, x, size):
        return self._layer("max_pool", [x], shapes.slide(self._name(), x.shape, size, size, "SAME") + x.shape[2:])

    def average_frequency(self, x):
        return self._layer("average_frequency", [x], (x.shape[0], 1, x.shape[2]))

    def global_average_pool(self, x):
        return self._layer("global_average_pool", [x], x.shape[2:])

    def lstm(self, x, units, projection=None, peepholes=False):
        """Its activations are the four gates of one frame, and the projection beside them."""
        frames, channels = x.shape
        outputs = projection or units
        matrices = (channels + outputs) * 4 * units + (projection or 0) * units
        weights = matrices + (3 * units if peepholes else 0)
        activations = 4 * units + (projection or 0)
        return self._layer("lstm", [x], (outputs,), weights, 4 * units, matrices * frames, activations)

    def gru(self, x, units, layers=1):
        """Its activations are the three gate vectors of one frame; the layers over each other take turns."""
        frames, channels = x.shape
        for layer in range(1, layers + 1):
            with self.scope("layer_%d" % layer):
                weights = (channels + units) * 3 * units
                gates = x if layer > 1 else None
                x = self._layer("gru", [x], (units,), weights, 3 * units, weights * frames, 3 * units, in_place=gates)
            channels = units
        return x

    def _layer(self, kind, inputs, shape, weights=0, biases=0, macs=0, activations=None, in_place=None):
        """Records a layer and returns its output, in a new buffer or in that of the tensor it may overwrite."""
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
    """Values in a tensor of this shape."""
    product = 1
    for size in shape:
        product *= size
    return product


def count(architecture, model_size_info, feature_settings, label_count):
    """The layers of a network, counted: a `CostLayers`."""
    net = CostLayers()
    features = net.input(feature_settings.shape)
    load(architecture).build(net, features, label_count, tuple(model_size_info))
    return net
