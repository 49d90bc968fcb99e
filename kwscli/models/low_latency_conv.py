"""A convolution over all frames and two linear layers: `low_latency_conv` of TensorFlow's `speech_commands` example.

It follows cnn-one-fstride4 in "Convolutional Neural Networks for Small-footprint Keyword Spotting", Sainath and Parada,
Interspeech 2015.

`model_size_info`: the filters, the kernel width (its height is all frames), the units of each of the two linear layers.
"""
from typing import Tuple

from . import SPEECH_COMMANDS, SPEECH_COMMANDS_DROPOUT, Layers, Size, Tensor, integers

SIZES = {"s": Size((186, 8, 128, 128), SPEECH_COMMANDS)}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers("low_latency_conv", size, ("filters", "kernel width", "units of layer 1", "units of layer 2"))
    filters, kernel_width = size[:2]
    frame_count = net.shape(features)[0]
    x = net.reshape(features, net.shape(features) + (1,))
    with net.scope("conv_1"):
        x = net.relu(net.bias(net.conv(x, filters, (frame_count, kernel_width), padding="VALID")))
    height, width, channels = net.shape(x)
    x = net.dropout(net.reshape(x, (height * width * channels,)), SPEECH_COMMANDS_DROPOUT)
    for layer, units in enumerate(size[2:], 1):
        with net.scope("fc%d" % layer):
            x = net.dropout(net.dense(x, units), SPEECH_COMMANDS_DROPOUT)
    with net.scope("logits"):
        return net.dense(x, label_count)
