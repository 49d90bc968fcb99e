"""Layers of gated recurrent units: "Hello Edge", arXiv 1711.07128, section 4.

`model_size_info`: the number of layers, then the units of each.
"""
from typing import Tuple

from . import HELLO_EDGE, Layers, Size, Tensor, integers

SIZES = {
    "s": Size((1, 154), {"window_stride_ms": 40.0}, 93.5, HELLO_EDGE),
    "m": Size((1, 250), {}, 94.2, HELLO_EDGE),
    "l": Size((1, 400), {}, 94.7, HELLO_EDGE),
}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    layers, units = integers("gru", size, ("layers", "units of each layer"))
    with net.scope("gru"):
        x = net.gru(features, units, layers)
    with net.scope("logits"):
        return net.dense(x, label_count)
