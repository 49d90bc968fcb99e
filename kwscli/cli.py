"""The `kws` command: flags -> settings -> one call -> the printed result. TensorFlow is imported where it is used."""
import contextlib
import json
import math
import os
import warnings

import click

from . import __version__, imports, models
from .devices.device_settings import DeviceSettings
from .errors import KwsError
from .flags import Group, ListOf, options
from .settings import DataSettings, TrainSettings
from .sound.feature_settings import FeatureSettings


def _data_path(default=None, otherwise="where the run's was"):
    return click.option(
        "--data-path", "--data-dir", envvar="KWS_DATA_PATH", default=default,
        help="Folder with %s.  [default: $KWS_DATA_PATH, else %s]"
        % (("the recordings", default + "/ here") if default else ("prepared data", otherwise)),
    )


_checkpoint = click.option(
    "--checkpoint", metavar="PATH", help="A run directory (its best checkpoint), a checkpoint or a .pb graph.  "
    "[default: the newest run under output/]"
)
_labels = click.option("--labels", metavar="FILE", help="Labels of a .pb graph that does not say them itself.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


def _print_json(value):
    click.echo(json.dumps(value, indent=1))


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="kws")
def cli():
    """Train, measure and ship small keyword spotters.

    \b
    kws prepare --data-path DIR      unpack and split the recordings in DIR
    kws train --data-path DIR        train a network on them
    kws eval                         measure it
    kws label file.wav               name what is spoken
    kws freeze                       export it
    """


@cli.command()
@_data_path("data")
@click.option("--archive", metavar="FILE", help="Which archive or folder.  [default: the one in the data path]")
@click.option("--out", metavar="DIR", help="Where the prepared data goes.  [default: the data path]")
@click.option("--download", is_flag=False, flag_value="0.02", type=click.Choice(["0.02", "0.01"]),
              help="Fetch this version of Speech Commands first (2.4 GB; 0.02 where none is named).")
@click.option("--synthesize", is_flag=False, flag_value="", metavar="[WORDS]",
              help="Make recordings by espeak-ng: of the ten keywords, ten other words, and these (comma-separated).")
@click.option("--sample-rate", type=click.IntRange(1000, 192000), default=16000, show_default=True,
              help="Samples per second everything is converted to.")
@click.option("--validation-percentage", type=click.FloatRange(0, 100), default=10.0, show_default=True,
              help="Speakers for validation, in percent.")
@click.option("--testing-percentage", type=click.FloatRange(0, 100), default=10.0, show_default=True,
              help="Speakers for testing, in percent.")
@click.option("--force", is_flag=True, help="Prepare again what is prepared already.")
@_json
def prepare(data_path, archive, out, download, synthesize, force, as_json, **how):
    """Unpack and split recordings, and say what is wrong with them.

    Reads speech_commands_v0.02.tar.gz (or another archive) or a folder of WORD/recording, and writes DIR/packed/.

    \b
    kws prepare --data-path data
    kws prepare --data-path data --download
    kws prepare --data-path data --synthesize yes,no,stop
    """
    with imports.guarded():
        from .data import prepare as preparing

    source = preparing.source_of(data_path, archive, download, synthesize)
    report = preparing.prepare(preparing.PrepareSettings(source, out or data_path, **how), force)
    if as_json:
        _print_json(report.info)
    else:
        click.echo(preparing.describe(report))


@cli.command()
@_data_path("data")
@click.option("--train-dir", metavar="DIR", help="Where the run goes.  [default: output/$ASCEND_DEVICE_ID, output/0]")
@click.option("--summaries-dir", metavar="DIR", help="Where TensorBoard's events go.  [default: TRAIN_DIR/summaries]")
@click.option("--start-checkpoint", metavar="PATH", help="Begin with the weights of this run or checkpoint.")
@click.option("--overwrite", is_flag=True, help="Lose the run that is in the train dir.")
@click.option("--check-nans", type=click.BOOL, default=False, metavar="BOOL",
              help="Find the tensor that is not a number.")
@click.option("--workers", type=click.IntRange(1, 256),
              help="Processes to start here that train together.  [default: 1]")
@click.option("--data-threads", type=click.IntRange(1), default=None, help="Threads that make batches.  [default: 2]")
@click.option("--model-architecture", "architecture", type=click.Choice(models.ARCHITECTURES), default="ds_cnn",
              show_default=True, help="Which network.")
@click.option("--model-size", default=None, help="Which published size of it: s, m, l, ...  [default: s]")
@click.option("--model-size-info", type=ListOf(int), help="Its size as integers, as the reference's scripts give it.")
@options(TrainSettings)
@options(DataSettings)
@options(FeatureSettings)
@options(DeviceSettings)
def train(**values):
    """Train a network; run again after an interruption, go on from there.

    \b
    kws train --data-path data
    kws train --data-path data --wanted-words yes,no --how-many-training-steps 1000,500 --learning-rate 0.001,0.0001
    """
    with imports.guarded():
        from .training import job as jobs

    job = jobs.plan(values)  # every setting is checked before TensorFlow is imported
    jobs.ensure_prepared(values["data_path"], job)
    if job.workers > 1:
        with imports.guarded():
            from .workers import launch

        raise SystemExit(launch.train(job.workers, job.device.device))
    with imports.guarded():
        from .training import loop as training

    outcome = training.train(job)
    judged = "" if math.isnan(outcome.best_accuracy) else "%.2f %% on validation at " % (100 * outcome.best_accuracy)
    click.echo("%sstep %d -> %s" % (judged, outcome.best_step, outcome.run_path))
    if outcome.test:
        click.echo("%.2f %% on testing (95 %% interval %.2f to %.2f, %d clips)" % (
            (100 * outcome.test.accuracy,) + tuple(100 * end for end in outcome.test.interval) + (outcome.test.count,)
        ))


