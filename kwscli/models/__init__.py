"""The architectures. Each is one file: its paper, its published `SIZES`, and one `build()`.

To add one, write `kwscli/models/NAME.py` and put NAME below; flags, `kws models` and the tests follow.
"""
import importlib
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..errors import KwsError

ARCHITECTURES = (
    "dnn",
    "cnn",
    "basic_lstm",
    "lstm",
    "gru",
    "crnn",
    "ds_cnn",
    "ds_tc_resnet",
    "bc_resnet",
    "single_fc",
    "conv",
    "low_latency_conv",
    "low_latency_svdf",
    "tiny_conv",
)
DEFAULT_SIZE = "s"

# What several architectures share: the source of their accuracy, the meaning of the integers of a convolution, and the
# features and the share of dropped units that TensorFlow's `speech_commands` example trains with.
HELLO_EDGE = "arXiv 1711.07128 (V1, 12 labels)"
CONVOLUTION = ("filters", "kernel height", "kernel width", "stride in time", "stride in frequency")
SPEECH_COMMANDS = {"window_size_ms": 30.0, "window_stride_ms": 10.0, "dct_coefficient_count": 40}
SPEECH_COMMANDS_DROPOUT = 0.5


class Size(NamedTuple):
    """One size of an architecture, as published."""

    model_size_info: Tuple[int, ...]
    feature_settings: Dict[str, Any] = {}  # where they differ from the defaults of `FeatureSettings`
    paper_accuracy: Optional[float] = None  # percent
    source: str = ""  # of the accuracy: paper, data set


def load(architecture):
    """The module of an architecture, imported only now."""
    if architecture not in ARCHITECTURES:
        raise KwsError("unknown architecture %s; there are: %s" % (architecture, ", ".join(ARCHITECTURES)))
    return importlib.import_module("." + architecture, __name__)


def published(architecture, size=DEFAULT_SIZE):
    """The `Size` of an architecture by its name in the paper, or by s, m, l."""
    module = load(architecture)
    aliases = getattr(module, "ALIASES", {})
    name = aliases.get(size, size)
    if name not in module.SIZES:
        known = list(module.SIZES) + list(aliases)
        raise KwsError("%s has no size %s; its sizes are: %s" % (architecture, size, ", ".join(known)))
    return module.SIZES[name]


def custom(architecture, model_size_info):
    """The `Size` of given integers: the published one that has them, else one with what all published sizes share."""
    sizes = load(architecture).SIZES.values()
    for size in sizes:
        if size.model_size_info == tuple(model_size_info):
            return size
    shared = set.intersection(*(set(size.feature_settings.items()) for size in sizes))
    return Size(tuple(model_size_info), dict(shared))


def integers(architecture, size, meanings):
    """The integers of `--model-size-info`, if they are one for each of `meanings` and greater than zero."""
    if len(size) != len(meanings) or min(size, default=1) < 1:
        listed = " ".join(map(str, size))
        raise KwsError(
            "--model-size-info of %s takes %d integer%s greater than zero (%s): found %d (%s)"
            % (architecture, len(meanings), "" if len(meanings) == 1 else "s", ", ".join(meanings), len(size), listed)
        )
    return size
