"""Sound files that libsndfile cannot read, such as those of phones: `ffmpeg` converts them, where it is installed."""
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from typing import Iterator, Optional, Union

_PROGRAM = "ffmpeg"


def program() -> Optional[str]:
    """The path of ffmpeg; None where it is not installed."""
    return _on_path(os.environ.get("PATH", ""))


@functools.lru_cache(maxsize=4)  # a data set asks for every file
def _on_path(path):
    return shutil.which(_PROGRAM, path=path)


@contextlib.contextmanager
def converted(source: Union[str, bytes], suffix: str) -> Iterator[str]:
    """The path of a WAV file with the sound of a file, given its path or its bytes, and the ending of its name.

    The WAV file is deleted afterwards. Raises ValueError with what ffmpeg says. The files come from strangers, so that
    they may not make ffmpeg open anything that is not a file.
    """
    with tempfile.TemporaryDirectory(prefix="kws-") as folder:
        if isinstance(source, bytes):  # not through a pipe, because the table of an MP4 file may be at its end
            path = os.path.join(folder, "source" + suffix)
            with open(path, "wb") as file:
                file.write(source)
            source = path
        result = os.path.join(folder, "converted.wav")
        done = subprocess.run(
            [program(), "-v", "error", "-nostdin", "-protocol_whitelist", "file", "-i", "file:" + source, "-vn",
             "-rf64", "auto", "-f", "wav", "file:" + result],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        if done.returncode:
            raise ValueError("ffmpeg says: %s" % _last_line(done.stderr))
        yield result


def _last_line(text):
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else "nothing"
