"""Any sound file -> samples at one rate; samples -> a clip [clip_samples] float32 in [-1, 1]."""
import io
import math
import os

import numpy as np
import scipy.signal
import soundfile

from .errors import KwsError

# What a folder is searched for; a single file may have any name.
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf")
FULL_SCALE = 32768  # of 16-bit samples


class UnreadableAudio(KwsError):
    """A file that holds no sound that can be read."""


def is_sound(name):
    """Whether a file in a folder of recordings is one, by its ending."""
    return name.lower().endswith(SUFFIXES)


def read(source, sample_rate, name=None):
    """Read a sound file of any rate, depth and channel count -> mono samples [n] float32 at sample_rate.

    source: a path, or the bytes of a file. Channels are averaged. Raises UnreadableAudio.
    """
    name = name or (source if isinstance(source, str) else "the sound")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(source, str) and not os.path.exists(source):
            raise UnreadableAudio("there is no file %s" % source)
        raise UnreadableAudio("%s cannot be read as sound: %s" % (name, _reason(error)))
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not samples.size:
        raise UnreadableAudio("%s holds no samples" % name)
    if not np.isfinite(samples).all():
        raise UnreadableAudio("%s holds samples that are not numbers" % name)
    return resample(samples, rate, sample_rate)


def _reason(error):
    """libsndfile's own words, without the file name that soundfile puts before them."""
    return str(getattr(error, "error_string", error)).rstrip(".")


def resample(samples, rate, new_rate):
    """Samples [n] at `rate` -> [n * new_rate / rate] at `new_rate`, by a polyphase filter."""
    if rate == new_rate:
        return samples
    common = math.gcd(rate, new_rate)
    return scipy.signal.resample_poly(samples, new_rate // common, rate // common).astype(np.float32)


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


def wav_bytes(clip, sample_rate):
    """A clip as the bytes of a 16-bit mono WAV file, which is all that TensorFlow's DecodeWav reads."""
    file = io.BytesIO()
    soundfile.write(file, to_int16(clip), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
