"""A rank-constrained layer and two linear layers: `low_latency_svdf` of TensorFlow's `speech_commands` example.

It follows "Compressing Deep Neural Networks using a Rank-Constrained Topology", Nakkiran et al., Interspeech 2015: each
unit is the sum of `rank` filters, and each of these is a filter over frequency followed by a filter over time.

`model_size_info`: the units, their rank, the units of each of the two linear layers.
"""
from typing import Tuple

from . import SPEECH_COMMANDS, SPEECH_COMMANDS_DROPOUT, Layers, Size, Tensor, integers

SIZES = {"s": Size((1280, 2, 256, 256), SPEECH_COMMANDS)}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    integers("low_latency_svdf", size, ("units", "rank", "units of layer 1", "units of layer 2"))
    units, rank = size[:2]
    frame_count, channel_count = net.shape(features)
    x = net.reshape(features, (frame_count, channel_count, 1))
    with net.scope("frequency"):
        x = net.conv(x, rank * units, (1, channel_count), padding="VALID")
    with net.scope("time"):
        x = net.depthwise_conv(x, (frame_count, 1), padding="VALID")
    with net.scope("units"):
        # The mean over ranks stands for their sum: the filters take up the factor.
        x = net.bias(net.global_average_pool(net.reshape(x, (rank, 1, units))))
    x = net.dropout(net.relu(x), SPEECH_COMMANDS_DROPOUT)
    for layer, layer_units in enumerate(size[2:], 1):
        with net.scope("fc%d" % layer):
            x = net.dropout(net.dense(x, layer_units), SPEECH_COMMANDS_DROPOUT)
    with net.scope("logits"):
        return net.dense(x, label_count)
