"""Fully connected layers: "Hello Edge: Keyword Spotting on Microcontrollers", arXiv 1711.07128, section 4.

`model_size_info`: the units of each hidden layer, in order.
"""
from typing import Tuple

from . import HELLO_EDGE, Layers, Size, Tensor, integers

SIZES = {
    "s": Size((144, 144, 144), {"window_stride_ms": 40.0}, 84.6, HELLO_EDGE),
    "m": Size((256, 256, 256), {"window_stride_ms": 40.0}, 86.4, HELLO_EDGE),
    "l": Size((436, 436, 436), {"window_stride_ms": 40.0}, 86.7, HELLO_EDGE),
}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers("dnn", size, ["units of layer %d" % layer for layer in range(1, max(len(size), 1) + 1)])
    frame_count, channel_count = net.shape(features)
    x = net.reshape(features, (frame_count * channel_count,))
    for layer, units in enumerate(size, 1):
        with net.scope("fc%d" % layer):
            x = net.dropout(net.relu(net.dense(x, units)))
    with net.scope("logits"):
        return net.dense(x, label_count)
