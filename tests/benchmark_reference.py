"""Compare the speed of `kws train` with the data pipeline of TensorFlow's speech_commands example, in one run.

That pipeline makes one session call per clip, which reads, shifts and mixes the clip and computes its features. The
reference figure is a training step of the same network plus these calls for the clips of its batch. Run it as

    python tests/benchmark_reference.py
    python tests/benchmark_reference.py --data-path data --model-architecture dnn --steps 300 --rounds 2

Without --data-path it synthesises recordings, which needs espeakng-loader. Measure while the machine is idle; the ratio
is the result.
"""
import argparse
import os
import sys
import tempfile
import warnings

# As `kws` itself does, before the imports that look at them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
warnings.filterwarnings("ignore", category=FutureWarning)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402

from kwscli import bench  # noqa: E402
from kwscli.console import table  # noqa: E402
from kwscli.data import dataset  # noqa: E402
from kwscli.sound.feature_settings import FeatureSettings  # noqa: E402
from kwscli.timing import lower_quartile, seconds_per_call  # noqa: E402


class PerClipPipeline:
    """The reference: a session call per clip. A context manager; folder: for WAV files of the clips."""

    def __init__(self, clips, folder):
        self._clips, self._folder = clips, folder

    def __enter__(self):
        settings = FeatureSettings()
        shape = settings.clip_samples, 1
        with tf.Graph().as_default() as graph:
            path, volume, noise_volume = (tf.placeholder(kind, ()) for kind in (tf.string, tf.float32, tf.float32))
            padding, begin = tf.placeholder(tf.int32, (2, 2)), tf.placeholder(tf.int32, (2,))
            noise = tf.placeholder(tf.float32, shape)
            recording = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1, desired_samples=shape[0]).audio
            shifted = tf.slice(tf.pad(recording * volume, padding), begin, shape)
            spectrogram = tf.raw_ops.AudioSpectrogram(
                input=tf.clip_by_value(shifted + noise * noise_volume, -1.0, 1.0), magnitude_squared=True,
                window_size=settings.window_size_samples, stride=settings.window_stride_samples,
            )
            self._features = tf.raw_ops.Mfcc(
                spectrogram=spectrogram, sample_rate=settings.sample_rate,
                dct_coefficient_count=settings.dct_coefficient_count,
            )
        self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))
        self._feeds = []
        for number, clip in enumerate(self._clips):
            wav = os.path.join(self._folder, "%d.wav" % number)
            soundfile.write(wav, clip, settings.sample_rate)
            self._feeds.append({
                path: wav, volume: 1.0, padding: [[800, 0], [0, 0]], begin: [0, 0],
                noise: self._clips[0][:, np.newaxis], noise_volume: 0.1,
            })
        return self

    def __exit__(self, *error):
        self._session.close()

    def seconds(self):
        """As `seconds_per_call`, for a batch."""
        return seconds_per_call(lambda: [self._session.run(self._features, feed) for feed in self._feeds], 20)


def compare(data_path, folder, architecture, steps, rounds):
    """(seconds per step of `kws train`, seconds per step with the reference's pipeline, name of the device)."""
    settings, device = bench.choose_device()
    trainings = bench.Trainings(data_path, folder, architecture, settings.device)
    full = [trainings.run(steps)]
    stream = bench.stream_of(dataset.load(data_path), full[0].description)
    bare_times, pipeline_times = [], []
    bare_step = bench.BareStep(full[0].description, stream.batch(1), settings, device)
    with bare_step as bare, PerClipPipeline(stream.clips(1)[0], folder) as pipeline:
        for round_number in range(rounds):
            bare_times.append(bare.seconds()[:, 0])
            pipeline_times.append(pipeline.seconds()[:, 0])
            if round_number:
                full.append(trainings.run(steps))
    reference = sum(lower_quartile(np.concatenate(times)) for times in (bare_times, pipeline_times))
    return bench.seconds_per_step(full), reference, device.name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", help="folder with prepared data")
    parser.add_argument("--model-architecture", default="ds_cnn")
    parser.add_argument("--steps", type=int, default=450, help="steps of each training")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure each")
    values = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_path = values.data_path or bench.synthesized(folder)
        ours, reference, device = compare(data_path, folder, values.model_architecture, values.steps, values.rounds)
    print(table([
        ("device", device),
        ("step of kws train, with everything", "%.1f ms" % (1000 * ours)),
        ("step with one session call per clip for its features", "%.1f ms" % (1000 * reference)),
        ("ratio", "%.2f" % (reference / ours)),
    ]))


if __name__ == "__main__":
    main()
