"""Train the networks of the accuracy table, measure them, and write the table. This takes hours.

    python tests/benchmark_accuracy.py --data-path data
    python tests/benchmark_accuracy.py --data-path data --only ds_cnn-s
    python tests/benchmark_accuracy.py --data-path data --shorter 3

Each row is a training by `kws train`, measured by `kws eval`. A row that is done is not repeated, and a training that
was stopped goes on, so run the same command again after an interruption. The table is written anew after every row.
"""
import argparse
import json
import os
import subprocess
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from kwscli.files import replacing  # noqa: E402
from kwscli.training.seeds import mean_interval  # noqa: E402

KEYWORDS = "yes,no,up,down,left,right,stop,go"
SPLITS = "validation", "testing"
INT8 = "tflite-int8"


class Row(NamedTuple):
    """One training: the part of the table that it is in, its name there, and its flags."""

    part: str
    name: str
    flags: Tuple[str, ...]

    @property
    def folder(self) -> str:
        return "%s/%s" % (self.part, self.name.replace(" ", "_"))


NETWORKS, SEEDS, ABLATION = "networks", "seeds", "ablation"
RECIPES = "hello-edge", "best"
# (architecture, size, steps with the recipe best; hello-edge has as many, in three phases). Training on two cores takes
# hours, so that large networks get fewer steps. The longest trainings come first.
SIZES = (
    ("ds_cnn", "l", 9000), ("bc_resnet", "2", 6000), ("bc_resnet", "1", 15000), ("ds_cnn", "m", 15000),
    ("ds_tc_resnet", "3x1x64", 20000), ("crnn", "s", 20000), ("ds_cnn", "s", 30000), ("dnn", "s", 30000),
)
SEED = 59185
# What --recipe best does without one of its parts.
PARTS = (
    ("speed", "--speed-percentage 0"),
    ("more of the spectrum", "--dct-coefficient-count 10 --upper-edge-hertz 4000"),
    ("label smoothing", "--label-smoothing 0"),
    ("averaged weights", "--weight-averaging 0"),
    ("weight decay", "--weight-decay 0"),
    ("gradient clipping", "--gradient-clipping 0"),
    ("balanced keywords", "--keyword-balance 0"),
    ("more unknown words", "--unknown-percentage 15.6"),
)


