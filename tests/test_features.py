"""Our features against TensorFlow's own `AudioSpectrogram` and `Mfcc`, one clip at a time as 1.15 needs it."""
import io
import os
import tarfile

import numpy as np
import pytest
import soundfile
import tensorflow.compat.v1 as tf

from kwscli.settings import FeatureSettings
from kwscli.sound.features import mfcc

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


def oracle(clips, settings):
    """What TensorFlow's operations make of clips: [n, frame_count, dct_coefficient_count]."""
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


def difference(clips, settings, *dtype):
    ours = mfcc(clips, settings, *dtype)
    assert ours.dtype == np.float32
    assert ours.shape == (len(clips), settings.frame_count, settings.dct_coefficient_count)
    return np.abs(ours - oracle(clips, settings)).max()


@pytest.fixture(params=SETTINGS.values(), ids=list(SETTINGS))
def settings(request):
    return FeatureSettings(**request.param)


def test_sounds_of_every_kind(settings):
    rng, count = np.random.RandomState(0), settings.clip_samples
    time = np.arange(count) / settings.sample_rate
    clips = np.stack([
        rng.uniform(-1, 1, count),
        1e-4 * rng.randn(count),
        0.5 * np.sin(2 * np.pi * 440 * time),
        np.sign(np.sin(2 * np.pi * 100 * time)),
        np.zeros(count),
        np.where(np.arange(count) == count // 2, 1.0, 0.0),
    ]).astype(np.float32)
    assert difference(clips, settings) < 1e-4


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


def test_real_speech_in_float32_is_good_enough_to_train_on(speech):
    assert difference(speech, FeatureSettings(), np.float32) < 1e-3


def test_a_clip_has_the_same_features_alone_and_in_any_batch():
    settings = FeatureSettings()
    clips = np.random.RandomState(0).uniform(-1, 1, (19, settings.clip_samples)).astype(np.float32)
    together = mfcc(clips, settings)
    for row in (0, 7, 8, 18):
        np.testing.assert_allclose(mfcc(clips[row : row + 1], settings)[0], together[row], atol=2e-5)
    assert mfcc(clips[:0], settings).shape == (0, 49, 10)


def test_rows_of_a_larger_array_are_read_where_they_are():
    settings = FeatureSettings()
    wide = np.random.RandomState(0).uniform(-1, 1, (6, settings.clip_samples + 5)).astype(np.float32)
    some = wide[::2, 3:-2]
    np.testing.assert_array_equal(mfcc(some, settings), mfcc(np.ascontiguousarray(some), settings))
