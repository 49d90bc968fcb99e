"""What a clip is and which features the network sees. No numpy here, because `kws train --help` needs this module.

A kind of features is one module, named in `FEATURES`, with three functions:

    channel_count(settings)         how many values each frame has
    check(settings)                 raises a KwsError if the settings are not possible
    compute(clips, settings, dtype) clips [n, clip_samples] float -> [n, frame_count, channel_count] float32

A frame must depend on the samples of its own window only: `kws listen` computes each frame of a stream once.
Optionally there is `UNUSED`, the names of settings that have no effect on it. To add a kind, write the module and put a
line into `FEATURES`; `--features` and the rest follow. Code outside this package does the same before it imports
`kwscli.cli`.
"""
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Dict, Tuple

from ..errors import KwsError
from ..settings import SAMPLE_RATE, flag_of, pick, setting

FEATURES = {
    "mfcc": "kwscli.sound.mfcc",
    "log_mel": "kwscli.sound.log_mel",
}


def load(name: str) -> ModuleType:
    """The module of a kind of features. It is imported only now."""
    if name not in FEATURES:
        raise KwsError("there are no features %s" % name, "choose one of %s" % ", ".join(FEATURES))
    return importlib.import_module(FEATURES[name])


@dataclass(frozen=True)
class FeatureSettings:
    """What a clip is and how it becomes features."""

    sample_rate: int = setting(SAMPLE_RATE, "Samples per second of every clip.", minimum=1000, maximum=192000)
    clip_duration_ms: int = setting(
        1000, "Length of a clip; recordings are cut or padded to it.", minimum=10, maximum=60000
    )
    features: str = setting(
        "mfcc", "Features of each frame: mel-frequency cepstral coefficients (mfcc) or the logarithms of mel energies "
        "(log_mel).", choices=FEATURES,
    )
    window_size_ms: float = setting(40.0, "Length of an analysis window.", minimum=1)
    window_stride_ms: float = setting(20.0, "Time from one analysis window to the next.", minimum=1)
    dct_coefficient_count: int = setting(10, "Cepstral coefficients per frame (mfcc only).", minimum=1)
    filterbank_channel_count: int = setting(40, "Mel filters per frame.", minimum=1, maximum=1000)
    lower_edge_hertz: float = setting(20.0, "Frequency at which the lowest mel filter begins.", minimum=0)
    upper_edge_hertz: float = setting(4000.0, "Frequency at which the highest mel filter ends.", minimum=1)

    def __post_init__(self):
        if self.window_size_samples > self.clip_samples:
            raise KwsError(
                "--window-size-ms %g is longer than the clip of %d ms" % (self.window_size_ms, self.clip_duration_ms),
                "choose a shorter window or a longer --clip-duration-ms",
            )
        if self.window_stride_ms > self.clip_duration_ms:
            raise KwsError(
                "--window-stride-ms %g is longer than the clip of %d ms"
                % (self.window_stride_ms, self.clip_duration_ms),
                "choose a shorter stride",
            )
        load(self.features).check(self)

    @property
    def clip_samples(self) -> int:
        return self.sample_rate * self.clip_duration_ms // 1000

    @property
    def window_size_samples(self) -> int:
        return int(self.sample_rate * self.window_size_ms / 1000)

    @property
    def window_stride_samples(self) -> int:
        return int(self.sample_rate * self.window_stride_ms / 1000)

    @property
    def frame_count(self) -> int:
        return 1 + (self.clip_samples - self.window_size_samples) // self.window_stride_samples

    @property
    def channel_count(self) -> int:
        """Values per frame."""
        return load(self.features).channel_count(self)

    @property
    def shape(self) -> Tuple[int, int]:
        """The shape of a clip's features: (frame_count, channel_count)."""
        return self.frame_count, self.channel_count

    @property
    def feature_count(self) -> int:
        """Values per clip."""
        return self.frame_count * self.channel_count

    def stride_frames(self, stride_ms: float) -> int:
        """The time from one window of a stream to the next, rounded to whole frames, at least one."""
        frames = max(1, int(round(stride_ms * self.sample_rate / 1000 / self.window_stride_samples)))
        if frames * self.window_stride_samples > self.clip_samples:
            raise KwsError(
                "--stride-ms %g is longer than the window of %d ms" % (stride_ms, self.clip_duration_ms),
                "choose a shorter one, so that no sound is between two windows",
            )
        return frames


def chosen(flags: Dict[str, Any], published: Dict[str, Any]) -> FeatureSettings:
    """The settings that flags {name: value or None} ask for, over those of a published network, over the defaults."""
    settings = pick(FeatureSettings, flags, **published)
    for name in getattr(load(settings.features), "UNUSED", ()):
        if flags.get(name) is not None:
            raise KwsError(
                "%s %s has no effect on %s features" % (flag_of(name), flags[name], settings.features),
                "leave it out, or choose other --features",
            )
    return settings
