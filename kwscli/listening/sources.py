"""Where sound comes from: a sound file, standard input, or the microphone. See `microphone` for the last one.

Each gives the samples of a sound as blocks of mono float32 at the rate of the network, in constant memory.
"""
import os
import shutil
import sys
import tempfile
from typing import BinaryIO, Callable, Iterator, Optional

import numpy as np

from ..errors import KwsError
from ..sound import audio
from . import wav_header
from .conversion import convert

STDIN = "-"
_BLOCK = 1 << 14  # samples of all channels that are read of a file at once; damage in one of them loses it
_JOINED = 1 << 18  # samples of a file that are scored at once, which is faster
_PIPE_BLOCK = 1 << 16  # bytes that are read of standard input at most; a microphone's program writes less at once
# The first bytes of sound files that libsndfile reads, but not of a pipe.
_FILES = (b"fLaC", b"OggS", b"FORM", b"ID3", b".snd", b"caff", b"RF64", b"riff", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")


def blocks(
    source: str, sample_rate: int, rate: Optional[int], say: Callable[[str], None]
) -> Iterator[np.ndarray]:
    """Yield the blocks [n] float32 of a file, or of standard input (`-`).

    rate: of samples without a header on standard input; None: sample_rate. say: is called with what is unusual.
    """
    if source == STDIN:
        return _of_stdin(_binary_stdin(), sample_rate, rate, say)
    if rate is not None:
        raise KwsError(
            "--rate %d is for samples on standard input, but %s has a rate of its own" % (rate, source),
            "leave --rate out" if os.path.exists(source) else "give - for standard input",
        )
    return of_file(source, sample_rate, say)


def of_file(path: str, sample_rate: int, say: Callable[[str], None], name: str = "") -> Iterator[np.ndarray]:
    """Yield the blocks of a sound file. name: what messages call it."""
    name = name or path
    with audio.opened(path, name) as sound:
        promised = _promised(path, sound)
        yield from _joined(convert(_read(sound, promised, say, name), sound.samplerate, sample_rate, say, name))


def _joined(blocks):
    """Yield fewer and longer blocks."""
    waiting, count = [], 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        if count >= _JOINED:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if count:
        yield np.concatenate(waiting)


def _read(sound, promised, say, name):
    """Yield the frames [n, channels] of an open file, as far as it can be read. promised: how many there should be."""
    heard, problem = 0, "but its header promises %.2f s" % (promised / sound.samplerate)
    while True:
        try:
            block = sound.read(max(1, _BLOCK // sound.channels), "float32", always_2d=True)
        except RuntimeError as error:  # of libsndfile
            if not heard:
                raise
            promised, problem = heard + 1, "because the rest cannot be read: %s" % error
            break
        if not len(block):
            break
        heard += len(block)
        yield block
    if heard < promised:
        say("%s ends after %.2f s, %s." % (name, heard / sound.samplerate, problem))


def _promised(path, sound):
    """The number of frames that a file should have; libsndfile says only how many a WAV file can have."""
    if sound.format in ("WAV", "WAVEX"):
        try:
            with open(path, "rb") as file:
                header = wav_header.read(file, path)
            return (header.data_bytes or 0) // header.frame_bytes
        except audio.UnreadableAudio:  # an encoding that only libsndfile knows
            return 0
    return 0 if sound.frames == audio.UNKNOWN_LENGTH else sound.frames


def _binary_stdin():
    if sys.stdin is None or sys.stdin.closed:
        raise KwsError("standard input is closed", "pipe sound into it")
    if sys.stdin.isatty():
        raise KwsError("standard input is a terminal", "pipe sound into it: arecord -f S16_LE -r 16000 | kws listen -")
    return sys.stdin.buffer


def _of_stdin(file: BinaryIO, sample_rate, rate, say):
    """Yield the blocks of standard input: 16-bit samples, a WAV file, or another sound file."""
    name, begun = "standard input", file.read(4)
    if begun.startswith(_FILES):
        with tempfile.NamedTemporaryFile() as copy:
            copy.write(begun)
            shutil.copyfileobj(file, copy)
            copy.flush()
            yield from of_file(copy.name, sample_rate, say, name)
        return
    header = wav_header.raw(rate or sample_rate)
    if begun == wav_header.MAGIC:
        header, begun = wav_header.read(file, name, begun), b""
        if rate not in (None, header.rate):
            say("--rate %d has no effect: the header of %s says %d." % (rate, name, header.rate))
    yield from convert(_frames(file, header, begun, say, name), header.rate, sample_rate, say, name)


def _frames(file, header, begun, say, name):
    """Yield what a pipe holds [n, channels], as soon as it comes."""
    left, heard, rest, data = header.data_bytes, 0, b"", begun
    while True:
        rest += data
        whole = len(rest) // header.frame_bytes * header.frame_bytes
        if whole:
            yield header.frames(rest[:whole])
        rest, heard = rest[whole:], heard + whole
        data = file.read1(_PIPE_BLOCK if left is None else min(_PIPE_BLOCK, left))
        if not data:
            break
        left = None if left is None else left - len(data)
    if left:
        seconds = [count / header.frame_bytes / header.rate for count in (heard, header.data_bytes)]
        say("%s ends after %.2f s, but its header promises %.2f s." % (name, *seconds))
    if rest:
        say("%s ends in the middle of a sample, which is left out. Samples without a header are 16-bit mono." % name)
