"""`kws eval --stream`: measures a network on a long recording, with the detector of `kws listen`."""
import collections
import functools
import math
import os
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import classifiers, console, significance
from ..classifiers.classifier import Classifier
from ..console import say
from ..data import dataset, freshness
from ..detector import thresholds_of
from ..errors import KwsError
from ..labels import folded
from ..listening import sources, truth
from ..listening.stream import WindowScores
from ..settings import DetectorSettings, StreamSettings, flag_of, pick
from ..sound import audio
from . import operating_points
from .made_stream import MadeStream
from .operating_points import Point, ScoredStream

RATES = (0.5, 1.0, 5.0, 20.0)  # false accepts per hour at which false rejects are reported
_OF_MADE = "split", "stream_minutes", "stream_snr_db", "words_per_minute", "stream_seed"  # flags of made streams
_PRINTED = 0.9999, 0.999, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5  # of the thresholds of the operating curve


class Measurement(NamedTuple):
    """What the detector finds in a stream, and what it would find with other thresholds."""

    path: str  # of the model
    stream: str  # what was listened to, in one line
    detector: DetectorSettings
    comparison: truth.Comparison
    latencies_ms: Sequence[float]  # of the hits: from the end of the word to the end of the window that found it
    points: Sequence[Point]  # the operating curve
    wanted_rate: Optional[float] = None  # of false accepts per hour, for which the thresholds were found
    found_on: str = ""  # the stream that they were found on, and
    found_in_hours: float = 0.0  # its length

    @property
    def interval(self) -> Sequence[float]:
        """The 95 % interval of the false accepts per hour."""
        count, hours = len(self.comparison.false_accepts), self.comparison.hours
        return [end / hours for end in significance.poisson_interval(count)]

    @property
    def upper_bound(self) -> float:
        """The false accepts per hour that the network does not exceed, at 95 % confidence."""
        return significance.poisson_upper_bound(len(self.comparison.false_accepts)) / self.comparison.hours

    def latency_ms(self, share: float) -> Optional[float]:
        """The time within which this share of the hits are certain; None without any."""
        return float(np.percentile(self.latencies_ms, 100 * share)) if len(self.latencies_ms) else None

    def to_json(self) -> Dict[str, Any]:
        """The measurement as plain JSON values."""
        keywords = self.comparison.keywords
        return dict(
            self.comparison.to_json(), checkpoint=self.path, stream=self.stream, hours=self.comparison.hours,
            thresholds=dict(zip(keywords, thresholds_of(keywords, self.detector).tolist())),
            thresholds_found_on=self.found_on, wanted_false_accepts_per_hour=self.wanted_rate,
            false_accepts_per_hour_interval_95=list(self.interval),
            false_accepts_per_hour_upper_bound_95=self.upper_bound,
            latency_ms={"median": self.latency_ms(0.5), "90 %": self.latency_ms(0.9)},
            false_rejects_at=[
                {"false_accepts_per_hour": rate, "point": point and point.to_json()} for rate, point in self._at_rates()
            ],
            operating_curve=[point.to_json() for point in self.points],
        )

    def __str__(self) -> str:
        count, hours = len(self.comparison.false_accepts), self.comparison.hours
        lines = [self.stream, "", str(self.comparison), ""]
        lines.append("false accepts per hour: %.2f (95 %% interval %.2f to %.2f; %d in %.2f hours)" % (
            (count / hours,) + tuple(self.interval) + (count, hours)
        ))
        if len(self.latencies_ms):
            lines.append("latency from the end of a word: median %.0f ms, 90 %% of the words within %.0f ms"
                         % (self.latency_ms(0.5), self.latency_ms(0.9)))
        lines += ["", "one threshold for all keywords", self._curve()]
        if any(point.words for point in self.points):
            lines += ["", "false rejects at a rate of false accepts", self._rates()]
        if self.wanted_rate is not None:
            lines += ["", "thresholds for at most %g false accepts per hour" % self.wanted_rate,
                      ",".join(self.detector.thresholds), self._found(), self._proof()]
        return "\n".join(lines)

    def _curve(self):
        head = ("threshold", "false rejects", "false accepts", "per hour", "95 % interval")
        return console.table([head] + [_row(point) for point in self.points if point.threshold in _PRINTED], ">")

    def _at_rates(self):
        return [(rate, operating_points.at_rate(self.points, rate)) for rate in RATES]

    def _rates(self):
        head = ("at most", "threshold", "false rejects", "false accepts", "per hour", "95 % interval")
        rows = [("%g" % rate,) + (_row(point) if point else (None,) * 5) for rate, point in self._at_rates()]
        return console.table([head] + rows, ">")

    def _found(self):
        """Where the thresholds come from."""
        lines = ["They were found on another stream: %s." % self.found_on]
        if self.found_on == self.stream:
            lines = ["They were found on this very stream, which flatters them: measure them on another one."]
        hours = operating_points.hours_for_own_thresholds(len(self.detector.thresholds), self.wanted_rate)
        if self.found_in_hours < hours < math.inf:
            lines.append("That stream is too short for a threshold per keyword, which takes %.2f hours." % hours)
        return "\n".join(lines)

    def _proof(self):
        """Whether the stream shows the rate that was wanted."""
        count, hours = len(self.comparison.false_accepts), self.comparison.hours
        shown = "%d false accepts in %.2f hours show that there are at most %.2f per hour (95 %% confidence)." % (
            count, hours, self.upper_bound
        )
        if self.upper_bound <= self.wanted_rate:
            return shown
        if count > self.wanted_rate * hours:
            return shown + " That is more than wanted: find the thresholds on a longer stream, or for a lower rate."
        if not self.wanted_rate:
            return shown + " No stream is long enough to show 0 per hour."
        return "%s To show %g per hour, a stream without any false accept has to last %.2f hours." % (
            shown, self.wanted_rate, significance.poisson_upper_bound(0) / self.wanted_rate
        )


