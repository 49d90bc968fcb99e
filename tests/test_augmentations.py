"""Each augmentation does what it says, measured independently of how it is computed."""
import numpy as np
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from kwscli.errors import KwsError
from kwscli.settings import DataSettings
from kwscli.sound import acoustics, augment, spec_augment, speed
from kwscli.sound.feature_settings import FeatureSettings

RATE, CLIP = 16000, 400
QUICK = hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)
NOISE_SNR_DB = (-5.0, 20.0)
# Every augmentation that is off by default: {its name in the table: the settings that switch it on}.
SWITCHES = {
    "attenuation": {"attenuation_db": 20.0},
    "speed": {"speed_percentage": 15.0},
    "room": {"room_frequency": 0.5},
    "microphone": {"microphone_frequency": 0.5},
    "time_masks": {"time_masks": 2, "time_mask_frames": 3},
    "frequency_masks": {"frequency_masks": 1, "frequency_mask_channels": 2},
}


def recording(count, seed=0, loudest=32767):
    return np.random.RandomState(seed).randint(-loudest - 1, loudest + 1, count).astype(np.int16)


def batch_of(silent, clip_samples=CLIP, backgrounds=3, **values):
    background = [recording(500, number) for number in range(backgrounds)]
    return augment.Batch(silent, background, RATE, clip_samples, DataSettings(**values))


def draw_all(silent, **values):
    """{name: what was drawn for it}."""
    numbers = {name: np.random.RandomState(number) for number, name in enumerate(augment.AUGMENTATIONS)}
    batch = batch_of(silent, **values)
    return {name: draw(numbers[name], batch) for name, draw in augment.AUGMENTATIONS.items()}


def one(samples, start, *augmentations, clip_samples=CLIP):
    return augment.Drawn(augmentations, np.array([0])).clips([samples], np.array([start]), clip_samples)[0]


def decibels(ratio):
    return 10 * np.log10(ratio)


def power(samples):
    return np.mean(np.square(samples, dtype=np.float64))


SILENT = np.arange(4000) % 4 == 0


@pytest.mark.parametrize("name", SWITCHES)
def test_an_augmentation_that_is_switched_on_changes_nothing_about_the_others(name):
    off, on = draw_all(SILENT), draw_all(SILENT, **SWITCHES[name])
    assert type(off[name]) is augment.Augmentation and type(on[name]) is not augment.Augmentation
    for other in set(on) - {name}:
        assert type(off[other]) is type(on[other])
        np.testing.assert_equal(vars(on[other]), vars(off[other]))


def test_every_augmentation_of_the_table_is_off_by_default_but_the_first_two():
    assert set(SWITCHES) | {"time_shift", "background_noise"} == set(augment.AUGMENTATIONS)


@QUICK
@given(seed=st.integers(0, 99), loudest=st.sampled_from([0, 1, 500, 32767]), count=st.integers(1, 3 * CLIP))
def test_clips_stay_in_bounds_under_all_augmentations_together(seed, loudest, count):
    values = {key: value for switch in SWITCHES.values() for key, value in switch.items()}
    drawn = list(draw_all(np.arange(8) % 4 == 0, noise_snr_db=NOISE_SNR_DB, **values).values())
    recordings = [None if row % 4 == 0 else recording(count, seed + row, loudest) for row in range(8)]
    clips = augment.Drawn(drawn, np.arange(8)).clips(recordings, np.zeros(8, int), CLIP)
    assert clips.dtype == np.float32 and np.abs(clips).max() <= 1 and np.isfinite(clips).all()


# Speed


def sine(hertz, seconds, loudest=10000):
    return np.rint(loudest * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


@pytest.mark.parametrize("old_samples", [34, 36, 40, 44, 46, 60])
def test_a_speed_changes_the_pitch_and_not_the_volume(old_samples):
    fast = speed.Speed(np.array([old_samples]), RATE)
    clip = one(sine(1000, 3), 16000, fast, clip_samples=RATE)
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(RATE)))
    assert spectrum.argmax() == 1000 * old_samples / 40  # the bins are 1 Hz wide
    assert abs(decibels(power(clip) / power(sine(1000, 3) / 32768))) < 0.1


