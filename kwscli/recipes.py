"""Recipes: what a network is trained with where the user gives no flags. `--recipe` names one.

A recipe gives settings other defaults. Every one of them is a flag, and model.json records what a training used.
"""
from typing import Any, Dict, NamedTuple, Optional, Tuple

HELLO_EDGE, BEST = "hello-edge", "best"
NAMES = HELLO_EDGE, BEST

# Features {setting: value} of `best`: more of the spectrum than the 10 coefficients up to 4 kHz of Hello Edge.
_FEATURES = {"ds_cnn": {"dct_coefficient_count": 20, "upper_edge_hertz": 7600.0}}
_TRAIN = {
    "schedule": "cosine",
    "learning_rate": (0.003,),
    "how_many_training_steps": (30000,),
    "warm_up_percentage": 3.0,
    "label_smoothing": 0.1,
    "weight_decay": 0.01,
    "gradient_clipping": 5.0,
    "weight_averaging": 0.999,
}
_SPEED = {"speed_percentage": 15.0}
_SMALL = dict(_SPEED, keyword_balance=0.5, unknown_percentage=20.0)
_LARGE = dict(
    _SPEED, keyword_balance=1.0, unknown_percentage=30.0, noise_snr_db=(0.0, 30.0), time_masks=2, frequency_masks=2
)
LARGE = 60000  # weights; below, a network has none to spare for clips that are harder than real ones
_MASKED_FRAMES, _MASKED_CHANNELS = 0.15, 0.125  # the widest mask, as a share of the features
# Where the user gives the flag on the left, the settings on the right, which belong to another choice, are left out.
_REPLACED_BY = {
    "schedule": ("warm_up_percentage", "learning_rate", "how_many_training_steps"),
    "background_volume": ("noise_snr_db",),
}


class Recipe(NamedTuple):
    """The settings {name: value} of two classes, where they differ from the defaults of these classes."""

    data: Dict[str, Any] = {}
    train: Dict[str, Any] = {}


def features(name: Optional[str], architecture: str) -> Dict[str, Any]:
    """The feature settings {name: value} of a recipe, where they differ from those of the published network."""
    return _FEATURES.get(architecture, {}) if name == BEST else {}


def load(name: Optional[str], weight_count: int, feature_shape: Tuple[int, int], flags: Dict[str, Any]) -> Recipe:
    """The recipe with this name for a network with so many weights.

    feature_shape: (frames, channels). flags: {setting: value, None where the user gives none}.
    """
    if name != BEST:
        return Recipe()
    data = _SMALL
    if weight_count > LARGE:
        frames, channels = feature_shape
        data = dict(
            _LARGE, time_mask_frames=max(1, int(_MASKED_FRAMES * frames)),
            frequency_mask_channels=max(1, int(_MASKED_CHANNELS * channels)),
        )
    replaced = {name for flag, names in _REPLACED_BY.items() if flags.get(flag) is not None for name in names}
    return Recipe(*[
        {name: value for name, value in settings.items() if name not in replaced} for settings in (data, _TRAIN)
    ])
