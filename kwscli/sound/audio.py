"""Any sound file -> samples at one rate; samples -> a clip [clip_samples] float32 in [-1, 1]."""
import contextlib
import functools
import io
import os
from typing import Any, Iterator, List, Optional, Tuple, Union

import numpy as np
import soundfile

from ..errors import KwsError
from . import ffmpeg

# The endings of sound files in a folder. A file that the user names may have any name.
SUFFIXES = tuple(".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .w64 .rf64 .caf .sph .nist .voc".split())
# Sound and video files that libsndfile cannot read, such as those of phones. ffmpeg reads them, where it is installed.
CONVERTIBLE = tuple(
    ".m4a .mp4 .m4b .aac .webm .weba .mka .mkv .mov .avi .amr .awb .3gp .3gpp .3g2 .mpeg .mpg .mpga .wma .ac3 .ape .wv "
    ".ra .rm .spx .gsm".split()
)
FULL_SCALE = 32768  # of 16-bit samples
# The most samples that a file may have over all channels, because a header can claim any number. They are 4.6 hours of
# 16 kHz mono and take 1 GiB as float32.
MAX_SAMPLES = 1 << 28
MIN_RATE, MAX_RATE = 1000, 768000
UNKNOWN_LENGTH = 2 ** 63 - 1  # frames of a file whose header does not tell, such as a FLAC written through a pipe
_BLOCK = 1 << 20  # frames to read at once
_GROUP = 64  # samples that `resample` makes at once, where the rates allow it
_LARGEST_FILTER = 1 << 20  # weights, for two rates that have few factors in common
CANCELLED = 0.1  # the mean of channels that is quieter than this part of the loudest one: -20 dB


class UnreadableAudio(KwsError):
    """A file that cannot be read as sound."""


class EmptyAudio(UnreadableAudio):
    """A file without a single sample."""


def is_sound(name: str) -> bool:
    """Whether a file in a folder of recordings is a sound file that kws can read, by its name.

    Hidden files belong to other programs.
    """
    readable = SUFFIXES + CONVERTIBLE if ffmpeg.program() else SUFFIXES
    return name.lower().endswith(readable) and not os.path.basename(name).startswith(".")


def how_to_convert(name: str) -> str:
    """How to make a file readable that kws cannot read, or "" if it can, or if its name does not tell."""
    suffix = os.path.splitext(name)[1]
    if suffix.lower() not in CONVERTIBLE or ffmpeg.program():
        return ""
    return "cannot read %s files: convert them with ffmpeg -i x%s x.wav" % (suffix, suffix)


def read(source: Union[str, bytes], sample_rate: int, name: Optional[str] = None) -> np.ndarray:
    """Read a sound file of any rate, depth and channel count -> mono samples [n] float32 at sample_rate.

    source: a path, or the bytes of a file. name: what errors call the file. Channels are averaged; where they cancel
    each other out, the loudest one is used. Raises UnreadableAudio.
    """
    return _read(source, name, lambda sound: _as_float(sound, sample_rate, None, [], resample))


def read_int16(
    source: Union[str, bytes], sample_rate: int, name: Optional[str] = None, seconds: Optional[int] = None,
    remarks: Optional[List[str]] = None,
) -> np.ndarray:
    """Read as `read` does, but -> int16. A 16-bit mono file of this rate gives exactly its own samples.

    Other rates go through scipy's polyphase filter, which differs from that of `read` by rounding only: the same file
    always becomes the same prepared data.

    seconds: read the beginning of a longer file, instead of refusing a file that is too long. remarks: a list that
    gets a line about everything that the samples do not show.
    """
    remarks = [] if remarks is None else remarks
    return _read(source, name, lambda sound: _as_int16(sound, sample_rate, seconds, remarks))


class _WithoutSeek(soundfile.SoundFile):
    """A sound file that is read from front to back: soundfile seeks after each read, but not every FLAC can seek."""

    def seekable(self):
        return False


