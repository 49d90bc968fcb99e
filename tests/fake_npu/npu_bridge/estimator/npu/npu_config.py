"""Configurations that only the Estimator takes; here for their names."""
from npu_bridge import _control


class DumpConfig:
    def __init__(self, enable_dump=False, dump_path=None, dump_step=None, dump_mode="output", enable_dump_debug=False,
                 dump_debug_mode="all"):
        self.__dict__.update(locals())


class ProfilingConfig:
    def __init__(self, enable_profiling=False, profiling_options=None):
        self.__dict__.update(locals())


if _control.since("r1.9"):

    def decorator_tf_session(function):
        return function
