"""The pictures of a report: PNG files on white."""
import io
import warnings
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ... import imports
from ...sound.features import hann_window
from ..calibration import Calibration
from ..curves import Curve
from ..measurements import Measurements, Speaker
from ..robustness import Condition
from .page import EXTRA

MATRIX_LABELS = 20  # at most; of more labels, the most frequent confusions are drawn
CONFUSIONS = 20  # at most
KEYWORDS = 10  # whose curves are drawn, at most
_SIZE = 4.4, 3.3  # inches: the text can be read on a phone
_DOTS_PER_INCH = 150
_BLUE, _ORANGE, _GREY = "#2f6fb7", "#c8621b", "#7a828c"
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#e3e6ea", "axes.edgecolor": "#9aa4af", "xtick.color": "#454c54", "ytick.color": "#454c54",
    "text.color": "#1f2328", "axes.labelcolor": "#1f2328", "legend.frameon": False, "legend.fontsize": 8,
}
_DET_TICKS = 0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4
_DET_LIMITS = 0.0005, 0.6
_SPECTRUM_DB = 70  # from the loudest to the quietest colour


def all_figures(measured: Measurements) -> Dict[str, Optional[bytes]]:
    """{name: PNG} of the figures; None where there is nothing to draw."""
    return {
        "confusion": _confusion(measured),
        "roc": _roc(measured),
        "det": _det(measured),
        "noise": _noise(measured.conditions),
        "shift": _line(measured.conditions, "time shift", "time shift in ms (positive: later)"),
        "gain": _line(measured.conditions, "gain", "gain in dB"),
        "speakers": _speakers(measured.speakers),
        "calibration": _reliability(measured.calibration),
        "training": _training(measured.training),
    }


def spectrogram(samples: np.ndarray, sample_rate: int) -> bytes:
    """The PNG of a clip's spectrogram: samples [n] float32."""
    size, step = max(2, sample_rate * 25 // 1000), max(1, sample_rate // 100)
    padded = np.append(samples, np.zeros(size, samples.dtype))
    frames = np.stack([padded[start : start + size] for start in range(0, len(samples), step)])
    power = np.abs(np.fft.rfft(frames * hann_window(size))) ** 2
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    with _Drawing((3.0, 1.5)) as drawing:
        axes = drawing.axes()
        axes.grid(False)
        axes.imshow(
            decibels.T, origin="lower", aspect="auto", cmap="Greys", vmin=decibels.max() - _SPECTRUM_DB,
            extent=(0, len(samples) / sample_rate, 0, sample_rate / 2000),
        )
        axes.set(xlabel="s", ylabel="kHz")
        return drawing.png()


def drawn_keywords(curves: Dict[str, Curve]) -> List[str]:
    """The keywords whose curves are drawn: all, or those with the smallest area under the curve."""
    if len(curves) <= KEYWORDS:
        return list(curves)
    return sorted(curves, key=lambda keyword: curves[keyword].area)[:KEYWORDS]


class _Drawing:
    """A figure, in our style. It is a context manager."""

    def __init__(self, size=_SIZE):
        self._size = size

    def __enter__(self):
        imports.optional("matplotlib.figure", EXTRA)
        import matplotlib
        import matplotlib.figure

        self._context = matplotlib.rc_context(_STYLE)
        self._context.__enter__()
        self.figure = matplotlib.figure.Figure(figsize=self._size, dpi=_DOTS_PER_INCH)
        return self

    def __exit__(self, *error):
        self._context.__exit__(*error)

    def axes(self):
        return self.figure.add_subplot(1, 1, 1)

    def png(self):
        with warnings.catch_warnings(), io.BytesIO() as file:
            warnings.simplefilter("ignore")  # the font of matplotlib lacks some characters of other scripts
            self.figure.savefig(file, format="png", bbox_inches="tight", facecolor="white")
            return file.getvalue()


def _text(label):
    """A label as matplotlib shows it: it takes $...$ for a formula, and leaves names that begin with _ out."""
    return " " + label.replace("$", r"\$")


def _confusion(measured):
    if len(measured.labels) > MATRIX_LABELS:
        return _frequent_confusions(measured)
    counts, labels = measured.evaluation.result.confusion, [_text(label) for label in measured.labels]
    side = 1.8 + 0.42 * len(labels)
    with _Drawing((side + 0.4, side)) as drawing:
        axes = drawing.axes()
        axes.grid(False)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(counts):
            color = "white" if shares[row, column] > 0.5 else "#1f2328"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8)
        axes.set_xticks(range(len(labels)))
        axes.set_xticklabels(labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)))
        axes.set_yticklabels(labels)
        axes.set(xlabel="predicted label", ylabel="true label")
        return drawing.png()


def _frequent_confusions(measured):
    wrong = measured.confusions(CONFUSIONS)
    if not wrong:
        return None
    with _Drawing((_SIZE[0], 0.8 + 0.22 * len(wrong))) as drawing:
        axes = drawing.axes()
        axes.barh(range(len(wrong)), [clips for _, _, clips in wrong], color=_BLUE)
        axes.set_yticks(range(len(wrong)))
        axes.set_yticklabels(["%s \u2192 %s" % (_text(true), _text(predicted)) for true, predicted, _ in wrong])
        axes.invert_yaxis()
        axes.set(xlabel="clips (true label \u2192 predicted label)")
        return drawing.png()


