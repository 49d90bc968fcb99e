"""Marks on operations."""
import contextlib


@contextlib.contextmanager
def without_npu_compile_scope():
    yield


@contextlib.contextmanager
def keep_dtype_scope():
    yield
