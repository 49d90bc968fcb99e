"""One LSTM layer with peepholes and an output projection (arXiv 1705.02411): "Hello Edge", arXiv 1711.07128, section 4.

`model_size_info`: the units of the projection, then the number of memory cells.
"""
from typing import Tuple

from . import HELLO_EDGE, Layers, Size, Tensor, integers

SIZES = {
    "s": Size((98, 144), {"window_stride_ms": 40.0}, 92.9, HELLO_EDGE),
    "m": Size((130, 280), {}, 93.9, HELLO_EDGE),
    "l": Size((188, 500), {}, 94.8, HELLO_EDGE),
}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    projection, cells = integers("lstm", size, ("units of the projection", "memory cells"))
    with net.scope("lstm"):
        x = net.lstm(features, cells, projection, peepholes=True)
    with net.scope("logits"):
        return net.dense(x, label_count)
