"""One convolution, for microcontrollers: `tiny_conv` of TensorFlow's `speech_commands` example.

`model_size_info`: the filters, kernel height, kernel width, stride in time and stride in frequency.
"""
from typing import Tuple

from . import CONVOLUTION, SPEECH_COMMANDS, SPEECH_COMMANDS_DROPOUT, Layers, Size, Tensor, integers

SIZES = {"s": Size((8, 10, 8, 2, 2), dict(SPEECH_COMMANDS, window_stride_ms=20.0))}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    filters, height, width, time, frequency = integers("tiny_conv", size, CONVOLUTION)
    x = net.reshape(features, net.shape(features) + (1,))
    with net.scope("conv_1"):
        x = net.relu(net.bias(net.conv(x, filters, (height, width), (time, frequency))))
    height, width, channels = net.shape(x)
    x = net.dropout(net.reshape(x, (height * width * channels,)), SPEECH_COMMANDS_DROPOUT)
    with net.scope("logits"):
        return net.dense(x, label_count)
