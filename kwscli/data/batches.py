"""The clips of each training batch, as a pure function of (seed, step), and the clips of each evaluation.

Random numbers come from numpy's `RandomState`, because the same seed gives the same numbers in every release of numpy.
"""
import collections
import concurrent.futures
import functools
import math
import os
import sys
import threading
from typing import Any, Callable, Iterable, Iterator, Sequence, Tuple, Union

import numpy as np

from ..console import say
from ..errors import KwsError
from ..labels import SILENCE_INDEX, UNKNOWN_INDEX, folded
from ..settings import DataSettings, EvaluationSettings
from ..sound import augment
from ..sound.feature_settings import FeatureSettings
from ..sound.features import features
from .dataset import Dataset, check_sample_rate

# The second number of a seed: one for each stream of random numbers, so that no two streams are alike.
_ORDER, _AUGMENT, _EVALUATION = 0, 1, 2
_SILENT = -1  # stands for silence among the numbers of recordings
EVALUATION_SEED = 59185


def rng_of(*numbers: int) -> np.random.RandomState:
    """A RandomState seeded with these integers."""
    return np.random.RandomState(np.array(numbers, np.uint32))


class Selection:
    """The recordings of one split, sorted into keywords and other words.

    silence_percentage, unknown_percentage: how many clips of silence and of other words to draw, in percent of the
    keyword recordings. repeat_unknown: use recordings of other words more than once where there are too few.
    keyword_balance: as in `DataSettings`.
    keywords, unknown: numbers of recordings in the data set; targets [all recordings]: the label index of each.
    """

    def __init__(
        self, dataset: Dataset, wanted_words: Sequence[str], split: str, silence_percentage: float,
        unknown_percentage: float, repeat_unknown: bool = False, keyword_balance: float = 0.0,
    ) -> None:
        label_of = {folded(word): UNKNOWN_INDEX + 1 + index for index, word in enumerate(wanted_words)}
        label_of = {word: label_of.get(folded(word), UNKNOWN_INDEX) for word in set(dataset.words)}
        self.dataset = dataset
        self.targets = np.array([label_of[word] for word in dataset.words], np.int32)
        mine = dataset.splits == split
        self.keywords = np.flatnonzero(mine & (self.targets != UNKNOWN_INDEX))
        self.unknown = np.flatnonzero(mine & (self.targets == UNKNOWN_INDEX))
        self.silence_count = self._share(silence_percentage)
        self.unknown_count = self._share(unknown_percentage)
        self._balance = keyword_balance
        if not (repeat_unknown and len(self.unknown)):
            self.unknown_count = min(self.unknown_count, len(self.unknown))

    def draw_keywords(self, rng: np.random.RandomState) -> np.ndarray:
        """Every keyword recording once, and with `keyword_balance` some of those of rarer keywords again."""
        if not self._balance or not len(self.keywords):
            return self.keywords
        targets = self.targets[self.keywords]
        most = np.bincount(targets).max()
        drawn = []
        for target in np.unique(targets):
            mine = rng.permutation(self.keywords[targets == target])
            drawn.append(np.resize(mine, int(round(len(mine) * (most / len(mine)) ** self._balance))))
        return np.concatenate(drawn)

    def _share(self, percentage):
        return int(math.ceil(len(self.keywords) * percentage / 100))

    def shares(self, settings: Union[DataSettings, EvaluationSettings]) -> str:
        """How many clips of what there are, and the percentages that were asked for."""
        return "{:,} of keywords, {:,} of other words ({:g} %), {:,} of silence ({:g} %)".format(
            len(self.keywords), self.unknown_count, settings.unknown_percentage,
            self.silence_count, settings.silence_percentage,
        )

    def draw_unknown(self, rng: np.random.RandomState) -> np.ndarray:
        """Draw `unknown_count` recordings of other words, evenly over the words and with as few repeats as possible."""
        shuffled = rng.permutation(self.unknown)
        words = self.dataset.words[shuffled]
        by_word = np.argsort(words, kind="stable")
        _, begins = np.unique(words[by_word], return_index=True)
        turn = np.empty(len(shuffled), np.int64)  # each recording's position among those of its word
        turn[by_word] = np.arange(len(shuffled)) - np.repeat(begins, np.diff(np.append(begins, len(shuffled))))
        return np.resize(shuffled[np.argsort(turn, kind="stable")], self.unknown_count)

    def order(self, rng: np.random.RandomState) -> np.ndarray:
        """Draw one epoch: keyword recordings, other words, and silence (-1), shuffled."""
        parts = [self.draw_keywords(rng), np.full(self.silence_count, _SILENT)]
        if self.unknown_count:
            parts.insert(1, self.draw_unknown(rng))
        return rng.permutation(np.concatenate(parts))

    def clips(self, numbers: np.ndarray, augmentation: augment.Augmentation, clip_samples: int) -> np.ndarray:
        """Augmented clips [n, clip_samples] float32 of the recordings with these numbers (-1: silence)."""
        starts = self.dataset.starts(clip_samples)
        recordings = [None if number == _SILENT else self.dataset.recording(number) for number in numbers]
        return augmentation.clips(recordings, starts[numbers], clip_samples)

    def targets_of(self, numbers: np.ndarray) -> np.ndarray:
        """The label index of each of these recordings (-1: silence) [n] int32."""
        return np.where(numbers == _SILENT, SILENCE_INDEX, self.targets[numbers]).astype(np.int32)


