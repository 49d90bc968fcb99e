"""The processor cores that this process may use."""
import os
from typing import Iterable, List


def can_choose() -> bool:
    """Whether the system can keep a process to some cores: Linux can, macOS cannot."""
    return hasattr(os, "sched_setaffinity")


def usable() -> List[int]:
    """The numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if can_choose() else list(range(os.cpu_count() or 1))


def keep_to(cores: Iterable[int]) -> None:
    """Keep this thread, and all that it starts from now on, to these cores, where the system can do that."""
    if can_choose():
        os.sched_setaffinity(0, cores)
