"""One fully connected layer: the smallest network of TensorFlow's `speech_commands` example.

`model_size_info`: no integers.
"""
from typing import Tuple

from . import SPEECH_COMMANDS, Layers, Size, Tensor, integers

SIZES = {"s": Size((), SPEECH_COMMANDS)}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers("single_fc", size, ())
    frame_count, channel_count = net.shape(features)
    with net.scope("logits"):
        return net.dense(net.reshape(features, (frame_count * channel_count,)), label_count)
