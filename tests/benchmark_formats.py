"""Train every architecture shortly, freeze it in all formats, and write tables of what came out. This takes minutes.

    python tests/benchmark_formats.py --data-path data
    python tests/benchmark_formats.py --data-path data --only ds_cnn

The networks have their smallest published size. What is done is not repeated, so run the same command again after an
interruption. Another Python freezes the trainings that are in the folder, and adds its own tables.
"""
import argparse
import json
import os
import sys
import time
from typing import Any, Dict, Iterator, List

import tensorflow.compat.v1 as tf

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from benchmark_accuracy import KEYWORDS, kws  # noqa: E402

from kwscli import export, models  # noqa: E402
from kwscli.console import table  # noqa: E402
from kwscli.files import replacing  # noqa: E402
from kwscli.runs import run_directory  # noqa: E402

STEPS = "--how-many-training-steps", "1000,400", "--learning-rate", "0.002,0.0004", "--eval-step-interval", "350"
FORMATS = [name for name in export.FORMATS if name != "om"]  # it needs CANN
INT8 = "tflite-int8"


def measure(architecture: str, data_path: str, folder: str) -> Dict[str, Any]:
    """Train and freeze an architecture, or read what an earlier run of this program measured."""
    run = os.path.join(folder, architecture)
    result_path = "%s-%s.json" % (run, tf.__version__)
    if os.path.exists(result_path):
        with open(result_path, encoding="utf-8") as file:
            return json.load(file)
    if not run_directory.read_state(run)[0]:
        kws("train", "--data-path", data_path, "--train-dir", run, "--wanted-words", KEYWORDS,
            "--model-architecture", architecture, *STEPS)
    began = time.monotonic()
    exported = json.loads(kws(
        "freeze", "--checkpoint", run, "--data-path", data_path, "--format", export.ALL, "--json",
        "--output", os.path.join(folder, tf.__version__, ""),
    ))
    result = dict(
        architecture=architecture, tensorflow=tf.__version__, seconds=time.monotonic() - began,
        formats={one["format"]: {name: one[name] for name in ("size", "difference")} for one in exported},
        accuracy=_accuracy(run, [one["path"] for one in exported if one["format"] == INT8], data_path),
    )
    with replacing(result_path) as file:
        json.dump(result, file, indent=1)
    return result


def _accuracy(run: str, int8: List[str], data_path: str) -> Dict[str, float]:
    """The accuracy on validation clips, in floats and, where there is a file, in 8-bit integers; and equal answers."""
    found = json.loads(kws("eval", run, *int8, "--data-path", data_path, "--split", "validation", "--json"))
    if not int8:
        return {"float": found["accuracy"], "clips": found["clips"]}
    floats, integers = found
    return {
        "float": floats["accuracy"], "clips": floats["clips"], "int8": integers["accuracy"],
        "equal": integers["agreement"],
    }


def page(results: List[Dict[str, Any]]) -> str:
    """The tables of all versions of TensorFlow, as text."""
    found = []
    for version in sorted({one["tensorflow"] for one in results}, reverse=True):
        mine = [one for one in results if one["tensorflow"] == version]
        found += ["TensorFlow %s: size in kB" % version, _cells(mine, lambda one: "%.0f" % (one["size"] / 1000))]
        found += ["TensorFlow %s: largest difference of a score from the checkpoint's" % version]
        found += [_cells(mine, lambda one: "%.0e" % one["difference"])]
        found += ["TensorFlow %s: accuracy on %d validation clips" % (version, mine[0]["accuracy"]["clips"])]
        found += [table(list(_accuracies(mine)), "<>")]
    return "\n\n".join(found) + "\n"


def _cells(results, shown):
    """A row per architecture and a column per format, without the first part of its name; "-" where it is refused."""
    rows = [["architecture"] + [name.split("-")[-1] for name in FORMATS]]
    for one in results:
        formats = one["formats"]
        rows.append([one["architecture"]] + [shown(formats[name]) if name in formats else None for name in FORMATS])
    return table(rows, "<>", gap=1)


def _accuracies(results) -> Iterator[List[Any]]:
    yield ["architecture", "float %", "int8 %", "equal answers %", "seconds of --format all"]
    for one in results:
        accuracy = one["accuracy"]
        shown = ["%.1f" % (100 * accuracy[name]) if name in accuracy else None for name in ("float", "int8", "equal")]
        yield [one["architecture"]] + shown + ["%.0f" % one["seconds"]]


def earlier(folder: str) -> List[Dict[str, Any]]:
    """What is in a folder, in the order of the architectures."""
    results = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                results.append(json.load(file))
    return sorted(results, key=lambda one: models.ARCHITECTURES.index(one["architecture"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", required=True, help="Folder with prepared data, or with an archive.")
    parser.add_argument("--folder", default=".formats", help="Folder for the trainings, the files and the tables.")
    parser.add_argument("--only", default="", help="Measure only the architectures whose name contains this text.")
    chosen = parser.parse_args()
    os.makedirs(chosen.folder, exist_ok=True)
    for architecture in models.ARCHITECTURES:
        if chosen.only in architecture:
            measure(architecture, chosen.data_path, chosen.folder)
            with replacing(os.path.join(chosen.folder, "formats.txt")) as file:
                file.write(page(earlier(chosen.folder)))
    print(page(earlier(chosen.folder)))


if __name__ == "__main__":
    main()
