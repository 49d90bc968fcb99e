"""Recipes: what a network is trained with where the user gives no flags. `--recipe` names one."""
from typing import Any, Dict, NamedTuple


class Recipe(NamedTuple):
    """The settings {name: value} of three classes, where they differ from the defaults of these classes."""

    features: Dict[str, Any] = {}
    data: Dict[str, Any] = {}
    train: Dict[str, Any] = {}


def load(name: str, architecture: str) -> Recipe:
    """The recipe with this name for an architecture."""
    return Recipe() if name in (None, "hello-edge") else Recipe()
