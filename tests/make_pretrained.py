"""Put a run into the package: writes kwscli/pretrained/NAME.tflite and its model card NAME.json.

    python tests/make_pretrained.py RUN [--name NAME] [--data-path DIR]

The card holds what model.json of the run says, and what the graph scores on validation and testing. `make pretrained`
trains such a run first.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile

import numpy as np
import tensorflow.compat.v1 as tf

from kwscli import classifiers, list_models, models, pretrained
from kwscli.classifiers import tflite
from kwscli.data import dataset
from kwscli.errors import KwsError
from kwscli.evaluation import evaluate
from kwscli.export import freeze
from kwscli.labels import SILENCE, UNKNOWN
from kwscli.models import network
from kwscli.runs import checkpoint, run_directory

MAX_BYTES = 200 * 1024
SPLITS = ("validation", "testing")
SPEECH_COMMANDS = {
    "name": "Speech Commands 0.02",
    "licence": "Creative Commons Attribution 4.0 International (CC BY 4.0)",
    "attribution": "Pete Warden, Google; https://arxiv.org/abs/1804.03209",
}
WEAKNESSES = (
    "Only English words are known. Most speakers are adults. Accents and the voices of children are rare.",
    "It was measured on clips of one second that hold one word. In continuous speech it was not measured.",
    "It was not measured in a far field, that is, some metres from the microphone, nor in a car or in wind.",
    "It needs sound of 16 kHz. kws converts other rates, but sound of 8 kHz, as on telephones, lacks high frequencies.",
)


def make(run, name=None, data_path=None, folder=None):
    """Write both files -> the path of the network."""
    description = run_directory.resolve(run)[0]
    size = _size_of(description)
    name = name or "%s_%s" % (description.architecture, size)
    data_path = data_path or description.data_path
    target = {"folder": folder} if folder else {}
    with tempfile.TemporaryDirectory() as scratch:
        (exported,) = freeze.freeze(run, os.path.join(scratch, name + ".tflite"), data_path, ["tflite"])
        _add_weights(exported.path, run)
        size_in_bytes = os.path.getsize(exported.path)
        if size_in_bytes > MAX_BYTES:
            raise KwsError("%s has %d bytes, but a network of the package has at most %d"
                           % (name, size_in_bytes, MAX_BYTES), "package a smaller network")
        with classifiers.open(exported.path) as model:
            found = {split: evaluate.evaluate(model, data_path, model.data, split).to_json() for split in SPLITS}
        card = dict(
            _described(description, name, size, size_in_bytes), training_data=_training_data(description, data_path),
            evaluation=found, known_weaknesses=weaknesses(found["testing"]),
        )
        path = shutil.copyfile(exported.path, pretrained.path(name, **target))
    with open(pretrained.card_path(name, **target), "w", encoding="utf-8") as file:
        file.write(json.dumps(card, indent=1) + "\n")
    return path


def _add_weights(path, run):
    """Add the weights of a run to the archive at the end of its .tflite file, for --start-checkpoint."""
    description, prefix = run_directory.resolve(run)
    with tf.Graph().as_default():
        network.inference(description, 1)
        names = [variable.op.name for variable in network.variables_of(description)]
    values = checkpoint.values(prefix)
    content = tflite.weights_content({name: values[name] for name in names})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(tflite.WEIGHTS), content, zipfile.ZIP_DEFLATED)


def _size_of(description):
    """The name of its published size, "" if it has none."""
    sizes = models.load(description.architecture).SIZES.items()
    return next((name for name, size in sizes if size.model_size_info == description.model_size_info), "")


def _described(description, name, size, size_in_bytes):
    """What the description of a run says about a network."""
    values = description.portable().to_json()
    costs = list_models.row(
        description.architecture, size, models.custom(description.architecture, description.model_size_info),
        len(description.labels), values["features"],
    )
    return dict(
        {key: values[key] for key in ("architecture", "model_size_info", "labels", "features", "data", "train")},
        name=name, model_size=size, parameters=costs["parameters"], macs=costs["macs"],
        file=os.path.basename(pretrained.path(name)),
        bytes=size_in_bytes, teachers=len(description.train.teacher),
        started_from=os.path.basename(description.start_checkpoint), versions=description.versions,
    )


def _training_data(description, data_path):
    """What the network was trained on."""
    data = dataset.load(data_path, description.data.validation_percentage, description.data.testing_percentage)
    if data.info["sha256"] != description.data_sha256:
        raise KwsError("%s is not the data of this run" % data_path, "prepare the same recordings again")
    rows = np.flatnonzero(data.splits == "training")
    speakers = {dataset.speaker_of(data.paths[row]) for row in rows}
    return dict(
        SPEECH_COMMANDS, recordings=len(rows), speakers=len(speakers), words=len(set(data.words[rows])),
        archive=data.info["source"], sha256=data.info["sha256"],
    )


def weaknesses(found):
    """Sentences about what the network is bad at; found: its evaluation on testing as JSON."""
    keywords = [one for one in found["labels"] if one["label"] not in (SILENCE, UNKNOWN)]
    weakest = sorted(keywords, key=lambda one: one["recall"])[:2]
    sentences = ["The keywords with the lowest recall are %s." % " and ".join(
        "%s (%.1f %% of %d clips)" % (one["label"], 100 * one["recall"], one["clips"]) for one in weakest
    )]
    wrong = np.array(found["confusion"])
    np.fill_diagonal(wrong, 0)
    true, predicted = np.unravel_index(np.argmax(wrong), wrong.shape)
    if wrong.any():
        sentences.append("The most frequent confusion: %d of %d clips of %s are taken for %s." % (
            wrong[true, predicted], found["labels"][true]["clips"], found["labels"][true]["label"],
            found["labels"][predicted]["label"],
        ))
    others = found["other_words"]
    if others:
        worst = ["%s (%d of %d)" % (one["word"], one["taken"], one["clips"]) for one in others["words"][:3]]
        sentences.append("%.1f %% of the clips of other words are taken for a keyword, most often %s." % (
            100 * others["share"], ", ".join(worst)
        ))
    return sentences + list(WEAKNESSES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN", help="a run directory or a checkpoint")
    parser.add_argument("--name", help="the name of the network; by default its architecture and size")
    parser.add_argument("--data-path", help="prepared data; by default that of the run")
    given = parser.parse_args()
    try:
        path = make(given.run, given.name, given.data_path)
    except KwsError as error:
        sys.exit("Error: %s" % error)
    print("%s, %d bytes; the package has: %s" % (path, os.path.getsize(path), ", ".join(pretrained.names())))


if __name__ == "__main__":
    main()
