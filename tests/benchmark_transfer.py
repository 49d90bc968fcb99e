"""How many clips a word needs: train few clips of new words from scratch and from the packaged network, and compare.

    python tests/benchmark_transfer.py --data-path data
    python tests/benchmark_transfer.py --data-path data --words cat,happy --steps 1000

The words are none of the keywords of the packaged network. Each training gets the first N clips of each word, of N
speakers where there are as many, and as many clips of other words; it is measured on clips of other speakers, with half
of the clips of other words. A row that is done is not repeated, and a training that was stopped goes on, so run the
same command again after an interruption. The table is written anew after every row.
"""
import argparse
import json
import os
import subprocess
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import soundfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from kwscli import pretrained  # noqa: E402
from kwscli.data import dataset  # noqa: E402
from kwscli.files import replacing  # noqa: E402

WORDS = "bed,cat,forward,happy"
COUNTS = 3, 5, 10, 20, 50, 100
MEASURED = 100  # clips of each word
START = "--start-checkpoint", pretrained.names()[0]
# A single layer needs a higher rate to learn as much in as many steps.
HOW = {
    "from scratch": (),
    "packaged network": START,
    "old layers at 10 %": START + ("--old-layers-rate-percentage", "10"),
    "old layers frozen": START + ("--freeze-layers", "all", "--learning-rate", "0.03"),
}


class Row(NamedTuple):
    """One training."""

    count: int  # clips per word
    how: str

    @property
    def folder(self) -> str:
        return "%d-%s" % (self.count, "_".join(self.how.replace("%", "percent").split()))


def write_data(data: dataset.Dataset, words: Sequence[str], folder: str) -> None:
    """Write a prepared folder of clips for each of COUNTS, and one for the measurement."""
    rest = sorted(set(data.words) - set(words) - set(pretrained.card(pretrained.names()[0])["labels"]))
    for count in COUNTS:
        chosen = [(word, count) for word in words] + [(word, -(-count * len(words) // len(rest))) for word in rest]
        _write(data, ("training",), chosen, os.path.join(folder, str(count)), (0, 0))
    chosen = [(word, MEASURED) for word in words] + [(word, -(-MEASURED * len(words) // len(rest))) for word in rest]
    _write(data, ("validation", "testing"), chosen, os.path.join(folder, "measured"), (0, 100))


def _write(data, splits, chosen, folder, percentages):
    if dataset.is_prepared(folder):
        return
    for word, count in chosen:
        for index in _first_of_many_speakers(data, splits, word)[:count]:
            path = os.path.join(folder, word, os.path.basename(data.paths[index]))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            soundfile.write(path, data.recording(index), data.sample_rate)
    for number, samples in enumerate(data.background):
        path = os.path.join(folder, dataset.BACKGROUND, "%d.wav" % number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        soundfile.write(path, samples, data.sample_rate)
    validation, testing = map(str, percentages)
    _kws("prepare", "--data-path", folder, "--validation-percentage", validation, "--testing-percentage", testing)


def _first_of_many_speakers(data, splits, word):
    """The recordings of a word: the first of every speaker, then all others."""
    seen, first, others = set(), [], []
    for index, (path, spoken, split) in enumerate(zip(data.paths, data.words, data.splits)):
        if spoken == word and split in splits:
            speaker = dataset.speaker_of(path)
            (others if speaker in seen else first).append(index)
            seen.add(speaker)
    return first + others


def rows() -> Iterator[Row]:
    """All trainings: first the two that say most, and first those of 20 clips a word."""
    first = list(HOW)[:2]
    for some in (first, [how for how in HOW if how not in first]):
        for count in sorted(COUNTS, key=lambda count: abs(count - 20)):
            for how in some:
                yield Row(count, how)


def measure(row: Row, words: Sequence[str], steps: int, rate: str, folder: str) -> Dict[str, Any]:
    """Train a row, or read what an earlier run of this program measured."""
    path = os.path.join(folder, row.folder)
    command = [
        "train", "--data-path", os.path.join(folder, "clips", str(row.count)), "--train-dir", path, "--recipe", "best",
        "--wanted-words", ",".join(words), "--how-many-training-steps", str(steps), "--learning-rate", rate,
        "--eval-step-interval", str(steps), *HOW[row.how]
    ]
    if os.path.exists(path + ".json"):
        with open(path + ".json", encoding="utf-8") as file:
            result = json.load(file)
        if result["command"] == command:
            return result
    _kws(*command)
    found = json.loads(_kws(
        "eval", "--checkpoint", path, "--data-path", os.path.join(folder, "clips", "measured"), "--json",
        "--unknown-percentage", "100",
    ))
    kept = {name: found[name] for name in ("accuracy", "interval_95", "clips")}
    result = dict(row._asdict(), command=command, **kept)
    with replacing(path + ".json") as file:
        json.dump(result, file, indent=1)
    return result


def _kws(*arguments: str) -> str:
    """Run `kws` -> its standard output. What it says meanwhile goes to standard error."""
    command = [sys.executable, "-W", "ignore", "-m", "kwscli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def table(results: List[Dict[str, Any]]) -> str:
    """The results in Markdown, a line per number of clips."""
    found = {(one["count"], one["how"]): one for one in results}
    lines = [("clips per word",) + tuple(HOW)]
    for count in COUNTS:
        cells: Tuple[str, ...] = tuple(_shown(found.get((count, how))) for how in HOW)
        lines.append((str(count),) + cells)
    shown = ["| %s |" % " | ".join(line) for line in lines]
    return "\n".join(shown[:1] + ["|" + "---|" * len(lines[0])] + shown[1:]) + "\n"


def _shown(result):
    if not result:
        return "-"
    low, high = result["interval_95"]
    return "%.1f (%.1f to %.1f)" % (100 * result["accuracy"], 100 * low, 100 * high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", required=True, help="Folder with prepared data of Speech Commands.")
    parser.add_argument("--folder", default=".transfer", help="Folder for the clips, the trainings and the table.")
    parser.add_argument("--words", default=WORDS, help="The new words.")
    parser.add_argument("--steps", type=int, default=600, help="Steps per training.")
    parser.add_argument("--learning-rate", default="0.003", help="Of every training that has no own one.")
    parser.add_argument("--only", default="", help="Train only the rows whose folder contains this text.")
    chosen = parser.parse_args()
    words = chosen.words.split(",")
    write_data(dataset.load(chosen.data_path), words, os.path.join(chosen.folder, "clips"))
    results = []
    for row in rows():
        if chosen.only in row.folder:
            results.append(measure(row, words, chosen.steps, chosen.learning_rate, chosen.folder))
            with replacing(os.path.join(chosen.folder, "transfer.md")) as file:
                file.write(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
