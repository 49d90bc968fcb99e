"""The adapter's library cannot be loaded."""
raise ImportError("cannot import name 'npu_bridge_handle'")
