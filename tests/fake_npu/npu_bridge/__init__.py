"""A strict stand-in for Huawei's npu_bridge on TensorFlow 1.15, for tests: own code, no Ascend software in it.

It refuses more than the real adapter does: what that ignores in silence is an error here. It can't show what needs an
NPU: compiling, float16 rounding, saturation, the list of supported operations, timeouts of the network between ranks.
`_control` says what happened and decides what will.
"""
import atexit

from . import _control

__version__ = "v1.15.0"


@atexit.register
def npu_close():
    """The real one lets go of the NPU when the process ends; here the event is recorded, and told where asked for."""
    _control.record("npu_close")
    _control.tell()
