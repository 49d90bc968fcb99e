"""Frozen graphs (.pb), ours and those of other tools: `wav_data` or `fingerprint_input` -> `labels_softmax`."""
import os
import warnings
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from .. import files
from ..console import say
from ..devices import session
from ..errors import KwsError
from ..labels import read_labels
from ..models import network
from ..runs.description import Description
from ..settings import DataSettings, DetectorSettings
from ..sound import audio
from ..sound.feature_settings import FeatureSettings
from ..sound.features import features as features_of
from . import arm_graphs
from .classifier import BATCH, Classifier, Weights, in_full_batches
from .described import FEATURES_INPUT, OUTPUT, WAV_INPUT, check_labels

# The attribute of the input node that contains model.json. TensorFlow and its converters ignore it.
DESCRIPTION_ATTRIBUTE = "_kws_model"


class FrozenGraphClassifier(Classifier):
    """A graph with its weights inside. source: its input node."""

    def __init__(
        self, path: str, known: "_Known", opened: "tf.Session", source: str
    ) -> None:
        super().__init__(path, *known)
        self._session, self._input = opened, source
        self.format = {WAV_INPUT: "pb", FEATURES_INPUT: "pb-features"}[source]
        self.takes_features = source == FEATURES_INPUT

    def scores(self, clips: np.ndarray) -> np.ndarray:
        if self._input == WAV_INPUT:  # such a graph takes one WAV file per call
            return np.concatenate([self._run(audio.wav_bytes(clip, self.features.sample_rate)) for clip in clips])
        return self.scores_of_features(features_of(clips, self.features))

    def scores_of_features(self, features: np.ndarray) -> np.ndarray:
        shape = _shape_of(self._session, self._input)
        rows = features.reshape([-1] + shape[1:])
        return in_full_batches(self._run, rows, shape[0] or min(BATCH, len(rows)))

    def _run(self, value):
        try:
            return self._session.run(OUTPUT + ":0", {self._input + ":0": value})
        except tf.errors.OpError as error:
            reason = error.message.split("\n\t")[0].splitlines()[-1]
            raise KwsError("%s does not run: %s" % (self.path, reason), "freeze it again")

    def close(self) -> None:
        self._session.close()


def open_model(path: str, labels_path: Optional[str] = None) -> FrozenGraphClassifier:
    """The classifier in a .pb file."""
    graph_def = read(path)
    nodes, source = _interface(path, graph_def)
    known = _known(path, source, nodes, labels_path)
    opened = _session(path, graph_def)
    label_count = _shape_of(opened, OUTPUT)[-1]
    if label_count and label_count != len(known.labels):
        raise KwsError(
            "%s scores %d labels, but there are %d (%s)"
            % (path, label_count, len(known.labels), ", ".join(known.labels)), "name the right file with --labels",
        )
    return FrozenGraphClassifier(path, known, opened, source)


def description_of(path: str) -> Optional[Description]:
    """The Description in a .pb file of kws; None for one of another tool."""
    nodes, source = _interface(path, read(path))
    return _described(path, source, nodes)


def weights(path: str) -> Weights:
    """The weights in a .pb file of kws or of ML-KWS-for-MCU."""
    graph_def = read(path)
    nodes, source = _interface(path, graph_def)
    known, described = _known(path, source, nodes, None), _described(path, source, nodes)
    constants = {name: tf.make_ndarray(node.attr["value"].tensor) for name, node in nodes.items() if node.op == "Const"}
    if described and not _variables_of(described) <= set(constants):
        raise KwsError(
            "a training cannot start with the weights in %s, because batch norm is part of them" % path,
            "start from the run, a checkpoint, or the graph of --format pb",
        )
    return Weights(path, known.labels, known.features, arm_graphs.in_our_names(constants) or constants)


def _variables_of(description):
    """The names of the variables of a network."""
    with tf.Graph().as_default():
        network.inference(description, 1)
        return {variable.op.name for variable in network.variables_of(description)}


def _interface(path, graph_def):
    """({name: node}, the name of the input) of a keyword spotter's graph."""
    nodes = {node.name: node for node in graph_def.node}
    source = next((name for name in (WAV_INPUT, FEATURES_INPUT) if name in nodes), None)
    if source is None or OUTPUT not in nodes:
        raise KwsError(
            "%s is not the graph of a keyword spotter: it needs a node %s or %s, and a node %s, but has %d other nodes"
            % (path, WAV_INPUT, FEATURES_INPUT, OUTPUT, len(nodes)), "name another graph",
        )
    return nodes, source


