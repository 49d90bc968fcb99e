"""Broadcasted residual learning: BC-ResNet, arXiv 2106.04140, table 1.

`model_size_info`: the channels of the first stage, which are 8 tau.
"""
from typing import Tuple

from . import Layers, Size, Tensor, integers

_FEATURES = {
    "features": "log_mel",
    "window_size_ms": 30.0,
    "window_stride_ms": 10.0,
    "dct_coefficient_count": 40,  # for --features mfcc: so many channels divide into the bands below
    "upper_edge_hertz": 7600.0,
}
_SOURCE = "arXiv 2106.04140 (V1, 12 labels)"
SIZES = {
    "1": Size((8,), _FEATURES, 96.6, _SOURCE),
    "1.5": Size((12,), _FEATURES, 97.2, _SOURCE),
    "2": Size((16,), _FEATURES, 97.3, _SOURCE),
    "3": Size((24,), _FEATURES, 97.6, _SOURCE),
    "6": Size((48,), _FEATURES, 97.9, _SOURCE),
    "8": Size((64,), _FEATURES, 98.0, _SOURCE),
}
ALIASES = {"s": "1", "m": "3", "l": "8"}
# Per stage: blocks, factor of the first stage's channels, stride in frequency of its first block, dilation in time.
_STAGES = ((2, 1.0, 1, 1), (2, 1.5, 2, 2), (4, 2.0, 2, 4), (4, 2.5, 1, 8))
_BANDS = 5
_NORM = {"decay": 0.9, "epsilon": 1e-5}  # as in the authors' code
_DROPOUT = 0.1


def build(net: Layers, features: Tensor, label_count: int, size: Tuple[int, ...]) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count]."""
    (base,) = integers("bc_resnet", size, ("channels of the first stage (8 tau)",))
    x = net.reshape(features, net.shape(features) + (1,))
    with net.scope("conv_1"):
        x = net.relu(net.batch_norm(net.conv(x, 2 * base, (5, 5), (1, 2)), scale=True, **_NORM))
    for stage, (blocks, widening, stride, dilation) in enumerate(_STAGES, 1):
        for block in range(1, blocks + 1):
            with net.scope("stage_%d_block_%d" % (stage, block)):
                x = _block(net, x, int(base * widening), stride if block == 1 else 1, dilation)
    with net.scope("head_depthwise"):
        x = net.depthwise_conv(net.pad_time(x, 2), (5, 5), padding="VALID")
    with net.scope("head"):
        x = net.relu(net.batch_norm(net.conv(x, 4 * base, (1, 1)), scale=True, **_NORM))
    with net.scope("logits"):
        return net.dense(net.global_average_pool(x), label_count)


def _block(net, x, channels, stride, dilation):
    """A 2-D branch plus a 1-D branch over the mean of its frequencies: x [batch, h, w, c] -> [batch, h, w', channels].

    The 1-D branch is added to every frequency.
    """
    shortcut = x if net.shape(x)[-1] == channels and stride == 1 else None
    if shortcut is None:
        with net.scope("transition"):
            x = net.relu(net.batch_norm(net.conv(x, channels, (1, 1)), scale=True, **_NORM))
    with net.scope("frequency"):
        x = net.sub_spectral_norm(net.depthwise_conv(x, (1, 3), (1, stride)), _BANDS, **_NORM)
    y = net.average_frequency(x)
    with net.scope("time"):
        y = net.swish(net.batch_norm(net.depthwise_conv(y, (3, 1), dilation=dilation), scale=True, **_NORM))
    with net.scope("pointwise"):
        y = net.dropout(net.conv(y, channels, (1, 1)), _DROPOUT, whole_channels=True)
    x = net.add(x, y)
    return net.relu(x if shortcut is None else net.add(x, shortcut))
