"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP): when they act, and what they leave behind."""
import contextlib
import os
import signal
import threading
import time
from typing import Callable, Iterator, Optional

from .console import say
from .errors import Interrupted

SAME_SIGNAL = 1.0  # seconds in which the same signal twice counts as one: `timeout` signals a process and its group
_ENDING = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])  # Windows has no SIGHUP
STOPPING = [signal.SIGINT] + _ENDING


@contextlib.contextmanager
def _handled(numbers, handler) -> Iterator[None]:
    """Inside the block, these signals call handler(number, frame), but not SIGHUP if it is ignored, as under nohup."""
    before = {number: signal.signal(number, handler) for number in numbers if not _is_ignored_hangup(number)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _is_ignored_hangup(number):
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Inside the block, Ctrl-C is only noted; it acts at the end of the block.

    For imports of numpy and TensorFlow, which swallow a KeyboardInterrupt that comes in the middle.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not callable(signal.getsignal(signal.SIGINT)):
        yield  # Ctrl-C does not come here, or the user chose to ignore it
        return
    received = []
    with _handled([signal.SIGINT], lambda number, frame: received.append(number)):
        yield
    if received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def signals_close() -> Iterator[None]:
    """Inside the block, SIGTERM and SIGHUP act like Ctrl-C: every context manager closes, then Interrupted is raised.
    """
    received = []

    def end(number, frame):
        received.append(number)
        raise KeyboardInterrupt  # TensorFlow does not take this one for an error of its own

    try:
        with _handled(_ENDING, end):
            yield
    except (KeyboardInterrupt, Exception) as error:
        if received and not isinstance(error, Interrupted):
            raise Interrupted("stopped", "", received[0])
        raise


@contextlib.contextmanager
def forwarded(send: Callable[[int], None]) -> Iterator[None]:
    """Inside the block, signals to stop call send(number) and do nothing else here."""
    with _handled(STOPPING, lambda number, frame: send(number)):
        yield


class StopRequest:
    """Notes the first signal to stop, so that the current step can finish; the next one acts at once.

    received: the number of the signal, None while none has come.
    """

    def __init__(self) -> None:
        self.received: Optional[int] = None
        self._when, self._stack = 0.0, contextlib.ExitStack()

    def __enter__(self) -> "StopRequest":
        self._stack.enter_context(_handled(STOPPING, self._note))
        return self

    def __exit__(self, *error) -> None:
        self._stack.close()

    def _note(self, number, frame):
        if self.received is None:
            self.received, self._when = number, time.monotonic()
            say("Stopping after this step...")
        elif time.monotonic() - self._when > SAME_SIGNAL:
            self._stack.close()
            os.kill(os.getpid(), number)
