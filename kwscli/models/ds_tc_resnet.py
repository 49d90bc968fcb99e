"""Time-channel separable convolutions with residuals: MatchboxNet, arXiv 2004.08531; `ds_tc_resnet` of kws_streaming.

`model_size_info`: the residual blocks, the convolutions per block and their channels (B, R and C in the paper). The
features are those that kws_streaming trains it with (98.0 % on V2, 12 labels).
"""
from typing import Tuple

from . import Layers, Size, Tensor, integers

_FEATURES = {
    "window_size_ms": 30.0,
    "window_stride_ms": 10.0,
    "dct_coefficient_count": 40,
    "filterbank_channel_count": 80,
    "upper_edge_hertz": 7600.0,
}
_SOURCE = "arXiv 2106.04140, table 3 (V2, 12 labels)"
SIZES = {
    "3x1x64": Size((3, 1, 64), _FEATURES, 96.9, _SOURCE),
    "3x2x64": Size((3, 2, 64), _FEATURES, 97.2, _SOURCE),
    "6x2x64": Size((6, 2, 64), _FEATURES, 97.4, _SOURCE),
}
ALIASES = {"s": "3x1x64", "m": "3x2x64", "l": "6x2x64"}


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    blocks, repeats, channels = integers("ds_tc_resnet", size, ("residual blocks", "convolutions in each", "channels"))
    frame_count, channel_count = net.shape(features)
    x = net.reshape(features, (frame_count, 1, channel_count))
    with net.scope("conv_1"):
        x = net.dropout(net.relu(_separable(net, x, 128, 11)))
    for block in range(1, blocks + 1):
        with net.scope("block_%d" % block):
            x = _block(net, x, channels, 11 + 2 * block, repeats)
    with net.scope("conv_2"):
        x = net.dropout(net.relu(_separable(net, x, 128, 29, dilation=2)))
    with net.scope("conv_3"):
        x = net.dropout(net.relu(_pointwise(net, x, 128)))
    with net.scope("logits"):
        return net.dense(net.global_average_pool(x), label_count)


def _block(net, x, channels, kernel, repeats):
    """Separable convolutions, plus a pointwise shortcut: x [batch, frames, 1, c] -> [batch, frames, 1, channels]."""
    with net.scope("residual"):
        residual = _pointwise(net, x, channels)
    for repeat in range(1, repeats + 1):
        with net.scope("conv_%d" % repeat):
            x = _separable(net, x, channels, kernel)
            x = net.add(x, residual) if repeat == repeats else x
            x = net.dropout(net.relu(x))
    return x


def _separable(net, x, channels, kernel, dilation=1):
    with net.scope("depthwise"):
        x = net.depthwise_conv(x, (kernel, 1), dilation=dilation)
    return _pointwise(net, x, channels)


def _pointwise(net, x, channels):
    with net.scope("pointwise"):
        return net.batch_norm(net.conv(x, channels, (1, 1)), scale=True)
