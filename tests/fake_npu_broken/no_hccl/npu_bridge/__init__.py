"""An npu_bridge that does not import: CANN is not on PYTHONPATH."""
