"""Frozen graphs (.pb), ours and other tools': `wav_data` or `fingerprint_input` -> `labels_softmax`."""
import warnings

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from ..console import say
from ..devices import session
from ..errors import KwsError
from ..sound.feature_settings import FeatureSettings

WAV_INPUT, FEATURES_INPUT, OUTPUT = "wav_data", "fingerprint_input", "labels_softmax"


def read(path):
    """The GraphDef in a file."""
    graph_def = tf.GraphDef()
    try:
        with open(path, "rb") as file, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            graph_def.ParseFromString(file.read())
        if told:  # old releases of protobuf only warn of data that they cannot make out
            raise DecodeError(told[0].message)
    except FileNotFoundError:
        raise KwsError("there is no graph %s" % path)
    except DecodeError as error:
        raise KwsError("%s is no frozen graph, or is cut off: %s" % (path, error))
    return graph_def


def load(path):
    """A graph from a file -> (open session, its input node, {name: NodeDef})."""
    graph_def = read(path)
    nodes = {node.name: node for node in graph_def.node}
    source = next((name for name in (WAV_INPUT, FEATURES_INPUT) if name in nodes), None)
    if source is None or OUTPUT not in nodes:
        raise KwsError(
            "%s is no graph of a keyword spotter: it needs the node %s or %s, and %s; found %d other nodes"
            % (path, WAV_INPUT, FEATURES_INPUT, OUTPUT, len(nodes))
        )
    with tf.Graph().as_default() as graph:
        try:
            tf.import_graph_def(graph_def, name="")
        except ValueError as error:
            reason = str(error).splitlines()[0].split("; ")[0]
            raise KwsError("%s cannot be loaded by TensorFlow %s: %s" % (path, tf.__version__, reason))
    return session.open_session(graph), source, nodes


def run(opened, path, source, value):
    """What the output node gives for one value of the input node."""
    try:
        return opened.run(OUTPUT + ":0", {source + ":0": value})
    except tf.errors.OpError as error:
        raise KwsError("%s does not run: %s; freeze it anew" % (path, error.message.split("\n\t")[0].splitlines()[-1]))


def feature_settings(path, source, nodes):
    """The FeatureSettings of another tool's graph: what its input takes, the rest being the defaults."""
    if source == FEATURES_INPUT:
        return _features_outside(path, nodes[source].attr["shape"].shape)
    decode = [node for node in nodes.values() if node.op == "DecodeWav"]
    if not decode:
        raise KwsError("%s takes %s but has no operation DecodeWav" % (path, source))
    # The graph makes its features itself: only the length of its clips matters here.
    samples, rate = decode[0].attr["desired_samples"].i, FeatureSettings.sample_rate
    return FeatureSettings(clip_duration_ms=samples * 1000 // rate) if samples > 0 else FeatureSettings()


def _features_outside(path, shape):
    settings, sizes = FeatureSettings(), [dim.size for dim in shape.dim]
    if shape.unknown_rank or len(sizes) < 2 or np.prod(sizes[1:]) != settings.feature_count:
        raise KwsError(
            "%s takes features of shape %s and does not say how they are made; kws makes %d a clip of another tool's"
            % (path, "unknown" if shape.unknown_rank else sizes, settings.feature_count)
        )
    say("%s does not say how its features are made; taking kws's defaults." % path)
    return settings
