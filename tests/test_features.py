"""Our features against TensorFlow's own operations."""
import dataclasses
import io
import os
import tarfile

import numpy as np
import pytest
import scipy.fft
import soundfile
import tensorflow.compat.v1 as tf

from kwscli.errors import KwsError
from kwscli.sound import feature_settings
from kwscli.sound.feature_settings import FEATURES, FeatureSettings
from kwscli.sound.features import features as features_of

SETTINGS = {
    "40/20 ms": {},
    "40/40 ms": {"window_stride_ms": 40.0},
    "30/10 ms, 40 coefficients": {"window_size_ms": 30.0, "window_stride_ms": 10.0, "dct_coefficient_count": 40},
    "windows of a power of two, up to half the rate": {"window_size_ms": 32.0, "upper_edge_hertz": 8000.0},
    "from 0 Hz": {"lower_edge_hertz": 0.0, "upper_edge_hertz": 7600.0, "filterbank_channel_count": 64},
    "few filters": {"lower_edge_hertz": 300.0, "filterbank_channel_count": 20, "dct_coefficient_count": 13},
    "more filters than bins": {"window_size_ms": 20.0, "filterbank_channel_count": 128},
    "8 kHz": {"sample_rate": 8000},
    "1.5 s at 44.1 kHz": {"sample_rate": 44100, "clip_duration_ms": 1500},
    "odd lengths": {"window_size_ms": 33.3, "window_stride_ms": 11.1, "clip_duration_ms": 987},
}


def mfcc_oracle(clips, settings):
    """`AudioSpectrogram` and `Mfcc`, one clip at a time because TensorFlow 1.15 cannot do more."""
    with tf.Graph().as_default(), tf.Session() as session:
        clip = tf.placeholder(tf.float32, (settings.clip_samples, 1))
        spectrogram = tf.raw_ops.AudioSpectrogram(
            input=clip, window_size=settings.window_size_samples, stride=settings.window_stride_samples,
            magnitude_squared=True,
        )
        features = tf.raw_ops.Mfcc(
            spectrogram=spectrogram, sample_rate=settings.sample_rate,
            lower_frequency_limit=settings.lower_edge_hertz, upper_frequency_limit=settings.upper_edge_hertz,
            filterbank_channel_count=settings.filterbank_channel_count,
            dct_coefficient_count=settings.dct_coefficient_count,
        )
        return np.concatenate([session.run(features, {clip: one[:, np.newaxis]}) for one in clips])


def log_mel_oracle(clips, settings):
    """`tf.signal`: the magnitudes of a short-time Fourier transform times its mel matrix.

    Like `Mfcc`, it leaves out the bins below the lower edge plus one and a half bins.
    """
    size, stride = settings.window_size_samples, settings.window_stride_samples
    with tf.Graph().as_default(), tf.Session() as session:
        magnitude = tf.abs(tf.signal.stft(tf.constant(clips), size, stride))
        bins = int(magnitude.shape[-1])
        matrix = tf.signal.linear_to_mel_weight_matrix(
            settings.filterbank_channel_count, bins, settings.sample_rate, settings.lower_edge_hertz,
            settings.upper_edge_hertz, dtype=tf.float64,
        )
        used = np.arange(bins) >= int(1.5 + settings.lower_edge_hertz * 2 * (bins - 1) / settings.sample_rate)
        energies = tf.tensordot(tf.cast(magnitude, tf.float64), matrix * used[:, np.newaxis], 1)
        return session.run(tf.log(tf.maximum(energies, 1e-12)))


ORACLES = {"mfcc": mfcc_oracle, "log_mel": log_mel_oracle}


def difference(clips, settings, *dtype):
    ours = features_of(clips, settings, *dtype)
    assert ours.dtype == np.float32
    assert ours.shape == (len(clips), *settings.shape)
    return np.abs(ours - ORACLES[settings.features](clips, settings)).max()


@pytest.fixture(params=SETTINGS.values(), ids=list(SETTINGS))
def settings(request):
    return FeatureSettings(**request.param)


def sounds(settings):
    """{name: clip}"""
    rng, count = np.random.RandomState(0), settings.clip_samples
    time = np.arange(count) / settings.sample_rate
    found = {
        "noise": rng.uniform(-1, 1, count),
        "faint noise": 1e-4 * rng.randn(count),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time),
        "square wave": np.sign(np.sin(2 * np.pi * 100 * time)),
        "silence": np.zeros(count),
        "click": np.where(np.arange(count) == count // 2, 1.0, 0.0),
    }
    return {name: clip.astype(np.float32) for name, clip in found.items()}


def log_mel(settings):
    return dataclasses.replace(settings, features="log_mel")


def test_mfcc_of_every_kind_of_sound(settings):
    assert difference(np.stack(list(sounds(settings).values())), settings) < 1e-4


def test_log_mel_of_sounds_of_all_frequencies(settings):
    """`tf.signal` computes the spectrum in float32, which blurs the quiet bands of a tone."""
    clips = [sounds(settings)[name] for name in ("noise", "faint noise", "silence", "click")]
    assert difference(np.stack(clips), log_mel(settings)) < 1e-4


