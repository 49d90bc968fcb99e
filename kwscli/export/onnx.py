"""An ONNX file in 32-bit floats: the features of any number of clips -> their scores.

It is written with the package `onnx` alone, from the layers of the network. model.json, the labels and a few facts are
in its metadata properties.
"""
import json

import numpy as np

from .. import __version__, models
from ..classifiers.described import FEATURES_INPUT, OUTPUT
from ..imports import optional
from ..models.onnx_layers import EXTRA, OnnxLayers, Tensor
from ..runs import checkpoint
from ..runs.description import MODEL, Description
from ..runs.run_directory import LABELS

SUFFIX = ".onnx"
SUMMARY = "%s -> %s, any number of clips, 32-bit floats" % (FEATURES_INPUT, OUTPUT)
# The newest operations, and the version of the file, that onnxruntime 1.14 for Python 3.7 and older runtimes read.
OPSET, IR_VERSION = 13, 7


def write(path: str, description: Description, prefix: str) -> None:
    """Write the file."""
    onnx = optional("onnx", EXTRA)
    optional("onnxruntime", EXTRA)  # without it, the file could not be checked
    helper, count = onnx.helper, description.features.feature_count
    net = OnnxLayers(checkpoint.values(prefix))
    features = net.reshape(Tensor(FEATURES_INPUT, (count,)), description.features.shape)
    with net.scope(description.architecture):
        logits = models.logits(net, description, features)
    net.softmax(logits, OUTPUT)
    ends = [
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])]
        for name, size in ((FEATURES_INPUT, count), (OUTPUT, len(description.labels)))
    ]
    weights = [onnx.numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in net.weights.items()]
    graph = helper.make_graph(net.nodes, description.architecture, ends[0], ends[1], weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="kws",
        producer_version=__version__,
    )
    helper.set_model_props(model, _properties(description))
    onnx.checker.check_model(model)
    with open(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


def _properties(description):
    """What the file says about itself: text under each name."""
    values = description.portable().to_json()
    facts = dict(
        values["features"], architecture=description.architecture, data_sha256=description.data_sha256,
        kws_version=description.versions.get("kws"), **description.validation
    )
    properties = {name: str(value) for name, value in facts.items() if value not in (None, "")}
    properties[MODEL] = json.dumps(values, sort_keys=True)
    properties[LABELS] = "\n".join(description.labels)
    return properties
