"""A frozen graph without its features, as Ascend's `atc` wants it: `fingerprint_input` -> `labels_softmax`."""
import os

from ..classifiers.frozen_graph import FEATURES_INPUT, OUTPUT, read
from ..runs.description import Description
from . import frozen_graph

SUFFIX = "_features.pb"
SUMMARY = "%s -> %s" % (FEATURES_INPUT, OUTPUT)
SOC_VERSION = "Ascend310"


def write(path: str, description: Description, prefix: str) -> None:
    """Write the graph, which takes features [1, feature_count] and gives scores [1, label_count]."""
    frozen_graph.write(path, description, prefix, FEATURES_INPUT, frozen_graph.features_input)


def note(path: str) -> str:
    """The command that converts the graph for an Ascend chip."""
    nodes = {node.name: node for node in read(path).node}
    shape = ",".join(str(dim.size) for dim in nodes[FEATURES_INPUT].attr["shape"].shape.dim)
    return (
        'For an Ascend chip: atc --framework=3 --model=%s --output=%s --soc_version=%s --input_shape="%s:%s" '
        '--out_nodes="%s:0"' % (path, os.path.splitext(path)[0], SOC_VERSION, FEATURES_INPUT, shape, OUTPUT)
    )