def test_what_a_faster_clip_cannot_hold_does_not_come_back_as_lower_tones():
    clip = one(sine(7500, 3), 16000, speed.Speed(np.array([60]), RATE), clip_samples=RATE)
    assert decibels(power(clip) / power(sine(7500, 3) / 32768)) < -30


@pytest.mark.parametrize("old_samples", [36, 44])
def test_a_clip_at_full_scale_is_clipped_where_it_overshoots(old_samples):
    square = np.where(sine(100, 3) >= 0, 32767, -32768).astype(np.int16)
    clip = one(square, 16000, speed.Speed(np.array([old_samples]), RATE), clip_samples=RATE)
    assert (np.abs(clip) > 0.99).mean() > 0.9
    assert (clip[1:] * clip[:-1] < 0).sum() <= 2 * 100 * old_samples / 40 + 1  # it changes sign as often as the tone


@QUICK
@given(
    old_samples=st.integers(20, 60), count=st.integers(1, 3 * CLIP), start=st.integers(-2 * CLIP, 4 * CLIP),
    clip_samples=st.integers(1, 500),
)
def test_the_centre_of_a_clip_stays_and_the_rest_follows_the_speed(old_samples, count, start, clip_samples):
    samples = np.rint(9000 * np.sin(np.arange(count) / 40)).astype(np.int16)
    clip = one(samples, start, speed.Speed(np.array([old_samples]), clip_samples), clip_samples=clip_samples)
    centre = (clip_samples - 1) / 2
    places = start + centre + (np.arange(clip_samples) - centre) * old_samples / 40
    wanted = np.interp(places, np.arange(count), samples / 32768)
    inside = (places > 16) & (places < count - 17)  # away from the ends of the recording
    assert np.abs(clip - wanted)[inside].max(initial=0) < 0.006  # less than a sample's move
    assert not clip[(places < -20) | (places > count + 20)].any()


@pytest.mark.parametrize("percentage, slowest, fastest", [(2.5, 39, 41), (15.0, 34, 46), (16.0, 34, 46), (50, 20, 60)])
def test_speeds_are_drawn_evenly_between_their_limits(percentage, slowest, fastest):
    drawn = draw_all(SILENT, speed_percentage=percentage)["speed"]
    values, counts = np.unique(drawn.speeds, return_counts=True)
    assert values.tolist() == list(range(slowest, fastest + 1))
    assert counts.min() > 0.5 * counts.mean()


# Noise at a signal-to-noise ratio


def noise_at(snr_db, noise, position=0.0):
    nothing = np.zeros(1)
    return augment.BackgroundNoise(
        [noise], nothing, nothing.astype(int), np.array([position]), np.array([10 ** (snr_db / 10)])
    )


@QUICK
@given(
    snr_db=st.floats(-20, 40), seed=st.integers(0, 9), loudest=st.sampled_from([20, 500, 32767]),
    position=st.floats(0, 1, exclude_max=True), noise_count=st.integers(1, 2000),
)
def test_noise_has_the_ratio_that_was_asked_for(snr_db, seed, loudest, position, noise_count):
    samples, noise = recording(CLIP, seed, loudest), recording(noise_count, seed + 1)
    clip = one(samples, 0, noise_at(snr_db, noise, position))
    begin = int(position * max(1, noise_count - CLIP + 1))
    piece = noise[begin : begin + CLIP].astype(np.float64)
    padded = np.append(piece, np.zeros(CLIP - len(piece)))
    # The clip is a mix of two known parts; least squares finds how much of each.
    (signal_gain, noise_gain), residual = np.linalg.lstsq(
        np.stack([samples, padded], axis=1).astype(np.float64), clip.astype(np.float64), rcond=None)[:2]
    assert residual.size == 0 or residual < 1e-6
    found = decibels(signal_gain ** 2 * power(samples) / (noise_gain ** 2 * power(piece)))
    assert abs(found - snr_db) < 0.1
    assert signal_gain <= 1.0001 / 32768 and np.abs(clip).max() <= 1


