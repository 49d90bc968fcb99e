"""The scores of the windows that slide over a stream: the same as those of `kws label` for each window."""
from typing import Any

import numpy as np

from ..classifiers.classifier import BATCH
from ..sound.features import features_of_frames


class WindowScores:
    """Takes a stream in blocks of any size, and gives the scores of its windows.

    Window k begins at sample k * `stride_samples`, a multiple of the frame stride, so that the frames of a window are
    frames of the stream: each is computed once. A graph that computes its features itself gets each window as a clip.
    """

    def __init__(self, classifier: Any, stride_ms: float) -> None:
        settings = classifier.features
        self._classifier, self._settings = classifier, settings
        stride_frames = settings.stride_frames(stride_ms)
        self.stride_samples = stride_frames * settings.window_stride_samples
        self._samples = _Waiting(np.zeros(0, np.float32))  # of frames to come
        # A row is a frame, or a sample for a graph that takes clips.
        if classifier.takes_features:
            self._rows = _Waiting(np.zeros((0, settings.channel_count), np.float32))
            self._window_rows, self._stride_rows = settings.frame_count, stride_frames
            self._score = classifier.scores_of_features
        else:
            self._rows = _Waiting(np.zeros(0, np.float32))
            self._window_rows, self._stride_rows = settings.clip_samples, self.stride_samples
            self._score = classifier.scores
        self.sample_count = 0  # of the stream so far
        self.window_count = 0  # that have scores

    @property
    def stride_ms(self) -> float:
        """The time from one window to the next."""
        return 1000 * self.stride_samples / self._settings.sample_rate

    def last_middles_ms(self, count: int) -> np.ndarray:
        """The middles [count] of the last windows that have scores, in the stream."""
        numbers = np.arange(self.window_count - count, self.window_count)
        return numbers * self.stride_ms + self._settings.clip_duration_ms / 2

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """The next samples [n] float32 -> the scores [windows, label_count] of the windows that they complete."""
        self.sample_count += len(samples)
        return self._feed(samples)

    def finish(self) -> np.ndarray:
        """The scores of the last window, which reaches beyond the end of the stream: zeros take the place of the rest.

        A stream that is shorter than a window has this window only.
        """
        clip, stride = self._settings.clip_samples, self.stride_samples
        windows_before_last = max(0, -((clip - self.sample_count) // stride))
        padding = windows_before_last * stride + clip - self.sample_count
        return self._feed(np.zeros(padding, np.float32))

    def _feed(self, samples):
        if self._classifier.takes_features:
            self._samples.add(samples)
            self._add_frames()
        else:
            self._rows.add(samples)
        rows = self._rows.values
        count = max(0, (len(rows) - self._window_rows) // self._stride_rows + 1)
        starts = np.arange(count) * self._stride_rows
        scores = [np.zeros((0, len(self._classifier.labels)), np.float32)]
        for first in range(0, count, BATCH):
            some = starts[first : first + BATCH]
            scores.append(self._score(np.stack([rows[start : start + self._window_rows] for start in some])))
        self._rows.drop(count * self._stride_rows)
        self.window_count += count
        return np.concatenate(scores)

    def _add_frames(self):
        """Compute the features of the waiting samples, as soon as they complete a window: all at once is faster."""
        settings = self._settings
        missing = max(1, self._window_rows - len(self._rows.values))
        if len(self._samples.values) < (missing - 1) * settings.window_stride_samples + settings.window_size_samples:
            return
        frames = features_of_frames(self._samples.values, settings)
        self._samples.drop(len(frames) * settings.window_stride_samples)
        self._rows.add(frames)


class _Waiting:
    """An array that grows at its end and is used up from its start, where need be before its rest arrives."""

    def __init__(self, empty):
        self.values, self._skipped = empty, 0

    def add(self, values):
        skipped = min(self._skipped, len(values))
        self._skipped -= skipped
        self.values = np.concatenate([self.values, values[skipped:]])

    def drop(self, count):
        self._skipped += max(0, count - len(self.values))
        self.values = self.values[count:]
