"""Reading sound: every format, depth, rate and channel count gives the same clip; what is no sound is named so."""
import fractions
import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from kwscli.sound import audio

RATE = 16000
SINE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def encoded(samples=SINE, rate=RATE, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **how)
    return file.getvalue()


def wav(data, rate=RATE, kind=1, channels=1, bits=16, data_bytes=None):
    """A WAV file made by hand: what no library would write."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(head)) + head
    chunks += b"data" + struct.pack("<I", len(data) if data_bytes is None else data_bytes) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@pytest.mark.parametrize("format, subtype, tolerance", [
    ("WAV", "PCM_U8", 2 ** -7), ("WAV", "PCM_16", 2 ** -15), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 1e-6), ("WAV", "DOUBLE", 1e-6), ("WAV", "ULAW", 0.02), ("WAV", "ALAW", 0.02),
    ("WAVEX", "PCM_16", 2 ** -15), ("WAVEX", "PCM_24", 1e-6), ("W64", "PCM_16", 2 ** -15),
    ("AIFF", "PCM_16", 2 ** -15),
    ("AU", "PCM_16", 2 ** -15), ("CAF", "PCM_16", 2 ** -15), ("FLAC", "PCM_16", 2 ** -15), ("FLAC", "PCM_24", 1e-6),
    ("OGG", "VORBIS", 0.05),
])
def test_every_format_and_depth_is_read(format, subtype, tolerance):
    data = encoded(format=format, subtype=subtype)
    np.testing.assert_allclose(audio.read(data, RATE), SINE, atol=tolerance)
    assert audio.read_int16(data, RATE).dtype == np.int16
    np.testing.assert_allclose(audio.read_int16(data, RATE) / 32768, SINE, atol=tolerance + 2 ** -15)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 24000, 44100, 48000, 96000, 44101])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_rate_and_channel_count_becomes_16_khz_mono(rate, channels):
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    samples = audio.read(encoded(np.repeat(sine[:, None], channels, axis=1), rate, format="WAV", subtype="FLOAT"), RATE)
    assert samples.dtype == np.float32 and samples.ndim == 1 and abs(len(samples) - RATE) <= 1
    middle = slice(1000, 15000)  # the filter rings at the ends
    np.testing.assert_allclose(samples[middle], SINE[middle], atol=0.01)


def test_channels_are_averaged():
    stereo = np.stack([SINE, -SINE / 2], axis=1)
    np.testing.assert_allclose(audio.read(encoded(stereo, format="WAV", subtype="FLOAT"), RATE), SINE / 4, atol=1e-6)


@pytest.mark.parametrize("other, channel", [(-SINE, 1), (-0.95 * SINE, 1), (-1.05 * SINE, 2)])
def test_of_channels_that_cancel_each_other_out_the_louder_one_is_used(other, channel):
    data = encoded(np.stack([SINE, other], axis=1), format="WAV", subtype="FLOAT")
    remarks, expected = [], SINE if channel == 1 else other
    np.testing.assert_allclose(audio.read(data, RATE), expected, atol=1e-6)
    np.testing.assert_array_equal(audio.read_int16(data, RATE, remarks=remarks), audio.to_int16(expected))
    assert remarks == ["channels cancel each other out: only channel %d of 2 is used" % channel]


@pytest.mark.parametrize("channels", [
    [SINE, SINE], [SINE, 0 * SINE], [0 * SINE, 0 * SINE], [SINE + 0.4, -0.5 * SINE - 0.4],
])
def test_other_channels_are_averaged_without_a_remark(channels):
    remarks, stereo = [], np.stack(channels, axis=1)
    found = audio.read_int16(encoded(stereo, format="WAV", subtype="FLOAT"), RATE, remarks=remarks)
    assert np.abs(found - audio.to_int16(stereo.mean(axis=1).astype(np.float32))).max() <= 1 and not remarks


def of_unknown_length(samples, rate=RATE):
    """A FLAC as a pipe writes it: its header has 0 for the number of samples."""
    data = bytearray(encoded(samples, rate, format="FLAC", subtype="PCM_16"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert soundfile.info(io.BytesIO(bytes(data))).frames == 2 ** 63 - 1
    return bytes(data)


@pytest.mark.parametrize("count", [1, 4096, 16000, 50000])
@pytest.mark.parametrize("block", [1 << 20, 1000])
def test_a_flac_of_unknown_length_is_read_until_it_ends(monkeypatch, tmp_path, count, block):
    monkeypatch.setattr(audio, "_BLOCK", block)
    samples = np.random.RandomState(0).randint(-20000, 20000, count).astype(np.int16)
    data = of_unknown_length(samples)
    np.testing.assert_array_equal(audio.read_int16(data, RATE), samples)
    (tmp_path / "a.flac").write_bytes(data)
    np.testing.assert_array_equal(audio.read_int16(str(tmp_path / "a.flac"), RATE), samples)
    stereo = of_unknown_length(np.stack([samples, samples], axis=1), 2 * RATE)
    assert abs(len(audio.read(stereo, RATE)) - count / 2) < 1


@pytest.mark.parametrize("limit, why", [(4999, "more than 4999 samples"), (5000, None)])
def test_a_flac_of_unknown_length_has_a_limit_too(monkeypatch, limit, why):
    monkeypatch.setattr(audio, "MAX_SAMPLES", limit)
    data = of_unknown_length(np.zeros(5000, np.int16))
    if not why:
        assert len(audio.read(data, RATE)) == 5000
        return
    with pytest.raises(audio.UnreadableAudio, match=why):
        audio.read(data, RATE)


@pytest.mark.parametrize("data", [encoded(np.tile(SINE, 3), format="WAV"), of_unknown_length(np.tile(SINE, 3))])
@pytest.mark.parametrize("limit, count", [(1 << 28, 2 * RATE), (RATE, RATE)])
def test_the_beginning_of_a_long_file_can_be_read(monkeypatch, data, limit, count):
    monkeypatch.setattr(audio, "MAX_SAMPLES", limit)
    remarks = []
    found = audio.read_int16(data, RATE, seconds=2, remarks=remarks)
    np.testing.assert_allclose(found, np.tile(audio.to_int16(SINE), 3)[:count], atol=1)
    assert remarks == ["too long: only its first %d s are used" % (count // RATE)]
    assert len(audio.read_int16(encoded(format="WAV"), RATE, seconds=2, remarks=remarks)) == RATE and len(remarks) == 1


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("name", ["yes/a.m4a", "A.WEBM", "x.amr", "x.3gp", "x.mpeg"])
def test_a_file_of_a_phone_is_refused_with_the_command_that_converts_it(name):
    suffix = name[name.index("."):]
    command = "convert them with ffmpeg -i x%s x.wav" % suffix
    assert command in audio.how_to_convert(name) and not audio.is_sound(name)
    with pytest.raises(audio.UnreadableAudio, match="%s cannot be read as sound; cannot read .*%s" % (name, command)):
        audio.read(b"\0\0\0\x20ftypM4A ", RATE, name)
    assert not audio.how_to_convert("a.wav") and not audio.how_to_convert("notes.txt")


def test_16_bit_samples_come_through_unchanged():
    samples = np.array([-32768, -32767, -1, 0, 1, 32766, 32767], np.int16)
    data = encoded(samples, format="WAV", subtype="PCM_16")
    np.testing.assert_array_equal(audio.read_int16(data, RATE), samples)
    np.testing.assert_array_equal(audio.to_int16(audio.read(data, RATE)), samples)


def test_a_wav_that_was_cut_off_gives_what_is_left():
    data = encoded(format="WAV", subtype="PCM_16")
    np.testing.assert_allclose(audio.read(data[: 44 + 2 * 5000 + 1], RATE), SINE[:5000], atol=2 ** -15)


def test_a_path_is_read_as_its_bytes_are(tmp_path):
    path = tmp_path / "ein Wort é.wav"
    path.write_bytes(encoded(format="WAV"))
    np.testing.assert_array_equal(audio.read(str(path), RATE), audio.read(path.read_bytes(), RATE))


NOT_SOUND = {
    "text": (b"this is not a sound\n", "cannot be read as sound"),
    "no data chunk": (encoded(format="WAV")[:36], "cannot be read|holds no samples"),
    "broken header": (b"RIFF\0\0\0\0JUNK" + bytes(100), "cannot be read as sound"),
    "zero frames": (wav(b""), "holds no samples"),
    "zero bytes": (b"", "is an empty file"),
    "not a number": (encoded(np.full(100, np.nan), format="WAV", subtype="FLOAT"), "not finite numbers"),
    "infinite": (encoded(np.full(100, np.inf), format="WAV", subtype="FLOAT"), "not finite numbers"),
    "too large for float32": (encoded(np.full(100, 1e300), format="WAV", subtype="DOUBLE"), "not finite numbers"),
    "1 Hz": (wav(bytes(200), rate=1), "1 samples per second"),
    "2 GHz": (wav(bytes(200), rate=2 ** 31 - 1), "samples per second"),
    "no channels": (wav(bytes(200), channels=0), "cannot be read"),
    "unknown codec": (wav(bytes(200), kind=0x7777), "cannot be read"),
}


@pytest.mark.parametrize("read", [audio.read, audio.read_int16])
@pytest.mark.parametrize("case", NOT_SOUND)
def test_what_cannot_be_read_is_named_with_its_reason(case, read):
    data, why = NOT_SOUND[case]
    with pytest.raises(audio.UnreadableAudio, match=why) as error:
        read(data, RATE, "yes/a.wav")
    assert str(error.value).startswith("yes/a.wav ") and "\n" not in str(error.value)


def test_a_header_cannot_claim_more_samples_than_memory_holds(monkeypatch):
    monkeypatch.setattr(audio, "MAX_SAMPLES", 1999)
    with pytest.raises(audio.UnreadableAudio, match="2000 samples, more than 1999"):
        audio.read(encoded(np.zeros((1000, 2)), format="FLAC"), RATE)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(audio.UnreadableAudio, match="there is no file"):
        audio.read(str(tmp_path / "none.wav"), RATE)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 43), st.integers(0, 255))
def test_any_damage_to_a_header_gives_sound_or_an_unreadable_audio(position, value):
    data = bytearray(encoded(SINE[:400], format="WAV", subtype="PCM_16"))
    data[position] = value
    try:
        samples = audio.read(bytes(data), RATE)
    except audio.UnreadableAudio:
        return
    assert np.isfinite(samples).all() and samples.size


@pytest.mark.parametrize("name, expected", [
    ("a.wav", True), ("A.WAV", True), ("x/a.flac", True), ("a.ogg", True), ("a.txt", False), ("wav", False),
    ("yes/._a.wav", False), (".wav", False),
])
def test_is_sound(name, expected):
    assert audio.is_sound(name) is expected


FLOATS = arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(-4, 4, width=32))


@given(FLOATS)
def test_to_int16_saturates_and_is_off_by_half_a_step_at_most(samples):
    found = audio.to_int16(samples)
    assert found.dtype == np.int16
    assert np.abs(found - np.clip(samples.astype(np.float64) * 32768, -32768, 32767)).max() <= 0.5


@given(arrays.arrays(np.int16, st.integers(0, 300)))
def test_to_int16_gives_back_what_was_16_bit(samples):
    np.testing.assert_array_equal(audio.to_int16(samples / np.float32(32768)), samples)


@given(FLOATS, st.integers(1, 400))
def test_fit_cuts_or_pads_at_the_end(samples, clip_samples):
    clip = audio.fit(samples, clip_samples)
    kept = min(len(samples), clip_samples)
    assert clip.shape == (clip_samples,) and clip.dtype == samples.dtype
    np.testing.assert_array_equal(clip[:kept], samples[:kept])
    assert not clip[kept:].any()


@settings(deadline=None)
@given(FLOATS, st.integers(1, 400), st.sampled_from([1000, 8000, 16000]))
def test_the_loudest_clip_lies_within_the_recording(samples, clip_samples, rate):
    start = audio.loudest(samples, clip_samples, rate)
    assert start % (rate // 100) == 0 and 0 <= start <= max(0, len(samples) - clip_samples)


def long_recording(start):
    """Three seconds of low noise [48000], with half a second of a voice-like sound from `start` on, in samples."""
    rng, seconds = np.random.RandomState(0), np.arange(RATE // 2) / RATE
    samples = 0.002 * rng.randn(3 * RATE)
    samples[start : start + RATE // 2] += 0.2 * np.sin(2 * np.pi * 150 * seconds) * np.sin(2 * np.pi * 900 * seconds)
    return samples


TIME = np.arange(3 * RATE) / RATE
DISTURBANCES = {
    "none": 0 * TIME,
    "a microphone that settles": 0.9 * np.exp(-TIME / 0.08),
    "slow drift": 0.5 * np.sin(2 * np.pi * 0.4 * TIME),
    "a constant": 0 * TIME + 0.5,
    "a click": 0.9 * ((TIME > 0.2) & (TIME < 0.201)),
    "a low pop": 0.9 * np.sin(2 * np.pi * 60 * TIME) * np.exp(-TIME / 0.05) * (TIME < 0.2),
    "hum": 0.3 * np.sin(2 * np.pi * 50 * TIME),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES.values(), ids=list(DISTURBANCES))
@pytest.mark.parametrize("start", [RATE + 800, 2 * RATE + 4000])
def test_no_disturbance_hides_the_word_of_a_long_recording(disturbance, start):
    samples = np.clip(long_recording(start) + disturbance, -1, 1).astype(np.float32)
    found = audio.loudest(samples, RATE, RATE)
    assert found <= start + 160 and start + RATE // 2 <= found + RATE + 160


def test_the_loudest_part_does_not_depend_on_the_level():
    samples = long_recording(2 * RATE).astype(np.float32)
    assert audio.loudest(samples, RATE, RATE) == audio.loudest(samples / 64, RATE, RATE)


@settings(deadline=None)
@given(st.integers(1, 400), st.sampled_from([8000, 11025, 16000, 44100, 48000]), st.sampled_from([8000, 16000]))
def test_resample_keeps_the_duration(count, rate, new_rate):
    found = audio.resample(np.ones(count, np.float32), rate, new_rate)
    assert found.dtype == np.float32 and len(found) == -(-count * new_rate // rate)


def test_wav_bytes_is_16_bit_mono():
    info = soundfile.info(io.BytesIO(audio.wav_bytes(SINE, RATE)))
    assert (info.format, info.subtype, info.channels, info.samplerate, info.frames) == ("WAV", "PCM_16", 1, RATE, RATE)


@pytest.mark.parametrize("rate, new_rate", [
    (44100, 16000), (48000, 16000), (8000, 16000), (11025, 16000), (16001, 16000), (12345, 16000), (96000, 16000),
    (16000, 8000), (1000, 192000), (7919, 16000),
])
def test_resampling_is_that_of_scipy(rate, new_rate):
    """scipy.signal does the same, but its import takes up to half a second."""
    import scipy.signal

    ratio = fractions.Fraction(new_rate, rate).limit_denominator(1000)
    for count in (1, 2, 999, rate, rate + 1):
        samples = np.random.RandomState(count).uniform(-1, 1, count).astype(np.float32)
        found = audio.resample(samples, rate, new_rate)
        wanted = scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_prepared_data_of_other_rates_is_resampled_by_scipy():
    import scipy.signal

    samples = np.random.RandomState(0).uniform(-1, 1, 44100).astype(np.float32)
    wanted = scipy.signal.resample_poly(samples, 160, 441)
    found = audio.read_int16(encoded(samples, 44100, format="WAV", subtype="FLOAT"), 16000)
    np.testing.assert_array_equal(found, audio.to_int16(wanted.astype(np.float32)))
