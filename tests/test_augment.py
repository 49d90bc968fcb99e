"""What augmentation may do to a clip, for any clip and any draw."""
import numpy as np
from hypothesis import given, settings as hypothesis_settings, strategies as st

from kwscli.settings import DataSettings
from kwscli.sound import augment

RATE, CLIP = 16000, 400
QUICK = hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)


def augmentation(shift=0, volume=0.0, noise=0, position=0.0):
    return augment.Augmentation(np.array([shift]), np.array([volume]), np.array([noise]), np.array([position]))


def recording(count, seed=0):
    return np.random.RandomState(seed).randint(-32768, 32768, count).astype(np.int16)


def one(samples, start, change, background=()):
    return augment.mix([samples], np.array([start]), change, background, CLIP)[0]


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
    clip = one(None if silent else samples, 0, augmentation(0, volume, 0, position), [noise])
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
    drawn = augment.draw(np.random.RandomState(seed), silent, settings, RATE, backgrounds)
    assert np.abs(drawn.shifts).max() <= time_shift_ms * RATE / 1000
    loudest = np.where(silent & (sampling == "epoch"), 1.0, volume) * (backgrounds > 0)
    assert (drawn.volumes >= 0).all() and (drawn.volumes <= loudest).all()
    assert (drawn.noises >= 0).all() and (drawn.noises < max(1, backgrounds)).all()
    assert (drawn.positions >= 0).all() and (drawn.positions < 1).all()
    again = augment.draw(np.random.RandomState(seed), silent, settings, RATE, backgrounds)
    assert all(np.array_equal(*pair) for pair in zip(drawn, again))


def test_the_shares_are_those_asked_for():
    silent = np.arange(20000) % 2 == 0
    drawn = augment.draw(np.random.RandomState(0), silent, DataSettings(), RATE, 6)
    noisy = drawn.volumes > 0
    assert abs(noisy[~silent].mean() - 0.8) < 0.02
    assert abs(noisy[silent].mean() - (1 - augment.DIGITAL_SILENCE)) < 0.02
    assert drawn.shifts.min() == -1600 and drawn.shifts.max() == 1600
    assert set(drawn.noises) == set(range(6))


def test_evaluation_leaves_recordings_as_they_are():
    silent = np.arange(1000) % 2 == 0
    drawn = augment.for_evaluation(np.random.RandomState(0), silent, 6)
    assert not drawn.shifts.any() and not drawn.volumes[~silent].any()
    assert abs((drawn.volumes[silent] == 0).mean() - augment.DIGITAL_SILENCE) < 0.05
    assert not augment.for_evaluation(np.random.RandomState(0), silent, 0).volumes.any()


def test_a_part_is_those_rows():
    silent = np.zeros(10, bool)
    drawn = augment.draw(np.random.RandomState(0), silent, DataSettings(), RATE, 2)
    assert all(np.array_equal(whole[4:7], part) for whole, part in zip(drawn, drawn.part(slice(4, 7))))
