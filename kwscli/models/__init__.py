"""The architectures. Each one is a file with its paper, its published `SIZES` and its `build()`.

To add one, write `kwscli/models/NAME.py` and put NAME below; flags, `kws models` and the tests follow.
"""
import importlib
from types import ModuleType
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

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
DEFAULT_ARCHITECTURE, DEFAULT_SIZE = "ds_cnn", "s"

# What several architectures share: the source of their accuracy, the meaning of a convolution's integers, and the
# features and the dropout rate that TensorFlow's `speech_commands` example trains with.
HELLO_EDGE = "arXiv 1711.07128 (V1, 12 labels)"
CONVOLUTION = ("filters", "kernel height", "kernel width", "stride in time", "stride in frequency")
SPEECH_COMMANDS = {"window_size_ms": 30.0, "window_stride_ms": 10.0, "dct_coefficient_count": 40}
SPEECH_COMMANDS_DROPOUT = 0.5

# The range of the features in a training with --quantize: two variables with this name and the ending _low or _high.
FEATURES_RANGE = "quantized_features"

Layers = Any  # `graph.GraphLayers`, `costs.CostLayers` or `onnx_layers.OnnxLayers`, which have the same methods
Tensor = Any  # what these methods take and return: a tf.Tensor, a `costs.Tensor` or an `onnx_layers.Tensor`


class Size(NamedTuple):
    """One size of an architecture, as published."""

    model_size_info: Tuple[int, ...]
    feature_settings: Dict[str, Any] = {}  # where they differ from the defaults of `FeatureSettings`
    paper_accuracy: Optional[float] = None  # percent
    source: str = ""  # of the accuracy: paper and data set


def load(architecture: str) -> ModuleType:
    """The module of an architecture. It is imported only now."""
    if architecture not in ARCHITECTURES:
        raise KwsError("there is no architecture %s" % architecture, "choose one of %s" % ", ".join(ARCHITECTURES))
    return importlib.import_module("." + architecture, __name__)


def published(architecture: str, size: str = DEFAULT_SIZE) -> Size:
    """The `Size` of an architecture by its name in the paper, or by s, m or l."""
    module = load(architecture)
    aliases = getattr(module, "ALIASES", {})
    name = aliases.get(size, size)
    if name not in module.SIZES:
        known = list(module.SIZES) + list(aliases)
        raise KwsError("%s has no size %s" % (architecture, size), "its sizes are: %s" % ", ".join(known))
    return module.SIZES[name]


def custom(architecture: str, model_size_info: Sequence[int]) -> Size:
    """The `Size` with these integers: a published one, or a new one with the features that all published ones share."""
    sizes = load(architecture).SIZES.values()
    for size in sizes:
        if size.model_size_info == tuple(model_size_info):
            return size
    shared = set.intersection(*(set(size.feature_settings.items()) for size in sizes))
    return Size(tuple(model_size_info), dict(shared))


def chosen(architecture: str, size: Optional[str] = None, model_size_info: Optional[Sequence[int]] = None) -> Size:
    """The `Size` that --model-size and --model-size-info ask for; both at once are an error."""
    if size and model_size_info:
        raise KwsError("--model-size and --model-size-info both choose the size of the network", "give one of them")
    return custom(architecture, model_size_info) if model_size_info else published(architecture, size or DEFAULT_SIZE)


def logits(net: Layers, description: Any, features: Tensor) -> Tensor:
    """features [batch, frame_count, channel_count] -> logits [batch, label_count] of a `Description`'s network.

    The caller opens the scope of its variables, which has the name of the architecture.
    """
    if description.train.quantize:
        features = net.limit(features)
    if description.train.normalize_features:
        features = net.normalize(features)
    return load(description.architecture).build(net, features, len(description.labels), description.model_size_info)


def integers(architecture: str, size: Sequence[int], meanings: Sequence[str]) -> Sequence[int]:
    """The integers of `--model-size-info`, if there is one for each of `meanings` and all are greater than zero."""
    if len(size) != len(meanings) or min(size, default=1) < 1:
        listed = " ".join(map(str, size))
        raise KwsError(
            "--model-size-info of %s takes %d integer%s greater than zero (%s): found %d (%s)"
            % (architecture, len(meanings), "" if len(meanings) == 1 else "s", ", ".join(meanings), len(size), listed)
        )
    return size
