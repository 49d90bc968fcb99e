"""Recipes: what a network is trained with where the user gives no flags. `--recipe` names one.

A recipe gives settings other defaults. Every one of them is a flag, and model.json records what a training used.
"""
from typing import Any, Dict, NamedTuple, Optional

HELLO_EDGE, BEST = "hello-edge", "best"
NAMES = HELLO_EDGE, BEST


class Recipe(NamedTuple):
    """The settings {name: value} of three classes, where they differ from the defaults of these classes."""

    features: Dict[str, Any] = {}
    data: Dict[str, Any] = {}
    train: Dict[str, Any] = {}


# Where the user gives the flag on the left, the settings on the right, which belong to another choice, are left out.
_REPLACED_BY = {"schedule": ("warm_up_percentage", "learning_rate", "how_many_training_steps")}
# SpecAugment hides parts of the features from networks that have more weights than they need: (weights, masks).
_MASKS = (
    (60000, {}),
    (200000, {"time_masks": 1, "time_mask_frames": 5, "frequency_masks": 1, "frequency_mask_channels": 2}),
    (float("inf"), {"time_masks": 2, "time_mask_frames": 5, "frequency_masks": 2, "frequency_mask_channels": 2}),
)


def load(name: Optional[str], architecture: str, weight_count: int, flags: Dict[str, Any]) -> Recipe:
    """The recipe with this name for a network.

    flags: {setting: value, None where the user gives none}.
    """
    recipe = _best(architecture, weight_count) if name == BEST else Recipe()
    replaced = {name for flag, names in _REPLACED_BY.items() if flags.get(flag) is not None for name in names}
    return Recipe(*[
        {name: value for name, value in settings.items() if name not in replaced} for settings in recipe
    ])


# More of the spectrum than the 10 coefficients up to 4 kHz of Hello Edge.
_FEATURES = {
    "ds_cnn": {"dct_coefficient_count": 20, "upper_edge_hertz": 7600.0},
}


def _best(architecture, weight_count):
    data = {
        "speed_percentage": 15.0,
        "keyword_balance": 0.5,
        "unknown_percentage": 20.0,
        **next(masks for limit, masks in _MASKS if weight_count < limit),
    }
    train = {
        "schedule": "cosine",
        "learning_rate": (0.003,),
        "how_many_training_steps": (30000,),
        "warm_up_percentage": 3.0,
        "label_smoothing": 0.1,
        "weight_decay": 0.01,
        "gradient_clipping": 5.0,
        "weight_averaging": 0.999,
    }
    return Recipe(_FEATURES.get(architecture, {}), data, train)
