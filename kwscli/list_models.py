"""`kws models`: every network and what it costs, counted from its layers without TensorFlow."""
import json
from typing import Any, Dict, List, Optional, Sequence

from . import boards, console, models, pretrained
from .errors import KwsError
from .models import costs
from .settings import to_json
from .sound import feature_settings

LABEL_COUNT = 12  # ten keywords, silence and unknown, as in the papers

# (alignment, heading, key) of each column
_ROW_COLUMNS = (
    ("<", "architecture", "architecture"),
    ("<", "size", "size"),
    (">", "parameters", "parameters"),
    (">", "MACs", "macs"),
    (">", "memory B", "memory_bytes"),
    (">", "activations B", "activation_bytes"),
    (">", "float32 B", "float32_bytes"),
    (">", "int8 B", "int8_bytes"),
    (">", "paper %", "paper_accuracy"),
    ("<", "source", "source"),
)
_LAYER_COLUMNS = (
    ("<", "layer", "name"),
    ("<", "kind", "kind"),
    ("<", "output", "output_shape"),
    (">", "parameters", "parameters"),
    (">", "MACs", "macs"),
    (">", "activations", "activations"),
)
_NOTE = """

memory: 8-bit weights and biases, and the most activations that are alive at one time. float32, int8: weights and biases
in a file (int8 with 32-bit biases), without what the file format adds. paper: the accuracy that the source reports.
"""

Overrides = Optional[Dict[str, Any]]  # feature settings that replace the published ones
_LATENCIES = "latency_ms"


def rows(
    label_count: int = LABEL_COUNT, overrides: Overrides = None, board: Optional[str] = None
) -> List[Dict[str, Any]]:
    """Every architecture and size as a dict. A network that cannot take the features has only an `error`."""
    found = []
    for architecture in models.ARCHITECTURES:
        for name, size in models.load(architecture).SIZES.items():
            try:
                found.append(row(architecture, name, size, label_count, overrides, board))
            except KwsError as error:
                found.append({"architecture": architecture, "size": name, "error": str(error)})
    return found


def row(
    architecture: str, name: Optional[str], size: models.Size, label_count: int = LABEL_COUNT,
    overrides: Overrides = None, board: Optional[str] = None,
) -> Dict[str, Any]:
    """One network as a dict. name: what its size is called, if it is a published one. board: for its latencies."""
    net = _count(architecture, size, label_count, overrides)
    latencies = {_LATENCIES: _latencies(board, net)} if board else {}
    return {
        **latencies,
        "architecture": architecture,
        "size": name,
        "model_size_info": list(size.model_size_info),
        "parameters": net.parameters,
        "macs": net.macs,
        "memory_bytes": net.memory_bytes,
        "activation_bytes": net.activation_bytes,
        "float32_bytes": net.float32_bytes,
        "int8_bytes": net.int8_bytes,
        "paper_accuracy": size.paper_accuracy,
        "source": size.source,
        "label_count": label_count,
        "feature_settings": to_json(_features(size, overrides)),
    }


def layers(
    architecture: str, size: models.Size, label_count: int = LABEL_COUNT, overrides: Overrides = None
) -> List[Dict[str, Any]]:
    """The layers of one network as dicts."""
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


def report(
    architecture: Optional[str] = None, size: Optional[str] = None, model_size_info: Optional[Sequence[int]] = None,
    label_count: int = LABEL_COUNT, overrides: Overrides = None, as_json: bool = False, board: Optional[str] = None,
) -> str:
    """What `kws models` prints: all networks, or one network and its layers.

    size: a name of `SIZES`, by default `models.DEFAULT_SIZE`. model_size_info: integers instead of a name. board: a
    name of `boards.BOARDS`, to predict how long the networks take on it.
    """
    columns = _columns(board)
    note = _NOTE.rstrip() + ("\n" + boards.explanation(boards.board(board)) if board else "")
    if architecture is None:
        if size or model_size_info:
            raise KwsError("a size belongs to an architecture", "name it too: kws models NAME")
        found = rows(label_count, overrides, board)
        if as_json:
            return json.dumps(found, indent=2)
        shown = [dict(one, source=one["error"]) if "error" in one else one for one in found]
        packaged = "\ntrained networks in the package: %s; see kws models --pretrained" % ", ".join(pretrained.names())
        return _table(shown, columns) + note + packaged
    chosen = models.chosen(architecture, size, model_size_info)
    name = None if model_size_info else size or models.DEFAULT_SIZE
    one = row(architecture, name, chosen, label_count, overrides, board)
    one["layers"] = layers(architecture, chosen, label_count, overrides)
    if as_json:
        return json.dumps([one], indent=2)
    integers = "--model-size-info %s" % (" ".join(map(str, chosen.model_size_info)) or "(no integers)")
    settings = _features(chosen, overrides)
    features = "features: %s, %d frames (%g ms every %g ms) of %d channels, %g to %g Hz; %d labels" % (
        (settings.features, settings.frame_count, settings.window_size_ms, settings.window_stride_ms)
        + (settings.channel_count, settings.lower_edge_hertz, settings.upper_edge_hertz, label_count)
    )
    layer_table = _table(one["layers"], _LAYER_COLUMNS)
    return "\n".join([_table([one], columns), integers, features, "", layer_table + note])


def _columns(board):
    """The columns of the table of networks; with a board, one more for each of its engines."""
    if not board:
        return _ROW_COLUMNS
    engines = tuple((">", "%s ms" % engine.name, engine.name) for engine in boards.board(board).engines)
    return _ROW_COLUMNS[:4] + engines + _ROW_COLUMNS[4:]


def _latencies(board, net):
    """{engine: milliseconds} on a board."""
    one = boards.board(board)
    macs = [(layer.kind, layer.macs) for layer in net.layers]
    return {engine.name: round(boards.milliseconds(one, engine, macs), 1) for engine in one.engines}


def _features(size, overrides):
    return feature_settings.chosen(overrides or {}, size.feature_settings)


def _count(architecture, size, label_count, overrides):
    return costs.count(architecture, size.model_size_info, _features(size, overrides), label_count)


def _table(entries, columns):
    alignment, headings, keys = zip(*columns)
    cells = [[_cell(dict(entry, **entry.get(_LATENCIES, {})).get(key)) for key in keys] for entry in entries]
    return console.table([headings] + cells, "".join(alignment))


def _cell(value):
    if isinstance(value, int):
        return "{:,}".format(value)
    return " x ".join(map(str, value)) if isinstance(value, list) else value
