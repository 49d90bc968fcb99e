"""A self-contained frozen graph: `wav_data`, the bytes of a 16-bit WAV file -> `labels_softmax` [1, label_count]."""
import tensorflow.compat.v1 as tf

from ..classifiers.frozen_graph import OUTPUT, WAV_INPUT
from ..runs.description import Description
from . import frozen_graph

SUFFIX = ".pb"
SUMMARY = "%s -> %s" % (WAV_INPUT, OUTPUT)


def write(path: str, description: Description, prefix: str) -> None:
    """Write the graph."""
    frozen_graph.write(path, description, prefix, WAV_INPUT, _features_of_wav)


def _features_of_wav(settings):
    """A placeholder for the bytes of a WAV file -> features [1, *settings.shape]."""
    wav = tf.placeholder(tf.string, (), name=WAV_INPUT)
    decoded = tf.audio.decode_wav(
        wav, desired_channels=1, desired_samples=settings.clip_samples, name="decoded_sample_data"
    )
    spectrogram = tf.raw_ops.AudioSpectrogram(
        input=decoded.audio, window_size=settings.window_size_samples, stride=settings.window_stride_samples,
        magnitude_squared=True,
    )
    return tf.raw_ops.Mfcc(
        spectrogram=spectrogram, sample_rate=decoded.sample_rate, upper_frequency_limit=settings.upper_edge_hertz,
        lower_frequency_limit=settings.lower_edge_hertz, filterbank_channel_count=settings.filterbank_channel_count,
        dct_coefficient_count=settings.dct_coefficient_count,
    )
