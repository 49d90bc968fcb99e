"""A frozen graph without its features, as Ascend's `atc` wants it: `fingerprint_input` -> `labels_softmax`.

Its batch norm is part of the weights, and all of its operations are in `ascend_operators`.
"""
import os
import shlex
from typing import List

import tensorflow.compat.v1 as tf

from ..classifiers.described import FEATURES_INPUT, OUTPUT
from ..classifiers.frozen_graph import read
from ..errors import Unavailable
from ..runs.description import Description
from . import frozen_graph
from .ascend_operators import OPERATORS
from .folded_graph import add_scores

SUFFIX = "_features.pb"
SUMMARY = "%s -> %s" % (FEATURES_INPUT, OUTPUT)
# The chip: "Ascend" and the name that `npu-smi info` shows.
SOC_VERSION = "SOC_VERSION"
DEFAULT_CHIP = "Ascend310"


def write(path: str, description: Description, prefix: str) -> None:
    """Write the graph, which takes features [1, feature_count] and gives scores [1, label_count]."""
    with tf.Graph().as_default() as graph:
        add_scores(description, prefix, frozen_graph.features_input(description.features))
    graph_def = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [OUTPUT])
    unknown = sorted({node.op for node in graph_def.node} - set(OPERATORS))
    if unknown:
        raise Unavailable(
            "Ascend's atc is not known to convert all operations of a %s: %s"
            % (description.architecture, ", ".join(unknown)), "use --format pb or onnx",
        )
    frozen_graph.save(path, graph_def, description, FEATURES_INPUT)


def note(path: str) -> str:
    """The command that converts the graph for an Ascend chip."""
    return "For an Ascend chip: " + " ".join(map(shlex.quote, atc(path, os.path.splitext(path)[0])))


def atc(path: str, output: str) -> List[str]:
    """The command that converts the graph in `path` to `output`.om."""
    nodes = {node.name: node for node in read(path).node}
    shape = ",".join(str(dim.size) for dim in nodes[FEATURES_INPUT].attr["shape"].shape.dim)
    return [
        "atc", "--framework=3", "--model=" + path, "--output=" + output,
        "--soc_version=" + os.environ.get(SOC_VERSION, DEFAULT_CHIP),
        "--input_shape=%s:%s" % (FEATURES_INPUT, shape), "--out_nodes=%s:0" % OUTPUT,
    ]
