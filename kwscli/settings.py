"""Each hyper-parameter once: its name, default, bounds and help. Flags, `--help` and `model.json` follow from it."""
import dataclasses
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
    def shape(self):
        """(frame_count, dct_coefficient_count)."""
        return self.frame_count, self.dct_coefficient_count

    @property
    def feature_count(self):
        """Values a clip has for the network: `frame_count` x `dct_coefficient_count`."""
        return self.frame_count * self.dct_coefficient_count


KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


def _speakers(split, default, note=""):
    return setting(default, "Percentage of the speakers for %s%s." % (split, note), minimum=0, maximum=100)


def _extra_clips(what, note=""):
    return setting(10.0, "Clips of %s, as a percentage of the keyword clips%s." % (what, note), minimum=0, maximum=1000)


@dataclass(frozen=True)
class PrepareSettings:
    """How recordings become prepared data."""

    sample_rate: int = setting(
        FeatureSettings.sample_rate, "Samples per second that every recording is converted to.",
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


@dataclass(frozen=True)
class DataSettings:
    """Which clips a network is trained on, and how they are changed."""

    wanted_words: Tuple[str, ...] = setting(KEYWORDS, "Keywords to spot; every other word is _unknown_.")
    silence_percentage: float = _extra_clips("silence", " in training")
    unknown_percentage: float = _extra_clips("other words", " in training")
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


@dataclass(frozen=True)
class EvaluationSettings:
    """Which clips a network is measured on, beside those of its keywords. They do not follow the training's."""

    silence_percentage: float = _extra_clips("silence")
    unknown_percentage: float = _extra_clips("other words")


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
