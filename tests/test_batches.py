"""The training stream is a pure function of (seed, step); the evaluation sets are the same for everyone."""
import collections
import hashlib
import math
import threading

import numpy as np
import pytest

from kwscli.data import batches
from kwscli.errors import KwsError
from kwscli.settings import DataSettings, EvaluationSettings
from kwscli.sound import augment
from kwscli.sound.feature_settings import FeatureSettings

FEATURES = FeatureSettings(sample_rate=1000, clip_duration_ms=100, upper_edge_hertz=500.0)
KEYWORDS = ("yes", "no")
COUNTS = {"yes": 40, "no": 33, "bird": 30, "cat": 6, "dog": 2}


class Data:
    """A stand-in for `dataset.Dataset` in which every recording repeats one number."""

    def __init__(self, counts=None, backgrounds=2, splits=3 * ("training",) + ("validation", "testing")):
        counts = counts or COUNTS
        self.path, self.sample_rate = "data", FEATURES.sample_rate
        self.words = np.array([word for word, count in counts.items() for _ in range(count)])
        self.splits = np.array([splits[index % len(splits)] for index in range(len(self.words))])
        self.paths = ["%s/%d.wav" % (word, index) for index, word in enumerate(self.words)]
        rng = np.random.RandomState(0)
        self.background = [rng.randint(-9999, 9999, 500).astype(np.int16) for _ in range(backgrounds)]

    def recording(self, number):
        return np.full(100, 100 + number, np.int16)

    def starts(self, clip_samples):
        return np.zeros(len(self.words), np.int64)


def data_settings(**values):
    return DataSettings(**dict({"wanted_words": KEYWORDS, "unknown_percentage": 20.0}, **values))


def stream(data=None, batch_size=8, seed=3, rank=0, rank_count=1, **values):
    return batches.TrainingStream(
        data or Data(), data_settings(**values), FEATURES, batch_size, seed, rank, rank_count
    )


def plain(**values):
    """A stream whose clips tell which recording they are."""
    return stream(time_shift_ms=0.0, background_frequency=0.0, background_volume=0.0, **values)


def numbers_of(clips, targets):
    """The recording behind each clip of a plain stream, -1 for silence."""
    numbers = np.rint(clips[:, 50] * 32768).astype(int) - 100
    return np.where(targets == 0, -1, numbers)


def epochs_of(plain_stream, count):
    """[numbers of the recordings of an epoch] for the first epochs."""
    steps = range(1, math.ceil(count * plain_stream.epoch_size / 8) + 1)
    numbers = np.concatenate([numbers_of(*plain_stream.clips(step)) for step in steps])
    return numbers[: count * plain_stream.epoch_size].reshape(count, -1)


def test_a_batch_depends_on_seed_and_step_only():
    one, other = stream(), stream()
    wanted = {step: one.batch(step) for step in range(1, 30)}
    for step in (29, 3, 17, 3, 1):
        for mine, theirs in zip(other.batch(step), wanted[step]):
            np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(stream(seed=4).batch(1)[0], wanted[1][0])
    assert not np.array_equal(wanted[1][0], wanted[2][0])


AUGMENTED = dict(
    noise_snr_db=(-5.0, 20.0), speed_percentage=15.0, room_frequency=0.5, microphone_frequency=0.5, attenuation_db=6.0,
    time_masks=2, time_mask_frames=1, frequency_masks=2, frequency_mask_channels=3,
)


def test_augmented_batches_depend_on_seed_and_step_only():
    wanted = {step: stream(**AUGMENTED).batch(step) for step in range(1, 20)}
    threaded = batches.Ahead(stream(**AUGMENTED).batch, reversed(range(1, 20)), 3, 5)
    for step, (features, targets) in zip(reversed(range(1, 20)), threaded):
        np.testing.assert_array_equal(features, wanted[step][0])
        np.testing.assert_array_equal(targets, wanted[step][1])
        np.testing.assert_array_equal(targets, stream().batch(step)[1])
        assert np.isfinite(features).all() and not np.array_equal(features, stream().batch(step)[0])


def test_training_clips_of_the_defaults_never_change():
    """Else a run that an older release began would continue with other clips."""
    clips = b"".join(stream().clips(step)[0].tobytes() for step in range(1, 6))
    assert hashlib.sha1(clips).hexdigest() == "ab6488fe4799430a42e4c21185f8201ed30df605"


