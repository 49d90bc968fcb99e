"""A model file, of whatever kind, behind one interface: `scores(clips) -> [n, label_count]`."""
import json
import os

import numpy as np

from .. import imports
from ..errors import KwsError
from ..labels import read_labels
from ..runs import run_directory
from ..settings import DataSettings
from ..sound import audio
from ..sound.features import features

# Where a frozen graph says how its input is made: an attribute that TensorFlow and its converters pass over.
GRAPH_ATTRIBUTE = "_kws_model"
BATCH = 100


def opened(path=None, labels_path=None):
    """The classifier in a checkpoint, a run directory or a .pb graph; None: the newest run under output/."""
    path = path or run_directory.newest()
    if path.endswith(".pb"):
        return FrozenGraphClassifier(path, labels_path)
    if labels_path:
        raise KwsError("--labels goes with a .pb graph; %s has its labels in model.json" % path)
    return CheckpointClassifier(*run_directory.resolve(path))


class CheckpointClassifier:
    """Weights of a checkpoint, in the network that model.json describes."""

    def __init__(self, description, prefix):
        with imports.guarded():  # TensorFlow takes seconds
            from ..runs import checkpoint

        self.description, self.path = description, prefix
        self.labels, self.features, self.data, self.data_path = (
            description.labels, description.features, description.data, description.data_path
        )
        self._session, self._graph = checkpoint.inference_session(description, prefix, BATCH)

    def scores(self, clips):
        """clips [n, clip_samples] float32 in [-1, 1] -> scores [n, label_count], each row sums to 1."""
        return in_batches(self._scores, features(clips, self.features), BATCH)

    def _scores(self, features):
        return self._session.run(self._graph.scores, {self._graph.features: features})

    def close(self):
        self._session.close()


class FrozenGraphClassifier:
    """A .pb graph, ours or another tool's: `wav_data` or `fingerprint_input` -> `labels_softmax`."""

    def __init__(self, path, labels_path=None):
        with imports.guarded():
            from . import frozen_graph

        self.path, self.data_path = path, ""
        self._session, self._input, nodes = frozen_graph.load(path)
        described = nodes[self._input].attr[GRAPH_ATTRIBUTE].s if GRAPH_ATTRIBUTE in nodes[self._input].attr else b""
        if described and labels_path:
            raise KwsError("%s says its labels itself; leave --labels out" % path)
        if described:
            description = run_directory.Description.from_json(json.loads(described.decode("utf-8")), path)
            self.labels, self.features, self.data = description.labels, description.features, description.data
            self.data_path = description.data_path
        else:
            self.labels = read_labels(labels_path or _labels_beside(path))
            self.features = frozen_graph.feature_settings(path, self._input, nodes)
            self.data = DataSettings(wanted_words=self.labels[2:])
        label_count = self._shape(frozen_graph.OUTPUT)[-1]
        if label_count and label_count != len(self.labels):
            raise KwsError(
                "%s scores %d labels and %d are given (%s); name the right file with --labels"
                % (path, label_count, len(self.labels), ", ".join(self.labels))
            )

    def scores(self, clips):
        """clips [n, clip_samples] float32 in [-1, 1] -> scores [n, label_count], each row sums to 1."""
        if self._input == "wav_data":  # one WAV file a call, as the graph is made
            wavs = [audio.wav_bytes(clip, self.features.sample_rate) for clip in clips]
            return np.concatenate([self._run(wav) for wav in wavs])
        shape = self._shape(self._input)
        rows = features(clips, self.features).reshape([-1] + shape[1:])
        return in_batches(self._run, rows, shape[0] or BATCH)

    def _shape(self, node):
        """The shape of a node's output, None for a dimension of any size."""
        shape = self._session.graph.get_tensor_by_name(node + ":0").shape
        return shape.as_list() if shape.rank else [None]

    def _run(self, value):
        from . import frozen_graph

        return frozen_graph.run(self._session, self.path, self._input, value)

    def close(self):
        self._session.close()


def in_batches(function, rows, batch):
    """function(rows[batch, ...]) over all rows, in batches of one size: the last is padded, the padding dropped."""
    results = []
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        padding = np.zeros((batch - len(some),) + some.shape[1:], some.dtype)
        results.append(function(np.concatenate([some, padding]))[: len(some)])
    return np.concatenate(results)


def _labels_beside(path):
    for name in (os.path.splitext(path)[0] + "_labels.txt", os.path.join(os.path.dirname(path), "labels.txt")):
        if os.path.exists(name):
            return name
    raise KwsError("%s does not say its labels and there is no labels.txt beside it; name one with --labels" % path)
