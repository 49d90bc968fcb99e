"""`kws freeze`: a checkpoint -> graphs with the weights inside, in the interface that the field's own scripts load."""
import contextlib
import dataclasses
import json
import os
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import classifiers, files
from ..classifiers import frozen_graph
from ..console import say
from ..data import dataset
from ..data.batches import EvaluationSet, rng_of
from ..errors import KwsError
from ..labels import write_labels
from ..models import network
from ..runs import checkpoint, run_directory
from ..sound import audio
from ..sound.features import ENERGY_FLOOR, mel_filterbank

CLIPS_CHECKED = 32
# Largest difference from the checkpoint's scores that counts as the same network.
TOLERANCE = 1e-4

# Attributes that TensorFlow 2.x writes and 1.15, which the field's scripts and Ascend run, refuses to read. Here they
# all have their defaults; were one not, the check of the scores would fail.
YOUNG_ATTRIBUTES = ("exponential_avg_factor", "explicit_paddings", "grad_a", "grad_b")


class Frozen(NamedTuple):
    """A file that was written: its size in bytes, and how far its scores are from the checkpoint's."""

    path: str
    input: str
    size: int
    difference: float


def _wav_graph(description):
    """`wav_data`, the bytes of a 16-bit WAV file -> features [1, frame_count, channel_count]."""
    settings = description.features
    wav = tf.placeholder(tf.string, (), name=frozen_graph.WAV_INPUT)
    decoded = tf.audio.decode_wav(
        wav, desired_channels=1, desired_samples=settings.clip_samples, name="decoded_sample_data"
    )
    spectrogram = tf.raw_ops.AudioSpectrogram(
        input=decoded.audio, window_size=settings.window_size_samples, stride=settings.window_stride_samples,
        magnitude_squared=True,
    )
    if settings.features == "log_mel":
        return _log_mel(spectrogram, settings)
    if settings.features != "mfcc":
        raise KwsError("a graph that reads WAV files cannot compute %s features" % settings.features,
                       "train with --features mfcc or log_mel to freeze the network")
    return tf.raw_ops.Mfcc(
        spectrogram=spectrogram, sample_rate=decoded.sample_rate, upper_frequency_limit=settings.upper_edge_hertz,
        lower_frequency_limit=settings.lower_edge_hertz, filterbank_channel_count=settings.filterbank_channel_count,
        dct_coefficient_count=settings.dct_coefficient_count,
    )


def _log_mel(spectrogram, settings):
    """Squared magnitudes [1, frame_count, bins] -> log mel energies [1, frame_count, filterbank_channel_count]."""
    first, filters = mel_filterbank(settings, np.float32)
    magnitude = tf.sqrt(spectrogram[0, :, first : first + len(filters)])
    return tf.log(tf.maximum(tf.matmul(magnitude, filters), ENERGY_FLOOR))[tf.newaxis]


def _features_graph(description):
    """`fingerprint_input` [1, feature_count] -> features [1, frame_count, channel_count]."""
    return tf.placeholder(tf.float32, (1, description.features.feature_count), name=frozen_graph.FEATURES_INPUT)


# What a format adds to the name of the file, and how its input becomes features. A new format is a line here.
FORMATS = {
    frozen_graph.WAV_INPUT: (".pb", _wav_graph),
    frozen_graph.FEATURES_INPUT: ("_features.pb", _features_graph),
}


def freeze(path=None, output=None, data_path=None):
    """Write every format of a checkpoint, checked against its scores, and x_labels.txt beside -> [Frozen].

    output: the self-contained graph's file name, x.pb; the others are named after it. Or a folder for them.
    """
    path = path or run_directory.newest()
    if path.endswith(".pb"):
        raise KwsError("%s is frozen already; name the checkpoint or run directory it was made from" % path)
    description, prefix = run_directory.resolve(path)
    stem = _stem(output or os.path.dirname(prefix) or ".", description.architecture)
    os.makedirs(os.path.dirname(stem) or ".", exist_ok=True)
    clips = _clips_to_check(description, data_path or description.data_path)
    with contextlib.closing(classifiers.CheckpointClassifier(description, prefix)) as original:
        wanted = original.scores(clips)
    written = []
    for source, (suffix, input_of) in FORMATS.items():
        graph_def = _frozen_graph(description, prefix, source, input_of)
        written.append(_write_checked(stem + suffix, source, graph_def, clips, wanted))
    write_labels(stem + "_labels.txt", description.labels)
    return written


def _stem(output, name):
    """What the file names of all formats begin with: FILE of FILE.pb, or `name` in a folder."""
    if os.path.isdir(output) or output.endswith(os.sep):
        return os.path.join(output, name)
    return output[:-3] if output.endswith(".pb") else output


def _frozen_graph(description, prefix, source, input_of):
    with tf.Graph().as_default() as graph:
        features = tf.reshape(input_of(description), (1,) + description.features.shape)
        tf.nn.softmax(network.logits_of(description, features, training=False), name=frozen_graph.OUTPUT)
    with contextlib.closing(checkpoint.restored_session(graph, description, prefix)) as session:
        graph_def = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [frozen_graph.OUTPUT])
    for node in graph_def.node:
        for name in YOUNG_ATTRIBUTES:
            node.attr.pop(name, None)
        if node.name == source:
            portable = dataclasses.replace(description, data_path="", start_checkpoint="")  # no paths of this machine
            text = json.dumps(portable.to_json(), sort_keys=True)
            node.attr[classifiers.GRAPH_ATTRIBUTE].s = text.encode("utf-8")
    return graph_def


def _write_checked(path, source, graph_def, clips, wanted):
    with files.replacing(path, "wb") as file:
        file.write(graph_def.SerializeToString(deterministic=True))
        file.flush()
        with contextlib.closing(classifiers.FrozenGraphClassifier(file.name)) as graph:
            difference = float(np.abs(graph.scores(clips) - wanted).max())
        if not difference <= TOLERANCE:
            raise KwsError("%s does not give the checkpoint's scores: they differ by %.2g" % (path, difference))
    return Frozen(path, source, os.path.getsize(path), difference)


def _clips_to_check(description, data_path):
    """Real clips where the run's data is still there, else noise, as the person is told."""
    if data_path and dataset.is_prepared(data_path):
        clips = EvaluationSet(dataset.load(data_path), description.data, description.features, "testing")
        if len(clips):
            return _as_16_bit(clips.clips(slice(0, CLIPS_CHECKED)))
    say("No prepared data in %s: the frozen graphs are checked on noise." % (data_path or "the run's model.json"))
    noise = rng_of(0).uniform(-0.3, 0.3, (CLIPS_CHECKED, description.features.clip_samples)).astype(np.float32)
    return _as_16_bit(noise)


def _as_16_bit(clips):
    """Clips as they come out of a WAV file, which is what one of the graphs is fed."""
    return audio.to_int16(clips) / np.float32(audio.FULL_SCALE)


def atc_command(written, soc_version="Ascend310"):
    """The line that converts the features-outside graph for an Ascend chip."""
    graph = next(one for one in written if one.input == frozen_graph.FEATURES_INPUT)
    nodes = {node.name: node for node in frozen_graph.read(graph.path).node}
    shape = ",".join(str(dim.size) for dim in nodes[frozen_graph.FEATURES_INPUT].attr["shape"].shape.dim)
    return (
        'atc --framework=3 --model=%s --output=%s --soc_version=%s --input_shape="%s:%s" --out_nodes="%s:0"'
        % (graph.path, os.path.splitext(graph.path)[0], soc_version, graph.input, shape, frozen_graph.OUTPUT)
    )
