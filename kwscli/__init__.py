"""Train, measure and ship small keyword spotters."""

__version__ = "0.1.0"
