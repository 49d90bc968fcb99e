"""Every hyper-parameter, once: its name, default, bounds and help. Flags, `--help` and `model.json` follow."""
import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Optional, Tuple

from .errors import KwsError


def setting(default, help, choices=None, minimum=None, maximum=None, repeated=False):
    """One hyper-parameter of a settings class; `repeated`: a flag that is given once for each value of a tuple."""
    return dataclasses.field(default=default, metadata={
        "help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "repeated": repeated
    })


KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


@dataclass(frozen=True)
class DataSettings:
    """Which clips are trained on, and what is done to them."""

    wanted_words: Tuple[str, ...] = setting(KEYWORDS, "Keywords to spot; every other word is _unknown_.")
    silence_percentage: float = setting(
        10.0, "Clips of silence, in percent of the clips of keywords.", minimum=0, maximum=1000
    )
    unknown_percentage: float = setting(
        10.0, "Clips of other words, in percent of the clips of keywords.", minimum=0, maximum=1000
    )
    validation_percentage: Optional[float] = setting(
        None, "Speakers for validation, in percent (default: as `kws prepare` split them).", minimum=0, maximum=100
    )
    testing_percentage: Optional[float] = setting(
        None, "Speakers for testing, in percent (default: as `kws prepare` split them).", minimum=0, maximum=100
    )
    time_shift_ms: float = setting(
        100.0, "Clips are moved in time by up to this much, either way.", minimum=0, maximum=60000
    )
    background_frequency: float = setting(0.8, "Share of clips that get background noise.", minimum=0, maximum=1)
    background_volume: float = setting(0.1, "How loud that noise is at most; 1 is as recorded.", minimum=0, maximum=1)
    sampling: str = setting(
        "epoch",
        "epoch: every keyword clip once an epoch, other words drawn anew each epoch, evenly over words; "
        "reference: drawn with replacement, with one fixed set of other words and silence no louder than other noise, "
        "as ML-KWS-for-MCU does.",
        choices=("epoch", "reference"),
    )

    def __post_init__(self):
        held_back = (self.validation_percentage or 0) + (self.testing_percentage or 0)
        if held_back >= 100:
            raise KwsError(
                "--validation-percentage and --testing-percentage add up to %g; leave something to train on" % held_back
            )


@dataclass(frozen=True)
class TrainSettings:
    """How the weights are found."""

    learning_rate: Tuple[float, ...] = setting((0.0005, 0.0001, 0.00002), "Adam's rate in each phase of the training.")
    how_many_training_steps: Tuple[int, ...] = setting((10000, 10000, 10000), "Steps of each phase.")
    batch_size: int = setting(100, "Clips a step.", minimum=1, maximum=100000)
    dropout_rate: Optional[float] = setting(
        None, "Units dropped while training, where the network drops any (default: as its paper).",
        minimum=0, maximum=0.9,
    )
    eval_step_interval: int = setting(400, "Steps from one validation to the next.", minimum=1)
    save_interval: int = setting(400, "Steps from one checkpoint to the next.", minimum=1)
    seed: int = setting(59185, "Decides the weights at the start and every batch.", minimum=0, maximum=2 ** 31 - 1)

    def __post_init__(self):
        if len(self.learning_rate) != len(self.how_many_training_steps):
            raise KwsError(
                "--learning-rate has %d phases (%s) and --how-many-training-steps %d (%s); give one rate for each phase"
                % (
                    len(self.learning_rate),
                    ",".join("%g" % rate for rate in self.learning_rate),
                    len(self.how_many_training_steps),
                    ",".join(map(str, self.how_many_training_steps)),
                )
            )
        if not self.learning_rate or min(self.how_many_training_steps) < 1 or min(self.learning_rate) <= 0:
            raise KwsError("--learning-rate and --how-many-training-steps must be greater than zero in every phase")

    @property
    def step_count(self):
        return sum(self.how_many_training_steps)

    def rate_at(self, step):
        """Learning rate of `step`, counted from 1."""
        last = 0
        for rate, steps in zip(self.learning_rate, self.how_many_training_steps):
            last += steps
            if step <= last:
                return rate
        return self.learning_rate[-1]


def flag_of(name: str) -> str:
    """The flag of a setting: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def types_of(settings_class):
    """{field name: (element type, is a tuple)} of a settings class."""
    found = {}
    for name, hint in typing.get_type_hints(settings_class).items():
        arguments = getattr(hint, "__args__", None) or ()
        is_tuple = Ellipsis in arguments
        found[name] = (arguments[0] if arguments else hint, is_tuple)
    return found


def to_json(settings):
    """A settings object as plain JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(settings).items()}


def from_json(settings_class, values, where):
    """The settings object that `to_json` described; a name this version does not know is an error naming `where`."""
    names = {field.name for field in dataclasses.fields(settings_class)}
    for name in values:
        if name not in names:
            raise KwsError("%s holds a setting that this version of kws does not know: %s; update kws" % (where, name))
    return settings_class(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )


def pick(settings_class, values, **base):
    """The settings object that flags {name: value or None} describe, over `base`, over the defaults."""
    for field in dataclasses.fields(settings_class):
        value = values.get(field.name)
        if value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, float) and not math.isfinite(item):
                raise KwsError("--%s is %s; give a number" % (field.name.replace("_", "-"), item))
        base[field.name] = value
    return settings_class(**base)
