"""Any sound file -> samples at one rate; samples -> a clip [clip_samples] float32 in [-1, 1]."""
import fractions
import io
import os

import numpy as np
import scipy.signal
import soundfile

from ..errors import KwsError

# What a folder is searched for; a single file may have any name.
SUFFIXES = tuple(".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .w64 .rf64 .caf .sph .nist .voc".split())
FULL_SCALE = 32768  # of 16-bit samples
# Headers can claim anything. Samples of one file, over all channels: 4.6 hours of 16 kHz mono, 1 GiB as float32.
MAX_SAMPLES = 1 << 28
MIN_RATE, MAX_RATE = 1000, 768000


class UnreadableAudio(KwsError):
    """A file that holds no sound that can be read."""


class EmptyAudio(UnreadableAudio):
    """A file without a single sample."""


def is_sound(name):
    """Whether a file in a folder of recordings is one, by its ending; hidden ones are other programs' own."""
    return name.lower().endswith(SUFFIXES) and not os.path.basename(name).startswith(".")


def read(source, sample_rate, name=None):
    """Read a sound file of any rate, depth and channel count -> mono samples [n] float32 at sample_rate.

    source: a path, or the bytes of a file. Channels are averaged. Raises UnreadableAudio.
    """
    return _read(source, name, lambda sound: _as_float(sound, sample_rate))


def read_int16(source, sample_rate, name=None):
    """As `read`, but -> int16: the very samples of the file where it holds just these."""
    return _read(source, name, lambda sound: _as_int16(sound, sample_rate))


def _read(source, name, samples_of):
    name = name or (source if isinstance(source, str) else "the sound")
    if isinstance(source, bytes) and not source:
        raise EmptyAudio("%s is an empty file" % name)
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as sound:
            if not sound.frames:
                raise EmptyAudio("%s holds no samples" % name)
            if not MIN_RATE <= sound.samplerate <= MAX_RATE:
                raise ValueError("%d samples per second" % sound.samplerate)
            if sound.frames * sound.channels > MAX_SAMPLES:
                raise ValueError("%d samples, more than %d" % (sound.frames * sound.channels, MAX_SAMPLES))
            samples = samples_of(sound)
            if not samples.size:
                raise ValueError("no samples where the header promises %d" % sound.frames)
            return samples
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(source, str) and not os.path.exists(source):
            raise UnreadableAudio("there is no file %s" % source)
        raise UnreadableAudio("%s cannot be read as sound: %s" % (name, _reason(error)))


def _as_float(sound, sample_rate):
    samples = sound.read(dtype="float32", always_2d=True)
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise ValueError("samples that are not numbers")
    return resample(samples, sound.samplerate, sample_rate)


def _as_int16(sound, sample_rate):
    if (sound.subtype, sound.channels, sound.samplerate) == ("PCM_16", 1, sample_rate):
        return sound.read(dtype="int16")
    return to_int16(_as_float(sound, sample_rate))


def _reason(error):
    """libsndfile's own words, without the file name that soundfile puts before them."""
    return str(getattr(error, "error_string", error)).rstrip(".")


def resample(samples, rate, new_rate):
    """Samples [n] at `rate` -> [n * new_rate / rate] at `new_rate`, by a polyphase filter."""
    if rate == new_rate:
        return samples
    # Exact for the rates in use. An odd one is off by less than anyone hears, which keeps its filter short.
    ratio = fractions.Fraction(new_rate, rate).limit_denominator(1000)
    return scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)


def to_int16(samples):
    """Samples float32 in [-1, 1] -> int16; exact for what was 16-bit before."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def fit(samples, clip_samples):
    """Samples [n] cut at the end, or padded there with zeros -> clip [clip_samples]."""
    if len(samples) >= clip_samples:
        return samples[:clip_samples]
    return np.concatenate([samples, np.zeros(clip_samples - len(samples), samples.dtype)])


def loudest(samples, clip_samples, step):
    """Where the clip_samples with the most energy begin, in steps of `step` samples; 0 for what is no longer."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(0, max(1, len(samples) - clip_samples + 1), step)
    return int(starts[np.argmax(energy[np.minimum(starts + clip_samples, len(samples))] - energy[starts])])


def loudest_clip(samples, clip_samples, sample_rate):
    """What of a recording is judged -> (where it begins, a clip [clip_samples])."""
    start = loudest(samples, clip_samples, sample_rate // 100)
    return start, fit(samples[start:], clip_samples)


def wav_bytes(clip, sample_rate):
    """A clip as the bytes of a 16-bit mono WAV file, which is all that TensorFlow's DecodeWav reads."""
    file = io.BytesIO()
    soundfile.write(file, to_int16(clip), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
