"""An npu_bridge that does not import: The libraries of HCCL are missing."""
