"""CANN is not on PYTHONPATH."""
raise ModuleNotFoundError("No module named 'hccl'", name="hccl")
