"""The size of a feature map after a layer: what both implementations of the layers share."""
from ..errors import KwsError


def slide(layer, shape, kernel, stride, padding):
    """(height, width) that a kernel leaves of a map of `shape` (height, width, channels); none left is an error."""
    reach = (1, 1) if padding == "SAME" else kernel
    left = tuple((size - taken) // step + 1 for size, taken, step in zip(shape, reach, stride))
    if min(left) < 1:
        raise KwsError(
            "the feature map shrinks to nothing in %s: its kernel of %d x %d does not fit into %d x %d "
            "(time x frequency); choose smaller kernels or strides in --model-size-info, or features with more "
            "frames or coefficients"
            % ((layer,) + tuple(kernel) + tuple(shape[:2]))
        )
    return left


def band_width(layer, shape, bands):
    """Frequencies in each of `bands` equal bands of a map of `shape` (height, width, channels)."""
    if shape[1] % bands:
        raise KwsError(
            "%s normalises %d bands of frequency, and its %d frequencies do not divide by that; "
            "choose a --dct-coefficient-count that does, such as the published one" % (layer, bands, shape[1])
        )
    return shape[1] // bands
