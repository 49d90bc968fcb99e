"""Imports of large libraries: Ctrl-C waits for their end, and TensorFlow's chatter is held back."""
import contextlib
import importlib.util
import os
import re
import sys
import threading
from types import ModuleType
from typing import Iterator

from . import interrupts
from .errors import KwsError, Unavailable

# TensorFlow 2.x reports oneDNN and missing GPUs on stderr during its import, whatever the level of its log.
_CHATTER = re.compile(rb"[IW]\d{4} \d\d:\d\d:|[IW]0000 00:00:|WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Put this around an import of a large library."""
    with interrupts.ctrl_c_waits(), _without_chatter():
        try:
            yield
        except ModuleNotFoundError as error:
            if error.name == "tensorflow":
                raise _without_tensorflow()
            raise


def need_tensorflow() -> None:
    """Raise a KwsError if TensorFlow is not installed, without the seconds that its import takes."""
    try:
        found = "tensorflow" in sys.modules or importlib.util.find_spec("tensorflow")
    except ImportError:
        found = None
    if not found:
        raise _without_tensorflow()


def _without_tensorflow():
    release = "==1.15.0" if sys.version_info < (3, 8) else ">=2.13,<2.22"
    return KwsError(
        "this needs TensorFlow, which is not installed",
        'pip install "tensorflow%s"; without it, kws label and kws eval take .tflite files' % release,
    )


def optional(name: str, extra: str) -> ModuleType:
    """A module of a package that only an extra of kwscli installs."""
    try:
        with guarded():
            return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(
            "%s cannot be imported: %s" % (name.partition(".")[0], error),
            'install it with: pip install "kwscli[%s]"' % extra,
        )


@contextlib.contextmanager
def _without_chatter():
    """What the block writes to stderr is shown at its end, without the chatter. KWS_TRACEBACK shows all at once."""
    silent = sys.version_info < (3, 8) or "tensorflow" in sys.modules  # TensorFlow 1.15 writes nothing
    if silent or os.environ.get("KWS_TRACEBACK") or threading.current_thread() is not threading.main_thread():
        yield
        return
    import faulthandler
    import tempfile

    with contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        stack.callback(os.close, stderr)
        held_back = stack.enter_context(tempfile.TemporaryFile())
        if not faulthandler.is_enabled():
            # An import that crashes takes what is held back with it; this at least shows where it crashed.
            faulthandler.enable(stderr, all_threads=False)
            stack.callback(faulthandler.disable)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            held_back.seek(0)
            os.write(2, b"".join(line for line in held_back if not _CHATTER.match(line)))
