"""How many wrong words `kws prepare --check-labels` finds, on a copy of prepared data in which some words are wrong.

    python tests/benchmark_label_check.py --data-path data
"""
import argparse
import csv
import os
import shutil
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kwscli import label_check  # noqa: E402
from kwscli.data.dataset import PACKED  # noqa: E402


def copy(data_path: str, folder: str, share: float, seed: int) -> set:
    """Copy prepared data into a folder, with the wrong word for a share of its recordings -> their paths."""
    shutil.copytree(os.path.join(data_path, PACKED), os.path.join(folder, PACKED))
    manifest = os.path.join(folder, PACKED, "manifest.csv")
    with open(manifest, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rng = np.random.RandomState(seed)
    words = sorted({row["word"] for row in rows})
    chosen = rng.choice(len(rows), int(round(share * len(rows))), replace=False)
    for number in chosen:
        rows[number]["word"] = rng.choice([word for word in words if word != rows[number]["word"]])
    with open(manifest, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return {rows[number]["path"] for number in chosen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", required=True, help="Folder with prepared data.")
    parser.add_argument("--model", default="ds_cnn_s", help="The model whose architecture and features are used.")
    parser.add_argument("--share", type=float, default=0.03, help="Share of the recordings that get a wrong word.")
    parser.add_argument("--seed", type=int, default=1, help="Determines these recordings.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = copy(chosen.data_path, folder, chosen.share, chosen.seed)
        began = time.process_time()
        report = label_check.check(folder, chosen.model)
        seconds = time.process_time() - began
    files = [one.file for one in report.found]
    print("%d of %d recordings have a wrong word; recognized %.1f %%; %.0f s of processor time"
          % (len(wrong), report.checked, 100 * report.accuracy, seconds))
    for count in (len(files), len(wrong), 100):
        hits = len(wrong & set(files[:count]))
        print("the first %d of the list: %d wrong words: precision %.1f %%, recall %.1f %%"
              % (min(count, len(files)), hits, 100 * hits / max(1, min(count, len(files))), 100 * hits / len(wrong)))


if __name__ == "__main__":
    main()