@cli.command("eval")
@_checkpoint
@_data_path()
@click.option("--split", type=click.Choice(["training", "validation", "testing"]),
              help="Which part of prepared data.  [default: testing]")
@_labels
@_json
def evaluate(checkpoint, data_path, split, labels, as_json):
    """Measure a network: accuracy, precision and recall, confusions.

    The data path may also be an archive, or a folder, whose folders are named by labels.

    \b
    kws eval --checkpoint output/0
    kws eval --checkpoint DS_CNN_S.pb --labels labels.txt --data-path speech_commands_test_set_v0.02.tar.gz
    """
    with imports.guarded():
        from . import classifiers, evaluate as evaluating

    with contextlib.closing(classifiers.opened(checkpoint, labels)) as model:
        data_path = data_path or model.data_path or "data"
        if not evaluating.is_labelled(data_path, model.labels):
            split = split or "testing"
        result = evaluating.evaluate(model, data_path, split, model.data)
        if as_json:
            _print_json(dict(result.to_json(), checkpoint=model.path, split=split))
        else:
            click.echo(result)


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_checkpoint
@_labels
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="How many labels to show.")
@_json
def label(files, checkpoint, labels, top, as_json):
    """Name what is spoken in sound files, folders of them, or standard input (-).

    \b
    kws label file.wav
    kws label --checkpoint output/0 --top 1 recordings/ other.flac
    """
    with imports.guarded():
        from . import classifiers, label as labelling

    paths = list(labelling.expand(files))
    with contextlib.closing(classifiers.opened(checkpoint, labels)) as model:
        labelled = []
        for one in labelling.label_all(model, paths, top):
            labelled.append(one)
            if not as_json:
                click.echo(one, err=bool(one.error))
        if as_json:
            _print_json([one.to_json() for one in labelled])
    if any(one.error for one in labelled):
        click.get_current_context().exit(KwsError.exit_status)


@cli.command()
@_checkpoint
@click.option("--output", metavar="FILE", help="The self-contained graph.  [default: beside the checkpoint]")
@_data_path()
def freeze(checkpoint, output, data_path):
    """Write graphs with the weights inside, and check that they give the checkpoint's scores.

    FILE.pb takes a WAV file's bytes (wav_data), FILE_features.pb takes features (fingerprint_input); both give
    labels_softmax.

    \b
    kws freeze --checkpoint output/0 --output ds_cnn.pb
    """
    with imports.guarded():
        from . import export as freezing

    written = freezing.freeze(checkpoint, output, data_path)
    for one in written:
        click.echo("%s  %s -> labels_softmax, %d bytes, scores within %.1g of the checkpoint's" % (
            one.path, one.input, one.size, one.difference
        ))
    click.echo("For an Ascend chip: %s" % freezing.atc_command(written))


@cli.command("models")
@click.argument("architecture", required=False, type=click.Choice(models.ARCHITECTURES), metavar="[NAME]")
@click.option("--model-size", help="Which published size of NAME.  [default: s]")
@click.option("--model-size-info", type=ListOf(int), help="The size of NAME as integers.")
@click.option("--keywords", type=click.IntRange(1), default=10, show_default=True, help="How many words it spots.")
@options(FeatureSettings)
@_json
def list_models(architecture, model_size, model_size_info, keywords, as_json, **features):
    """Show every network and what it costs, or the layers of one.

    \b
    kws models
    kws models ds_cnn --model-size l --keywords 4
    """
    with imports.guarded():
        from . import list_models

    overrides = {name: value for name, value in features.items() if value is not None}
    click.echo(list_models.report(architecture, model_size, model_size_info, keywords + 2, overrides, as_json))


@cli.command()
@_data_path(otherwise="a corpus synthesised for it")
@click.option("--model-architecture", "architecture", type=click.Choice(models.ARCHITECTURES), default="ds_cnn",
              show_default=True, help="Which network.")
@click.option("--steps", type=click.IntRange(100), default=450, show_default=True, help="Steps of each training.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often each is measured.")
def bench(data_path, **how):
    """Measure the speed of every part on this machine: 3 to 5 minutes.

    \b
    kws bench --data-path data
    """
    with imports.guarded():
        from . import bench as benching

    for name, value in benching.benchmark(data_path, **how):
        click.echo("%-62s %s" % (name, value))


@cli.command()
@_data_path("data")
@_json
def doctor(data_path, as_json):
    """Say what this machine has, and what to do about what it lacks.

    The exit status is 1 if something that kws needs is missing, or something is there and broken.

    \b
    kws doctor
    """
    with imports.guarded():
        from . import doctor

    found = doctor.examine(data_path)
    if as_json:
        _print_json([one._asdict() for one in found])
    else:
        click.echo(doctor.page(found))
    if any(one.state in doctor.FAILURES for one in found):
        click.get_current_context().exit(KwsError.exit_status)


def main():
    """Run `kws`."""
    # TensorFlow's chatter about instructions and drivers; what goes wrong comes as an exception anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Batches are made by threads of ours; a pool of OpenBLAS's in each would only make them wait for one another.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)  # of TensorFlow 1.15 about numpy
    cli(prog_name="kws")
