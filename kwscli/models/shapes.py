"""The size of a feature map after a layer, for both implementations of the layers: `graph` and `costs`."""
from typing import Sequence, Tuple

from ..errors import KwsError


def slide(
    layer: str, shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: str
) -> Tuple[int, ...]:
    """(height, width) after a kernel slid over a map of `shape` (height, width, channels). Less than 1 is an error."""
    reach = (1, 1) if padding == "SAME" else kernel
    left = tuple((size - taken) // step + 1 for size, taken, step in zip(shape, reach, stride))
    if min(left) < 1:
        raise KwsError(
            "the feature map shrinks to nothing in %s: its kernel of %d x %d does not fit into %d x %d "
            "(time x frequency)" % ((layer,) + tuple(kernel) + tuple(shape[:2])),
            "choose smaller kernels or strides in --model-size-info, or features with more frames or channels",
        )
    return left


def band_width(layer: str, shape: Sequence[int], bands: int) -> int:
    """Frequencies per band, where a map of `shape` (height, width, channels) has `bands` equal bands of frequency."""
    if shape[1] % bands:
        raise KwsError(
            "%s normalises %d bands of frequency, but its %d frequencies cannot be divided by %d"
            % (layer, bands, shape[1], bands),
            "choose features with another number of channels, such as the published ones that kws models NAME shows",
        )
    return shape[1] // bands