def test_digital_silence_gets_quiet_noise_and_noise_may_be_digital_silence():
    clip = one(np.zeros(CLIP, np.int16), 0, noise_at(0, recording(CLIP)))
    assert 1e-5 < np.abs(clip).max() < 1e-3
    samples = recording(CLIP)
    np.testing.assert_array_equal(one(samples, 0, noise_at(0, np.zeros(CLIP, np.int16))), samples / np.float32(32768))


@pytest.mark.parametrize("sampling", ["epoch", "reference"])
@pytest.mark.parametrize("volume", [0.0, 0.1])
def test_ratios_replace_volumes_but_for_silence(sampling, volume):
    values = {"sampling": sampling, "background_volume": volume}
    volumes = draw_all(SILENT, **values)["background_noise"]
    ratios = draw_all(SILENT, noise_snr_db=NOISE_SNR_DB, **values)["background_noise"]
    np.testing.assert_array_equal(ratios.volumes, np.where(SILENT, volumes.volumes, 0))
    np.testing.assert_array_equal(ratios.noises, volumes.noises)
    np.testing.assert_array_equal(ratios.positions, volumes.positions)
    noisy = ratios.ratios > 0
    assert not noisy[SILENT].any() and abs(noisy[~SILENT].mean() - 0.8) < 0.02
    drawn = decibels(ratios.ratios[noisy])
    assert -5.001 < drawn.min() < -4.9 and 19.9 < drawn.max() < 20.001 and abs(drawn.mean() - 7.5) < 0.5


def test_without_background_recordings_there_is_no_noise():
    batch = batch_of(SILENT, backgrounds=0, noise_snr_db=NOISE_SNR_DB)
    drawn = augment.BackgroundNoise.draw(np.random.RandomState(0), batch)
    assert not drawn.ratios.any() and not drawn.volumes.any()


# Rooms and microphones


def room(number):
    return acoustics.Room(np.array([number]), RATE)


def response_of(number, count=8000):
    """What a room makes of a click."""
    click = np.zeros(count, np.int16)
    click[0] = 8192
    return one(click, 0, room(number), clip_samples=count) * 4


@pytest.mark.parametrize("number", range(0, acoustics.BANK, 7))
def test_a_room_is_a_convolution_with_its_response(number):
    samples = recording(6000, loudest=900)
    wanted = np.convolve(samples / 32768, response_of(number))[:6000]
    np.testing.assert_allclose(one(samples, 0, room(number), clip_samples=6000), wanted, atol=2e-6)


def test_rooms_keep_the_onset_and_decay():
    assert len({response_of(number).tobytes() for number in range(acoustics.BANK)}) == acoustics.BANK
    for number in range(acoustics.BANK):
        response = response_of(number)
        assert abs(response[0] - 1) < 1e-5 and np.abs(response[1:16]).max() < 1e-5  # the first millisecond
        tail = response[16:4480].astype(np.float64)
        assert -12.1 < decibels(np.sum(tail ** 2)) < 0.1
        early, late = np.sum(tail[:1500] ** 2), np.sum(tail[1500:3000] ** 2)  # 94 ms apart
        assert 60 * 0.094 / 0.6 - 2 < decibels(early / late) < 60 * 0.094 / 0.1 + 2
        assert np.abs(response[4480:]).max() < 1e-5


def test_silence_is_in_no_room_and_the_share_is_the_one_that_was_asked_for():
    rooms = draw_all(SILENT, room_frequency=0.3)["room"].rooms
    assert (rooms[SILENT] == -1).all() and abs((rooms[~SILENT] >= 0).mean() - 0.3) < 0.03
    assert set(rooms) == set(range(-1, acoustics.BANK))


def gains_of(number):
    """What a microphone makes of tones {hertz: gain in decibels}."""
    microphone = acoustics.Microphone(np.array([number]), np.ones(1, np.float32), RATE)
    return {
        hertz: decibels(power(one(sine(hertz, 1), 0, microphone, clip_samples=RATE)) / power(sine(hertz, 1) / 32768))
        for hertz in (50, 1000, 7800)
    }


