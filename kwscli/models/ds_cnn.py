"""Depthwise separable convolutions: "Hello Edge: Keyword Spotting on Microcontrollers", arXiv 1711.07128, section 4.

`model_size_info`: the number of convolutions; then for each the filters, kernel height, kernel width, stride in time,
stride in frequency. The first is a full convolution; each other one is a depthwise and a pointwise (1 x 1) convolution.
"""
from typing import List, Tuple

from ..errors import KwsError
from . import CONVOLUTION, HELLO_EDGE, Layers, Size, Tensor

SIZES = {
    "s": Size((5, 64, 10, 4, 2, 2) + 4 * (64, 3, 3, 1, 1), {}, 94.4, HELLO_EDGE),
    "m": Size((5, 172, 10, 4, 2, 1, 172, 3, 3, 2, 2) + 3 * (172, 3, 3, 1, 1), {}, 94.9, HELLO_EDGE),
    "l": Size((6, 276, 10, 4, 2, 1, 276, 3, 3, 2, 2) + 4 * (276, 3, 3, 1, 1), {}, 95.4, HELLO_EDGE),
}


def layers_of(size: Tuple[int, ...]) -> List[Tuple[int, Tuple[int, int], Tuple[int, int]]]:
    """`model_size_info` -> (filters, kernel, stride) of each convolution."""
    count = size[0] if size else 0
    if count < 1 or len(size) != 1 + 5 * count or min(size) < 1:
        raise KwsError(
            "--model-size-info of ds_cnn is the number of convolutions, then five integers greater than zero for each "
            "(%s): found %d (%s), but %d convolutions take 1 + 5 x %d"
            % (", ".join(CONVOLUTION), len(size), " ".join(map(str, size)), count, count)
        )
    rows = [size[start : start + 5] for start in range(1, len(size), 5)]
    return [(filters, (height, width), (time, frequency)) for filters, height, width, time, frequency in rows]


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    x = net.reshape(features, net.shape(features) + (1,))
    for index, (filters, kernel, stride) in enumerate(layers_of(size)):
        if index == 0:
            with net.scope("conv_1"):
                x = net.relu(net.batch_norm(net.conv(x, filters, kernel, stride)))
            continue
        with net.scope("conv_ds_%d" % index):
            with net.scope("depthwise"):
                x = net.relu(net.batch_norm(net.depthwise_conv(x, kernel, stride)))
            with net.scope("pointwise"):
                x = net.relu(net.batch_norm(net.conv(x, filters, (1, 1))))
    with net.scope("fc1"):
        return net.dense(net.global_average_pool(x), label_count)
