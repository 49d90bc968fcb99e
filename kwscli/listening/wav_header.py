"""The header of a WAV file, for a stream that cannot be read twice and whose header may promise any length."""
import struct
from typing import BinaryIO, NamedTuple, Optional

import numpy as np

from ..sound.audio import MAX_RATE, MIN_RATE, UnreadableAudio

MAGIC = b"RIFF"
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# Programs that write to a pipe cannot know the length, and promise something near the largest: ffmpeg, sox, arecord.
_UNKNOWN_BYTES = 0x7F000000
# {(format, bits per sample): (type of numpy, offset, full scale)}
_TYPES = {
    (_PCM, 8): ("u1", 128, 128.0),
    (_PCM, 16): ("<i2", 0, 32768.0),
    (_PCM, 32): ("<i4", 0, 2147483648.0),
    (_FLOAT, 32): ("<f4", 0, 1.0),
    (_FLOAT, 64): ("<f8", 0, 1.0),
}


class WavHeader(NamedTuple):
    """What a header says. data_bytes: of the samples that follow; None where it does not know."""

    rate: int
    channels: int
    encoding: int
    bits: int
    data_bytes: Optional[int]

    @property
    def frame_bytes(self) -> int:
        """The bytes of one sample of all channels."""
        return self.channels * self.bits // 8

    def frames(self, data: bytes) -> np.ndarray:
        """Whole frames -> samples [n, channels] float32 in [-1, 1]."""
        if (self.encoding, self.bits) == (_PCM, 24):
            parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
            values = (parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) / 2147483648.0
        else:
            kind, offset, scale = _TYPES[self.encoding, self.bits]
            values = (np.frombuffer(data, kind).astype(np.float64) - offset) / scale
        return values.astype(np.float32).reshape(-1, self.channels)


def raw(rate: int) -> WavHeader:
    """What a header would say about 16-bit mono samples without one."""
    return WavHeader(rate, 1, _PCM, 16, None)


def read(file: BinaryIO, name: str, begun: bytes = b"") -> WavHeader:
    """Read the header of a file up to its first sample. begun: the bytes that were read before.

    Raises UnreadableAudio for what is not WAV, and for encodings that only libsndfile reads.
    """
    reader = _Reader(file, name, begun)
    if reader.take(4) != MAGIC or (reader.take(4), reader.take(4))[1] != b"WAVE":
        raise UnreadableAudio("%s is not a WAV file" % name)
    rate = channels = encoding = bits = None
    while True:
        kind, size = reader.take(4), struct.unpack("<I", reader.take(4))[0]
        if kind == b"data":
            break
        if kind != b"fmt ":
            reader.skip(size + size % 2)
            continue
        if not 16 <= size <= 4096:
            raise UnreadableAudio("the header of %s is damaged" % name)
        content = reader.take(size + size % 2)
        encoding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
        if encoding == _EXTENSIBLE and size >= 26:
            encoding = struct.unpack("<H", content[24:26])[0]
    known = (encoding, bits) in _TYPES or (encoding, bits) == (_PCM, 24)
    if not (known and channels and MIN_RATE <= rate <= MAX_RATE):
        raise UnreadableAudio(
            "%s is a WAV file of a kind that cannot be read from a pipe" % name, "save it, and give the file"
        )
    return WavHeader(rate, channels, encoding, bits, size if 0 < size < _UNKNOWN_BYTES else None)


class _Reader:
    """Takes bytes that were read before, and then those of the file."""

    def __init__(self, file, name, begun):
        self._file, self._name, self._begun = file, name, begun

    def take(self, count):
        taken, self._begun = self._begun[:count], self._begun[count:]
        taken += self._file.read(count - len(taken))
        if len(taken) < count:
            raise UnreadableAudio("%s ends inside of its header" % self._name)
        return taken

    def skip(self, count):
        while count:
            count -= len(self.take(min(count, 1 << 16)))
