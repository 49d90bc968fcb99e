"""The trained networks in the package: for each, NAME.tflite with its weights and NAME.json with its model card.

`make pretrained` writes both. NOTICE says which recordings the networks were trained on.
"""
import os
from typing import Any, Dict, Tuple

from .. import files

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_NETWORK, _CARD = ".tflite", ".json"


def names() -> Tuple[str, ...]:
    """The names of the networks. Commands use the first one where no other network is there."""
    return tuple(sorted(name[: -len(_CARD)] for name in os.listdir(_FOLDER) if name.endswith(_CARD)))


def path(name: str, folder: str = _FOLDER) -> str:
    """The file of a network: for TensorFlow Lite, and with the weights that a training can start with."""
    return os.path.join(folder, name + _NETWORK)


def is_inside(file: str) -> bool:
    """Whether a file belongs to the package."""
    return os.path.realpath(os.path.dirname(file)) == os.path.realpath(_FOLDER)


def card_path(name: str, folder: str = _FOLDER) -> str:
    """The file with the model card of a network."""
    return os.path.join(folder, name + _CARD)


def card(name: str) -> Dict[str, Any]:
    """The model card of a network."""
    return files.read_json(card_path(name), "install kws again")
