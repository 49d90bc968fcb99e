"""TensorFlow Lite's interpreter, from the smallest installed package that has one.

tflite-runtime and ai-edge-litert start in a few milliseconds, TensorFlow in seconds. All run the same files.
"""
import contextlib
import importlib
import threading
import warnings
from typing import Any, Callable, NamedTuple

import numpy as np

from .. import console, imports
from ..errors import KwsError

_SMALL = ("tflite_runtime.interpreter", "ai_edge_litert.interpreter")
FAST, REFERENCE = "AUTO", "BUILTIN_REF"  # names of kernels in OpResolverType


class _Runtime(NamedTuple):
    """The class of the interpreter, and its choice of kernels; TensorFlow 1.15 has no choice."""

    interpreter: Callable[..., Any]
    kernels: Any


def interpreter(content: bytes, path: str) -> Any:
    """An interpreter of the content of a file. It computes on one thread, and one thread may use it at a time."""
    runtime = _runtime()
    try:
        with _announcement_dropped():
            opened = _opened(runtime, content, FAST)
            if opened.get_input_details()[0]["dtype"] == np.int8:
                # Faster kernels round in other ways, and the microcontrollers that such files are for have these.
                opened = _opened(runtime, content, REFERENCE)
            opened.allocate_tensors()
        return opened
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise KwsError("%s cannot be run: %s" % (path, reason), "freeze or copy it again")


def _announcement_dropped():
    """The first interpreter with fast kernels says so on stderr. Commands open it before they start threads."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return console.libraries_silenced() if in_main_thread else contextlib.nullcontext()


def _runtime():
    for name in _SMALL:
        try:
            module = importlib.import_module(name)
        except ImportError:  # it is not installed, or its library does not fit this machine
            continue
        return _Runtime(module.Interpreter, module.OpResolverType)
    with imports.guarded():
        import tensorflow.compat.v1 as tf

    return _Runtime(tf.lite.Interpreter, getattr(tf.lite.experimental, "OpResolverType", None))


def _opened(runtime, content, kernels):
    chosen = {"experimental_op_resolver_type": getattr(runtime.kernels, kernels)} if runtime.kernels else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow 2.x recommends another package
        return runtime.interpreter(model_content=content, **chosen)
