"""Settings: their bounds, their JSON, and how flags pick them."""
import dataclasses
import json

import pytest

from kwscli import settings
from kwscli.devices.device_settings import DeviceSettings
from kwscli.errors import KwsError
from kwscli.settings import DataSettings, TrainSettings, unknown_percentage_for
from kwscli.sound.feature_settings import FeatureSettings

CLASSES = (FeatureSettings, DataSettings, TrainSettings, DeviceSettings)


def test_the_defaults_are_the_seeds():
    features, data, train = FeatureSettings(), DataSettings(), TrainSettings()
    assert (features.sample_rate, features.clip_duration_ms) == (16000, 1000)
    assert (features.window_size_ms, features.window_stride_ms, features.dct_coefficient_count) == (40, 20, 10)
    assert ",".join(data.wanted_words) == "yes,no,up,down,left,right,on,off,stop,go"
    assert (data.silence_percentage, data.unknown_percentage) == (10, 10)
    assert (data.time_shift_ms, data.background_frequency, data.background_volume) == (100, 0.8, 0.1)
    assert train.how_many_training_steps == (10000, 10000, 10000)
    assert train.learning_rate == (0.0005, 0.0001, 0.00002)
    assert (train.batch_size, train.eval_step_interval) == (100, 400)


@pytest.mark.parametrize("values, clip, window, stride, frames", [
    ({}, 16000, 640, 320, 49),
    ({"window_stride_ms": 40.0}, 16000, 640, 640, 25),
    ({"window_size_ms": 30.0, "window_stride_ms": 10.0}, 16000, 480, 160, 98),
    ({"sample_rate": 8000}, 8000, 320, 160, 49),
    ({"clip_duration_ms": 40}, 640, 640, 320, 1),
    ({"clip_duration_ms": 1500}, 24000, 640, 320, 74),
])
def test_samples_and_frames(values, clip, window, stride, frames):
    features = FeatureSettings(**values)
    assert (features.clip_samples, features.window_size_samples) == (clip, window)
    assert (features.window_stride_samples, features.frame_count) == (stride, frames)
    assert (features.shape, features.feature_count) == ((frames, 10), 10 * frames)


def test_the_learning_rate_follows_the_phases():
    train = TrainSettings(learning_rate=(0.3, 0.2, 0.1), how_many_training_steps=(2, 1, 2))
    assert [train.rate_at(step) for step in range(1, 7)] == [0.3, 0.3, 0.2, 0.1, 0.1, 0.1]
    assert train.step_count == 5


@pytest.mark.parametrize("settings_class, values, message", [
    (FeatureSettings, {"window_size_ms": 1001.0}, "--window-size-ms 1001 is longer than the clip of 1000 ms"),
    (FeatureSettings, {"window_stride_ms": 1e9}, r"--window-stride-ms 1e\+09 is longer than the clip of 1000 ms"),
    (FeatureSettings, {"dct_coefficient_count": 41}, "--dct-coefficient-count 41 is more than the 40 mel filters"),
    (FeatureSettings, {"upper_edge_hertz": 8001.0},
     "filters cannot go from 20 to 8001 Hz at 16000 samples per second; .*at most 8000$"),
    (FeatureSettings, {"lower_edge_hertz": 4000.0}, "filters cannot go from 4000 to 4000 Hz"),
    (FeatureSettings, {"sample_rate": 4000}, "filters cannot go from 20 to 4000 Hz at 4000 samples per second"),
    (FeatureSettings, {"features": "log_mel", "upper_edge_hertz": 8001.0}, "filters cannot go from 20 to 8001 Hz"),
    (DataSettings, {"validation_percentage": 60.0, "testing_percentage": 40.0}, "add up to 100; leave something"),
    (DataSettings, {"noise_snr_db": (5.0,)}, "--noise-snr-db 5 is not two numbers; give the lowest and the highest"),
    (DataSettings, {"noise_snr_db": (1.0, 2.0, 3.0)}, "--noise-snr-db 1,2,3 is not two numbers"),
    (DataSettings, {"noise_snr_db": (20.0, -5.0)}, "--noise-snr-db 20,-5 begins with the higher ratio; give"),
    (DataSettings, {"noise_snr_db": (0.0, 1e3)}, "--noise-snr-db 0,1000 is out of range; choose ratios from"),
    (DataSettings, {"speed_percentage": 1.0}, "--speed-percentage 1 has no effect, .* 2.5 %; choose 0, or at"),
    (DataSettings, {"time_masks": 2}, "--time-masks 2 has no effect without --time-mask-frames; add --time-mask-f"),
    (DataSettings, {"frequency_masks": 1}, "--frequency-masks 1 has no effect without --frequency-mask-channels"),
    (TrainSettings, {"how_many_training_steps": (10,)}, r"3 phases .*--how-many-training-steps has 1 \(10\); give"),
    (TrainSettings, {"learning_rate": (0.1, 0.1, 0.0)}, "must be greater than zero in every phase"),
    (TrainSettings, {"how_many_training_steps": (5, -1, 5)}, "must be greater than zero in every phase"),
])
def test_what_cannot_be_is_refused(settings_class, values, message):
    with pytest.raises(KwsError, match=message):
        settings_class(**values)


@pytest.mark.parametrize("original", [cls() for cls in CLASSES] + [DataSettings(noise_snr_db=(-5.0, 20.0))])
def test_json_and_back(original):
    text = json.dumps(settings.to_json(original))
    assert settings.from_json(type(original), json.loads(text), "model.json") == original


def test_a_setting_that_is_not_known_names_the_file():
    message = "^run/model.json contains the setting volume, which this version of kws does not know; update kws$"
    with pytest.raises(KwsError, match=message):
        settings.from_json(DataSettings, {"volume": 11}, "run/model.json")


def test_flags_go_over_a_base_over_the_defaults():
    picked = settings.pick(FeatureSettings, {"window_size_ms": 30.0, "sample_rate": None}, window_stride_ms=10.0)
    assert picked == FeatureSettings(window_size_ms=30.0, window_stride_ms=10.0)


@pytest.mark.parametrize("values", [{"time_shift_ms": float("nan")}, {"background_volume": float("inf")}])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(KwsError, match="^--(time-shift-ms|background-volume) is (nan|inf); give a finite number$"):
        settings.pick(DataSettings, values)
    with pytest.raises(KwsError, match="^--learning-rate is nan"):
        settings.pick(TrainSettings, {"learning_rate": (0.1, float("nan"), 0.1)})


@pytest.mark.parametrize("settings_class", CLASSES)
def test_every_setting_has_a_help_of_its_own_and_a_type_that_flags_know(settings_class):
    helps = [field.metadata["help"] for field in dataclasses.fields(settings_class)]
    assert all(helps) and len(set(helps)) == len(helps)
    for kind, is_tuple in settings.types_of(settings_class).values():
        assert kind in (int, float, str, bool) and is_tuple in (True, False)


@pytest.mark.parametrize("keywords, percentage", [
    (1, 200.0), (2, 200.0), (3, 111.1), (4, 62.5), (8, 15.6), (9, 12.3), (10, 10.0), (11, 10.0), (100, 10.0),
])
def test_fewer_keywords_are_trained_with_more_other_words(keywords, percentage):
    assert unknown_percentage_for(keywords) == percentage
