"""Which clips make up which batch: the training stream, a pure function of (seed, step), and the evaluation sets.

Random numbers come from numpy's `RandomState`, whose stream is frozen: a seed means the same batches on every numpy.
"""
import collections
import concurrent.futures
import functools
import math
import os
import sys
import threading

import numpy as np

from ..console import say
from ..errors import KwsError
from ..labels import SILENCE_INDEX, UNKNOWN_INDEX
from ..sound import augment
from ..sound.features import features

# First element of a seed's second part: streams that must not be the same numbers.
_ORDER, _AUGMENT, _EVALUATION = 0, 1, 2
_SILENT = -1  # in place of the number of a recording
EVALUATION_SEED = 59185


def rng_of(*numbers):
    """A RandomState for these integers."""
    return np.random.RandomState(np.array(numbers, np.uint32))


class Selection:
    """The recordings of one split, by their role for these keywords.

    keywords, unknown: numbers of recordings in the data set; targets [all recordings]: label index of each.
    """

    def __init__(self, dataset, settings, split):
        words = list(settings.wanted_words)
        label_of = {word: UNKNOWN_INDEX + 1 + index for index, word in enumerate(words)}
        self.dataset, self.settings = dataset, settings
        self.targets = np.array([label_of.get(word, UNKNOWN_INDEX) for word in dataset.words], np.int32)
        mine = dataset.splits == split
        self.keywords = np.flatnonzero(mine & (self.targets != UNKNOWN_INDEX))
        self.unknown = np.flatnonzero(mine & (self.targets == UNKNOWN_INDEX))
        self.silence_count = self._share(settings.silence_percentage)
        self.unknown_count = self._share(settings.unknown_percentage)
        if not len(self.unknown) or split != "training" or settings.sampling == "reference":
            self.unknown_count = min(self.unknown_count, len(self.unknown))  # else clips are used more than once

    def _share(self, percentage):
        return int(math.ceil(len(self.keywords) * percentage / 100))

    def draw_unknown(self, rng):
        """`unknown_count` recordings of other words, evenly over the words, as many different ones as there are."""
        shuffled = rng.permutation(self.unknown)
        words = self.dataset.words[shuffled]
        by_word = np.argsort(words, kind="stable")
        _, begins = np.unique(words[by_word], return_index=True)
        turn = np.empty(len(shuffled), np.int64)  # the how-manieth of its word each one is
        turn[by_word] = np.arange(len(shuffled)) - np.repeat(begins, np.diff(np.append(begins, len(shuffled))))
        return np.resize(shuffled[np.argsort(turn, kind="stable")], self.unknown_count)

    def order(self, rng):
        """One epoch: every keyword recording once, other words, silence (-1), shuffled."""
        parts = [self.keywords, np.full(self.silence_count, _SILENT)]
        if self.unknown_count:
            parts.insert(1, self.draw_unknown(rng))
        return rng.permutation(np.concatenate(parts))

    def clips(self, numbers, augmentation, clip_samples):
        """Clips [n, clip_samples] float32 of the recordings with these numbers (-1: silence), augmented."""
        starts = self.dataset.starts(clip_samples)
        recordings = [None if number == _SILENT else self.dataset.recording(number) for number in numbers]
        return augmentation.clips(recordings, starts[numbers], clip_samples)

    def targets_of(self, numbers):
        """Label index of each of these recordings (-1: silence) [n] int32."""
        return np.where(numbers == _SILENT, SILENCE_INDEX, self.targets[numbers]).astype(np.int32)


