"""One LSTM layer, neither projected nor with peepholes: "Hello Edge", arXiv 1711.07128, section 4.

`model_size_info`: the memory cells.
"""
from . import HELLO_EDGE, Size, integers

SIZES = {
    "s": Size((118,), {}, 92.0, HELLO_EDGE),
    "m": Size((214,), {}, 93.0, HELLO_EDGE),
    "l": Size((344,), {}, 93.4, HELLO_EDGE),
}


def build(net, features, label_count, size):
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    (cells,) = integers("basic_lstm", size, ("memory cells",))
    with net.scope("lstm"):
        x = net.lstm(features, cells)
    with net.scope("logits"):
        return net.dense(x, label_count)
