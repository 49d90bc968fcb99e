"""Two convolutions, a linear bottleneck and a hidden layer: "Hello Edge", arXiv 1711.07128, section 4.

`model_size_info`: for each convolution the filters, kernel height, kernel width, stride in time, stride in frequency;
then the units of the linear layer and the units of the hidden layer.
"""
from typing import Tuple

from . import CONVOLUTION, HELLO_EDGE, Layers, Size, Tensor, integers

SIZES = {
    "s": Size((28, 10, 4, 1, 1, 30, 10, 4, 2, 1, 16, 128), {}, 91.6, HELLO_EDGE),
    "m": Size((64, 10, 4, 1, 1, 48, 10, 4, 2, 1, 16, 128), {}, 92.2, HELLO_EDGE),
    "l": Size((60, 10, 4, 1, 1, 76, 10, 4, 2, 1, 58, 128), {}, 92.7, HELLO_EDGE),
}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers("cnn", size, 2 * CONVOLUTION + ("units of the linear layer", "units of the hidden layer"))
    x = net.reshape(features, net.shape(features) + (1,))
    for layer, (filters, height, width, time, frequency) in enumerate((size[:5], size[5:10]), 1):
        with net.scope("conv_%d" % layer):
            x = net.conv(x, filters, (height, width), (time, frequency), "VALID")
            x = net.dropout(net.relu(net.batch_norm(x, scale=True)))
    height, width, channels = net.shape(x)
    x = net.reshape(x, (height * width * channels,))
    with net.scope("linear"):
        x = net.dense(x, size[10])
    with net.scope("fc1"):
        x = net.dropout(net.relu(net.batch_norm(net.dense(x, size[11], bias=False), scale=True)))
    with net.scope("logits"):
        return net.dense(x, label_count)
