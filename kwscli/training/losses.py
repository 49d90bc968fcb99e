"""What a training minimises."""
from typing import Sequence

import tensorflow.compat.v1 as tf

from ..settings import TrainSettings


def loss(
    logits: tf.Tensor, targets: tf.Tensor, settings: TrainSettings, teachers: Sequence[tf.Tensor] = ()
) -> tf.Tensor:
    """The mean loss of a batch: logits [batch, label_count], targets [batch] -> [].

    It is the cross entropy with smoothed targets (arXiv 1512.00567, section 7). teachers: the logits of other networks
    on the same clips, each [batch, label_count]; the network learns their mean scores as well (arXiv 1503.02531).
    """
    found = _cross_entropy(logits, targets, settings.label_smoothing)
    if not teachers:
        return found
    share = settings.distillation_weight
    return (1 - share) * found + share * _distance(logits, teachers, settings.distillation_temperature)


def _cross_entropy(logits, targets, smoothing):
    sparse = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
    if not smoothing:
        return sparse
    # The mean over all labels of the cross entropy with each of them.
    uniform = -tf.reduce_mean(tf.nn.log_softmax(logits))
    return (1 - smoothing) * sparse + smoothing * uniform


def _distance(logits, teachers, temperature):
    """The cross entropy with the teachers' scores, less its least value, times the square of the temperature.

    The square keeps the size of the gradients whatever the temperature is.
    """
    scores = tf.add_n([tf.nn.softmax(one / temperature) for one in teachers]) / len(teachers)
    entropy = -tf.reduce_sum(scores * tf.log(tf.maximum(scores, 1e-30)), axis=1)
    crossed = tf.nn.softmax_cross_entropy_with_logits_v2(labels=scores, logits=logits / temperature)
    return temperature ** 2 * tf.reduce_mean(crossed - entropy)
