"""An npu_bridge that does not import: The adapter's library cannot be loaded."""
