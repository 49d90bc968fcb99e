"""Cross-validation: the scores of every clip by a network that has not heard its speaker.

The speakers are divided into FOLDS parts. For each part, a network is trained on the clips of all other parts. Nothing
is written to the disk.
"""
import contextlib
from typing import Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from .. import interrupts, labels
from ..console import Progress
from ..data import batches, dataset
from ..devices.choose import choose
from ..devices.device_settings import DeviceSettings
from ..settings import DataSettings, EvaluationSettings, TrainSettings
from ..sound.feature_settings import FeatureSettings
from ..sound.features import features
from ..workers.cluster import ALONE
from ..workers.collective import Collective
from .job import Job
from .loop import BATCHES_AHEAD, statistics
from .training_session import TrainingSession

FOLDS = 5
_EPOCHS, _MIN_STEPS, _MAX_STEPS = 20, 200, 2000  # of a training
_BATCH, _RATE, _THREADS = 100, 0.003, 2
_SCORED_AT_ONCE = 1000  # clips


def scores(
    data: dataset.Dataset, words: Tuple[str, ...], folds: np.ndarray, network: Tuple[str, Tuple[int, ...]],
    feature_settings: FeatureSettings,
) -> Tuple[np.ndarray, np.ndarray]:
    """Cross-validate on the recordings of some words: (their numbers [n], their scores [n, len(words)]).

    folds: the fold [all recordings] of each recording. Each word must have recordings in two folds or more. network:
    architecture and size of the networks. The splits of `data` change.
    """
    count = int(np.isin(data.words, words).sum())
    steps = int(np.clip(_EPOCHS * count * (FOLDS - 1) / FOLDS / _BATCH, _MIN_STEPS, _MAX_STEPS))
    job = _job(data.path, words, network, feature_settings, steps)
    found = []
    with interrupts.sigterm_closes(), Progress("checking labels", FOLDS * steps, "steps") as progress:
        for fold in range(FOLDS):
            data.splits = np.where(folds == fold, "testing", "training")
            found.append(_fold(job, data, progress))
    numbers, scored = (np.concatenate(parts) for parts in zip(*found))
    return numbers, scored


def _job(data_path, words, network, feature_settings, steps):
    """A training without silence and without other words. It takes 20 epochs, or fewer of large data."""
    architecture, size = network
    return Job(
        run_path="", architecture=architecture, model_size_info=size, features=feature_settings,
        data=DataSettings(wanted_words=words, silence_percentage=0.0, unknown_percentage=0.0),
        train=TrainSettings(
            schedule="cosine", learning_rate=(_RATE,), how_many_training_steps=(steps,), warm_up_percentage=5.0,
            batch_size=_BATCH, normalize_features=True,
        ),
        device=DeviceSettings(), data_path=data_path, start_checkpoint="", start_sha256="", teacher_sha256=(),
        overwrite=False, check_nans=False, data_threads=_THREADS, summaries_dir="", log_name="", cluster=ALONE,
        workers=1,
    )


def _fold(job, data, progress):
    """Train on the training split -> (numbers of the recordings in the testing split, their scores of the words)."""
    settings = job.train
    stream = batches.TrainingStream(data, job.data, job.features, settings.batch_size, settings.seed)
    clips = batches.EvaluationSet(data, job.data.wanted_words, job.features, "testing", EvaluationSettings(0.0, 0.0))
    description = job.description(data.info["sha256"], tf.__version__)
    device = choose(job.device)
    with Collective(job.cluster) as collective, device.blamed(), \
            TrainingSession(job, description, device, "", collective, statistics=statistics(stream)) as session:
        _train(session, stream, settings, progress)
        found = [
            session.scores(features(clips.clips(slice(start, start + _SCORED_AT_ONCE)), job.features))
            for start in range(0, len(clips), _SCORED_AT_ONCE)
        ]
    found = np.concatenate(found) if found else np.zeros((0, len(description.labels)), np.float32)
    return clips.numbers, found[:, labels.UNKNOWN_INDEX + 1:]


def _train(session, stream, settings, progress):
    steps = range(1, settings.step_count + 1)
    with contextlib.closing(batches.Ahead(stream.batch, steps, _THREADS, BATCHES_AHEAD)) as ahead:
        session.feed_from(ahead)
        for step in range(1, settings.step_count + 1, session.stride):
            session.advance(step, settings.rate_at(step))
            progress.update(session.stride)
