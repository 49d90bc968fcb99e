"""The constants of the features, as C: window, cosines, mel filters and cosine transform."""
from typing import Iterable, List

import numpy as np

from ...errors import KwsError
from ...sound.feature_settings import FeatureSettings
from ...sound.features import ENERGY_FLOOR, fft_length, hann_window, mel_filterbank
from ...sound.mfcc import dct_matrix

# {kind of features: whether they are the cosine transform of log mel energies}
FEATURES = {"mfcc": True, "log_mel": False}


def source(settings: FeatureSettings) -> str:
    """The content of kws_tables.h."""
    if settings.features not in FEATURES:
        raise KwsError("the C kit cannot compute %s features" % settings.features, "choose another --format")
    first, filters = mel_filterbank(settings)
    starts, counts, weights = [], [], []
    for channel in filters.T:
        used = np.flatnonzero(channel)
        begin, end = (used[0], used[-1] + 1) if len(used) else (0, 0)
        starts.append(first + begin)
        counts.append(end - begin)
        weights.extend(channel[begin:end])
    quarter, window = fft_length(settings) // 4, hann_window(settings.window_size_samples)
    parts = [
        "/* Constants of the features. Made by kws freeze. */\n#ifndef KWS_TABLES_H\n#define KWS_TABLES_H\n",
        "#define R(value) ((kws_real)(value))\n#define KWS_MEL_CHANNELS %d" % settings.filterbank_channel_count,
        "#define KWS_DCT\n" if FEATURES[settings.features] else "",
        "static const kws_real energy_floor = R(%r);\n" % ENERGY_FLOOR,
        "/* Half of the window, which is symmetric, times 2^30. */",
        integers("hann", 2.0 ** 30 * window[: len(window) // 2 + 1]),
        "/* A quarter of a wave, times -2^31. */",
        integers("cosines", -2.0 ** 31 * np.cos(2 * np.pi * np.arange(quarter + 1) / fft_length(settings))),
        "/* The first FFT bin of each mel filter, the number of its bins, and the weights of all filters. */",
        "static const int16_t mel_first[KWS_MEL_CHANNELS] = {\n%s};" % lines(map(str, starts)),
        "static const int16_t mel_count[KWS_MEL_CHANNELS] = {\n%s};" % lines(map(str, counts)),
        reals("mel_weights", weights or [0.0]),
    ]
    if FEATURES[settings.features]:
        matrix = dct_matrix(settings.filterbank_channel_count, settings.channel_count)
        parts.append(reals("dct", matrix.T.ravel()))
    return "\n".join(parts) + "\n#endif\n"


def work_values(settings: FeatureSettings) -> int:
    """How many numbers the computation of a frame needs at one time."""
    return max(fft_length(settings), fft_length(settings) // 2 + 1 + settings.filterbank_channel_count)


def reals(name: str, values: Iterable[float]) -> str:
    """A table of real numbers."""
    values = list(values)
    cells = ("R(%s)" % repr(float(value)) for value in values)
    return "static const kws_real %s[%d] = {\n%s};" % (name, len(values), lines(cells))


def integers(name: str, values: np.ndarray) -> str:
    """A table of integers of 32 bits."""
    cells = ("INT32_MIN" if value <= -2.0 ** 31 else "%d" % value for value in np.round(values))
    return "static const int32_t %s[%d] = {\n%s};" % (name, len(values), lines(cells))


def lines(cells: Iterable[str], width: int = 116) -> str:
    """Cells with commas, in lines of a limited width."""
    found: List[str] = [""]
    for cell in cells:
        if len(found[-1]) + len(cell) + 1 > width:
            found.append("")
        found[-1] += cell + ","
    return "".join("    %s\n" % line for line in found)
