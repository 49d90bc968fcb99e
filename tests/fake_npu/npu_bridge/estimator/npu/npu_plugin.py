"""The state of the chip."""
from npu_bridge import _control

_saturates = not _control.inf_nan


def npu_resource_init(graph_run_mode=1, op_debug_level=0, enable_profiling=False, profiling_options=None):
    _control.record("init")


def npu_resource_shutdown():
    _control.record("shutdown")


def npu_close():
    _control.record("npu_close")


if _control.since("r1.13"):

    def is_inf_nan_enabled():
        return not _saturates
