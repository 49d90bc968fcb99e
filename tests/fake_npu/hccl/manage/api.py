"""Ranks, known once the system is initialised."""
from npu_bridge import _control


def _known(value):
    if not _control.initialised:
        raise ValueError("the system is not initialised: run initialize_system first")
    return value


def get_rank_size(group="hccl_world_group"):
    return _known(_control.rank_size())


def get_rank_id(group="hccl_world_group"):
    return _known(_control.rank())


def get_local_rank_id(group="hccl_world_group"):
    return _known(_control.rank())
