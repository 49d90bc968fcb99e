"""Each hyper-parameter once: its name, default, bounds and help. Flags, `--help` and `model.json` follow from it."""
import dataclasses
import itertools
import math
import typing
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

from .errors import KwsError


def setting(
    default: Any, help: str, choices: Optional[Sequence[str]] = None, minimum: Optional[float] = None,
    maximum: Optional[float] = None, repeated: bool = False,
) -> Any:
    """One hyper-parameter of a settings class. repeated: the flag may be given several times, once per value."""
    return dataclasses.field(default=default, metadata={
        "help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "repeated": repeated
    })


SAMPLE_RATE = 16000  # of Speech Commands
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


def _speakers(split, default, note=""):
    return setting(default, "Percentage of the speakers for %s%s." % (split, note), minimum=0, maximum=100)


def _extra_clips(what, note=""):
    return setting(10.0, "Clips of %s, as a percentage of the keyword clips%s." % (what, note), minimum=0, maximum=1000)


@dataclass(frozen=True)
class PrepareSettings:
    """How recordings become prepared data."""

    sample_rate: int = setting(
        SAMPLE_RATE, "Samples per second that every recording is converted to.",
        minimum=1000, maximum=192000,
    )
    validation_percentage: float = _speakers("validation", 10.0)
    testing_percentage: float = _speakers("testing", 10.0)

    def __post_init__(self):
        held_back = self.validation_percentage + self.testing_percentage
        if held_back > 100:
            raise KwsError(
                "--validation-percentage and --testing-percentage add up to %g, which is more than 100" % held_back,
                "lower one of them",
            )


SPEED_STEP = 2.5  # percent between two speeds that a clip may have


@dataclass(frozen=True)
class DataSettings:
    """Which clips a network is trained on, and how they are changed."""

    wanted_words: Tuple[str, ...] = setting(KEYWORDS, "Keywords to spot; every other word is _unknown_.")
    silence_percentage: float = _extra_clips("silence", " in training")
    unknown_percentage: float = _extra_clips("other words", " in training")  # see `unknown_percentage_for`
    validation_percentage: Optional[float] = _speakers("validation", None, " (default: as `kws prepare` split them)")
    testing_percentage: Optional[float] = _speakers("testing", None, " (default: as `kws prepare` split them)")
    time_shift_ms: float = setting(
        100.0, "Each clip is moved in time by up to this much, in both directions.", minimum=0, maximum=60000
    )
    background_frequency: float = setting(
        0.8, "Fraction of the clips that background noise is added to.", minimum=0, maximum=1
    )
    background_volume: float = setting(
        0.1, "Maximum volume of that noise; 1 is the volume of the recording.", minimum=0, maximum=1
    )
    attenuation_db: float = setting(
        0.0, "Each clip is made quieter by up to this many decibels, so that quiet recordings are recognized, too.",
        minimum=0, maximum=90,
    )
    noise_snr_db: Tuple[float, ...] = setting(
        (), "Lowest and highest signal-to-noise ratio of background noise, in decibels; replaces --background-volume.",
    )
    speed_percentage: float = setting(
        0.0, "Each clip is made faster or slower by up to this many percent, in steps of %g." % SPEED_STEP,
        minimum=0, maximum=50,
    )
    room_frequency: float = setting(
        0.0, "Fraction of the clips that get the reverberation of a room.", minimum=0, maximum=1
    )
    microphone_frequency: float = setting(
        0.0, "Fraction of the clips that sound like a cheap microphone: muffled, thin or clipped.", minimum=0, maximum=1
    )
    time_masks: int = setting(
        0, "Masks over neighbouring frames of the features (SpecAugment).", minimum=0, maximum=100
    )
    time_mask_frames: int = setting(0, "Largest width of such a mask, in frames.", minimum=0, maximum=100000)
    frequency_masks: int = setting(
        0, "Masks over neighbouring channels of the features (SpecAugment).", minimum=0, maximum=100
    )
    frequency_mask_channels: int = setting(
        0, "Largest width of a mask over channels, in channels.", minimum=0, maximum=100000
    )
    sampling: str = setting(
        "epoch",
        "epoch: each epoch has every keyword clip once, and new clips of other words, evenly over the words; "
        "reference: as in ML-KWS-for-MCU, clips are drawn with replacement, the clips of other words are the same in "
        "every epoch, and silence is as quiet as the other noise.",
        choices=("epoch", "reference"),
    )

    def __post_init__(self):
        held_back = (self.validation_percentage or 0) + (self.testing_percentage or 0)
        if held_back >= 100:
            raise KwsError(
                "--validation-percentage and --testing-percentage add up to %g" % held_back,
                "leave something to train on",
            )
        if self.noise_snr_db:
            self._check_noise_snr_db()
        if 0 < self.speed_percentage < SPEED_STEP:
            raise KwsError(
                "--speed-percentage %g has no effect, because speeds differ by %g %%"
                % (self.speed_percentage, SPEED_STEP),
                "choose 0, or at least %g" % SPEED_STEP,
            )
        for masks, width in (("time_masks", "time_mask_frames"), ("frequency_masks", "frequency_mask_channels")):
            if bool(getattr(self, masks)) != bool(getattr(self, width)):
                given, missing = (masks, width) if getattr(self, masks) else (width, masks)
                raise KwsError(
                    "%s %d has no effect without %s" % (flag_of(given), getattr(self, given), flag_of(missing)),
                    "give both, or set both to 0",
                )

    def _check_noise_snr_db(self):
        shown = ",".join("%g" % one for one in self.noise_snr_db)
        if len(self.noise_snr_db) != 2:
            raise KwsError(
                "--noise-snr-db %s is not two numbers" % shown, "give the lowest and the highest ratio, as in -5,20"
            )
        if self.noise_snr_db[0] > self.noise_snr_db[1]:
            raise KwsError("--noise-snr-db %s begins with the higher ratio" % shown, "give the lower one first")
        if max(map(abs, self.noise_snr_db)) > 100:
            raise KwsError("--noise-snr-db %s is out of range" % shown, "choose ratios from -100 to 100 decibels")


