"""One LSTM layer without a projection or peepholes: "Hello Edge", arXiv 1711.07128, section 4.

`model_size_info`: the number of memory cells.
"""
from typing import Tuple

from . import HELLO_EDGE, Layers, Size, Tensor, integers

SIZES = {
    "s": Size((118,), {}, 92.0, HELLO_EDGE),
    "m": Size((214,), {}, 93.0, HELLO_EDGE),
    "l": Size((344,), {}, 93.4, HELLO_EDGE),
}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    (cells,) = integers("basic_lstm", size, ("memory cells",))
    with net.scope("lstm"):
        x = net.lstm(features, cells)
    with net.scope("logits"):
        return net.dense(x, label_count)
