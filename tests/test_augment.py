"""What augmentation may do to a clip, for any clip and any draw."""
import numpy as np
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from kwscli.settings import DataSettings
from kwscli.sound import augment

RATE, CLIP = 16000, 400
QUICK = hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)


def augmentation(shift=0, volume=0.0, noise=0, position=0.0, background=()):
    noises = augment.BackgroundNoise(background, np.array([volume]), np.array([noise]), np.array([position]))
    return augment.Drawn([augment.TimeShift(np.array([shift])), noises], np.array([0]))


def recording(count, seed=0):
    return np.random.RandomState(seed).randint(-32768, 32768, count).astype(np.int16)


def one(samples, start, drawn):
    return drawn.clips([samples], np.array([start]), CLIP)[0]


def drawn_from(seed, silent, settings, backgrounds, kind):
    """What one kind of augmentation draws for clips of a training batch."""
    batch = augment.Batch(silent, [recording(500, number) for number in range(backgrounds)], RATE, CLIP, settings)
    return kind.draw(np.random.RandomState(seed), batch)


@QUICK
@given(count=st.integers(1, 3 * CLIP), start=st.integers(0, CLIP), shift=st.integers(-2 * CLIP, 2 * CLIP))
def test_a_shift_moves_the_clip_exactly(count, start, shift):
    samples = recording(count)
    clip = one(samples, start, augmentation(shift))
    for place in range(0, CLIP, 7):
        source = start - shift + place
        assert clip[place] == (samples[source] / 32768 if 0 <= source < count else 0)


def test_later_is_positive():
    samples = np.arange(CLIP, dtype=np.int16)
    clip = one(samples, 0, augmentation(shift=3)) * 32768
    assert list(clip[:6]) == [0, 0, 0, 0, 1, 2]


@QUICK
@given(
    volume=st.floats(0, 1), position=st.floats(0, 1, exclude_max=True), length=st.integers(1, 3 * CLIP),
    silent=st.booleans(), seed=st.integers(0, 5),
)
def test_noise_is_the_recording_times_the_volume_and_the_sum_stays_in_bounds(volume, position, length, silent, seed):
    samples, noise = recording(CLIP, seed), recording(length, seed + 1)
    clip = one(None if silent else samples, 0, augmentation(0, volume, 0, position, [noise]))
    begin = int(position * max(1, length - CLIP + 1))
    piece = np.zeros(CLIP)
    piece[: len(noise[begin : begin + CLIP])] = noise[begin : begin + CLIP]
    wanted = (0 if silent else samples / 32768) + volume * piece / 32768
    np.testing.assert_allclose(clip, np.clip(wanted, -1, 1), atol=1e-6)
    assert clip.dtype == np.float32 and np.abs(clip).max() <= 1


@QUICK
@given(
    seed=st.integers(0, 2 ** 31 - 1), time_shift_ms=st.floats(0, 1000), frequency=st.floats(0, 1),
    volume=st.floats(0, 1), backgrounds=st.integers(0, 6), sampling=st.sampled_from(["epoch", "reference"]),
)
def test_what_is_drawn_stays_in_bounds(seed, time_shift_ms, frequency, volume, backgrounds, sampling):
    settings = DataSettings(
        time_shift_ms=time_shift_ms, background_frequency=frequency, background_volume=volume, sampling=sampling
    )
    silent = np.arange(200) % 4 == 0
    shifts = drawn_from(seed, silent, settings, backgrounds, augment.TimeShift).shifts
    assert np.abs(shifts).max() <= time_shift_ms * RATE / 1000
    noise = drawn_from(seed, silent, settings, backgrounds, augment.BackgroundNoise)
    loudest = np.where(silent & (sampling == "epoch"), 1.0, volume) * (backgrounds > 0)
    assert (noise.volumes >= 0).all() and (noise.volumes <= loudest).all()
    assert (noise.noises >= 0).all() and (noise.noises < max(1, backgrounds)).all()
    assert (noise.positions >= 0).all() and (noise.positions < 1).all()
    np.testing.assert_array_equal(drawn_from(seed, silent, settings, backgrounds, augment.TimeShift).shifts, shifts)
    again = drawn_from(seed, silent, settings, backgrounds, augment.BackgroundNoise)
    for name in ("volumes", "noises", "positions"):
        np.testing.assert_array_equal(getattr(again, name), getattr(noise, name))


def test_the_shares_are_those_asked_for():
    silent = np.arange(20000) % 2 == 0
    drawn = drawn_from(0, silent, DataSettings(), 6, augment.BackgroundNoise)
    noisy = drawn.volumes > 0
    assert abs(noisy[~silent].mean() - 0.8) < 0.02
    assert abs(noisy[silent].mean() - (1 - augment.DIGITAL_SILENCE)) < 0.02
    assert set(drawn.noises) == set(range(6))
    shifts = drawn_from(0, silent, DataSettings(), 6, augment.TimeShift).shifts
    assert shifts.min() == -1600 and shifts.max() == 1600


