"""Code outside of the package can add one of each thing that has a table, and use it through the commands."""
import json
import os
import subprocess
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

LOUDNESS = '''
"""A kind of features: the mean of each frame's samples and the mean of their squares."""
import numpy as np

from kwscli.errors import KwsError

UNUSED = ("dct_coefficient_count", "filterbank_channel_count", "lower_edge_hertz", "upper_edge_hertz")


def channel_count(settings):
    return 2


def check(settings):
    if settings.window_stride_ms != settings.window_size_ms:
        raise KwsError("loudness features need windows side by side", "use the same --window-size-ms and stride")


def compute(clips, settings, dtype):
    used = settings.frame_count * settings.window_size_samples
    frames = clips[:, :used].reshape(len(clips), settings.frame_count, -1).astype(dtype)
    return np.stack([frames.mean(axis=2), np.square(frames).mean(axis=2)], axis=2).astype(np.float32)
'''
GAIN = '''
"""An augmentation: every clip louder or quieter by up to some decibels."""
from kwscli.sound.augment import Augmentation


class Gain(Augmentation):
    def __init__(self, factors):
        self.factors = factors

    @classmethod
    def draw(cls, rng, batch, decibels):
        return cls(10 ** (rng.uniform(-decibels, decibels, len(batch.silent)) / 20))

    def clip(self, row, clip):
        clip *= self.factors[row]
        clip.clip(-1, 1, out=clip)
'''


def run(folder, code, **modules):
    """Run code in a new interpreter that finds these modules {name: text} and kws -> its lines on stdout."""
    for name, text in modules.items():
        (folder / (name + ".py")).write_text(text)
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), ROOT]), TF_CPP_MIN_LOG_LEVEL="3")
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=str(folder), env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def losses(run_path):
    """The losses in a run's metrics.jsonl."""
    entries = [json.loads(line) for line in (run_path / "metrics.jsonl").read_text().splitlines()]
    return [entry["loss"] for entry in entries if "loss" in entry]


def test_features_and_an_augmentation(tones, tmp_path):
    tones(tmp_path / "data", speakers=6)
    lines = run(tmp_path, """if True:
        import functools

        import click

        from kwscli.sound import augment, feature_settings

        feature_settings.FEATURES["loudness"] = "loudness"
        from kwscli.cli import cli

        train = (
            "train --data-path data --wanted-words yes,no --model-architecture dnn --model-size-info 8 --batch-size 10 "
            "--features loudness --how-many-training-steps 20 --learning-rate 0.001 --train-dir "
        )
        def kws(command):
            cli(command.split(), prog_name="kws", standalone_mode=False)

        kws("prepare --data-path data")
        kws("models dnn --features loudness")
        try:
            kws("models ds_cnn --features loudness")
        except click.ClickException as error:
            print(error.message)
        kws(train + "plain")
        kws("eval --checkpoint plain --split validation --json")

        from gain import Gain
        augment.AUGMENTATIONS["gain"] = functools.partial(Gain.draw, decibels=6.0)
        kws(train + "with_gain")
        kws("label --checkpoint with_gain data/yes/00000000_nohash_0.wav")
    """, loudness=LOUDNESS, gain=GAIN)
    assert any(line.startswith("features: loudness, 25 frames (40 ms every 40 ms) of 2 channels") for line in lines)
    assert json.loads((tmp_path / "plain" / "model.json").read_text())["features"]["features"] == "loudness"
    assert "accuracy" in "".join(lines)
    assert "loudness features need windows side by side; use the same --window-size-ms and stride" in lines
    assert lines[-1].startswith("data/yes/00000000_nohash_0.wav  ")
    plain, with_gain = losses(tmp_path / "plain"), losses(tmp_path / "with_gain")
    assert len(plain) == len(with_gain) > 0 and not np.array_equal(plain, with_gain)
