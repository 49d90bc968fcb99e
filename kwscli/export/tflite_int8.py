"""A TensorFlow Lite file in 8-bit integers, for microcontrollers: weights, activations, input and output.

Each output channel of a convolution has its own scale. The scales of activations come from training clips.
"""
from typing import Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import classifiers
from ..classifiers.classifier import Classifier, in_batches
from ..classifiers.described import FEATURES_INPUT
from ..classifiers.interpreter import interpreter
from ..classifiers.tflite import scores_of
from ..console import say
from ..data import dataset
from ..data.batches import EvaluationSet
from ..errors import KwsError, Unavailable
from ..metrics import Result
from ..models.quantization import FEATURES_RANGE, Floats
from ..runs import checkpoint
from ..runs.description import Description
from ..sound.features import features as features_of
from . import checks, frozen_graph, tflite

SUFFIX = "_int8.tflite"
SUMMARY = "%s -> scores, 8-bit integers" % FEATURES_INPUT
CLIPS_CALIBRATED, CLIPS_COMPARED, CLIPS_CHECKED = 200, 400, 1000
# Digital silence is far below all other features and would take most of the 256 levels. So features below a floor
# count as the floor. The candidates are evenly between the lowest feature and the one that this percentage is below.
FLOORS, HIGHEST_FLOOR_PERCENTAGE = 4, 2
# A file that loses more accuracy than this, or gives more other answers than the float network, causes a warning.
LOSS_ALLOWED, AGREEMENT_WANTED = 0.005, 0.98
# TensorFlow 1.15 refuses their operations, or converts them to a file with wrong scores.
NOT_ON_TENSORFLOW_1 = ("basic_lstm", "lstm", "gru", "crnn", "bc_resnet", "cnn", "low_latency_svdf")


def write(path: str, description: Description, prefix: str) -> None:
    """Write the file, with the floor that changes the fewest answers to training clips, and then the scores least."""
    _check_convertible(description)
    calibration, compared = (
        features_of(_clips_evenly(description, count), description.features)
        for count in (CLIPS_CALIBRATED, CLIPS_COMPARED)
    )
    with classifiers.open(prefix) as original:
        wanted = original.scores_of_features(compared)
    # The range of its integers limits the features.
    graph_def = frozen_graph.frozen(description, prefix, frozen_graph.features_input, Floats())
    best = None
    for low, high in _ranges(description, prefix, calibration):
        content = _converted(graph_def, np.clip(calibration, low, high), description)
        found = scores_of(_interpreter(content, path), compared)
        changes = np.mean(found.argmax(axis=1) != wanted.argmax(axis=1)), np.abs(found - wanted).mean()
        if best is None or changes < best[0]:
            best = changes, content
    tflite.save(path, best[1], description)


def _check_convertible(description):
    """Refuse the networks that the converter of TensorFlow 1.15 cannot convert, before it crashes."""
    if not tflite.ON_TENSORFLOW_1:
        return
    what = "a " + description.architecture if description.architecture in NOT_ON_TENSORFLOW_1 else ""
    if description.train.normalize_features:  # the converter subtracts the means of channels from a row of all features
        what = "a %s with --normalize-features" % description.architecture
    if what:
        raise Unavailable("TensorFlow %s cannot convert %s to 8-bit integers" % (tf.__version__, what), tflite.NEWER)


def _interpreter(content, path):
    try:
        return interpreter(content, path)
    except KwsError as error:
        # The interpreter of TensorFlow 1.15 refuses some scales that its converter rounds.
        raise KwsError(error.problem, tflite.NEWER) if tflite.ON_TENSORFLOW_1 else error


def _ranges(description, prefix, features):
    """The ranges that the features may be limited to: the one of the training, or several to try."""
    if description.train.quantize:
        weights = checkpoint.values(prefix)
        name = "%s/%s" % (description.architecture, FEATURES_RANGE)
        return [tuple(weights[name + end] for end in ("_low", "_high"))]
    floors = np.linspace(features.min(), np.percentile(features, HIGHEST_FLOOR_PERCENTAGE), FLOORS, dtype=np.float32)
    return [(floor, np.inf) for floor in floors]


def _converted(graph_def, features, description):
    """The content of a file whose scales fit the activations that these features cause."""
    with tflite.converter(graph_def) as int8:
        int8.optimizations = [tf.lite.Optimize.DEFAULT]
        int8.representative_dataset = lambda: ([row] for row in features.reshape(len(features), 1, -1))
        int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        int8.inference_input_type = int8.inference_output_type = tf.int8
        # Interpreters from before this choice existed, such as that of TensorFlow 1.15, read one scale per matrix.
        int8._experimental_disable_per_channel_quantization_for_dense_layers = True
        return tflite.converted(int8, description)


def check(
    path: str, description: Description, original: Classifier, scored: np.ndarray
) -> Tuple[float, str]:
    """Compare the accuracy of the file with that of the checkpoint; a large loss is only a warning."""
    for split in ("validation", "testing", "training"):
        clips = _clips_of(description, split)
        if len(clips):
            break
    rows = slice(0, CLIPS_CHECKED)
    with classifiers.open(path) as exported:
        theirs, mine = (in_batches(one.scores, clips.clips(rows)) for one in (original, exported))
    targets = clips.targets[rows]
    before, after = (Result.of(description.labels, targets, scores).accuracy for scores in (theirs, mine))
    equal = float(np.mean(theirs.argmax(axis=1) == mine.argmax(axis=1)))
    told = "accuracy %.1f %%, that of the checkpoint %.1f %%, %.1f %% equal answers on %d %s clips" % (
        100 * after, 100 * before, 100 * equal, len(targets), split
    )
    if before - after > LOSS_ALLOWED or equal < AGREEMENT_WANTED:
        advice = "a larger --quantize-percentage" if description.train.quantize else "--quantize"
        say("Warning: 8-bit integers change the answers of this network: %s. Train with %s." % (told, advice))
    return checks.difference(path, original, scored), told


def _clips_of(description, split):
    path = description.data_path
    if not path or not dataset.is_prepared(path):
        raise Unavailable(
            "8-bit integers need training clips to choose their scales, and there is no prepared data in %s"
            % (path or "the run's model.json"),
            "name prepared data with --data-path",
        )
    data = dataset.load(path)
    dataset.check_sample_rate(data, description.features.sample_rate)
    return EvaluationSet(data, description.data.wanted_words, description.features, split)


def _clips_evenly(description, count):
    """About so many training clips, as many of each label as of the others."""
    clips = _clips_of(description, "training")
    if not len(clips):
        raise Unavailable(
            "%s has no training clips of %s" % (description.data_path, ", ".join(description.data.wanted_words)),
            "name other prepared data with --data-path",
        )
    each = -(-count // len(description.labels))
    rows = [np.flatnonzero(clips.targets == label)[:each] for label in range(len(description.labels))]
    return clips.clips(np.concatenate(rows))