def test_evaluation_leaves_recordings_as_they_are():
    silent = np.arange(1000) % 2 == 0
    background = [np.full(CLIP, 32767, np.int16)]
    recordings = [None if one else recording(CLIP, seed=3) for one in silent]
    starts = np.zeros(1000, int)
    clips = augment.for_evaluation(np.random.RandomState(0), silent, background).clips(recordings, starts, CLIP)
    assert (clips[~silent] == recording(CLIP, seed=3) / np.float32(32768)).all()
    assert abs((clips[silent] == 0).all(axis=1).mean() - augment.DIGITAL_SILENCE) < 0.05
    without_noise = augment.for_evaluation(np.random.RandomState(0), silent, [])
    assert not without_noise.clips(recordings, starts, CLIP)[silent].any()


def stream_of(name):
    return np.random.RandomState(np.array((7,) + augment.stream_key(name), np.uint32))


def batch(count=10):
    background = [recording(500, number) for number in range(3)]
    return augment.Batch(np.arange(count) % 4 == 0, background, RATE, CLIP, DataSettings(time_shift_ms=5.0))


def clips_and_features(drawn, count=10):
    recordings = [recording(2 * CLIP, row) for row in range(count)]
    features = np.zeros((count, 4, 2), np.float32)
    drawn.change_features(features)
    return drawn.clips(recordings, np.full(count, CLIP // 2), CLIP), features


@pytest.mark.parametrize("rows", [slice(4, 7), np.array([9, 0, 3])])
def test_a_part_is_those_rows(rows):
    whole = augment.draw(stream_of, batch())
    recordings, starts = [recording(2 * CLIP, row) for row in range(10)], np.full(10, CLIP // 2)
    part = whole.part(rows).clips([recordings[row] for row in np.arange(10)[rows]], starts[rows], CLIP)
    np.testing.assert_array_equal(whole.clips(recordings, starts, CLIP)[rows], part)


class Numbers(augment.Augmentation):
    """Writes what it drew into the features of each clip."""

    def __init__(self, numbers):
        self.numbers = numbers

    @classmethod
    def draw(cls, rng, batch):
        return cls(rng.random_sample(len(batch.silent)))

    def features(self, row, features):
        features += self.numbers[row]


def test_another_augmentation_changes_nothing_about_the_others(monkeypatch):
    clips, features = clips_and_features(augment.draw(stream_of, batch()))
    assert not features.any()
    monkeypatch.setattr(augment, "AUGMENTATIONS", {"numbers": Numbers.draw, **augment.AUGMENTATIONS})
    same_clips, features = clips_and_features(augment.draw(stream_of, batch()))
    np.testing.assert_array_equal(same_clips, clips)
    assert len(np.unique(features[:, 0, 0])) == 10


def test_each_augmentation_draws_from_a_stream_of_its_own(monkeypatch):
    def drawn(*names):
        numbers = {}

        def draw_of(name):
            return lambda rng, batch: numbers.update({name: tuple(rng.random_sample(3))}) or augment.Augmentation()

        monkeypatch.setattr(augment, "AUGMENTATIONS", {name: draw_of(name) for name in names})
        augment.draw(stream_of, batch())
        return numbers

    together = drawn("gain", "time_shift", "reverb", "spec_augment")
    assert len(set(together.values())) == 4
    assert drawn("reverb") == {"reverb": together["reverb"]}
    assert drawn("spec_augment", "gain", "time_shift", "reverb") == together


def test_augmentations_apply_in_order_and_to_the_features_of_their_own_clips():
    class Double(augment.Augmentation):
        def features(self, row, features):
            features *= 2

    drawn = augment.Drawn([Numbers(np.arange(10.0)), Double()], np.arange(10)).part(slice(2, 5))
    features = np.ones((3, 4, 2), np.float32)
    drawn.change_features(features)
    assert features[:, 1, 1].tolist() == [6.0, 8.0, 10.0]


def test_attenuation_makes_clips_quieter_and_draws_nothing_where_it_is_off():
    silent = np.arange(2000) % 4 == 0
    drawn = drawn_from(0, silent, DataSettings(attenuation_db=40.0), 2, augment.Attenuation)
    decibels = -20 * np.log10(drawn.factors)
    assert decibels.min() >= -1e-4 and 38 < decibels.max() <= 40.001 and abs(decibels.mean() - 20) < 1
    clip = np.full(CLIP, 0.5, np.float32)
    drawn.clip(3, clip)
    np.testing.assert_allclose(clip, 0.5 * drawn.factors[3])
    off = drawn_from(0, silent, DataSettings(), 2, augment.Attenuation)
    off.clip(3, clip)
    np.testing.assert_allclose(clip, 0.5 * drawn.factors[3])
