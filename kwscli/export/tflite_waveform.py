"""A TensorFlow Lite file that computes the features itself: `waveform`, the samples of a clip -> scores.

AudioSpectrogram and Mfcc are custom operations, which the interpreters of TensorFlow, tflite-runtime and LiteRT have.
The interpreter for microcontrollers does not have them.
"""
import tensorflow.compat.v1 as tf

from ..classifiers.described import WAVEFORM_INPUT
from ..errors import Unavailable
from ..runs.description import Description
from . import frozen_graph, pb, tflite

SUFFIX = "_waveform.tflite"
SUMMARY = "%s -> scores, 32-bit floats" % WAVEFORM_INPUT


def write(path: str, description: Description, prefix: str) -> None:
    """Write the file. Its input has the shape [1, clip_samples]."""
    pb.check_features(description.features, "takes a waveform", "tflite")
    if tflite.ON_TENSORFLOW_1 and description.features.features != "mfcc":  # it writes Log as a custom operation
        raise Unavailable(
            "TensorFlow %s cannot convert a %s with %s features to TensorFlow Lite with a waveform"
            % (tf.__version__, description.architecture, description.features.features), tflite.NEWER,
        )
    graph_def = frozen_graph.frozen(description, prefix, _features_of_waveform)
    content = tflite.in_floats(graph_def, description, WAVEFORM_INPUT)
    tflite.save(path, content, description, WAVEFORM_INPUT)


def _features_of_waveform(settings):
    waveform = tf.placeholder(tf.float32, (1, settings.clip_samples), name=WAVEFORM_INPUT)
    audio = tf.reshape(waveform, (settings.clip_samples, 1))
    return pb.features_of(audio, tf.constant(settings.sample_rate), settings)
