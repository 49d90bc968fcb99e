"""Imports of large libraries. numpy and TensorFlow swallow a Ctrl-C that comes in the middle of theirs.

TensorFlow 2.x says to stderr that it has oneDNN and no GPU, twice, whatever it is told of the level of its log.
"""
import contextlib
import os
import re
import signal
import tempfile
import threading

_CHATTER = re.compile(rb"[IW]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::InitializeLog\(\)")


@contextlib.contextmanager
def guarded():
    """Around an import: Ctrl-C waits for its end, and of what it writes only what matters is shown."""
    with _ctrl_c_waits(), _without_chatter():
        yield


@contextlib.contextmanager
def _ctrl_c_waits():
    before, received = signal.getsignal(signal.SIGINT), []
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield  # it is ignored, or not ours to hear
        return
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _without_chatter():
    try:
        held = tempfile.TemporaryFile()
        stderr = os.dup(2)
    except OSError:  # there is no place for a file, or stderr is closed
        yield
        return
    os.dup2(held.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        with held:
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(2, line)
