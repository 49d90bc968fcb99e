"""The libraries of HCCL are missing."""
raise ValueError("load hccl lib error")