def rows(shorter: int = 1) -> Iterator[Row]:
    """All rows, in the order in which they are trained, with the steps divided by `shorter`."""
    for architecture, size, steps in SIZES:
        for recipe in RECIPES:
            name = "%s-%s %s" % (architecture, size, recipe)
            yield Row(NETWORKS, name, _flags(architecture, size, recipe, steps // shorter))
    small = "ds_cnn", "s"
    steps = {(architecture, size): steps for architecture, size, steps in SIZES}[small] // shorter
    for name, flags in PARTS:
        yield Row(ABLATION, "without " + name, _flags(*small, "best", steps) + tuple(flags.split()))
    for seed in (SEED + 1, SEED + 2):
        for recipe in RECIPES:
            name = "ds_cnn-s %s seed %d" % (recipe, seed)
            yield Row(SEEDS, name, _flags(*small, recipe, steps) + ("--seed", str(seed)))


def _flags(architecture, size, recipe, steps):
    flags = "--model-architecture", architecture, "--model-size", size, "--recipe", recipe, "--how-many-training-steps"
    return flags + (str(steps) if recipe == "best" else ",".join([str(steps // 3)] * 3),)


def measure(row: Row, data_path: str, folder: str) -> Dict[str, Any]:
    """Train a row, or read what an earlier run of this program measured."""
    path = os.path.join(folder, row.folder)
    result_path = path + ".json"
    command = ["train", "--data-path", data_path, "--train-dir", path, "--wanted-words", KEYWORDS, *row.flags]
    if os.path.exists(result_path):
        with open(result_path, encoding="utf-8") as file:
            result = json.load(file)
        if result["command"] == command[3:]:
            return result
    kws(*command)
    with open(os.path.join(path, "model.json"), encoding="utf-8") as file:
        description = json.load(file)
    int8 = _frozen_as_int8(path)
    result = dict(
        part=row.part, name=row.name, command=command[3:], steps=sum(description["train"]["how_many_training_steps"]),
        minutes=_minutes(path), versions=description["versions"],
        float={split: _accuracy(path, data_path, split) for split in SPLITS},
        int8={split: _accuracy(int8, data_path, split) for split in SPLITS} if int8 else None,
    )
    with replacing(result_path) as file:
        json.dump(result, file, indent=1)
    return result


def kws(*arguments: str) -> str:
    """Run `kws` -> its standard output. What it says meanwhile goes to standard error."""
    command = [sys.executable, "-W", "ignore", "-m", "kwscli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def _frozen_as_int8(path: str) -> str:
    """The path of the int8 file of a run; "" where this TensorFlow cannot write one."""
    try:
        written = json.loads(kws("freeze", "--checkpoint", path, "--format", INT8, "--json"))
    except subprocess.CalledProcessError:
        return ""
    return written[0]["path"]


def _accuracy(path: str, data_path: str, split: str) -> Dict[str, Any]:
    found = json.loads(kws("eval", "--checkpoint", path, "--data-path", data_path, "--split", split, "--json"))
    return {name: found[name] for name in ("accuracy", "interval_95", "clips", "labels")}


def _minutes(path: str) -> float:
    """How long the training steps took."""
    with open(os.path.join(path, "state.json"), encoding="utf-8") as file:
        return json.load(file)["checkpoints"][-1]["seconds"] / 60


def page(results: List[Dict[str, Any]]) -> str:
    """The tables in Markdown."""
    parts = (
        (NETWORKS, "Networks and recipes"), (SEEDS, "Three seeds"),
        (ABLATION, "The recipe `best` of DS-CNN-S without one of its parts"),
    )
    found = []
    for part, title in parts:
        mine = [one for one in results if one["part"] == part]
        if part == SEEDS:
            found += ["## " + title, "", *_seeds(results), ""]
        elif mine:
            found += ["## " + title, "", *_table(mine), ""]
    return "\n".join(found)


def _table(results):
    heading = "network, recipe", "steps", "minutes", "validation %", "testing %", "int8 validation %", "int8 testing %"
    yield from _lines([heading] + [
        (one["name"], "{:,}".format(one["steps"]), "%.0f" % one["minutes"])
        + tuple(_shown(one["float"][split]) for split in SPLITS)
        + tuple(_shown(one["int8"][split]) if one["int8"] else "-" for split in SPLITS)
        for one in results
    ])


def _seeds(results):
    """Mean and interval of the trainings of one recipe that differ in nothing but the seed."""
    table = [("network, recipe", "seeds", "validation %", "testing %")]
    for recipe in RECIPES:
        name = "ds_cnn-s " + recipe
        mine = [one for one in results if one["name"] == name or one["name"].startswith(name + " seed")]
        if len(mine) < 2:
            continue
        cells = []
        for split in SPLITS:
            mean_and_ends = mean_interval([one["float"][split]["accuracy"] for one in mine])
            cells.append("%.2f (%.2f to %.2f)" % tuple(100 * one for one in mean_and_ends))
        table.append((name, str(len(mine)), *cells))
    return _lines(table)


def _shown(result):
    low, high = result["interval_95"]
    return "%.2f (%.2f to %.2f, N=%d)" % (100 * result["accuracy"], 100 * low, 100 * high, result["clips"])


def _lines(rows):
    """Rows of cells as the lines of a Markdown table."""
    for number, row in enumerate(rows):
        yield "| %s |" % " | ".join(row)
        if number == 0:
            yield "|%s" % ("---|" * len(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", required=True, help="Folder with prepared data, or with an archive.")
    parser.add_argument("--folder", default=".accuracy", help="Folder for the trainings and the tables.")
    parser.add_argument("--only", default="", help="Train only the rows whose part or name contains this text.")
    parser.add_argument("--shorter", type=int, default=1, help="Divide the steps of every training by this number.")
    chosen = parser.parse_args()
    os.makedirs(chosen.folder, exist_ok=True)
    results = []
    for row in rows(chosen.shorter):
        if chosen.only not in "%s %s" % (row.part, row.name):
            continue
        os.makedirs(os.path.join(chosen.folder, row.part), exist_ok=True)
        results.append(measure(row, chosen.data_path, chosen.folder))
        with replacing(os.path.join(chosen.folder, "accuracy.json")) as file:
            json.dump(results, file, indent=1)
        with replacing(os.path.join(chosen.folder, "accuracy.md")) as file:
            file.write(page(results))
    print(page(results))


if __name__ == "__main__":
    main()