class TrainingStream:
    """The endless sequence of training clips, cut into batches. Any thread can ask for any step, in any order.

    str() says how many clips of what an epoch has.
    rank, rank_count: this process trains on its own part of every global batch of rank_count x batch_size clips.
    other_features: features of the same clips that each batch has as well.
    """

    def __init__(
        self, dataset: Dataset, data_settings: DataSettings, feature_settings: FeatureSettings, batch_size: int,
        seed: int, rank: int = 0, rank_count: int = 1, other_features: Sequence[FeatureSettings] = (),
    ) -> None:
        self._selection = Selection(
            dataset, data_settings.wanted_words, "training", data_settings.silence_percentage,
            data_settings.unknown_percentage, repeat_unknown=data_settings.sampling != "reference",
            keyword_balance=data_settings.keyword_balance,
        )
        self._settings, self._features, self._seed = data_settings, feature_settings, seed
        self._other_features = tuple(other_features)
        self._global_batch = batch_size * rank_count
        self._mine = slice(batch_size * rank, batch_size * (rank + 1))
        self._check(dataset)
        self._epoch = functools.lru_cache(maxsize=4)(self._epoch)
        self.epoch_size = len(self._epoch(0))

    def __str__(self) -> str:
        return "{:,} training clips per epoch: {}".format(self.epoch_size, self._selection.shares(self._settings))

    def _check(self, dataset):
        check_sample_rate(dataset, self._features.sample_rate)
        found = {folded(word) for word in set(dataset.words[self._selection.keywords])}
        missing = [word for word in self._settings.wanted_words if folded(word) not in found]
        if missing:
            raise KwsError(
                "%s has no training clips of %s" % (dataset.path, ", ".join(missing)),
                "its words are: %s" % ", ".join(sorted(set(dataset.words))),
            )
        if self._settings.unknown_percentage and not self._selection.unknown_count:
            say("%s has no words other than the keywords: there will be no training clips of _unknown_." % dataset.path)
        if not dataset.background:
            say("%s has no background recordings: no noise is added, and silence is digital silence." % dataset.path)

    def _epoch(self, epoch):
        return self._selection.order(rng_of(self._seed, _ORDER, epoch))

    def _numbers(self, step):
        """The recordings of the global batch of a step, counted from 1."""
        if self._settings.sampling == "reference":
            fixed = self._epoch(0)
            return fixed[rng_of(self._seed, _ORDER, step).randint(len(fixed), size=self._global_batch)]
        positions = np.arange((step - 1) * self._global_batch, step * self._global_batch)
        epochs = positions // self.epoch_size
        parts = [self._epoch(e)[positions[epochs == e] % self.epoch_size] for e in range(epochs[0], epochs[-1] + 1)]
        return np.concatenate(parts)

    def clips(self, step: int) -> Tuple[np.ndarray, np.ndarray]:
        """The batch of a step, counted from 1: clips [batch, clip_samples] float32 and targets [batch] int32."""
        return self._clips(step)[:2]

    def batch(self, step: int) -> Tuple[np.ndarray, ...]:
        """The batch of a step: features [batch, frame_count, channel_count], targets [batch], and other features.

        No augmentation changes the other features.
        """
        clips, targets, augmentation = self._clips(step)
        computed = {
            settings: features(clips, settings, np.float32) for settings in {self._features, *self._other_features}
        }
        mine = computed[self._features]
        if self._features in self._other_features:
            mine = mine.copy()
        augmentation.change_features(mine)
        return (mine, targets) + tuple(computed[settings] for settings in self._other_features)

    def _random_stream_of(self, step):
        """name of an augmentation -> its random numbers in a step."""
        rng = np.random.RandomState()  # to make one takes ten times as long as to seed it

        def stream_of(name):
            rng.seed(np.array((self._seed, _AUGMENT, step) + augment.stream_key(name), np.uint32))
            return rng

        return stream_of

    def _clips(self, step):
        """(clips, targets, their augmentation) of a step."""
        numbers = self._numbers(step)
        background, rate = self._selection.dataset.background, self._features.sample_rate
        augmentation = augment.draw(
            self._random_stream_of(step),
            augment.Batch(numbers == _SILENT, background, rate, self._features.clip_samples, self._settings),
        )
        numbers, augmentation = numbers[self._mine], augmentation.part(self._mine)
        clips = self._selection.clips(numbers, augmentation, self._features.clip_samples)
        return clips, self._selection.targets_of(numbers), augmentation


