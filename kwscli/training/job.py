"""The flags of `kws train` -> what to train and where, everything checked that can be before TensorFlow is loaded."""
import dataclasses
import os
from typing import NamedTuple

from .. import labels, models
from ..console import say
from ..data import dataset, prepare
from ..devices import npu_flags
from ..devices.device_settings import DeviceSettings
from ..errors import KwsError
from ..models import costs
from ..runs import run_directory
from ..settings import DataSettings, FeatureSettings, PrepareSettings, TrainSettings, pick
from ..workers import cluster


class Job(NamedTuple):
    """A training: see `train.train`."""

    run_path: str
    description: run_directory.Description
    device: DeviceSettings
    overwrite: bool
    check_nans: bool
    data_threads: int
    summaries_dir: str
    log_name: str
    cluster: cluster.Cluster
    workers: int  # to start here; 1: this process trains


def plan(values):
    """Flags {name: value, None where not given} -> Job."""
    together, workers = _workers(values["workers"])
    device = _own_gpu(pick(DeviceSettings, values), together, workers)
    number = npu_flags.device_number(values["device_id"])
    architecture = values["architecture"]
    if values["model_size"] and values["model_size_info"]:
        raise KwsError("--model-size and --model-size-info both say how large the network is; give one of them")
    if values["model_size_info"]:
        size = models.custom(architecture, values["model_size_info"])
    else:
        size = models.published(architecture, values["model_size"] or models.DEFAULT_SIZE)
    data = pick(DataSettings, values)
    description = run_directory.Description(
        architecture=architecture,
        model_size_info=size.model_size_info,
        labels=labels.labels_of(data.wanted_words),
        features=pick(FeatureSettings, values, **size.feature_settings),
        data=data,
        train=pick(TrainSettings, values),
        data_path=os.path.abspath(values["data_path"]),
        start_checkpoint=os.path.abspath(values["start_checkpoint"]) if values["start_checkpoint"] else "",
        workers=together.size,
    )
    costs.count(architecture, description.model_size_info, description.features, len(description.labels))
    run_path = values["train_dir"] or os.path.join("output", str(number))
    if description.start_checkpoint:
        _check_start(values["start_checkpoint"], run_path, values["overwrite"])
    return Job(
        run_path=run_path,
        description=description,
        device=device,
        overwrite=values["overwrite"],
        check_nans=values["check_nans"],
        data_threads=values["data_threads"] or 2,
        summaries_dir=values["summaries_dir"],
        log_name="train_%d.log" % number,
        cluster=together,
        workers=workers,
    )


def _check_start(path, run_path, overwrite):
    """Refuse a start that cannot be read, or that the run would overwrite; a run that goes on needs it no more."""
    start = os.path.realpath(path)
    if os.path.realpath(run_path) == (start if os.path.isdir(start) else os.path.dirname(start)):
        raise KwsError("--start-checkpoint %s is in %s, where this run would go; choose another --train-dir"
                       % (path, run_path))
    if overwrite or not run_directory.read_state(run_path)[1]:
        run_directory.resolve(path)


def _workers(asked):
    """(the Cluster that this process is of, how many processes it is to start: 1 where it is one of several)."""
    if (asked or 1) > 1 and cluster.table_to_start():
        return cluster.ALONE, asked
    together = cluster.of()
    if together.size > 1 and asked not in (None, together.size):
        raise KwsError("--workers %d, and the environment says that %d train together; leave --workers out"
                       % (asked, together.size))
    return together, 1 if together.size > 1 else asked or 1


def _own_gpu(device, together, workers):
    """Workers on one machine take its GPUs in turn; NPUs are named by the rank table."""
    if device.device_id is not None and (together.hccl or workers > 1):
        raise KwsError("--device-id %d is one device, and several workers train here, each on its own; leave it out"
                       % device.device_id)
    if together.size == 1 or together.hccl or device.device_id is not None:
        return device
    return dataclasses.replace(device, device_id=together.local_ranks.index(together.rank))


def ensure_prepared(data_path, job):
    """Prepare an archive that was not prepared yet. Refuse to begin a run if recordings have changed since."""
    if dataset.is_prepared(data_path):
        if job.cluster.rank == 0:
            _check_current(data_path, job)
        return
    source = prepare.find_source(data_path)
    say("Preparing %s first." % source)
    settings = PrepareSettings(sample_rate=job.description.features.sample_rate)
    # Other workers may share the folder, and prepare it at the same time.
    say(str(prepare.prepare(source, data_path, settings, wait=job.cluster.size > 1, data_path=data_path)))


def _check_current(data_path, job):
    """Refuse to begin a run on data whose recordings have changed. A run that continues needs the data as it was."""
    outdated = prepare.outdated(data_path)
    if not outdated:
        return
    if job.overwrite or not run_directory.read_state(job.run_path)[1]:
        raise outdated
    say("%s. This run continues with the prepared data." % outdated)
