"""TensorFlow's SavedModel, a folder: for TensorFlow Serving, TensorFlow.js and programs that use TensorFlow.

It has a signature for the bytes of a WAV file, one for the samples of a clip, and one for features. The folder
assets.extra contains model.json and labels.txt.
"""
import json
import os
from typing import Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from ..classifiers import saved_model as runtime
from ..classifiers.classifier import Classifier
from ..classifiers.described import FEATURES_INPUT, OUTPUT, WAVEFORM_INPUT, WAV_INPUT
from ..devices import session
from ..labels import write_labels
from ..runs.description import MODEL, Description
from ..runs.run_directory import LABELS
from ..sound import audio
from . import checks, folded_graph, pb

SUFFIX = "_saved_model"
SUMMARY = "WAV bytes, waveforms or features -> scores"
FOLDER = True


def write(path: str, description: Description, prefix: str) -> None:
    """Write the model into the empty folder `path`."""
    with tf.Graph().as_default() as graph:
        sources = _sources(description.features)
        scores = folded_graph.add_scores(description, prefix, sources["features"])
    signatures = {
        name: tf.saved_model.predict_signature_def({name: source}, {runtime.SCORES: scores})
        for name, source in sources.items()
    }
    default = signatures.get("waveform", signatures["features"])
    with tf.Graph().as_default() as used:  # without the weights that norms have multiplied
        tf.import_graph_def(tf.graph_util.extract_sub_graph(graph.as_graph_def(), [OUTPUT]), name="")
    with session.open_session(used) as opened:
        os.rmdir(path)  # the builder wants to make it
        builder = tf.saved_model.Builder(path)
        # Without attributes that have their defaults, TensorFlow 1.15 reads what 2.x writes.
        builder.add_meta_graph_and_variables(
            opened, [tf.saved_model.tag_constants.SERVING], dict(signatures, serving_default=default),
            strip_default_attrs=True,
        )
        builder.save()
    os.makedirs(os.path.join(path, runtime.ASSETS))
    write_labels(os.path.join(path, runtime.ASSETS, LABELS), description.labels)
    with open(os.path.join(path, runtime.ASSETS, MODEL), "w") as file:
        json.dump(description.portable().to_json(), file, indent=1, sort_keys=True)


def _sources(settings):
    """{name of a signature: its input}. Each one is computed from the one before, unless it is fed."""
    shape = (None, settings.feature_count)
    if settings.features not in pb.FEATURES_IN_GRAPH:
        return {"features": tf.placeholder(tf.float32, shape, name=FEATURES_INPUT)}
    audio_of_wav = tf.reshape(pb.decoded_wav(settings).audio, (-1,))
    waveform = tf.placeholder_with_default(audio_of_wav, (settings.clip_samples,), name=WAVEFORM_INPUT)
    features = pb.features_of(tf.expand_dims(waveform, 1), tf.constant(settings.sample_rate), settings)
    features = tf.reshape(features, (-1, settings.feature_count))
    return {
        "wav": tf.get_default_graph().get_tensor_by_name(WAV_INPUT + ":0"),
        "waveform": waveform,
        "features": tf.placeholder_with_default(features, shape, name=FEATURES_INPUT),
    }


def check(path: str, description: Description, original: Classifier, clips: np.ndarray) -> Tuple[float, str]:
    """Load the folder and compare what each signature gives with the checkpoint."""
    wanted, rate = original.scores(clips), description.features.sample_rate
    with runtime.open_model(path) as model:
        found = [model.scores(clips)]
        if "wav" in model.signatures:
            found.append(np.concatenate([model.run("waveform", clip) for clip in clips]))
            found.append(np.concatenate([model.run("wav", audio.wav_bytes(clip, rate)) for clip in clips]))
    difference = max(float(np.abs(scores - wanted).max()) for scores in found)
    signatures = "%d signatures" % len(found) if len(found) > 1 else "1 signature"
    return difference, "%s, %s" % (signatures, checks.agreement(path, difference))