class EvaluationSet:
    """The clips that measure a network on a split, always the same: all of keywords, some of other words and silence.

    str() says how many clips of what there are, and by which rule. targets [n]: the label index of each clip.
    """

    def __init__(
        self, dataset: Dataset, wanted_words: Sequence[str], feature_settings: FeatureSettings, split: str,
        settings: EvaluationSettings = EvaluationSettings(),
    ) -> None:
        self._split, self._settings, self._features = split, settings, feature_settings
        self._selection = Selection(
            dataset, wanted_words, split, settings.silence_percentage, settings.unknown_percentage
        )
        rng = rng_of(EVALUATION_SEED, _EVALUATION)
        self._numbers = self._selection.order(rng)
        self._augmentation = augment.for_evaluation(rng, self._numbers == _SILENT, dataset.background)
        self.targets = self._selection.targets_of(self._numbers)

    def __len__(self) -> int:
        return len(self.targets)

    def __str__(self) -> str:
        return "{:,} {} clips: {}".format(len(self), self._split, self._selection.shares(self._settings))

    @property
    def numbers(self) -> np.ndarray:
        """[n]: the recording of each clip in the data set, -1 for silence."""
        return self._numbers

    @property
    def words(self) -> np.ndarray:
        """[n]: the word of each clip; it has no meaning for silence."""
        return self._selection.dataset.words[self._numbers]

    @property
    def names(self) -> np.ndarray:
        """[n]: the file of each clip, "" for silence."""
        return self._of_recordings(self._selection.dataset.paths)

    @property
    def speakers(self) -> np.ndarray:
        """[n]: the speaker of each clip, "" for silence and where nobody knows."""
        return self._of_recordings(self._selection.dataset.speakers)

    def _of_recordings(self, column):
        return np.where(self._numbers == _SILENT, "", np.append(column, "")[self._numbers])

    def clips(self, rows: Union[slice, np.ndarray]) -> np.ndarray:
        """The clips [n, clip_samples] float32 in these rows of the set."""
        return self._selection.clips(self._numbers[rows], self._augmentation.part(rows), self._features.clip_samples)


def _step_back():
    if sys.platform.startswith("linux"):  # there, each thread has its own priority
        os.nice(10)


class Ahead:
    """Yields function(argument) for each of `arguments`, in order. Threads compute up to `depth` results ahead.

    step_back: give the threads a lower priority than all others, also those of other programs.
    One thread may call `close` while another one, such as TensorFlow's, waits for the next result.
    """

    def __init__(
        self, function: Callable[[Any], Any], arguments: Iterable[Any], threads: int, depth: int,
        step_back: bool = False,
    ) -> None:
        self._lock, self._results = threading.Lock(), _ahead(function, arguments, threads, depth, step_back)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._results)

    def close(self) -> None:
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