def unknown_percentage_for(keyword_count: int) -> float:
    """The percentage of other words that kws trains this number of keywords with, where the user does not give it.

    10 % is the field's choice for ten keywords. With fewer keywords, it would leave so few clips of other words that
    the network takes many of them for a keyword.
    """
    return max(10.0, round(min(200.0, 1000.0 / keyword_count ** 2), 1))


@dataclass(frozen=True)
class EvaluationSettings:
    """Which clips a network is measured on, beside those of its keywords. They do not follow the training's."""

    silence_percentage: float = _extra_clips("silence")
    unknown_percentage: float = _extra_clips("other words")


@dataclass(frozen=True)
class TrainSettings:
    """How the network learns."""

    learning_rate: Tuple[float, ...] = setting(
        (0.0005, 0.0001, 0.00002), "Learning rate of the Adam optimizer in each phase of the training."
    )
    how_many_training_steps: Tuple[int, ...] = setting((10000, 10000, 10000), "Steps per phase.")
    batch_size: int = setting(100, "Clips per step.", minimum=1, maximum=100000)
    dropout_rate: Optional[float] = setting(
        None, "Share of the units that training drops, in networks that have dropout (default: that of the paper).",
        minimum=0, maximum=0.9,
    )
    eval_step_interval: int = setting(400, "Validate every this many steps.", minimum=1)
    save_interval: int = setting(400, "Save a checkpoint every this many steps.", minimum=1)
    seed: int = setting(59185, "Determines the first weights and every batch.", minimum=0, maximum=2 ** 31 - 1)

    def __post_init__(self):
        if len(self.learning_rate) != len(self.how_many_training_steps):
            raise KwsError(
                "--learning-rate has %d phases (%s), but --how-many-training-steps has %d (%s)"
                % (
                    len(self.learning_rate),
                    ",".join("%g" % rate for rate in self.learning_rate),
                    len(self.how_many_training_steps),
                    ",".join(map(str, self.how_many_training_steps)),
                ),
                "give one rate per phase",
            )
        if not self.learning_rate or min(self.how_many_training_steps) < 1 or min(self.learning_rate) <= 0:
            raise KwsError("--learning-rate and --how-many-training-steps must be greater than zero in every phase")

    @property
    def step_count(self) -> int:
        """Steps of all phases together."""
        return sum(self.how_many_training_steps)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        last = 0
        for rate, steps in zip(self.learning_rate, self.how_many_training_steps):
            last += steps
            if step <= last:
                return rate
        return self.learning_rate[-1]

    def extends(self, other: "TrainSettings") -> bool:
        """Whether this schedule has more steps than another one, and the same learning rate in each of its steps."""
        ends = list(itertools.accumulate(self.how_many_training_steps))
        ends += itertools.accumulate(other.how_many_training_steps)
        same = all(self.rate_at(end) == other.rate_at(end) for end in ends if end <= other.step_count)
        return self.step_count > other.step_count and same


def flag_of(name: str) -> str:
    """The flag of a setting: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def types_of(settings_class: type) -> Dict[str, Tuple[type, bool]]:
    """{field name: (element type, whether it is a tuple of such elements)} of a settings class."""
    found = {}
    for name, hint in typing.get_type_hints(settings_class).items():
        arguments = getattr(hint, "__args__", None) or ()
        is_tuple = Ellipsis in arguments
        found[name] = (arguments[0] if arguments else hint, is_tuple)
    return found


def to_json(settings: Any) -> Dict[str, Any]:
    """A settings object as plain JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(settings).items()}


def from_json(settings_class: type, values: Dict[str, Any], where: str) -> Any:
    """The settings object that `to_json` described. An unknown name is an error that names `where` it was read."""
    names = {field.name for field in dataclasses.fields(settings_class)}
    for name in values:
        if name not in names:
            raise KwsError(
                "%s contains the setting %s, which this version of kws does not know" % (where, name), "update kws"
            )
    return settings_class(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )


def pick(settings_class: type, values: Dict[str, Any], **base: Any) -> Any:
    """The settings object of flags {name: value or None}. `base` replaces the defaults where a flag is not given."""
    for field in dataclasses.fields(settings_class):
        value = values.get(field.name)
        if value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, float) and not math.isfinite(item):
                raise KwsError("%s is %s" % (flag_of(field.name), item), "give a finite number")
        base[field.name] = value
    return settings_class(**base)
