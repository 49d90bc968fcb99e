"""`kws listen`: finds keywords in a sound file of any length, on standard input or in what the microphone hears."""
import collections
import os
import time
from typing import Any, Callable, Counter, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, TextIO, Tuple

import numpy as np
import soundfile

from .detector import Detector
from .errors import KwsError
from .labels import SILENCE, UNKNOWN
from .listening import microphone, sources, truth
from .listening.stream import WindowScores
from .settings import DetectorSettings
from .sound import audio


class Heard(NamedTuple):
    """A keyword that was heard. start, end: its window in the stream, in seconds."""

    start: float
    end: float
    keyword: str
    score: float

    @property
    def time(self) -> float:
        """The middle of its window, in seconds."""
        return (self.start + self.end) / 2

    def __str__(self) -> str:
        return "%.2f s  %s  %.1f %%" % (self.time, self.keyword, 100 * self.score)

    def to_json(self) -> Dict[str, Any]:
        return {
            "time": round(self.time, 3), "keyword": self.keyword, "score": self.score, "start": round(self.start, 3),
            "end": round(self.end, 3),
        }


def blocks(
    classifier: Any, source: Optional[str], microphone_name: Optional[str], rate: Optional[int],
    say: Callable[[str], None],
) -> Iterator[np.ndarray]:
    """The sound to listen to, as blocks [n] float32: a file, `-`, or the microphone if it has a name or is "".

    say: is called with what is unusual about the sound.
    """
    sample_rate = classifier.features.sample_rate
    if microphone_name is None:
        if source is None:
            raise KwsError("there is nothing to listen to", "give a sound file, - for standard input, or --microphone")
        return sources.blocks(source, sample_rate, rate, say)
    for what, value in (("a file", source), ("--rate", rate)):
        if value is not None:
            raise KwsError("--microphone and %s exclude each other" % what, "leave one of them out")
    return microphone.blocks(microphone_name, sample_rate, say)


class Listener:
    """Finds keywords in a stream, in constant memory; iterate over `listen`.

    settings: of the detector. clips_folder: where the windows of detections are kept as WAV files, one folder per
    keyword. labels_file: gets a line per detection, in the form of an Audacity label track.
    """

    def __init__(
        self, classifier: Any, settings: DetectorSettings, clips_folder: Optional[str] = None,
        labels_file: Optional[TextIO] = None,
    ) -> None:
        self._features = classifier.features
        self._windows = WindowScores(classifier, settings.stride_ms)
        self._detector = Detector(classifier.labels, settings)
        self._memory = _Memory(self._features, settings) if clips_folder else None
        self._clips_folder, self._labels_file = clips_folder, labels_file
        self._labels = classifier.labels
        self._heard: Counter[str] = collections.Counter()
        self._seconds_needed = self._cpu_seconds = 0.0

    @property
    def seconds(self) -> float:
        """The length of the stream so far."""
        return self._windows.sample_count / self._features.sample_rate

    def listen(self, stream: Iterable[np.ndarray]) -> Iterator[Heard]:
        """Blocks [n] float32 -> each detection, as soon as it is certain."""
        blocks = iter(stream)
        while True:
            started, cpu_started = time.perf_counter(), time.process_time()
            block = next(blocks, None)
            if block is None:
                if not self._windows.sample_count:
                    raise audio.EmptyAudio("the sound to listen to holds no samples")
                found = self._detected(self._windows.finish())
            else:
                if self._memory:
                    self._memory.add(block)
                found = self._detected(self._windows.feed(block))
            self._seconds_needed += time.perf_counter() - started
            self._cpu_seconds += time.process_time() - cpu_started
            yield from found
            if block is None:
                return

    def _detected(self, scores):
        """The detections that the scores of the next windows [n, label_count] make certain."""
        clip_ms = self._features.clip_duration_ms
        detections = self._detector.feed(self._windows.last_middles_ms(len(scores)), scores)
        found = []
        for time_ms, keyword, score in detections:
            heard = Heard((time_ms - clip_ms / 2) / 1000, (time_ms + clip_ms / 2) / 1000, keyword, score)
            self._heard[keyword] += 1
            self._keep(heard)
            found.append(heard)
        return found

    def _keep(self, heard):
        if self._labels_file:
            self._labels_file.write("%.3f\t%.3f\t%s\n" % (heard.start, heard.end, heard.keyword))
            self._labels_file.flush()
        if self._memory:
            folder = os.path.join(self._clips_folder, heard.keyword.replace(os.sep, "_"))
            os.makedirs(folder, exist_ok=True)
            path = _new_path(os.path.join(folder, "%09.2fs" % heard.start))
            clip = self._memory.clip(int(round(heard.start * self._features.sample_rate)))
            soundfile.write(path, audio.to_int16(clip), self._features.sample_rate, subtype="PCM_16")

    def summary(self) -> str:
        """What was heard, in one line."""
        counted = ["%s %d" % (label, self._heard[label]) for label in self._labels if self._heard[label]]
        total = sum(self._heard.values())
        return "%d keyword%s in %s%s" % (
            total, "" if total == 1 else "s", _duration(self.seconds), ": " + ", ".join(counted) if counted else ""
        )

    def stats(self) -> str:
        """The speed, in one line. For a live stream, the processor's share is what counts: most time is waiting."""
        seconds = max(self.seconds, 1e-9)
        return "%s in %.2f s: %.0f times real time; %d windows, one every %g ms; in real time %.2f %% of one core" % (
            _duration(self.seconds), self._seconds_needed, seconds / max(self._seconds_needed, 1e-9),
            self._windows.window_count, self._windows.stride_ms, 100 * self._cpu_seconds / seconds,
        )


class _Memory:
    """The last samples of a stream, as many as a detection may reach back."""

    def __init__(self, features, settings):
        self._features = features
        late = features.clip_duration_ms + 2 * settings.smoothing_ms + 2 * settings.stride_ms
        self._kept = int(late * features.sample_rate / 1000)
        self._blocks: Deque[Tuple[int, np.ndarray]] = collections.deque()  # (its first sample, samples)
        self._end = 0

    def add(self, block):
        start = self._end - self._kept
        while self._blocks and self._blocks[0][0] + len(self._blocks[0][1]) <= start:
            self._blocks.popleft()
        self._blocks.append((self._end, block))
        self._end += len(block)

    def clip(self, start):
        """The clip that begins at a sample of the stream."""
        samples = np.concatenate([block for _, block in self._blocks])
        return audio.fit(samples[max(0, start - self._blocks[0][0]) :], self._features.clip_samples)


def _new_path(path):
    """path.wav, or the first of path_2.wav, path_3.wav... that does not exist."""
    number, found = 1, path + ".wav"
    while os.path.exists(found):
        number += 1
        found = "%s_%d.wav" % (path, number)
    return found


def _duration(seconds):
    minutes, rest = divmod(seconds, 60)
    return "%d:%02d:%04.1f" % (minutes // 60, minutes % 60, rest) if minutes >= 60 else "%d:%04.1f" % (minutes, rest)


def compare(
    classifier: Any, heard: List[Heard], spoken: List[truth.Spoken], seconds: float, tolerance_ms: float
) -> truth.Comparison:
    """Compare what was heard in a stream with what `truth.read` says was said in it."""
    keywords = [label for label in classifier.labels if label not in (SILENCE, UNKNOWN)]
    found = [truth.Heard(one.time, one.keyword) for one in heard]
    return truth.compare(keywords, truth.in_seconds(spoken, seconds), found, seconds, tolerance_ms / 1000)