@contextlib.contextmanager
def opened(source: Union[str, bytes], name: Optional[str] = None) -> Iterator[soundfile.SoundFile]:
    """An open sound file, read from front to back. What fails inside the block is an UnreadableAudio."""
    name = name or (source if isinstance(source, str) else "the sound")
    if isinstance(source, bytes) and not source:
        raise EmptyAudio("%s is an empty file" % name)
    try:
        with _readable(source, name) as file, _WithoutSeek(file) as sound:
            if not sound.frames:
                raise EmptyAudio("%s holds no samples" % name)
            if not MIN_RATE <= sound.samplerate <= MAX_RATE:
                raise ValueError("%d samples per second" % sound.samplerate)
            yield sound
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(source, str) and not os.path.exists(source):
            raise UnreadableAudio("there is no file %s" % source)
        advice = how_to_convert(name)
        if advice:
            raise UnreadableAudio("%s cannot be read as sound" % name, advice)
        raise UnreadableAudio("%s cannot be read as sound: %s" % (name, _reason(error)))


@contextlib.contextmanager
def _readable(source, name):
    """What libsndfile can open: a path, or a file in memory."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in CONVERTIBLE and ffmpeg.program() and (isinstance(source, bytes) or os.path.exists(source)):
        with ffmpeg.converted(source, suffix) as path:
            yield path
    else:
        yield io.BytesIO(source) if isinstance(source, bytes) else source


def _read(source, name, samples_of):
    with opened(source, name) as sound:
        samples = samples_of(sound)
        if not samples.size:
            raise ValueError("it has no samples, but its header promises %d" % sound.frames)
        return samples


def _frames(sound, dtype, seconds, remarks):
    """The frames of a file [n, channels], or those of its first seconds."""
    limit = MAX_SAMPLES // sound.channels
    if seconds:
        limit = min(limit, seconds * sound.samplerate)
    elif sound.frames != UNKNOWN_LENGTH and sound.frames > limit:
        raise ValueError("%d samples, more than %d" % (sound.frames * sound.channels, MAX_SAMPLES))
    blocks, count, goal = [], 0, min(limit, sound.frames)
    while count < goal:
        block = sound.read(min(_BLOCK, goal - count), dtype, always_2d=True)
        if not len(block):
            break
        blocks.append(block)
        count += len(block)
    if count == limit and len(sound.read(1)):
        if not seconds:
            raise ValueError("more than %d samples" % MAX_SAMPLES)
        remarks.append("too long: only its first %d s are used" % (limit // sound.samplerate))
    return np.concatenate(blocks) if blocks else np.zeros((0, sound.channels), dtype)


def _as_float(sound, sample_rate, seconds, remarks, resample):
    samples = _mono(_frames(sound, "float32", seconds, remarks), remarks)
    if not np.isfinite(samples).all():
        raise ValueError("it has samples that are not finite numbers")
    return resample(samples, sound.samplerate, sample_rate)


def _mono(samples, remarks):
    """The mean of the channels, or the loudest channel if they cancel each other out."""
    if samples.shape[1] == 1 or not len(samples):
        return samples[:, 0]
    mean = samples.mean(axis=1)
    some = slice(None, None, 1 + len(samples) // _BLOCK)  # enough to know how loud they are
    with np.errstate(all="ignore"):  # samples that are not finite are noticed later
        levels, level = samples[some].astype(np.float64).std(axis=0), mean[some].astype(np.float64).std()
    loudest = int(np.argmax(levels))
    if not level < CANCELLED * levels[loudest]:
        return mean
    remarks.append("channels cancel each other out: only channel %d of %d is used" % (loudest + 1, len(levels)))
    return samples[:, loudest]


def _as_int16(sound, sample_rate, seconds, remarks):
    if (sound.subtype, sound.channels, sound.samplerate) == ("PCM_16", 1, sample_rate):
        return _frames(sound, "int16", seconds, remarks)[:, 0]
    return to_int16(_as_float(sound, sample_rate, seconds, remarks, _resample_poly))


def _reason(error):
    """What libsndfile says, without the file name that soundfile puts before it."""
    return str(getattr(error, "error_string", error)).rstrip(".")


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Samples [n] at `rate` -> [n * new_rate / rate] float32 at `new_rate`, by a polyphase filter.

    This is scipy.signal.resample_poly with numpy alone, because the import of scipy.signal takes up to half a second.
    Each group of new samples comes from a window of old samples with the same weights: one matrix product makes all.
    """
    if rate == new_rate:
        return samples
    ratio = resampling_ratio(rate, new_rate)
    if ratio.numerator * ratio.denominator > _LARGEST_FILTER:
        return _resample_poly(samples, rate, new_rate)
    reach, advance, weights = _filter(ratio.numerator, ratio.denominator)
    width, group = weights.shape
    count = -(-len(samples) * ratio.numerator // ratio.denominator)
    groups = -(-count // group)
    padded = np.zeros((groups - 1) * advance + width, np.float32)
    used = samples[: len(padded) - reach]
    padded[reach : reach + len(used)] = used
    windows = np.lib.stride_tricks.as_strided(
        padded, (groups, width), (advance * padded.itemsize, padded.itemsize), writeable=False
    )
    return (np.ascontiguousarray(windows) @ weights).reshape(-1)[:count]


@functools.lru_cache(maxsize=4)
def _filter(up, down):
    """What makes `up` samples from `down` samples, several times at once.

    Returns (how many old samples before a group count, the step from group to group, weights [old, new samples]).
    """
    larger = max(up, down)
    half = 10 * larger
    taps = np.sinc(np.arange(-half, half + 1) / larger) * np.kaiser(2 * half + 1, 5.0)
    taps *= up / taps.sum()
    times = max(1, _GROUP // larger)
    reach = half // up
    new, old = np.arange(times * up), np.arange(-reach, times * down + reach + 1)
    place = new * down - old[:, np.newaxis] * up + half
    weights = np.where((place >= 0) & (place <= 2 * half), taps[np.clip(place, 0, 2 * half)], 0)
    return reach, times * down, weights.astype(np.float32)


def _resample_poly(samples, rate, new_rate):
    """As `resample`, by scipy."""
    import scipy.signal

    ratio = resampling_ratio(rate, new_rate)
    return scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)


def resampling_ratio(rate: int, new_rate: int) -> Any:
    """The number of samples that `resample` makes of each one, as a fractions.Fraction with a short polyphase filter.

    It is exact for the usual rates. For an odd rate the error is inaudible.
    """
    import fractions  # its import takes as long as to label a clip

    return fractions.Fraction(new_rate, rate).limit_denominator(1000)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Samples float32 in [-1, 1] -> int16; exact for samples that were 16-bit before."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def fit(samples: np.ndarray, clip_samples: int) -> np.ndarray:
    """Samples [n], cut at the end or padded with zeros there -> clip [clip_samples]."""
    if len(samples) >= clip_samples:
        return samples[:clip_samples]
    return np.concatenate([samples, np.zeros(clip_samples - len(samples), samples.dtype)])


def loudest(samples: np.ndarray, clip_samples: int, sample_rate: int) -> int:
    """Where the loudest clip of a recording begins: its first sample, in steps of 10 ms; 0 if it is not longer.

    Loudness is summed over frames of 10 ms, without frequencies below about 200 Hz. That leaves out a microphone that
    settles, slow drift and pops. Of the frames that are loudest, as many as 40 % of a clip, all count the same, so that
    no click counts more than a word.
    """
    step = sample_rate // 100
    frame_count, clip_frames = len(samples) // step, -(-clip_samples // step)
    if frame_count <= clip_frames:
        return 0
    samples = np.asarray(samples, np.float32)
    audible = (samples - _moving_average(samples, max(1, sample_rate // 400)))[: frame_count * step]
    loudness = np.sqrt(np.square(audible.reshape(frame_count, step)).mean(axis=1, dtype=np.float64))
    np.minimum(loudness, np.sort(loudness)[-(2 * clip_frames // 5) - 1], out=loudness)
    total = np.concatenate([[0.0], np.cumsum(loudness)])
    return int(np.argmax(total[clip_frames:] - total[:-clip_frames])) * step


def _moving_average(samples, width):
    """The mean of the `width` samples around each sample [n] float32."""
    padded = np.pad(samples, (width // 2, width - width // 2), mode="edge")
    total = np.cumsum(padded, dtype=np.float64)
    return ((total[width:] - total[:-width]) / width).astype(np.float32)


def loudest_clip(samples: np.ndarray, clip_samples: int, sample_rate: int) -> Tuple[int, np.ndarray]:
    """The part of a recording that is scored -> (its first sample, a clip [clip_samples])."""
    start = loudest(samples, clip_samples, sample_rate)
    return start, fit(samples[start:], clip_samples)


def wav_bytes(clip: np.ndarray, sample_rate: int) -> bytes:
    """A clip as the bytes of a 16-bit mono WAV file, the only kind that TensorFlow's DecodeWav reads."""
    file = io.BytesIO()
    soundfile.write(file, to_int16(clip), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