def test_microphones_cut_low_or_high_tones_or_both():
    cut = set()
    for number in range(acoustics.BANK):
        gains = gains_of(number)
        assert -1 < gains[1000] < 0.1
        cut.add((gains[50] < -10, gains[7800] < -3))
    assert cut == {(True, False), (False, True), (True, True)}


def test_a_microphone_clips_at_its_limit():
    microphone = acoustics.Microphone(np.array([1]), np.full(1, 0.5, np.float32), RATE)
    clip = one(sine(500, 1), 0, microphone, clip_samples=RATE)
    quarter = 10000 / 32768 / 2
    assert quarter * 0.9 < np.abs(clip).max() < quarter * 1.3  # the filter rounds the edges
    assert power(clip) < power(sine(500, 1) / 32768) / 2


def test_the_share_of_microphones_is_the_one_that_was_asked_for_and_half_of_them_clip():
    drawn = draw_all(SILENT, microphone_frequency=0.3)["microphone"]
    assert abs((drawn.microphones >= 0).mean() - 0.3) < 0.03
    assert set(drawn.microphones) == set(range(-1, acoustics.BANK))
    assert abs((drawn.limits < 1).mean() - 0.5) < 0.03 and drawn.limits.min() > 0.25


# SpecAugment


@QUICK
@given(
    frames=st.integers(4, 60), channels=st.integers(3, 40), masks=st.integers(0, 3), widest=st.integers(1, 3),
    channel_masks=st.integers(0, 3), widest_channel=st.integers(1, 2), seed=st.integers(0, 99),
)
def test_masks_are_no_wider_than_asked_for_and_show_means(
    frames, channels, masks, widest, channel_masks, widest_channel, seed
):
    values = {}
    if masks:
        values.update(time_masks=masks, time_mask_frames=widest)
    if channel_masks:
        values.update(frequency_masks=channel_masks, frequency_mask_channels=widest_channel)
    original = np.random.RandomState(seed).normal(5, 1, (20, frames, channels)).astype(np.float32)
    features = original.copy()
    augment.Drawn(list(draw_all(np.zeros(20, bool), **values).values()), np.arange(20)).change_features(features)
    for before, after in zip(original, features):
        hidden = before != after
        hidden_frames, hidden_channels = hidden.all(axis=1), hidden.all(axis=0)
        assert (hidden == hidden_frames[:, np.newaxis] | hidden_channels).all()
        assert hidden_frames.sum() <= masks * widest
        assert hidden_channels.sum() <= channel_masks * widest_channel
        means = np.broadcast_to(before.mean(axis=0), before.shape)
        np.testing.assert_allclose(after[hidden], means[hidden], rtol=1e-4)


def test_masks_have_every_width_and_every_place():
    drawn = draw_all(SILENT, time_masks=2, time_mask_frames=3)["time_masks"]
    assert drawn.widths.shape == (4000, 2) and set(drawn.widths.ravel()) == {0, 1, 2, 3}
    features = np.arange(4000 * 5, dtype=np.float32).reshape(4000, 5, 1) ** 2
    original = features.copy()
    augment.Drawn([drawn], np.arange(4000)).change_features(features)
    changed = (features != original).mean(axis=(0, 2))
    assert changed.min() > 0.3


@pytest.mark.parametrize("values, message", [
    ({"time_masks": 1, "time_mask_frames": 60},
     "^--time-mask-frames 60 is too wide for the features, which have 49 frames; choose at most 48$"),
    ({"time_masks": 1, "time_mask_frames": 49}, "choose at most 48$"),
    ({"frequency_masks": 1, "frequency_mask_channels": 10},
     "^--frequency-mask-channels 10 is too wide for the features, which have 10 channels; choose at most 9$"),
])
def test_masks_that_could_hide_everything_are_refused(values, message):
    with pytest.raises(KwsError, match=message):
        spec_augment.check(DataSettings(**values), FeatureSettings())


def test_masks_that_leave_something_are_accepted():
    data = DataSettings(time_masks=1, time_mask_frames=48, frequency_masks=1, frequency_mask_channels=39)
    spec_augment.check(data, FeatureSettings(features="log_mel"))
    spec_augment.check(DataSettings(), FeatureSettings())
