"""A self-contained frozen graph: `wav_data`, the bytes of a 16-bit WAV file -> `labels_softmax` [1, label_count]."""
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from ..classifiers.described import OUTPUT, WAV_INPUT
from ..errors import Unavailable
from ..runs.description import Description
from ..sound.feature_settings import FeatureSettings
from ..sound.features import ENERGY_FLOOR, mel_filterbank
from . import frozen_graph

SUFFIX = ".pb"
SUMMARY = "%s -> %s" % (WAV_INPUT, OUTPUT)


def write(path: str, description: Description, prefix: str) -> None:
    """Write the graph."""
    check_features(description.features, "takes WAV files", "pb-features")
    frozen_graph.write(path, description, prefix, WAV_INPUT, _features_of_wav)


def check_features(settings: FeatureSettings, what: str, other: str) -> None:
    """Refuse features that TensorFlow's operations cannot compute. what: the graph does; other: the format to use."""
    if settings.features not in FEATURES_IN_GRAPH:
        raise Unavailable(
            "a graph that %s cannot compute %s features" % (what, settings.features), "use --format %s" % other
        )


def _features_of_wav(settings):
    """A placeholder for the bytes of a WAV file -> its features."""
    decoded = decoded_wav(settings)
    return features_of(decoded.audio, decoded.sample_rate, settings)


def decoded_wav(settings: FeatureSettings) -> NamedTuple:
    """A placeholder for the bytes of a WAV file -> (audio [clip_samples, 1], sample_rate)."""
    wav = tf.placeholder(tf.string, (), name=WAV_INPUT)
    return tf.audio.decode_wav(
        wav, desired_channels=1, desired_samples=settings.clip_samples, name="decoded_sample_data"
    )


def features_of(audio: tf.Tensor, sample_rate: tf.Tensor, settings: FeatureSettings) -> tf.Tensor:
    """audio [clip_samples, 1] -> features [1, *settings.shape] or settings.shape."""
    spectrogram = tf.raw_ops.AudioSpectrogram(
        input=audio, window_size=settings.window_size_samples, stride=settings.window_stride_samples,
        magnitude_squared=True,
    )
    return FEATURES_IN_GRAPH[settings.features](spectrogram, sample_rate, settings)


def _mfcc(spectrogram, sample_rate, settings):
    return tf.raw_ops.Mfcc(
        spectrogram=spectrogram, sample_rate=sample_rate, upper_frequency_limit=settings.upper_edge_hertz,
        lower_frequency_limit=settings.lower_edge_hertz, filterbank_channel_count=settings.filterbank_channel_count,
        dct_coefficient_count=settings.dct_coefficient_count,
    )


def _log_mel(spectrogram, sample_rate, settings):
    first, filters = mel_filterbank(settings, np.float32)
    magnitude = tf.sqrt(spectrogram[0, :, first : first + len(filters)])
    return tf.log(tf.maximum(tf.matmul(magnitude, filters), ENERGY_FLOOR))


# {kind of features: function(squared magnitudes [1, frame_count, bins], their sample rate, settings) -> features}
FEATURES_IN_GRAPH = {"mfcc": _mfcc, "log_mel": _log_mel}