class TrainingStream:
    """The endless sequence of training clips, cut into batches. Any step can be asked for, in any order, by any thread.

    rank, rank_count: this process trains on its own part of every global batch of rank_count x batch_size clips.
    """

    def __init__(self, dataset, data_settings, feature_settings, batch_size, seed, rank=0, rank_count=1):
        self._selection = Selection(dataset, data_settings, "training")
        self._settings, self._features, self._seed = data_settings, feature_settings, seed
        self._global_batch = batch_size * rank_count
        self._mine = slice(batch_size * rank, batch_size * (rank + 1))
        self._check(dataset)
        self._epoch = functools.lru_cache(maxsize=4)(self._epoch)
        self.epoch_size = len(self._epoch(0))

    def _check(self, dataset):
        if dataset.sample_rate != self._features.sample_rate:
            raise KwsError(
                "%s was prepared at %d samples a second and --sample-rate is %d; "
                "run kws prepare --sample-rate %d --force"
                % (dataset.path, dataset.sample_rate, self._features.sample_rate, self._features.sample_rate)
            )
        found = set(dataset.words[self._selection.keywords])
        missing = [word for word in self._settings.wanted_words if word not in found]
        if missing:
            raise KwsError(
                "%s has no training clips of %s; its words are: %s"
                % (dataset.path, ", ".join(missing), ", ".join(sorted(set(dataset.words))))
            )
        if self._settings.unknown_percentage and not self._selection.unknown_count:
            say("No words but the keywords in %s: nothing will be trained as _unknown_." % dataset.path)
        if not dataset.background:
            say("No background recordings in %s: clips stay clean, and silence is digital silence." % dataset.path)

    def _epoch(self, epoch):
        return self._selection.order(rng_of(self._seed, _ORDER, epoch))

    def _numbers(self, step):
        """Recordings of the global batch of a step, counted from 1."""
        if self._settings.sampling == "reference":
            fixed = self._epoch(0)
            return fixed[rng_of(self._seed, _ORDER, step).randint(len(fixed), size=self._global_batch)]
        positions = np.arange((step - 1) * self._global_batch, step * self._global_batch)
        epochs = positions // self.epoch_size
        parts = [self._epoch(e)[positions[epochs == e] % self.epoch_size] for e in range(epochs[0], epochs[-1] + 1)]
        return np.concatenate(parts)

    def clips(self, step):
        """The batch of a step, counted from 1: clips [batch, clip_samples] float32 and targets [batch] int32."""
        return self._clips(step)[:2]

    def batch(self, step):
        """The batch of a step: features [batch, frame_count, channel_count] and targets [batch]."""
        clips, targets, augmentation = self._clips(step)
        found = features(clips, self._features, np.float32)
        augmentation.change_features(found)
        return found, targets

    def _clips(self, step):
        """(clips, targets, their augmentation) of a step."""
        numbers = self._numbers(step)
        background, rate = self._selection.dataset.background, self._features.sample_rate
        augmentation = augment.draw(
            lambda name: rng_of(self._seed, _AUGMENT, step, *augment.stream_key(name)),
            augment.Batch(numbers == _SILENT, background, rate, self._settings),
        )
        numbers, augmentation = numbers[self._mine], augmentation.part(self._mine)
        clips = self._selection.clips(numbers, augmentation, self._features.clip_samples)
        return clips, self._selection.targets_of(numbers), augmentation


class EvaluationSet:
    """The clips that a split is judged by, always the same: all keyword clips, some of other words, and silence."""

    def __init__(self, dataset, data_settings, feature_settings, split):
        self._selection, self._features = Selection(dataset, data_settings, split), feature_settings
        rng = rng_of(EVALUATION_SEED, _EVALUATION)
        self._numbers = self._selection.order(rng)
        self._augmentation = augment.for_evaluation(rng, self._numbers == _SILENT, dataset.background)
        self.targets = self._selection.targets_of(self._numbers)
        self.names = ["" if number == _SILENT else dataset.paths[number] for number in self._numbers]

    def __len__(self):
        return len(self.targets)

    def clips(self, rows):
        """The clips [n, clip_samples] float32 of a slice of the set."""
        return self._selection.clips(self._numbers[rows], self._augmentation.part(rows), self._features.clip_samples)


def _step_back():
    if sys.platform.startswith("linux"):  # where a thread has a priority of its own
        os.nice(10)


class Ahead:
    """Yields function(argument) for each of `arguments`, in order, computed up to `depth` ahead by threads.

    step_back: the threads let all others go first, those of other programs too.
    One thread may close it while another, such as one of TensorFlow's, waits for what comes next.
    """

    def __init__(self, function, arguments, threads, depth, step_back=False):
        self._lock, self._results = threading.Lock(), _ahead(function, arguments, threads, depth, step_back)

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            return next(self._results)

    def close(self):
        with self._lock:
            self._results.close()


def _ahead(function, arguments, threads, depth, step_back):
    waiting = collections.deque()
    arguments = iter(arguments)
    with concurrent.futures.ThreadPoolExecutor(threads, initializer=_step_back if step_back else None) as pool:
        try:
            for argument in arguments:
                waiting.append(pool.submit(function, argument))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
