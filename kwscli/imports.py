"""Imports of large libraries. numpy and TensorFlow swallow a Ctrl-C that comes in the middle of theirs.

TensorFlow 2.x says to stderr that it has oneDNN and no GPU, twice, whatever it is told of the level of its log.
"""
import contextlib
import os
import re
import signal
import sys
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
    if not callable(before) or _elsewhere():
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
    """stderr goes through a process that filters it: it is seen even if an import ends this one."""
    if sys.version_info < (3, 8) or "tensorflow" in sys.modules or _elsewhere():  # TensorFlow 1.15 says nothing
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        _filter(source, sink, stderr)
    os.close(source)
    os.dup2(sink, 2)
    os.close(sink)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.waitpid(child, 0)


def _filter(source, sink, target):
    """The whole life of the process that filters."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other
        for number in (2, sink):
            os.close(number)
        with open(source, "rb") as lines:
            for line in lines:
                if not _CHATTER.match(line):
                    os.write(target, line)
    finally:
        os._exit(0)


def _elsewhere():
    return threading.current_thread() is not threading.main_thread()