def read(path: str) -> "tf.GraphDef":
    """The GraphDef in a file."""
    graph_def = tf.GraphDef()
    try:
        with open(path, "rb") as file, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            graph_def.ParseFromString(file.read())
        if told:  # old releases of protobuf only warn about data that they cannot parse
            raise DecodeError(told[0].message)
    except FileNotFoundError:
        raise KwsError("there is no graph %s" % path)
    except DecodeError as error:
        raise KwsError("%s is not a frozen graph, or is cut off: %s" % (path, error), "freeze or copy it again")
    return graph_def


def _session(path, graph_def):
    with tf.Graph().as_default() as graph:
        try:
            tf.import_graph_def(graph_def, name="")
        except ValueError as error:
            reason = str(error).splitlines()[0].split("; ")[0]
            raise KwsError("TensorFlow %s cannot load %s: %s" % (tf.__version__, path, reason))
    return session.open_session(graph)


def _shape_of(opened, node):
    """The shape of a node's output, with None for a dimension of any size."""
    shape = opened.graph.get_tensor_by_name(node + ":0").shape
    return shape.as_list() if shape.rank else [None]


class _Known(NamedTuple):
    """What a graph, or a file beside it, says about its network; see Classifier."""

    labels: Tuple[str, ...]
    features: FeatureSettings
    data: DataSettings
    data_path: str = ""
    network: Optional[Tuple[str, Tuple[int, ...]]] = None
    detector: DetectorSettings = DetectorSettings()


def _described(path, source, nodes):
    """The Description in a graph of kws, None in one of another tool."""
    attributes = nodes[source].attr
    if DESCRIPTION_ATTRIBUTE not in attributes:
        return None
    text = attributes[DESCRIPTION_ATTRIBUTE].s
    return Description.from_json(files.parse_json(text, "the description in %s" % path, "freeze it again"), path)


def _known(path, source, nodes: Dict[str, Any], labels_path):
    """What is known about a graph."""
    described = _described(path, source, nodes)
    if described:
        check_labels(path, described, labels_path)
        return _Known(
            described.labels, described.features, described.data, described.data_path, described.network,
            described.detector,
        )
    labels = read_labels(labels_path or _labels_beside(path))
    return _Known(labels, _features_of_another_tool(path, source, nodes), DataSettings(wanted_words=labels[2:]))


def _labels_beside(path):
    for name in (os.path.splitext(path)[0] + "_labels.txt", os.path.join(os.path.dirname(path), "labels.txt")):
        if os.path.exists(name):
            return name
    raise KwsError("%s does not contain its labels, and there is no labels.txt beside it" % path,
                   "name the file of its labels with --labels, or put it beside the graph")


def _features_of_another_tool(path, source, nodes):
    """The FeatureSettings that the input of another tool's graph takes; the rest are the defaults."""
    if source == FEATURES_INPUT:
        return _features_outside(path, nodes[source].attr["shape"].shape)
    by_operation = {node.op: node.attr for node in nodes.values()}
    if "DecodeWav" not in by_operation:
        raise KwsError("%s takes %s but has no operation DecodeWav" % (path, source), "name another graph")
    # The graph computes its features itself, so for its scores only the length of its clips matters.
    samples, rate = by_operation["DecodeWav"]["desired_samples"].i, FeatureSettings.sample_rate
    found = {"clip_duration_ms": samples * 1000 // rate} if samples > 0 else {}
    if "AudioSpectrogram" in by_operation and "Mfcc" in by_operation:
        spectrogram, mfcc = by_operation["AudioSpectrogram"], by_operation["Mfcc"]
        found.update(
            window_size_ms=spectrogram["window_size"].i * 1000 / rate,
            window_stride_ms=spectrogram["stride"].i * 1000 / rate,
            dct_coefficient_count=mfcc["dct_coefficient_count"].i,
            filterbank_channel_count=mfcc["filterbank_channel_count"].i,
            lower_edge_hertz=mfcc["lower_frequency_limit"].f,
            upper_edge_hertz=mfcc["upper_frequency_limit"].f,
        )
    return FeatureSettings(**found)


def _features_outside(path, shape):
    settings, sizes = FeatureSettings(), [dim.size for dim in shape.dim]
    if shape.unknown_rank or len(sizes) < 2 or np.prod(sizes[1:]) != settings.feature_count:
        raise KwsError(
            "%s takes features of shape %s and does not say how to compute them; for a graph of another tool, kws "
            "computes %d features per clip" % (path, "unknown" if shape.unknown_rank else sizes, settings.feature_count)
        )
    say("%s does not say how to compute its features; using the defaults of kws." % path)
    return settings
