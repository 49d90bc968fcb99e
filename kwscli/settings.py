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


@dataclass(frozen=True)
class FeatureSettings:
    """What a clip is and how it becomes features (Mel-frequency cepstral coefficients)."""

    sample_rate: int = setting(16000, "Samples per second of every clip.", minimum=1000, maximum=192000)
    clip_duration_ms: int = setting(
        1000, "Length of a clip; recordings are cut or padded to it.", minimum=10, maximum=60000
    )
    window_size_ms: float = setting(40.0, "Length of one analysis window.", minimum=1)
    window_stride_ms: float = setting(20.0, "Step from one analysis window to the next.", minimum=1)
    dct_coefficient_count: int = setting(10, "Cepstral coefficients kept of each frame.", minimum=1)
    filterbank_channel_count: int = setting(40, "Mel filters a frame is measured with.", minimum=1, maximum=1000)
    lower_edge_hertz: float = setting(20.0, "Where the lowest mel filter begins.", minimum=0)
    upper_edge_hertz: float = setting(4000.0, "Where the highest mel filter ends.", minimum=1)

    def __post_init__(self):
        if self.window_size_samples > self.clip_samples:
            raise KwsError(
                "--window-size-ms %g is longer than the clip of %d ms; "
                "choose a shorter window or a longer --clip-duration-ms"
                % (self.window_size_ms, self.clip_duration_ms)
            )
        if self.window_stride_ms > self.clip_duration_ms:
            raise KwsError(
                "--window-stride-ms %g is longer than the clip of %d ms; choose a shorter stride"
                % (self.window_stride_ms, self.clip_duration_ms)
            )
        if self.dct_coefficient_count > self.filterbank_channel_count:
            raise KwsError(
                "--dct-coefficient-count %d is more than the %d mel filters; raise --filterbank-channel-count"
                % (self.dct_coefficient_count, self.filterbank_channel_count)
            )
        if not self.lower_edge_hertz < self.upper_edge_hertz <= self.sample_rate / 2:
            raise KwsError(
                "the mel filters must lie between 0 Hz and half the sample rate: "
                "found %g to %g Hz at %d samples a second"
                % (self.lower_edge_hertz, self.upper_edge_hertz, self.sample_rate)
            )

    @property
    def clip_samples(self):
        return self.sample_rate * self.clip_duration_ms // 1000

    @property
    def window_size_samples(self):
        return int(self.sample_rate * self.window_size_ms / 1000)

    @property
    def window_stride_samples(self):
        return int(self.sample_rate * self.window_stride_ms / 1000)

    @property
    def frame_count(self):
        return 1 + (self.clip_samples - self.window_size_samples) // self.window_stride_samples

    @property
    def feature_count(self):
        """Values a clip has for the network: `frame_count` x `dct_coefficient_count`."""
        return self.frame_count * self.dct_coefficient_count


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