def test_each_augmentation_gets_the_random_stream_of_its_name(monkeypatch):
    drawn = {}

    def draw_of(name):
        return lambda rng, batch: drawn.update({name: rng.random_sample(3)}) or augment.Augmentation()

    names = ("time_shift", "attenuation", "speed")
    monkeypatch.setattr(augment, "AUGMENTATIONS", {name: draw_of(name) for name in names})
    stream(seed=3).batch(5)
    for name in names:
        wanted = batches.rng_of(3, batches._AUGMENT, 5, *augment.stream_key(name)).random_sample(3)
        np.testing.assert_array_equal(drawn[name], wanted)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_and_lookahead_change_nothing(threads):
    steps = range(1, 40)
    threaded = list(batches.Ahead(stream().batch, steps, threads, threads + 2))
    for step, (features, targets) in zip(steps, threaded):
        wanted = stream().batch(step)
        np.testing.assert_array_equal(features, wanted[0])
        np.testing.assert_array_equal(targets, wanted[1])


def test_ahead_ends_its_threads_and_passes_errors_on():
    before = threading.active_count()
    computed = batches.Ahead(lambda number: 1 // (3 - number), range(9), 2, 2)
    assert [next(computed), next(computed), next(computed)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(computed)
    abandoned = batches.Ahead(str, range(1000), 2, 2)
    next(abandoned)
    abandoned.close()
    assert threading.active_count() == before


def test_ahead_is_closed_while_another_thread_waits_for_it():
    asked, go_on, seen = threading.Event(), threading.Event(), []

    def slow(number):
        asked.set()
        go_on.wait()
        return number

    computed = batches.Ahead(slow, range(100), 1, 0)
    reader = threading.Thread(target=lambda: seen.extend(computed))
    reader.start()
    asked.wait()
    closer = threading.Thread(target=computed.close)
    closer.start()
    go_on.set()
    closer.join()
    reader.join()
    assert seen == list(range(len(seen))) and next(computed, "closed") == "closed"


@pytest.mark.parametrize("values", [{"sampling": "epoch"}, {"sampling": "reference"}, AUGMENTED])
@pytest.mark.parametrize("rank_count", [2, 4])
def test_the_parts_of_all_ranks_are_the_global_batch(values, rank_count):
    whole = stream(batch_size=8, **values)
    parts = [stream(batch_size=8 // rank_count, rank=rank, rank_count=rank_count, **values)
             for rank in range(rank_count)]
    for step in (1, 2, 30):
        clips, targets = zip(*(part.clips(step) for part in parts))
        np.testing.assert_array_equal(np.concatenate(clips), whole.clips(step)[0])
        np.testing.assert_array_equal(np.concatenate(targets), whole.clips(step)[1])


def test_an_epoch_has_every_keyword_clip_once_and_the_shares_asked_for():
    data = Data()
    training = data.splits == "training"
    keywords = np.flatnonzero(training & np.isin(data.words, KEYWORDS))
    others = set(np.flatnonzero(training & ~np.isin(data.words, KEYWORDS)))
    epochs = epochs_of(plain(data=data), 3)
    for numbers in epochs:
        counted = collections.Counter(numbers)
        assert all(counted[number] == 1 for number in keywords)
        assert counted[-1] == math.ceil(len(keywords) * 0.1)
        unknown = [number for number in numbers if number in others]
        assert len(unknown) == len(set(unknown)) == math.ceil(len(keywords) * 0.2)
        assert len(numbers) == len(keywords) + counted[-1] + len(unknown)
    assert not np.array_equal(epochs[0], epochs[1])


def test_targets_are_label_indices():
    data = Data()
    for step in range(1, 12):
        clips, targets = plain(data=data).clips(step)
        assert targets.dtype == np.int32
        words = ["" if number < 0 else data.words[number] for number in numbers_of(clips, targets)]
        assert [{"": 0, "yes": 2, "no": 3}.get(word, 1) for word in words] == list(targets)


def test_unknown_is_even_over_words_and_new_every_epoch():
    data, drawn = Data(), []
    there = collections.Counter(data.words[(data.splits == "training") & ~np.isin(data.words, KEYWORDS)])
    for numbers in epochs_of(plain(data=data), 4):
        unknown = [number for number in numbers if number >= 0 and data.words[number] not in KEYWORDS]
        by_word = collections.Counter(data.words[unknown])
        for word, count in by_word.items():  # no word has two clips more than one that has clips left
            assert all(count <= by_word[other] + 1 for other in there if by_word[other] < there[other])
        drawn.append(frozenset(unknown))
    assert len(set(drawn)) == 4


def test_scarce_other_words_are_used_again_to_make_up_the_share():
    data = Data({"yes": 40, "bird": 2}, splits=("training",))
    numbers = epochs_of(plain(data=data, wanted_words=("yes",), unknown_percentage=50.0), 1)[0]
    assert collections.Counter(data.words[numbers[numbers >= 0]]) == {"yes": 40, "bird": 20}


def test_reference_sampling_draws_from_one_fixed_set():
    data = Data()
    seen = plain(data=data, sampling="reference")
    numbers = np.concatenate([numbers_of(*seen.clips(step)) for step in range(1, 300)])
    unknown = {number for number in numbers if number >= 0 and data.words[number] not in KEYWORDS}
    keywords = np.flatnonzero((data.splits == "training") & np.isin(data.words, KEYWORDS))
    assert len(unknown) == math.ceil(len(keywords) * 0.2)
    assert set(numbers) >= set(keywords)
    assert abs((numbers == -1).mean() - 0.1 / 1.3) < 0.02
    first = numbers[: seen.epoch_size]
    assert len(set(first)) < len(first)  # with replacement


def test_no_background_and_no_other_words_still_train(capsys):
    clips, targets = stream(data=Data({"yes": 20, "no": 20}, backgrounds=0)).clips(1)
    assert not clips[targets == 0].any()
    told = capsys.readouterr().err
    assert "there will be no training clips of _unknown_" in told and "has no background recordings" in told


def test_a_keyword_without_clips_is_an_error():
    with pytest.raises(KwsError, match="^data has no training clips of zebra; its words are: bird, cat, dog, no, yes$"):
        stream(wanted_words=("yes", "zebra"))


def test_keywords_are_compared_in_one_form_of_case_and_unicode():
    nfc, nfd = "sch\u00f6n", "scho\u0308n"
    data = Data({nfc: 5, "Yes": 5, "bird": 5})
    for wanted in ((nfd, "yes"), (nfc, "YES")):
        selection = batches.Selection(data, wanted, "training", 0, 0)
        assert list(selection.targets) == 5 * [2] + 5 * [3] + 5 * [1]
        assert stream(data, wanted_words=wanted).epoch_size


def test_data_with_another_sample_rate_is_refused():
    data = Data()
    data.sample_rate = 8000
    with pytest.raises(KwsError, match="at 8000 samples per second, .* needs 1000; run kws prepare .* 1000"):
        stream(data=data)


def evaluation(split="testing", data=None, wanted_words=KEYWORDS, **values):
    return batches.EvaluationSet(data or Data(), wanted_words, FEATURES, split, EvaluationSettings(**values))


@pytest.mark.parametrize("split", ["validation", "testing"])
def test_an_evaluation_set_has_the_size_of_the_reference(split):
    data = Data()
    keywords = np.isin(data.words, KEYWORDS) & (data.splits == split)
    share = math.ceil(keywords.sum() * 0.1)
    clips = evaluation(split, data)
    counted = collections.Counter(clips.targets)
    yes, no = [(data.words[keywords] == word).sum() for word in KEYWORDS]
    assert counted == {0: share, 1: share, 2: yes, 3: no}
    assert len(clips) == keywords.sum() + 2 * share
    assert str(clips) == "%d %s clips: %d of keywords, %d of other words (10 %%), %d of silence (10 %%)" % (
        len(clips), split, keywords.sum(), share, share
    )


def test_an_evaluation_set_has_no_clip_twice():
    clips = evaluation(data=Data({"yes": 100, "bird": 10}), wanted_words=("yes",), unknown_percentage=100.0)
    numbers = numbers_of(clips.clips(slice(None)), clips.targets)
    assert collections.Counter(numbers).most_common(1) == [(-1, 2)]
    assert len(set(numbers)) == 1 + 22


def test_evaluation_sets_are_always_the_same_and_unaugmented():
    one, other = evaluation(), evaluation()
    clips = one.clips(slice(None))
    np.testing.assert_array_equal(one.targets, other.targets)
    np.testing.assert_array_equal(clips, other.clips(slice(None)))
    np.testing.assert_array_equal(clips[5:9], one.clips(slice(5, 9)))
    numbers = numbers_of(clips, one.targets)
    np.testing.assert_array_equal(one.targets, [0 if number < 0 else
                                                {"yes": 2, "no": 3}.get(Data().words[number], 1) for number in numbers])
    for clip, number in zip(clips, numbers):
        if number >= 0:
            np.testing.assert_array_equal(clip, np.full(100, (100 + number) / 32768, np.float32))


def test_the_clips_of_evaluation_sets_never_change():
    """Else the accuracies of two releases could not be compared."""
    found = evaluation()
    clips = found.clips(slice(None))
    assert list(numbers_of(clips, found.targets)) == [
        49, 14, -1, 59, 29, 4, 24, -1, 69, 79, 44, 34, 64, 54, 9, 104, 19, 39
    ]
    assert hashlib.sha1(clips.tobytes()).hexdigest() == "075f28cbb1989673b405a14c22b5577fd3b1ebe5"


def test_an_empty_split_is_an_empty_set():
    assert len(evaluation("validation", Data(splits=("training",)))) == 0
