"""The options of `kws train` -> a Job. Checks all that it can before TensorFlow is imported."""
import dataclasses
import os
from typing import Any, Dict, NamedTuple, Tuple

from .. import classifiers, files, labels, models, recipes
from ..console import say
from ..data import dataset, freshness, prepare
from ..devices import npu_flags
from ..devices.device_settings import DeviceSettings
from ..errors import KwsError
from ..models import costs
from ..runs import run_directory
from ..runs.description import Description, versions
from ..settings import (
    KEYWORDS, DataSettings, DetectorSettings, PrepareSettings, TrainSettings, flag_of, pick, unknown_percentage_for
)
from ..sound import feature_settings, spec_augment
from ..workers import cluster
from . import layers, start


class Job(NamedTuple):
    """What to train, on what, and where the results go."""

    run_path: str
    architecture: str
    model_size_info: Tuple[int, ...]
    features: feature_settings.FeatureSettings
    data: DataSettings
    train: TrainSettings
    device: DeviceSettings
    data_path: str
    start_checkpoint: str
    start_sha256: str
    teacher_sha256: Tuple[str, ...]
    overwrite: bool
    check_nans: bool
    data_threads: int
    summaries_dir: str
    log_name: str
    cluster: cluster.Cluster
    workers: int  # how many to start here; 1: this process trains

    def description(self, data_sha256: str, tensorflow_version: str) -> Description:
        """What model.json says about this training, given the data that it uses."""
        return Description(
            architecture=self.architecture,
            model_size_info=self.model_size_info,
            labels=labels.labels_of(self.data.wanted_words),
            features=self.features,
            data=self.data,
            detector=_detector(self.train),
            train=self.train,
            data_path=self.data_path,
            data_sha256=data_sha256,
            start_checkpoint=self.start_checkpoint,
            start_sha256=self.start_sha256,
            teacher_sha256=self.teacher_sha256,
            workers=self.cluster.size,
            versions=versions(tensorflow_version),
        )


def plan(values: Dict[str, Any]) -> Job:
    """Options {name: value, None where not given} -> Job."""
    together, workers = _workers(values["workers"])
    device = _own_gpu(pick(DeviceSettings, values), together, workers)
    number = npu_flags.device_number(values["device_id"])
    run_path = values["train_dir"] or os.path.join("output", str(number))
    begins = start.find(values["start_checkpoint"], run_path, values["overwrite"])
    architecture, size, features = begins.network(values) if begins.known else _network_of(values)
    keywords = values["wanted_words"] or KEYWORDS
    label_names = labels.labels_of(keywords)
    network = costs.count(architecture, size.model_size_info, features, len(label_names))
    recipe = recipes.load(values["recipe"], network.weights, features.shape, values)
    unknown = max(unknown_percentage_for(len(keywords)), recipe.data.get("unknown_percentage", 0.0))
    data = pick(DataSettings, values, **dict(recipe.data, unknown_percentage=unknown))
    _check_augmentation(values, data, features)
    train = _with_full_paths(pick(TrainSettings, values, **dict(recipe.train, **begins.train_settings())))
    _check_transfer(values, begins, layers.split(network.names, train.freeze_layers))
    _check_distillation(values, train)
    if train.quantize:
        _check_quantizable(architecture, network.layers)
    elif values["quantize_percentage"] is not None:
        raise KwsError("--quantize-percentage %g has no effect without --quantize" % values["quantize_percentage"],
                       "leave it out, or add --quantize true")
    teachers = tuple(_check_teacher(path, label_names, features) for path in train.teacher)
    return Job(
        run_path=run_path,
        architecture=architecture,
        model_size_info=size.model_size_info,
        features=features,
        data=data,
        train=train,
        device=device,
        data_path=os.path.abspath(values["data_path"]),
        start_checkpoint=begins.path,
        start_sha256=begins.sha256,
        teacher_sha256=teachers,
        overwrite=values["overwrite"],
        check_nans=values["check_nans"],
        data_threads=values["data_threads"] or 2,
        summaries_dir=values["summaries_dir"] or "",
        log_name="train_%d.log" % number,
        cluster=together,
        workers=workers,
    )


def _detector(train):
    """The detector of kws listen. With smoothed labels, scores hardly exceed 1 - label_smoothing: it asks for less."""
    return DetectorSettings(threshold=round(DetectorSettings.threshold * (1 - train.label_smoothing), 4))


def _network_of(values):
    """(architecture, Size, FeatureSettings) that the flags choose."""
    architecture = values["architecture"] or models.DEFAULT_ARCHITECTURE
    size = models.chosen(architecture, values["model_size"], values["model_size_info"])
    published = dict(size.feature_settings, **recipes.features(values["recipe"], architecture))
    return architecture, size, feature_settings.chosen(values, published)


