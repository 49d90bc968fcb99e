"""Two convolutions: `conv` of TensorFlow's `speech_commands` example.

It follows cnn-trad-fpool3 in "Convolutional Neural Networks for Small-footprint Keyword Spotting", Sainath and Parada,
Interspeech 2015.

`model_size_info`: for each of the two convolutions the filters, kernel height and kernel width.
"""
from typing import Tuple

from . import SPEECH_COMMANDS, SPEECH_COMMANDS_DROPOUT, Layers, Size, Tensor, integers

SIZES = {"s": Size((64, 20, 8, 64, 10, 4), SPEECH_COMMANDS)}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers("conv", size, 2 * ("filters", "kernel height", "kernel width"))
    x = net.reshape(features, net.shape(features) + (1,))
    with net.scope("conv_1"):
        x = net.dropout(net.relu(net.bias(net.conv(x, size[0], size[1:3]))), SPEECH_COMMANDS_DROPOUT)
    x = net.max_pool(x, (2, 2))
    with net.scope("conv_2"):
        x = net.dropout(net.relu(net.bias(net.conv(x, size[3], size[4:6]))), SPEECH_COMMANDS_DROPOUT)
    height, width, channels = net.shape(x)
    with net.scope("logits"):
        return net.dense(net.reshape(x, (height * width * channels,)), label_count)
