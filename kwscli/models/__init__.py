"""The architectures. Each is one file: its paper, its published `SIZES`, and one `build()`.

To add one, write `kwscli/models/NAME.py` and put NAME below; flags, `kws models` and the tests follow.
"""
import importlib

from ..errors import KwsError

ARCHITECTURES = ("ds_cnn",)


def load(architecture):
    """The module of an architecture, imported only now."""
    if architecture not in ARCHITECTURES:
        raise KwsError("unknown architecture %s; there are: %s" % (architecture, ", ".join(ARCHITECTURES)))
    return importlib.import_module("." + architecture, __name__)