def _check_transfer(values, begins, learning):
    """Refuse flags that need a start checkpoint, and say which one has nothing to act on. learning: its Layers."""
    for name in ("freeze_layers", "old_layers_rate_percentage"):
        if values[name] is not None and not begins:
            raise KwsError("%s %s has no effect without --start-checkpoint" % (flag_of(name), values[name]),
                           "add --start-checkpoint PATH")
    share = values["old_layers_rate_percentage"]
    if share is not None and not learning.old:
        say("--old-layers-rate-percentage %g has no effect: no old layer learns." % share)


def _check_distillation(values, train):
    for name in ("distillation_weight", "distillation_temperature"):
        if values[name] is not None and not train.teacher:
            raise KwsError("%s %g has no effect without --teacher" % (flag_of(name), values[name]), "add --teacher RUN")


def _with_full_paths(train):
    return dataclasses.replace(train, teacher=tuple(os.path.abspath(path) for path in train.teacher))


def _check_quantizable(architecture, layers):
    recurrent = sorted({layer.kind for layer in layers} & {"lstm", "gru"})
    if recurrent:
        raise KwsError(
            "--quantize cannot train a %s: it cannot round what goes from frame to frame inside of its %s layer"
            % (architecture, recurrent[0]),
            "leave --quantize out, or choose another --model-architecture; kws freeze --format tflite-int8 takes %s "
            "as it is" % architecture,
        )


def _check_teacher(path, wanted_labels, features):
    """Refuse a teacher that cannot teach this network -> the SHA-256 of its weights."""
    theirs = run_directory.resolve(path)[0]
    if theirs.labels != wanted_labels:
        raise KwsError(
            "the teacher %s has the labels %s, but this training has %s"
            % (path, ",".join(theirs.labels), ",".join(wanted_labels)),
            "name a teacher of the same labels in the same order, or change --wanted-words",
        )
    for name in ("sample_rate", "clip_duration_ms"):
        here, there = getattr(features, name), getattr(theirs.features, name)
        if here != there:
            raise KwsError("the teacher %s has %s %s, but this training has %s" % (path, flag_of(name), there, here),
                           "name a teacher of the same clips")
    return files.sha256_of(classifiers.weights_file(path))


def _check_augmentation(values, data, features):
    """Refuse augmentations that the features are too small for, and flags that another one replaces."""
    spec_augment.check(data, features)
    volume = values["background_volume"]
    if volume is not None and data.noise_snr_db and data.sampling == "epoch":
        raise KwsError(
            "--background-volume %g has no effect with --noise-snr-db" % volume, "leave one of them out"
        )
    for masks, width in (("time_masks", "time_mask_frames"), ("frequency_masks", "frequency_mask_channels")):
        if values[width] and not getattr(data, masks):
            raise KwsError("%s %d has no effect without %s" % (flag_of(width), values[width], flag_of(masks)),
                           "add %s 1, or more" % flag_of(masks))


def _workers(asked):
    """(the Cluster that this process belongs to, how many workers it has to start).

    The second is 1 if this process is a worker itself.
    """
    if (asked or 1) > 1 and cluster.table_to_start():
        return cluster.ALONE, asked
    together = cluster.of()
    if together.size > 1 and asked not in (None, together.size):
        raise KwsError(
            "--workers is %d, but the environment describes %d workers" % (asked, together.size), "leave --workers out"
        )
    return together, 1 if together.size > 1 else asked or 1


def _own_gpu(device, together, workers):
    """Give each worker on a machine its own GPU. The rank table gives workers their NPUs."""
    if device.device_id is not None and (together.hccl or workers > 1):
        raise KwsError(
            "--device-id %d names one device, but several workers train here and each needs its own" % device.device_id,
            "leave it out",
        )
    if together.size == 1 or together.hccl or device.device_id is not None:
        return device
    return dataclasses.replace(device, device_id=together.local_ranks.index(together.rank))


def ensure_prepared(data_path: str, job: Job) -> None:
    """Prepare recordings that were not prepared yet. Refuse to begin a run if recordings have changed since."""
    if dataset.is_prepared(data_path):
        if job.cluster.rank == 0:
            _check_current(data_path, job)
        return
    source = prepare.find_source(data_path)
    say("Preparing %s first." % source)
    settings = PrepareSettings(sample_rate=job.features.sample_rate)
    # Other workers may share the folder, and prepare it at the same time.
    say(str(prepare.prepare(source, data_path, settings, wait=job.cluster.size > 1, data_path=data_path)))


def _check_current(data_path, job):
    """Refuse to begin a run on data whose recordings have changed. A run that continues needs the data as it was."""
    outdated = freshness.outdated(data_path)
    if not outdated:
        return
    if job.overwrite or not run_directory.read_state(job.run_path)[1]:
        raise outdated
    say("%s. This run continues with the prepared data." % outdated)
