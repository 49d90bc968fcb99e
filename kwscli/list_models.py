"""`kws models`: every network and what it costs, counted from its layers without TensorFlow."""
import json

from . import models
from .errors import KwsError
from .models import costs
from .settings import FeatureSettings, to_json

LABEL_COUNT = 12  # ten keywords, silence and unknown: what the papers count with

_ROW_COLUMNS = (
    ("architecture", "architecture"),
    ("size", "size"),
    ("parameters", "parameters"),
    ("MACs", "macs"),
    ("memory B", "memory_bytes"),
    ("activations B", "activation_bytes"),
    ("float32 B", "float32_bytes"),
    ("int8 B", "int8_bytes"),
    ("paper %", "paper_accuracy"),
    ("source", "source"),
)
_LAYER_COLUMNS = (
    ("layer", "name"),
    ("kind", "kind"),
    ("output", "output_shape"),
    ("parameters", "parameters"),
    ("MACs", "macs"),
    ("activations", "activations"),
)
_NOTE = """

memory: 8-bit weights and biases, and the most activations alive at one time. float32, int8: weights and biases in a
file (int8 with biases of 32 bits), without what a format adds. paper: the accuracy that the source reports.
"""


def rows(label_count=LABEL_COUNT, overrides=None):
    """Every architecture and size as a dict; `overrides` are feature settings in place of the published ones.

    A network that cannot take those features has `error` in place of figures.
    """
    found = []
    for architecture in models.ARCHITECTURES:
        for name, size in models.load(architecture).SIZES.items():
            try:
                found.append(row(architecture, name, size, label_count, overrides))
            except KwsError as error:
                found.append({"architecture": architecture, "size": name, "error": str(error)})
    return found


def row(architecture, name, size, label_count=LABEL_COUNT, overrides=None):
    """One network as a dict: `size` is its `models.Size`, `name` what that is called."""
    net = _count(architecture, size, label_count, overrides)
    return {
        "architecture": architecture,
        "size": name,
        "model_size_info": list(size.model_size_info),
        "parameters": net.parameters,
        "macs": net.macs,
        "memory_bytes": net.memory_bytes,
        "weight_bytes": net.parameters,
        "activation_bytes": net.activation_bytes,
        "float32_bytes": net.float32_bytes,
        "int8_bytes": net.int8_bytes,
        "paper_accuracy": size.paper_accuracy,
        "source": size.source,
        "label_count": label_count,
        "feature_settings": to_json(_features(size, overrides)),
    }


def layers(architecture, size, label_count=LABEL_COUNT, overrides=None):
    """The layers of one network as dicts; `size` is its `models.Size`."""
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
            "macs": layer.macs,
            "activations": layer.activations,
        }
        for layer in _count(architecture, size, label_count, overrides).layers
    ]


def report(architecture=None, size=None, model_size_info=None, label_count=LABEL_COUNT, overrides=None, as_json=False):
    """What `kws models` prints: all networks, or one with its layers.

    size: a name of `SIZES`, default `models.DEFAULT_SIZE`; model_size_info: integers in its place.
    """
    if architecture is None:
        if size or model_size_info:
            raise KwsError("a size is one of an architecture; name it too: kws models NAME")
        found = rows(label_count, overrides)
        return json.dumps(found, indent=2) if as_json else _table(found, _ROW_COLUMNS) + _NOTE.rstrip()
    if model_size_info:
        name, chosen = None, models.custom(architecture, model_size_info)
    else:
        name = size or models.DEFAULT_SIZE
        chosen = models.published(architecture, name)
    one = row(architecture, name, chosen, label_count, overrides)
    one["layers"] = layers(architecture, chosen, label_count, overrides)
    if as_json:
        return json.dumps([one], indent=2)
    integers = "--model-size-info %s" % (" ".join(map(str, chosen.model_size_info)) or "(none)")
    settings = _features(chosen, overrides)
    features = "features: %d frames (%g ms every %g ms) of %d coefficients, %g to %g Hz; %d labels" % (
        (settings.frame_count, settings.window_size_ms, settings.window_stride_ms, settings.dct_coefficient_count)
        + (settings.lower_edge_hertz, settings.upper_edge_hertz, label_count)
    )
    layer_table = _table(one["layers"], _LAYER_COLUMNS)
    return "\n".join([_table([one], _ROW_COLUMNS), integers, features, "", layer_table + _NOTE.rstrip()])


def _features(size, overrides):
    return FeatureSettings(**dict(size.feature_settings, **(overrides or {})))


def _count(architecture, size, label_count, overrides):
    return costs.count(architecture, size.model_size_info, _features(size, overrides), label_count)


def _table(entries, columns):
    """Dicts as aligned columns (heading, key), numbers to the right."""
    keys = [key for _, key in columns]
    cells = [[heading for heading, _ in columns]] + [[_cell(entry.get(key)) for key in keys] for entry in entries]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    right = [any(isinstance(entry.get(key), (int, float)) for entry in entries) for key in keys]
    lines = [
        "  ".join(cell.rjust(width) if end else cell.ljust(width) for cell, width, end in zip(line, widths, right))
        for line in cells
    ]
    errors = [""] + [entry.get("error", "") for entry in entries]
    return "\n".join((line.rstrip() + ("  " + error if error else "")) for line, error in zip(lines, errors))


def _cell(value):
    if value is None:
        return "-"
    if isinstance(value, int):
        return "{:,}".format(value)
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)
