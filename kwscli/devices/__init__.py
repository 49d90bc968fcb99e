"""The devices that a network trains on. Only this package knows Ascend's npu_bridge."""
