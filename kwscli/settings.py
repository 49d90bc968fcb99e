"""Each hyper-parameter once: its name, default, bounds and help. Flags, `--help` and `model.json` follow from it."""
import dataclasses
import itertools
import math
import typing
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

from . import recipes
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
    align: str = setting(
        "", "A run, a checkpoint or a network in the package: of each recording that is longer than its clip, keep the "
        "part in which it scores the word highest, instead of the loudest one.",
    )

    def __post_init__(self):
        held_back = self.validation_percentage + self.testing_percentage
        if held_back > 100:
            raise KwsError(
                "--validation-percentage and --testing-percentage add up to %g, which is more than 100" % held_back,
                "lower one of them",
            )


ALL_BUT_THE_LAST = "all"  # of --freeze-layers
SPEED_STEP = 2.5  # percent between two speeds that a clip may have


@dataclass(frozen=True)
class DataSettings:
    """Which clips a network is trained on, and how they are changed."""

    wanted_words: Tuple[str, ...] = setting(KEYWORDS, "Keywords to spot; every other word is _unknown_.")
    silence_percentage: float = _extra_clips("silence", " in training")
    unknown_percentage: float = _extra_clips("other words", " in training")  # see `unknown_percentage_for`
    validation_percentage: Optional[float] = _speakers("validation", None, " (default: as `kws prepare` split them)")
    testing_percentage: Optional[float] = _speakers("testing", None, " (default: as `kws prepare` split them)")
    keyword_balance: float = setting(
        0.0, "How often an epoch repeats the clips of rare keywords: 0, never; 1, until each keyword has as many clips "
        "as the most frequent one; values between give part of that.", minimum=0, maximum=1,
    )
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
            if getattr(self, masks) and not getattr(self, width):
                raise KwsError(
                    "%s %d has no effect without %s" % (flag_of(masks), getattr(self, masks), flag_of(width)),
                    "add %s, or leave both out" % flag_of(width),
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
class StreamSettings:
    """How `kws eval --stream` measures, and the stream that it makes where it is given none."""

    stream_minutes: float = setting(10.0, "Length of the stream that --stream makes.", minimum=0.1, maximum=100000)
    stream_snr_db: float = setting(
        10.0, "Signal-to-noise ratio of the words in it, in decibels.", minimum=-20, maximum=100
    )
    words_per_minute: float = setting(
        20.0, "Number of words per minute in it; half of them are keywords.", minimum=0, maximum=1000
    )
    stream_seed: int = setting(1, "Determines which words it has, and when.", minimum=0, maximum=2 ** 31 - 1)
    tolerance_ms: float = setting(
        750.0, "Longest time between a word and its detection, with --stream.", minimum=0, maximum=60000
    )
    max_false_accepts_per_hour: Optional[float] = setting(
        None, "With --stream: find thresholds of the keywords for this rate, and write them into the model.", minimum=0
    )


@dataclass(frozen=True)
class DetectorSettings:
    """How the scores of a stream's windows become detections; see `detector`."""

    stride_ms: float = setting(
        240.0, "Time from one window to the next, rounded to whole frames of the features.", minimum=1, maximum=60000
    )
    threshold: float = setting(0.9, "Score from which on a keyword is detected.", minimum=0, maximum=1)
    thresholds: Tuple[str, ...] = setting((), "Other thresholds for some keywords, such as yes=0.95,stop=0.8.")
    minimum_windows: int = setting(
        2, "As many windows must reach the threshold of a keyword; fewer are enough if their scores are higher.",
        minimum=1, maximum=1000,
    )
    smoothing_ms: float = setting(500.0, "Time in which these windows are.", minimum=0, maximum=60000)
    suppression_ms: float = setting(
        500.0, "Time after a detection in which nothing is detected.", minimum=0, maximum=600000
    )

    def __post_init__(self):
        self.keyword_thresholds()  # they are checked at once

    def keyword_thresholds(self) -> Dict[str, float]:
        """{keyword: its own threshold}."""
        found = {}
        for text in self.thresholds:
            word, _, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError:
                value = -1.0
            if not (word.strip() and 0 <= value <= 1):
                raise KwsError(
                    "--thresholds has %r" % text, "give each as KEYWORD=NUMBER, with a number from 0 to 1: yes=0.9"
                )
            found[word.strip()] = value
        return found


@dataclass(frozen=True)
class TrainSettings:
    """How the network learns."""

    recipe: str = setting(
        recipes.HELLO_EDGE,
        "Defaults of all other settings: hello-edge, as in that paper; best, the most accurate that kws knows for the "
        "network. See kws guide training.",
        choices=recipes.NAMES,
    )
    schedule: str = setting(
        "phases",
        "phases: a learning rate for each phase; cosine: one rate, which falls to zero along half a cosine.",
        choices=("phases", "cosine"),
    )
    learning_rate: Tuple[float, ...] = setting(
        (0.0005, 0.0001, 0.00002), "Learning rate of the Adam optimizer in each phase of the training."
    )
    how_many_training_steps: Tuple[int, ...] = setting((10000, 10000, 10000), "Steps per phase.")
    warm_up_percentage: float = setting(
        0.0, "Share of the steps, in percent, in which the learning rate of a cosine schedule grows from zero.",
        minimum=0, maximum=100,
    )
    batch_size: int = setting(100, "Clips per step.", minimum=1, maximum=100000)
    dropout_rate: Optional[float] = setting(
        None, "Share of the units that training drops, in networks that have dropout (default: that of the paper).",
        minimum=0, maximum=0.9,
    )
    normalize_features: bool = setting(
        False, "Subtract the mean of each feature channel over training clips, and divide by its deviation."
    )
    label_smoothing: float = setting(
        0.0, "Share of each clip's target that all labels get in equal parts.", minimum=0, maximum=0.9
    )
    weight_decay: float = setting(
        0.0, "Each step makes weights smaller by this share of them, times the learning rate.", minimum=0, maximum=1
    )
    gradient_clipping: float = setting(
        0.0, "Largest norm of the gradients of all weights together; 0: no limit.", minimum=0
    )
    weight_averaging: float = setting(
        0.0,
        "Decay of a moving average of the weights, which validation, checkpoints and exports use; 0: the weights of "
        "the last step.",
        minimum=0, maximum=0.99999,
    )
    freeze_layers: str = setting(
        "0",
        "How many of the first layers keep the weights of --start-checkpoint as they are: a number, or all, which is "
        "all but the last. kws models NAME lists the layers.",
    )
    old_layers_rate_percentage: float = setting(
        100.0, "Learning rate of the layers that start with weights of --start-checkpoint, all but the last, in "
        "percent of the --learning-rate.", minimum=0.001, maximum=100,
    )
    teacher: Tuple[str, ...] = setting(
        (), "Runs or checkpoints, separated by commas, whose mean scores the network learns as well (distillation)."
    )
    distillation_weight: float = setting(
        0.7, "Share of the loss that compares the network with its teachers.", minimum=0, maximum=1
    )
    distillation_temperature: float = setting(
        2.0, "Logits of the network and its teachers are divided by this before they are compared.", minimum=0.1,
        maximum=100,
    )
    quantize: bool = setting(
        False, "Train for 8-bit integers: round weights and activations as --format tflite-int8 of kws freeze does, in "
        "the last part of the training.",
    )
    quantize_percentage: float = setting(
        20.0, "Share of the steps, in percent, that round with --quantize.", minimum=0, maximum=100
    )
    eval_step_interval: int = setting(400, "Validate every this many steps.", minimum=1)
    save_interval: int = setting(400, "Save a checkpoint every this many steps.", minimum=1)
    seed: int = setting(59185, "Determines the first weights and every batch.", minimum=0, maximum=2 ** 31 - 1)

    def __post_init__(self):
        rates, phases = self.learning_rate, self.how_many_training_steps
        if self.schedule == "cosine" and (len(rates), len(phases)) != (1, 1):
            raise KwsError(
                "a cosine schedule has one --learning-rate and one --how-many-training-steps: found %s and %s"
                % (_joined(rates), _joined(phases)),
                "give one number for each, or --schedule phases",
            )
        if len(rates) != len(phases):
            raise KwsError(
                "--learning-rate has %d phases (%s), but --how-many-training-steps has %d (%s)"
                % (len(rates), _joined(rates), len(phases), _joined(phases)),
                "give one rate per phase",
            )
        if not rates or min(phases) < 1 or min(rates) <= 0:
            raise KwsError("--learning-rate and --how-many-training-steps must be greater than zero in every phase")
        if self.warm_up_percentage and self.schedule != "cosine":
            raise KwsError(
                "--warm-up-percentage %g has no effect on --schedule phases" % self.warm_up_percentage,
                "leave it out, or add --schedule cosine",
            )
        if self.freeze_layers != ALL_BUT_THE_LAST and not self.freeze_layers.isdecimal():
            raise KwsError(
                "--freeze-layers %s is neither a number of layers nor %s" % (self.freeze_layers, ALL_BUT_THE_LAST),
                "give a number such as 4, or %s for all layers but the last" % ALL_BUT_THE_LAST,
            )
        if self.quantize and not self.quantize_percentage:
            raise KwsError(
                "--quantize-percentage 0 leaves no step that rounds", "raise it, or leave --quantize out"
            )
        if self.warm_up_steps >= self.step_count:
            raise KwsError(
                "--warm-up-percentage %g leaves no step for the schedule after the warm-up" % self.warm_up_percentage,
                "lower it, or raise --how-many-training-steps",
            )

    @property
    def step_count(self) -> int:
        """Steps of all phases together."""
        return sum(self.how_many_training_steps)

    @property
    def warm_up_steps(self) -> int:
        """Steps in which the learning rate grows."""
        return int(self.step_count * self.warm_up_percentage / 100)

    @property
    def steps_before_rounding(self) -> int:
        """Steps after which a training with --quantize rounds weights and activations; 0 without --quantize."""
        return int(self.step_count * (1 - self.quantize_percentage / 100)) if self.quantize else 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        if self.schedule == "cosine":
            return self.learning_rate[0] * self._share_of_rate(step)
        last = 0
        for rate, steps in zip(self.learning_rate, self.how_many_training_steps):
            last += steps
            if step <= last:
                return rate
        return self.learning_rate[-1]

    def _share_of_rate(self, step):
        """The share of its learning rate that a cosine schedule has in a step (arXiv 1608.03983)."""
        warm_up = self.warm_up_steps
        if step <= warm_up:
            return step / warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (step - 1 - warm_up) / (self.step_count - warm_up))

    def extends(self, other: "TrainSettings") -> bool:
        """Whether this schedule has more steps than another one, and the same learning rate in each of its steps."""
        if "cosine" in (self.schedule, other.schedule):  # the rates of all steps depend on the number of steps
            return False
        if self.quantize or other.quantize:  # the steps that round depend on it, too
            return False
        ends = list(itertools.accumulate(self.how_many_training_steps))
        ends += itertools.accumulate(other.how_many_training_steps)
        same = all(self.rate_at(end) == other.rate_at(end) for end in ends if end <= other.step_count)
        return self.step_count > other.step_count and same


def _joined(values):
    return ",".join("%g" % value for value in values)


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