def test_mfcc_is_the_cosine_transform_of_log_mel(settings):
    count = settings.filterbank_channel_count
    settings = dataclasses.replace(settings, dct_coefficient_count=count)
    clips = np.stack(list(sounds(settings).values()))
    transformed = scipy.fft.dct(features_of(clips, log_mel(settings)), norm="ortho")
    transformed[..., 0] *= np.sqrt(2)  # TensorFlow scales the first coefficient as all others
    assert np.abs(transformed - features_of(clips, settings)).max() < 1e-4


@pytest.fixture(scope="module")
def speech(shared_data):
    """Real clips [21, 16000] float32."""
    clips = []
    for word in ("yes", "bird", "five"):
        with tarfile.open(os.path.join(shared_data, "flac", word + ".tar")) as archive:
            for member in [member for member in archive if member.isfile()][:7]:
                samples = soundfile.read(io.BytesIO(archive.extractfile(member).read()), dtype="float32")[0]
                clips.append(np.pad(samples[:16000], (0, 16000 - len(samples[:16000])), "constant"))
    return np.array(clips)


@pytest.mark.parametrize("name", ["40/20 ms", "40/40 ms", "30/10 ms, 40 coefficients"])
def test_real_speech(name, speech):
    assert difference(speech, FeatureSettings(**SETTINGS[name])) < 1e-4
    in_log_mel = FeatureSettings(features="log_mel", **SETTINGS[name])
    assert difference(speech, in_log_mel) < 1e-2  # of the float32 of TensorFlow 1.15, whose own ops above use float64


@pytest.mark.parametrize("kind", FEATURES)
def test_real_speech_in_float32_is_good_enough_to_train_on(kind, speech):
    settings = FeatureSettings(features=kind)
    exact, fast = features_of(speech, settings), features_of(speech, settings, np.float32)
    assert fast.dtype == np.float32 and 0 < np.abs(fast - exact).max() < 2e-3


@pytest.mark.parametrize("kind", FEATURES)
def test_a_clip_has_the_same_features_alone_and_in_any_batch(kind):
    settings = FeatureSettings(features=kind)
    clips = np.random.RandomState(0).uniform(-1, 1, (19, settings.clip_samples)).astype(np.float32)
    together = features_of(clips, settings)
    for row in (0, 7, 8, 18):
        np.testing.assert_allclose(features_of(clips[row : row + 1], settings)[0], together[row], atol=2e-5)
    assert features_of(clips[:0], settings).shape == (0, *settings.shape)


@pytest.mark.parametrize("kind", FEATURES)
def test_the_shape_follows_from_the_settings(kind):
    settings = FeatureSettings(features=kind, dct_coefficient_count=13, filterbank_channel_count=30)
    assert settings.shape == (49, {"mfcc": 13, "log_mel": 30}[kind])
    assert (settings.channel_count, settings.feature_count) == (settings.shape[1], 49 * settings.shape[1])


def test_clips_in_any_memory_layout_and_of_any_float_type_are_read_right():
    settings = FeatureSettings()
    wide = np.random.RandomState(0).uniform(-1, 1, (6, settings.clip_samples + 5)).astype(np.float32)
    some = wide[::2, 3:-2]
    wanted = features_of(np.ascontiguousarray(some), settings)
    for clips in (
        some, np.asfortranarray(some), some[::-1][::-1], np.ascontiguousarray(some[:, ::-1])[:, ::-1],
        some.astype(np.float64), some.astype(">f4"), some.tolist(),
    ):
        np.testing.assert_array_equal(features_of(clips, settings), wanted)
    same = np.broadcast_to(some[0], (5, settings.clip_samples))
    np.testing.assert_allclose(features_of(same, settings), np.stack([wanted[0]] * 5), atol=2e-5)


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("shape, described", [
    ((3, 15999), r"\[3, 15999\]"), ((3, 16001), r"\[3, 16001\]"), ((0, 0), r"\[0, 0\]"), ((16000,), r"\[16000\]"),
    ((2, 3, 16000), r"\[2, 3, 16000\]"),
])
def test_clips_of_another_length_are_refused_with_both_lengths(kind, shape, described):
    """A view of frames would read what happens to be in memory behind the clips."""
    with pytest.raises(ValueError, match="^clips have the shape %s, .* clips of 16000 samples" % described):
        features_of(np.zeros(shape, np.float32), FeatureSettings(features=kind))


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, bool, complex])
def test_clips_that_are_not_floats_are_refused(dtype):
    with pytest.raises(ValueError, match="but features are computed from floats"):
        features_of(np.zeros((1, 16000), dtype), FeatureSettings())


def test_an_unknown_kind_of_features_lists_the_kinds():
    with pytest.raises(KwsError, match="^there are no features plp; choose one of mfcc, log_mel$"):
        FeatureSettings(features="plp")


def test_a_flag_without_effect_is_refused():
    message = "^--dct-coefficient-count 13 has no effect on log_mel features; leave it out, or choose other --features$"
    published = {"features": "log_mel", "dct_coefficient_count": 40}
    with pytest.raises(KwsError, match=message):
        feature_settings.chosen({"dct_coefficient_count": 13}, published)
    assert feature_settings.chosen({"dct_coefficient_count": None}, published) == FeatureSettings(**published)
    assert feature_settings.chosen({"dct_coefficient_count": 13, "features": "mfcc"}, published).channel_count == 13
