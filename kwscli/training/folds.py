"""Cross-validation: each clip gets the scores of a network that was not trained on the clips of its fold.

Nothing is written to the disk.
"""
import itertools
from typing import Iterator, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import interrupts, labels
from ..console import Progress
from ..data.batches import rng_of
from ..devices.choose import choose
from ..devices.device_settings import DeviceSettings
from ..settings import DataSettings, TrainSettings
from ..sound.feature_settings import FeatureSettings
from ..workers.cluster import ALONE
from ..workers.collective import Collective
from .job import Job
from .loop import channel_statistics
from .training_session import TrainingSession

FOLDS = 5
_EPOCHS, _MIN_STEPS, _MAX_STEPS = 10, 200, 2000  # of a training


def scores(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, words: Tuple[str, ...],
    network: Tuple[str, Tuple[int, ...]], feature_settings: FeatureSettings,
) -> np.ndarray:
    """The scores [n, len(words)] of clips, each by a network that has not seen its fold.

    features [n, frame_count, channel_count]; targets [n]: indices of words; folds [n]: from 0 to FOLDS - 1, of which
    some may be without clips; network: architecture and size of the networks that are trained.
    """
    job, present = _job(len(targets), words, network, feature_settings), np.unique(folds)
    found = np.zeros((len(targets), len(words)), np.float32)
    with interrupts.signals_close(), Progress("checking", len(present) * job.train.step_count, "steps") as progress:
        for fold in present:
            rest = folds != fold
            found[~rest] = _scores(job, features[rest], targets[rest], features[~rest], progress)
    return found


def _job(count, words, network, feature_settings):
    """A training without changes to the clips. It takes 10 epochs: fewer of large data, and more of small data."""
    train = TrainSettings()
    steps = int(np.clip(_EPOCHS * count * (FOLDS - 1) / FOLDS / train.batch_size, _MIN_STEPS, _MAX_STEPS))
    architecture, size = network
    return Job(
        run_path="", architecture=architecture, model_size_info=size, features=feature_settings,
        data=DataSettings(wanted_words=words),
        train=TrainSettings(
            schedule="cosine", learning_rate=(0.003,), how_many_training_steps=(steps,), warm_up_percentage=5.0,
            normalize_features=True,
        ),
        device=DeviceSettings(), data_path="", start_checkpoint="", start_sha256="", teacher_sha256=(),
        overwrite=False, check_nans=False, data_threads=1, summaries_dir="", log_name="", cluster=ALONE, workers=1,
    )


def _scores(job, features, targets, unseen, progress):
    """Train a network on features and targets -> its scores [n, words] of unseen features."""
    device, statistics = choose(job.device), channel_statistics(features)
    with Collective(job.cluster) as collective, device.blamed(), TrainingSession(
        job, job.description("", tf.__version__), device, "", collective, statistics=statistics
    ) as session:
        session.feed_from(_batches(features, targets + labels.UNKNOWN_INDEX + 1, job.train))
        for step in range(1, job.train.step_count + 1, session.stride):
            session.advance(step, job.train.rate_at(step))
            progress.update(session.stride)
        return session.scores(unseen)[:, labels.UNKNOWN_INDEX + 1:]


def _batches(features, targets, settings) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Yield batches without end; each epoch has every clip once, in a new order."""
    orders = (rng_of(settings.seed, epoch).permutation(len(targets)) for epoch in itertools.count())
    rows = itertools.chain.from_iterable(orders)
    while True:
        some = np.fromiter(itertools.islice(rows, settings.batch_size), np.int64)
        yield features[some], targets[some]
