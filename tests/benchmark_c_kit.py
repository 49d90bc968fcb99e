"""Compare the C kit with Python and with TensorFlow Lite Micro on many real clips.

    python tests/benchmark_c_kit.py --data-path DIR [--clips N] [KIT...]

For each KIT, a folder that kws freeze --format c wrote, prints on how many clips its integers are those of TensorFlow
Lite Micro, and how far its features are from those of Python. Without a KIT, does the same for every architecture that
the kit has kernels for, in its published size S, with random weights. Ends with status 1 if anything differs more than
it may. Needs a C compiler and the package tflite-micro.
"""
import argparse
import os
import sys
import tempfile

import numpy as np
from test_c_kit import description_of, random_network, write_kit

from kwscli import models
from kwscli.classifiers.c_kit import Kit
from kwscli.data import dataset
from kwscli.data.batches import EvaluationSet
from kwscli.export import c_kit
from kwscli.export.c_kit import reference, tflite_file
from kwscli.runs.description import MODEL, read_description
from kwscli.sound import audio
from kwscli.sound.features import features as features_of

FLOAT_ALLOWED, DOUBLE_ALLOWED = 5e-4, 1e-4  # differences of a feature
CALIBRATED, AT_ONCE = 100, 200


def real_clips(data, description, count):
    """Clips [count, clip_samples] int16, drawn from all splits."""
    found = []
    for split in ("testing", "validation", "training"):
        clips = EvaluationSet(data, description.data.wanted_words, description.features, split)
        rows = np.random.RandomState(0).permutation(len(clips))[: count - sum(map(len, found))]
        found += [
            audio.to_int16(clips.clips(rows[start : start + AT_ONCE])) for start in range(0, len(rows), AT_ONCE)
        ]
    return np.concatenate(found)


def random_kit(architecture, data, folder):
    """A kit of a network with random weights."""
    size = models.published(architecture)
    description = description_of(architecture, size.model_size_info, **size.feature_settings)
    clips = real_clips(data, description, CALIBRATED) / np.float32(32768)
    content = random_network(description, features_of(clips, description.features))
    write_kit(folder, content, description)
    return content, description


def compare(name, folder, content, description, clips):
    """Print one line about a kit -> whether it gives what it must."""
    wanted = features_of(clips / np.float32(32768), description.features)
    with Kit(folder, ["-DKWS_REAL=double"], np.float64) as kit:
        in_double = np.abs(kit.features(clips) - wanted).max()
    integers = reference.quantized(wanted, tflite_file.read(content))
    scores = reference.of(content).scores(integers)
    with Kit(folder) as kit:
        in_float = np.abs(kit.features(clips) - wanted).max()
        equal = (kit.run(integers) == scores).all(axis=1).sum()
    print("%-17s integers equal on %d of %d clips with %d different scores; features within %.1e, in double %.1e"
          % (name, equal, len(clips), len(np.unique(scores, axis=0)), in_float, in_double), flush=True)
    return equal == len(clips) and in_float <= FLOAT_ALLOWED and in_double <= DOUBLE_ALLOWED


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kits", nargs="*", metavar="KIT")
    parser.add_argument("--data-path", required=True)
    parser.add_argument("--clips", type=int, default=1000)
    given = parser.parse_args()
    if not reference.micro:
        sys.exit("pip install tflite-micro")
    data, same = dataset.load(given.data_path), []
    for folder in given.kits:
        description = read_description(os.path.join(folder, MODEL))
        with open(os.path.join(folder, c_kit.NETWORK), "rb") as file:
            content = file.read()
        same.append(compare(folder, folder, content, description, real_clips(data, description, given.clips)))
    for architecture in () if given.kits else models.ARCHITECTURES:
        if architecture not in c_kit.RECURRENT:
            with tempfile.TemporaryDirectory() as folder:
                folder = os.path.join(folder, "kit")
                content, description = random_kit(architecture, data, folder)
                clips = real_clips(data, description, given.clips)
                same.append(compare(architecture, folder, content, description, clips))
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
