"""Trained networks that another network learns from (`--teacher`)."""
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from ..models import network
from ..runs import checkpoint, run_directory
from ..runs.description import Description
from ..sound.feature_settings import FeatureSettings


class Teacher(NamedTuple):
    """A network whose weights do not change."""

    description: Description
    weights: Dict[str, np.ndarray]  # {name of a variable: its value}

    @property
    def features(self) -> FeatureSettings:
        """The features that it was trained on."""
        return self.description.features

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Add the network to the current graph: features [batch, frame_count, channel_count] -> [batch, label_count].

        Its weights are constants, so that no checkpoint contains them.
        """
        with tf.variable_scope(tf.get_variable_scope(), custom_getter=self._weight):
            return network.logits_of(self.description, features, training=False)

    def _weight(self, getter, name, *args, **kwargs):
        return tf.constant(self.weights[name], name="teacher/" + name)


def load(paths: Sequence[str]) -> List[Teacher]:
    """Read run directories or checkpoints. Raises KwsError."""
    teachers = []
    for path in paths:
        description, prefix = run_directory.resolve(path)
        checkpoint.check(description, prefix)
        teachers.append(Teacher(description, checkpoint.values(prefix)))
    return teachers