def _curves(axes, measured, x, y):
    """Draw x(curve) against y(curve) of the keywords, and of all together."""
    for keyword in drawn_keywords(measured.curves):
        one = measured.curves[keyword]
        axes.plot(x(one), y(one), linewidth=1, label=_text(keyword))
    axes.plot(x(measured.pooled), y(measured.pooled), color="black", linewidth=2, label=" pooled")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _roc(measured):
    if not measured.pooled:
        return None
    with _Drawing() as drawing:
        axes = drawing.axes()
        _curves(axes, measured, lambda one: one.false_accepts, lambda one: one.hits)
        axes.set(xlabel="false accepts", ylabel="hits", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        _as_percent(axes.xaxis)
        _as_percent(axes.yaxis)
        return drawing.png()


def _det(measured):
    if not measured.pooled:
        return None
    from scipy.special import ndtri  # of the normal distribution: the scale of DET curves

    def scaled(shares):
        return ndtri(np.clip(shares, *_DET_LIMITS))

    with _Drawing() as drawing:
        axes = drawing.axes()
        _curves(axes, measured, lambda one: scaled(one.false_accepts), lambda one: scaled(one.false_rejects))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(scaled(_DET_TICKS))
            axis.set_ticklabels(["%g" % (100 * tick) for tick in _DET_TICKS])
        limits = scaled(_DET_LIMITS)
        axes.set(xlabel="false accepts in %", ylabel="false rejects in %", xlim=limits, ylim=limits)
        return drawing.png()


def _of_kind(conditions, kind):
    return [one for one in conditions if one.kind == kind]


def _noise(conditions):
    if not conditions:
        return None
    with _Drawing() as drawing:
        axes = drawing.axes()
        clean = _of_kind(conditions, "clean")
        for kind, color in (("background noise", _BLUE), ("white noise", _ORANGE)):
            found = clean + _of_kind(conditions, kind)
            if len(found) > 1:
                _band(axes, range(len(found)), found, color, kind)
                axes.set_xticks(range(len(found)))
                axes.set_xticklabels(["clean"] + ["%g" % one.value for one in found[1:]])
        axes.legend(loc="lower left")
        axes.set(xlabel="signal-to-noise ratio in dB", ylabel="accuracy", ylim=(0, 1.02))
        _as_percent(axes.yaxis)
        return drawing.png()


def _line(conditions, kind, label):
    if not conditions:
        return None
    found = sorted(_of_kind(conditions, kind) + _of_kind(conditions, "clean"), key=lambda one: one.value)
    with _Drawing() as drawing:
        axes = drawing.axes()
        _band(axes, [one.value for one in found], found, _BLUE, kind)
        axes.set(xlabel=label, ylabel="accuracy", ylim=(0, 1.02))
        _as_percent(axes.yaxis)
        return drawing.png()


def _band(axes, places, conditions: Sequence[Condition], color, label):
    """Draw accuracies with their intervals."""
    axes.plot(places, [one.accuracy for one in conditions], color=color, marker="o", markersize=3, label=label)
    axes.fill_between(places, *zip(*[one.interval for one in conditions]), color=color, alpha=0.15, linewidth=0)


def _speakers(speakers: Sequence[Speaker]):
    if not speakers:
        return None
    with _Drawing() as drawing:
        axes = drawing.axes()
        axes.hist([one.right / one.clips for one in speakers], bins=np.linspace(0, 1, 11), color=_BLUE, rwidth=0.9)
        axes.set(xlabel="accuracy on the clips of a speaker", ylabel="speakers")
        _as_percent(axes.xaxis)
        return drawing.png()


def _reliability(calibration: Calibration):
    bins = [one for one in calibration.bins if one.clips]
    with _Drawing((_SIZE[0], 4.0)) as drawing:
        grid = drawing.figure.add_gridspec(2, 1, height_ratios=(3, 1), hspace=0.12)
        above, below = (drawing.figure.add_subplot(grid[row]) for row in range(2))
        middles, width = [(one.low + one.high) / 2 for one in bins], 0.9 * (bins[0].high - bins[0].low)
        above.bar(middles, [one.accuracy for one in bins], width, color=_BLUE)
        above.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
        above.plot([one.confidence for one in bins], [one.accuracy for one in bins], "o", color=_ORANGE, markersize=3)
        above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), xticklabels=[])
        below.bar(middles, [one.clips for one in bins], width, color=_GREY)
        below.set(xlabel="highest score of a clip", ylabel="clips", xlim=(0, 1))
        for axis in (above.yaxis, below.xaxis):
            _as_percent(axis)
        return drawing.png()


def _training(lines: Sequence[Dict[str, Any]]):
    if not lines:
        return None
    with _Drawing((_SIZE[0], 4.0)) as drawing:
        above, below = drawing.figure.subplots(2, 1, sharex=True)
        steps, losses = series(lines, "loss")
        above.plot(steps, losses, color=_BLUE, linewidth=0.8)
        above.set(ylabel="loss", ylim=(0, None))
        below.plot(*series(lines, "accuracy"), color=_GREY, linewidth=0.8, label="training batch")
        below.plot(*series(lines, "validation_accuracy"), color=_ORANGE, marker="o", markersize=3, label="validation")
        below.legend(loc="lower right")
        below.set(xlabel="step", ylabel="accuracy", ylim=(0, 1.02))
        _as_percent(below.yaxis)
        return drawing.png()


def series(lines: Sequence[Dict[str, Any]], name: str) -> Tuple[List[int], List[Optional[float]]]:
    """(steps, values) of the lines of metrics.jsonl that have a value of this name."""
    found = [(one["step"], one[name]) for one in lines if one.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]


def _as_percent(axis):
    axis.set_major_formatter(lambda share, _: "%g %%" % round(100 * share))