def _row(point):
    rejects = None if point.false_rejects is None else "%.1f %%" % (100 * point.false_rejects)
    return ("%.6g" % point.threshold, rejects, point.false_accepts, "%.2f" % (point.false_accepts / point.hours),
            "%.2f to %.2f" % point.interval)


class Recording:
    """A long recording of the user, and what is said in it."""

    def __init__(self, path: str, sample_rate: int, truth_path: Optional[str]) -> None:
        self._path, self._rate, self._truth_path = path, sample_rate, truth_path
        self._spoken = truth.read(truth_path) if truth_path else []

    def __str__(self) -> str:
        return self._path + (" with %s" % self._truth_path if self._truth_path else ", in which no keyword is said")

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples as blocks [n] float32."""
        return sources.blocks(self._path, self._rate, None, say)

    def spoken(self, seconds: float, keywords: Sequence[str]) -> List[truth.Spoken]:
        """What is said in it, with times in seconds. seconds: its length. keywords: of the network."""
        spoken = truth.in_seconds(self._spoken, seconds)
        for number, one in enumerate(spoken, 1):
            if not 0 <= one.start <= seconds:
                raise KwsError(
                    "word %d in %s is %s at %.2f s, but %s lasts from 0 to %.2f s"
                    % (number, self._truth_path, one.word, one.start, self._path, seconds),
                    "give the recording that belongs to it, or remove that line",
                )
        known = {folded(word) for word in keywords}
        others = collections.Counter(one.word for one in spoken if folded(one.word) not in known)
        if others:
            named = ["%s (%d)" % item for item in others.most_common(5)]
            say("%s has words that are not keywords of the network: %s%s. They count as other speech." % (
                self._truth_path, ", ".join(named), ", ..." if len(others) > len(named) else ""))
        return spoken


def evaluate(
    paths: Sequence[Optional[str]], labels: Optional[str], data_path: Optional[str], split: Optional[str], stream: str,
    truth: Optional[str], save_stream: Optional[str], check: Callable[[Classifier, str], None], **settings: Any
) -> List[Measurement]:
    """Measure models on a stream, in their order.

    paths: as `classifiers.open` takes them. stream: a sound file; "": make one of the prepared data in `data_path`, or
    of that of the first model. truth: the file that says what is said in it. save_stream: a folder for the stream that
    is made. check(model, data_path): called before each measurement; it may raise a KwsError. settings: values of
    StreamSettings, or None for the default.
    """
    _check(stream, truth, save_stream, dict(settings, split=split), paths)
    chosen = pick(StreamSettings, settings)
    found: List[Measurement] = []
    for path in paths:
        with classifiers.open(path, labels, light=True) as model:
            keywords = operating_points.keywords_of(model.labels)
            if found and keywords != list(found[0].comparison.keywords):
                raise KwsError(
                    "%s has other keywords (%s) than %s" % (path, console.listed(keywords), paths[0]),
                    "measure it alone",
                )
            data_path = data_path or model.data_path or "data"
            check(model, data_path)
            if stream:
                found.append(measure(model, Recording(stream, model.features.sample_rate, truth), chosen))
                continue
            made = functools.partial(_made, model, data_path, chosen)
            source = made(split or "testing")
            if save_stream and not found:
                source.save(save_stream)
            finds = chosen.max_false_accepts_per_hour is not None
            found.append(measure(model, source, chosen, made("validation") if finds else None))
    return found


def _check(stream, truth, save_stream, of_made, paths):
    """Refuse flags that cannot act. of_made: {name: value} of those of a stream that is made, and others."""
    if os.path.isdir(stream):
        raise KwsError("--stream %s is a folder" % stream, "name the model first: kws eval %s --stream" % stream)
    if not stream and truth:
        raise KwsError("--truth %s says what is said in a recording" % truth, "name it: --stream FILE")
    given = {name: of_made[name] for name in _OF_MADE if of_made.get(name) is not None}
    given.update({"save_stream": save_stream} if save_stream else {})
    for name, value in given.items() if stream else ():
        raise KwsError("%s %s is for a stream that kws makes, but --stream names %s" % (flag_of(name), value, stream),
                       "leave one of them out")
    if len(paths) > 1 and stream == sources.STDIN:
        raise KwsError("standard input can be read once, but there are %d models" % len(paths), "save it as a file")
    if len(paths) > 1 and of_made.get("max_false_accepts_per_hour") is not None:
        raise KwsError("--max-false-accepts-per-hour changes one model, but there are %d" % len(paths),
                       "give one of them")


def _made(model, data_path, settings, split):
    """The stream that is made for a model."""
    outdated = freshness.outdated(data_path) if dataset.is_prepared(data_path) else None
    if outdated:
        say("%s. The stream is made of the prepared data." % outdated)
    data = dataset.load(data_path, model.data.validation_percentage, model.data.testing_percentage)
    return MadeStream(data, operating_points.keywords_of(model.labels), model.features, split, settings)


def measure(
    model: Classifier, source: Any, settings: StreamSettings, other: Optional[Any] = None
) -> Measurement:
    """Measure a model on a stream: a Recording or a MadeStream.

    other: where `max_false_accepts_per_hour` is set, the stream that its thresholds are found on; None: the same one.
    """
    scored, detector, found = score(model, source), model.detector, ()
    if settings.max_false_accepts_per_hour is not None:
        tuned, rate = score(model, other) if other else scored, settings.max_false_accepts_per_hour
        detector = operating_points.with_thresholds(detector, operating_points.thresholds_for(
            model.labels, [tuned], detector, rate, settings.tolerance_ms
        ))
        found = rate, str(other or source), tuned.seconds / 3600
    comparison = operating_points.compare(model.labels, scored, detector, settings.tolerance_ms)
    late = model.features.clip_duration_ms / 2
    latencies = [1000 * (heard.time - said.end) + late for said, heard in comparison.hits]
    points = operating_points.curve(model.labels, [scored], detector, settings.tolerance_ms)
    return Measurement(model.path, str(source), detector, comparison, latencies, points, *found)


def score(model: Classifier, source: Any) -> ScoredStream:
    """The scores of the windows of a stream, as `kws listen` has them."""
    windows, rate = WindowScores(model, model.detector.stride_ms), model.features.sample_rate
    times, scores = [], []

    def keep(some):
        times.append(windows.last_middles_ms(len(some)))
        scores.append(some)

    with console.Progress("listening", unit="seconds") as progress:
        for block in source.blocks():
            keep(windows.feed(block))
            progress.update(int(round(len(block) / rate)))
    if not windows.sample_count:
        raise audio.EmptyAudio("%s: the stream holds no samples" % source)
    if windows.sample_count < model.features.clip_samples:
        say("%s is shorter than a window of the network: it lasts %.2f s of %.2f s."
            % (source, windows.sample_count / rate, model.features.clip_duration_ms / 1000))
    keep(windows.finish())
    seconds = windows.sample_count / rate
    spoken = source.spoken(seconds, operating_points.keywords_of(model.labels))
    return ScoredStream(np.concatenate(times), np.concatenate(scores), seconds, spoken)


def table(measurements: Sequence[Measurement]) -> str:
    """Measurements of several models as text."""
    cells = [("model", "found", "wrong", "misses", "false accepts", "per hour", "95 % interval", "median latency")]
    for one in measurements:
        compared, latency = one.comparison, one.latency_ms(0.5)
        cells.append((
            one.path, len(compared.hits), len(compared.wrong), len(compared.misses), len(compared.false_accepts),
            "%.2f" % (len(compared.false_accepts) / compared.hours), "%.2f to %.2f" % tuple(one.interval),
            None if latency is None else "%.0f ms" % latency,
        ))
    return "%s\n\n%s" % (measurements[0].stream, console.table(cells, "<>"))
