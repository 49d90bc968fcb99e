"""A convolution, layers of gated recurrent units (arXiv 1703.05390) and a hidden layer: "Hello Edge", arXiv 1711.07128.

`model_size_info`: the filters, kernel height, kernel width, stride in time and stride in frequency of the convolution;
the number of recurrent layers and the units of each; the units of the hidden layer.
"""
from typing import Tuple

from . import CONVOLUTION, HELLO_EDGE, Layers, Size, Tensor, integers

SIZES = {
    "s": Size((48, 10, 4, 2, 2, 2, 60, 84), {}, 94.0, HELLO_EDGE),
    "m": Size((128, 10, 4, 2, 2, 2, 76, 164), {}, 94.4, HELLO_EDGE),
    "l": Size((100, 10, 4, 2, 1, 2, 136, 188), {}, 95.0, HELLO_EDGE),
}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers(
        "crnn", size, CONVOLUTION + ("recurrent layers", "units of each recurrent layer", "units of the hidden layer")
    )
    filters, height, width, time, frequency, layers, units, hidden_units = size
    x = net.reshape(features, net.shape(features) + (1,))
    with net.scope("conv_1"):
        x = net.bias(net.conv(x, filters, (height, width), (time, frequency), "VALID"))
        x = net.dropout(net.relu(x))
    frames, frequencies, channels = net.shape(x)
    with net.scope("gru"):
        x = net.gru(net.reshape(x, (frames, frequencies * channels)), units, layers)
    with net.scope("fc1"):
        x = net.dropout(net.relu(net.dense(x, hidden_units)))
    with net.scope("logits"):
        return net.dense(x, label_count)
