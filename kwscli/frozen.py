"""Frozen graphs (.pb), ours and those of ARM's and TensorFlow's scripts: `wav_data` or `fingerprint_input` -> `labels_softmax`."""
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from . import session
from .errors import KwsError
from .settings import FeatureSettings

WAV_INPUT, FEATURES_INPUT, OUTPUT = "wav_data", "fingerprint_input", "labels_softmax"


def read(path):
    """The GraphDef in a file."""
    graph_def = tf.GraphDef()
    try:
        with open(path, "rb") as file:
            graph_def.ParseFromString(file.read())
    except FileNotFoundError:
        raise KwsError("there is no graph %s" % path)
    except DecodeError as error:
        raise KwsError("%s is no frozen graph, or is cut off: %s" % (path, error))
    return graph_def


def load(path):
    """A graph from a file -> (open session, input node, output node, {name: NodeDef})."""
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
            raise KwsError("%s cannot be loaded: %s" % (path, str(error).splitlines()[0]))
    return session.open_session(graph), source, OUTPUT, nodes


def feature_settings(path, source, nodes):
    """The FeatureSettings of another tool's graph: read off its audio operations, or off the size of its input."""
    by_op = {node.op: node.attr for node in nodes.values()}
    if source == FEATURES_INPUT:
        settings = FeatureSettings()
        size = [dim.size for dim in nodes[source].attr["shape"].shape.dim][-1:]
        if size and size[0] not in (-1, settings.feature_count):
            raise KwsError("%s takes %d features a clip and does not say how they are made" % (path, size[0]))
        return settings
    try:
        decode, spectrogram, mfcc = by_op["DecodeWav"], by_op["AudioSpectrogram"], by_op["Mfcc"]
    except KeyError as error:
        raise KwsError("%s takes %s but has no operation %s" % (path, source, error.args[0]))
    rate = FeatureSettings.sample_rate
    return FeatureSettings(
        clip_duration_ms=decode["desired_samples"].i * 1000 // rate,
        window_size_ms=spectrogram["window_size"].i * 1000 / rate,
        window_stride_ms=spectrogram["stride"].i * 1000 / rate,
        dct_coefficient_count=mfcc["dct_coefficient_count"].i,
        filterbank_channel_count=mfcc["filterbank_channel_count"].i,
        lower_edge_hertz=mfcc["lower_frequency_limit"].f,
        upper_edge_hertz=mfcc["upper_frequency_limit"].f,
    )
