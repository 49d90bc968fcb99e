"""The `kws` command: each subcommand reads its flags, makes one call and prints the result."""
import atexit
import contextlib
import gc
import json
import math
import os
import shlex
import sys
import warnings

import click

from . import __version__, console, export, guides, imports, interrupts, models, pretrained
from .boards import BOARDS
from .errors import KwsError
from .flags import FiniteRange, Group, ListOf, check_repeated, options
from .settings import (
    DataSettings, DetectorSettings, EvaluationSettings, PrepareSettings, StreamSettings, TrainSettings, flag_of, pick
)
from .sound.feature_settings import FeatureSettings


def _data_path(default=None, otherwise="the folder that the run was trained on"):
    return click.option(
        "--data-path", "--data-dir", envvar="KWS_DATA_PATH", default=default,
        help="Folder with %s.  [default: $KWS_DATA_PATH, else %s]"
        % (("the recordings", default + "/ here") if default else ("prepared data", otherwise)),
    )


_MODELS = (
    "a run directory (its best checkpoint), a checkpoint, or an exported network (.pb, .tflite, .onnx, a SavedModel or "
    "a C kit)"
)
_checkpoint = click.option(
    "--checkpoint", metavar="PATH",
    help="%s.  [default: the newest run under output/, else the network in the package]"
    % (_MODELS[0].upper() + _MODELS[1:]),
)
_labels = click.option("--labels", metavar="FILE", help="The labels of a .pb graph that does not contain them.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _print_json(value):
    click.echo(json.dumps(value, indent=1))


def _command(name, **flags):
    """A command line of kws, with those flags whose value is not None."""
    given = [(flag_of(flag), str(value)) for flag, value in flags.items() if value is not None]
    return " ".join(["kws", name] + [shlex.quote(part) for pair in given for part in pair])


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="kws")
def cli():
    """Train, measure and ship small keyword spotters.

    \b
    kws prepare --data-path DIR      unpack and split the recordings in DIR
    kws train --data-path DIR        train a network on them
    kws eval                         measure the network
    kws label file.wav               name what is spoken in a file
    kws listen recording.wav         find keywords in a long recording or a stream
    kws freeze                       export the network
    """


@cli.command()
@_data_path("data")
@click.option("--archive", metavar="FILE",
              help="The archive or folder of recordings.  [default: the one in the data path]")
@click.option("--out", metavar="DIR", help="Folder for the prepared data.  [default: the data path]")
@click.option("--download", is_flag=False, flag_value="0.02", type=click.Choice(["0.02", "0.01"]),
              help="Download this version of Speech Commands first (0.02, the default, has 2.4 GB).")
@click.option("--synthesize", is_flag=False, flag_value="", metavar="[WORDS]",
              help="Make recordings with espeak-ng: the ten keywords, ten other words, and these, separated by commas.")
@options(PrepareSettings)
@click.option("--force", is_flag=True, help="Prepare the recordings again, even if prepared data is there.")
@click.option("--check-labels", metavar="RUN",
              help="Then list recordings whose word is doubtful. This trains five networks like that of RUN, which may "
                   "be a network in the package.")
@_json
def prepare(data_path, archive, out, download, synthesize, force, check_labels, as_json, **how):
    """Unpack, check and split recordings.

    Reads an archive such as speech_commands_v0.02.tar.gz, or a folder with a sub-folder of recordings per word. Writes
    the prepared data to DIR/packed/ and lists the problems of recordings in DIR/packed/problems.csv.

    \b
    kws prepare --data-path data
    kws prepare --data-path data --download
    kws prepare --data-path data --synthesize yes,no,stop
    kws prepare --data-path data --check-labels output/0
    """
    with imports.guarded():
        from . import classifiers
        from .data import prepare as preparing

    if check_labels:
        check_labels = classifiers.located(check_labels)
        imports.need_tensorflow()
    settings = pick(PrepareSettings, how)
    source = preparing.source_of(data_path, archive, download, synthesize)
    with contextlib.ExitStack() as stack:
        aligner = stack.enter_context(_aligner(settings)) if settings.align else None
        report = preparing.prepare(
            source, out or data_path, settings, force, data_path=data_path, cut=aligner and aligner.cut
        )
    if not as_json:
        click.echo(report)
    checked = _check_labels(out or data_path, check_labels) if check_labels else None
    if as_json:
        _print_json(dict(report.to_json(), label_check=checked.to_json()) if checked else report.to_json())
    elif checked:
        click.echo("\n" + str(checked))


def _aligner(settings):
    with imports.guarded():
        from . import align

    return align.opened(settings.align, settings.sample_rate)


def _check_labels(data_path, model_path):
    with imports.guarded():
        from . import label_check

    return label_check.check(data_path, model_path)


@cli.command()
@_data_path("data")
@click.option("--train-dir", metavar="DIR",
              help="Folder for the run.  [default: output/$ASCEND_DEVICE_ID, else output/0]")
@click.option("--summaries-dir", metavar="DIR", help="Folder for TensorBoard's events.  [default: TRAIN_DIR/summaries]")
@click.option("--start-checkpoint", metavar="PATH",
              help="Start with the weights of this run, checkpoint, .pb graph, or network in the package.")
@click.option("--overwrite", is_flag=True, help="Delete the existing run in the train dir first.")
@click.option("--check-nans", type=click.BOOL, default=False, metavar="BOOL",
              help="Check every tensor of every step, and name the first one that is not a number.")
@click.option("--workers", type=click.IntRange(1, 256),
              help="Number of processes to start on this machine; they train one network together.  [default: 1]")
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True,
              help="Number of trainings, one after the other, with the seeds SEED, SEED + 1, ...; reports their mean.")
@click.option("--data-threads", type=click.IntRange(1), default=None,
              help="Number of threads that prepare batches.  [default: 2]")
@click.option("--model-architecture", "architecture", type=click.Choice(models.ARCHITECTURES),
              help="The network to train; see kws models.  [default: that of the start checkpoint, else %s]"
              % models.DEFAULT_ARCHITECTURE)
@click.option("--model-size", default=None,
              help="A published size of that network, such as s, m or l; see kws models.  [default: as above, else s]")
@click.option("--model-size-info", type=ListOf(int),
              help="The size as integers, in the form of the ML-KWS-for-MCU scripts.")
@options(TrainSettings)
@options(DataSettings, unknown_percentage="10 for ten keywords or more, and more for fewer")
@options(FeatureSettings)
@options("kwscli.devices.device_settings:DeviceSettings")
def train(**values):
    """Train a network. After an interruption, the same command continues the training.

    With --seeds, each training is a run of its own: TRAIN_DIR/seed-SEED.

    \b
    kws train --data-path data
    kws train --data-path data --wanted-words yes,no --how-many-training-steps 1000,500 --learning-rate 0.001,0.0001
    """
    with imports.guarded():
        from .training import job as jobs

    job = jobs.plan(values)  # every setting is checked before TensorFlow is imported
    imports.need_tensorflow()
    if values["seeds"] > 1:
        with imports.guarded():
            from .training import seeds

        click.echo(seeds.train(job, values["seeds"]))
        return
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
@click.argument("paths", nargs=-1, metavar="[MODEL]...")
@click.option("--checkpoint", "checkpoints", metavar="PATH", multiple=True,
              help="The same as MODEL: %s.  [default: the newest run under output/]" % _MODELS)
@_data_path()
@click.option("--split", type=click.Choice(["training", "validation", "testing"]),
              help="The split of prepared data to measure on.  [default: testing]")
@options(EvaluationSettings)
@click.option("--stream", is_flag=False, flag_value="", metavar="[FILE]",
              help="Measure on a long recording, or on one that is made of prepared data.")
@click.option("--truth", metavar="FILE",
              help="What is said in the recording, in a form that kws listen reads; without it, no keyword.")
@click.option("--save-stream", metavar="DIR", help="Keep the stream that is made, and what is said in it.")
@options(StreamSettings)
@_labels
@click.option("--report", metavar="DIR",
              help="Write a page with figures and mistakes to listen to, and its numbers as JSON, CSV and PNG.")
@_json
@click.pass_context
def evaluate(context, paths, checkpoints, data_path, split, labels, report, as_json, **how):
    """Measure a network: accuracy, precision and recall per label, and the confusion matrix.

    The data path is prepared data, or an archive or folder that has a folder per label. Several networks are measured
    on the same clips, and each is compared with the first. The train dir of kws train --seeds counts as one network.
    With --stream: hits, false accepts per hour and latency of the detector of kws listen.

    \b
    kws eval --checkpoint output/0
    kws eval --checkpoint output/0 --report report
    kws eval output/0 ds_cnn.onnx ds_cnn_int8.tflite
    kws eval output/0 --stream --stream-minutes 60
    kws eval --checkpoint DS_CNN_S.pb --labels labels.txt --data-path speech_commands_test_set_v0.02.tar.gz
    """
    with imports.guarded():
        from .evaluation import compare, evaluate as evaluating

    def check(model, data_path):
        check_repeated(lambda: evaluating.settings_of(model, data_path), model.path)

    paths = checkpoints + paths
    clips = {name: how.pop(name) for name in vars(EvaluationSettings())}
    if how["stream"] is not None:
        _refuse(dict(clips, report=report), "is about clips, and a stream has none")
        if how["stream"] and not os.path.isdir(how["stream"]):
            reason = "is for a stream that kws makes, but --stream names %s" % how["stream"]
            _check_not_given(context, reason, "data_path")
        _evaluate_stream(paths, labels, data_path, split, as_json, check, **how)
        return
    _refuse(how, "has no effect without --stream")
    if len(paths) > 1 or any(map(compare.is_seeds, paths)):
        _refuse({"report": report}, "is about one network, but there are several")
        models = compare.compare(paths, labels, data_path, split, check, **clips)
        if as_json:
            _print_json(compare.to_json(models))
        else:
            click.echo(compare.page(models))
        return
    evaluation, path = _evaluate_clips(paths[0] if paths else None, labels, data_path, split, report, check, clips)
    if as_json:
        _print_json(dict(evaluation.to_json(), checkpoint=path))
    else:
        click.echo(evaluation)


def _evaluate_clips(path, labels, data_path, split, report, check, settings):
    """The part of `kws eval` that measures one network on clips -> (Evaluation, the path of the network)."""
    with imports.guarded():
        from . import classifiers
        from .evaluation import evaluate as evaluating, measurements
        from .evaluation.report import writer

    if report is not None:
        writer.check(report)
    with classifiers.open(path, labels) as model:
        data_path = data_path or model.data_path or "data"
        check(model, data_path)
        if report is None:
            return evaluating.evaluate(model, data_path, model.data, split, **settings), model.path
        given = dict(settings, split=split, labels=labels, report=report)
        command = _command("eval", checkpoint=model.path, data_path=data_path, **given)
        measured = measurements.measure(model, data_path, command, split, **settings)
        writer.write(measured, report)
        return measured.evaluation, model.path


def _refuse(values, why):
    """Refuse flags {name: value} that were given, though they cannot act."""
    for name, value in values.items():
        if value is not None:
            raise KwsError("%s %s %s" % (flag_of(name), value, why), "leave it out")


def _check_not_given(context, reason, *names):
    """Refuse flags that are on the command line, though they cannot act; a default or a variable may stay."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if parameter.name in names and source is click.core.ParameterSource.COMMANDLINE:
            raise KwsError("%s %s" % (parameter.opts[0], reason), "leave it out")


def _evaluate_stream(paths, labels, data_path, split, as_json, check, **how):
    """The part of `kws eval` that measures on a stream."""
    with imports.guarded():
        from . import classifiers
        from .evaluation import streaming

    paths = paths or (classifiers.located(None),)
    write = classifiers.detector_writer(paths[0]) if how["max_false_accepts_per_hour"] is not None else None
    found = streaming.evaluate(paths, labels, data_path, split, check=check, **how)
    if as_json:
        _print_json([one.to_json() for one in found] if len(found) > 1 else found[0].to_json())
    else:
        click.echo(streaming.table(found) if len(found) > 1 else found[0])
    if write:
        write(found[0].detector)
        console.say("%s now has these thresholds, and so has what kws freeze makes of it." % paths[0])


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_checkpoint
@_labels
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Number of labels to show per file.")
@click.option("--min-score", type=FiniteRange(0, 1), metavar="P",
              help="A file whose highest score is below this, such as 0.8, is not recognized.  "
              "[default: the threshold of the keyword in the model, if it has one]")
@_json
@click.option("--jsonl", "as_lines", is_flag=True, help="Print a line of JSON per file, as soon as it is labelled.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table with commas, for programs.")
def label(files, checkpoint, labels, top, min_score, as_json, as_lines, as_csv):
    """Name what is spoken in sound files, in all files of folders, or on standard input (-).

    Takes the light model that kws train and kws freeze leave in a run, and does not wait for TensorFlow then.

    \b
    kws label file.wav
    kws label --checkpoint output/0 --top 1 recordings/ other.flac
    kws label --min-score 0.8 --csv recordings/ > labels.csv
    """
    if as_json + as_lines + as_csv > 1:
        raise KwsError("--json, --jsonl and --csv each choose what to print", "give one of them")
    # Everything is closed by then, and the search for garbage at the end takes as long as the labelling of a file.
    atexit.register(gc.freeze)
    with imports.guarded():
        from . import classifiers, label as labelling

    paths = list(labelling.expand(files))
    writer = _csv_writer(labelling.COLUMNS) if as_csv else None
    labelled = []
    with classifiers.open(checkpoint, labels, light=True) as model, contextlib.ExitStack() as stack:
        # Where the results themselves appear on the terminal, they show the progress.
        counts = len(paths) > 1 and (as_json or not sys.stdout.isatty())
        progress = stack.enter_context(console.Progress("labelling", len(paths), "files")) if counts else None
        for one in labelling.label(model, paths, top, min_score):
            labelled.append(one)
            if as_lines:
                click.echo(json.dumps(one.to_json()))
            elif as_csv:
                writer(one.to_row())
            elif not as_json:
                click.echo(one, err=bool(one.error))
            if progress:
                progress.update()
        if as_json:
            _print_json([one.to_json() for one in labelled])
    if any(one.too_quiet for one in labelled):
        console.say("Record louder, or train with --attenuation-db, so that quiet recordings are reliable, too.")
    if any(one.error for one in labelled):
        click.get_current_context().exit(KwsError.exit_status)


def _csv_writer(columns):
    """A function that prints a row of CSV; the columns are printed first."""
    import csv

    writer = csv.writer(click.get_text_stream("stdout"), lineterminator="\n")
    writer.writerow(columns)
    return writer.writerow


@cli.command()
@click.argument("source", required=False, metavar="[FILE|-]")
@_checkpoint
@_labels
@click.option("--microphone", is_flag=False, flag_value="", metavar="[NAME]",
              help="Listen to the microphone: the default one, or the one with this name or number.")
@click.option("--rate", type=click.IntRange(1000, 768000),
              help="Samples per second of standard input without a header.  [default: that of the network]")
@options(DetectorSettings)
@click.option("--labels-file", metavar="FILE", help="Write an Audacity label track.")
@click.option("--save-clips", metavar="DIR", help="Keep what was heard as WAV files, in a folder per keyword.")
@click.option("--truth", metavar="FILE", help="Compare with what was said: lines `word, time`, Audacity labels or CSV.")
@click.option("--tolerance-ms", type=FiniteRange(0), default=StreamSettings.tolerance_ms, show_default=True,
              help="Longest time between a word and its detection, with --truth.")
@click.option("--stats", is_flag=True, help="Print the speed at the end.")
@_json
def listen(source, checkpoint, labels, microphone, rate, labels_file, save_clips, truth, tolerance_ms, stats, as_json,
           **detector):
    """Find keywords in a sound file of any length, on standard input (-), or with the microphone.

    Prints a line per detection: its time, the keyword, and the score. Samples on standard input are 16-bit mono, or
    have the header of a sound file.

    \b
    kws listen recording.flac --labels-file recording.txt
    arecord -f S16_LE -r 16000 | kws listen -
    kws listen --microphone
    """
    with imports.guarded():
        from . import classifiers, listen as listening

    with contextlib.ExitStack() as stack:
        stack.enter_context(interrupts.signals_close())
        model = stack.enter_context(classifiers.open(checkpoint, labels, light=True))
        settings = pick(DetectorSettings, detector, **vars(model.detector))
        spoken = listening.truth.read(truth) if truth else []
        blocks = listening.blocks(model, source, microphone, rate, console.say)
        track = stack.enter_context(open(labels_file, "w", encoding="utf-8")) if labels_file else None
        listener, found = listening.Listener(model, settings, save_clips, track), []
        try:
            for heard in listener.listen(blocks):
                click.echo(json.dumps(heard.to_json()) if as_json else heard)
                found += [heard] if truth else []
        except KeyboardInterrupt:
            console.say(listener.summary())
            raise
        console.say(listener.summary())
        if stats:
            console.say(listener.stats())
        if truth:
            comparison = listening.compare(model, found, spoken, listener.seconds, tolerance_ms)
            click.echo(json.dumps(comparison.to_json()) if as_json else "\n" + str(comparison))


@cli.command()
@click.option("--checkpoint", metavar="PATH",
              help="A run directory (its best checkpoint) or a checkpoint.  [default: the newest run under output/]")
@click.option("--format", "formats", type=ListOf(str), default=",".join(export.DEFAULT_FORMATS), show_default=True,
              help="Formats to write, separated by commas: %s, or %s." % (", ".join(export.FORMATS), export.ALL))
@click.option("--output", metavar="PATH", help="A file, or a folder for all of them.  [default: beside the checkpoint]")
@_data_path()
@_json
def freeze(checkpoint, formats, output, data_path, as_json):
    """Export a network, and check that each file gives the scores of the checkpoint.

    \b
    kws freeze --checkpoint output/0 --output ds_cnn.pb
    kws freeze --format pb-features --output exported/
    """
    with imports.guarded():
        from . import classifiers
        from .export import freeze as freezing

    export.chosen(formats)  # a wrong name is told before TensorFlow is imported
    imports.need_tensorflow()
    checkpoint = checkpoint and classifiers.located(checkpoint)
    check_repeated(lambda: freezing.settings_of(checkpoint), checkpoint or "the newest run")
    written = freezing.freeze(checkpoint, output, data_path, formats)
    if as_json:
        _print_json([one._asdict() for one in written])
        return
    for one in written:
        click.echo("%s  %s, %d bytes, %s" % (one.path, one.summary, one.size, one.check))
    for one in written:
        if one.note:
            click.echo(one.note)


@cli.command()
@click.argument("new", nargs=-1, required=True, metavar="NEW...")
@click.option("--language", default="en", show_default=True, metavar="TAG",
              help="The language of the words, such as de or en-us, as espeak-ng names it.")
@click.option("--recordings", metavar="DIR",
              help="Your recordings: a folder per word, or only files if there is one word.")
@_data_path(otherwise="none: other words are synthesised")
@click.option("--max-false-accepts-per-hour", type=FiniteRange(0), default=1.0, show_default=True, metavar="N",
              help="The thresholds are chosen for this rate.")
@click.option("--quick", is_flag=True, help="Synthesise less, and train a sixth of the steps.")
@click.option("--word-list", metavar="FILE",
              help="Words of the language, for phrases that sound alike.  [default: a list of kws for en and de]")
@click.option("--piper-voice", "piper_voices", multiple=True, metavar="FILE",
              help="A voice of piper (.onnx) that speaks, too; may be given several times.")
@click.option("--start-checkpoint", metavar="PATH", help="The network to start with.  [default: that in the package]")
@click.option("--train-dir", default="output/words", show_default=True, metavar="DIR", help="Folder for the run.")
@click.option("--overwrite", is_flag=True, help="Make everything again, even if it is there.")
@_json
@click.pass_context
def words(context, new, max_false_accepts_per_hour, as_json, start_checkpoint, **how):
    """Make a network that spots new words or phrases, with synthesised recordings of them.

    Synthesises the words and phrases that sound like them, adds your recordings, trains from the packaged network,
    and chooses thresholds. After an interruption, the same command continues.

    \b
    kws words "hey lamp" stop --quick
    kws words "hallo lampe" --language de --recordings recordings/ --data-path data
    """
    with imports.guarded():
        from .training import job as jobs
        from .words import project, report

    start = start_checkpoint or pretrained.names()[0]
    request = project.checked(project.Request(tuple(new), start_checkpoint=start, **how))
    # A start that cannot be used is told before anything is made.
    job = jobs.plan(train.make_context("train", project.training_flags(request), context.parent).params)
    imports.need_tensorflow()
    material = project.collect(request)
    if not project.is_trained(request):
        with imports.guarded():
            from .training import loop as training

        training.train(job)
    finished = report.finish(request.train_dir, material, max_false_accepts_per_hour)
    if as_json:
        _print_json(finished.to_json())
    else:
        click.echo(finished)


@cli.command()
@click.argument("word")
@click.option("--out", default="recordings", show_default=True, metavar="DIR",
              help="Folder for the recordings, which go to DIR/WORD/.")
@click.option("--count", type=click.IntRange(1, 10000), default=20, show_default=True, help="Number of clips.")
@click.option("--speaker", metavar="NAME",
              help="Who speaks; clips of one speaker are never in two splits.  [default: one name per day]")
@click.option("--microphone", default="", metavar="NAME", help="The microphone, by its name or number.  [default: "
              "that of the system]")
def record(word, out, count, speaker, microphone):
    """Record clips of a word through the microphone, check each, and ask again where one is not good.

    \b
    kws record "hey lamp" --speaker anna
    kws words "hey lamp" --recordings recordings
    """
    with imports.guarded():
        from . import record as recording

    recorder = recording.Recorder(word, out, recording.check_speaker(speaker), microphone, console.say, console.show)
    for path in recorder.record(count):
        click.echo(path)


@cli.command("models")
@click.argument("architecture", required=False, type=click.Choice(models.ARCHITECTURES), metavar="[NAME]")
@click.option("--model-size", help="A published size of the network NAME.  [default: s]")
@click.option("--model-size-info", type=ListOf(int), help="The size of the network NAME as integers.")
@click.option("--keywords", type=click.IntRange(1), help="Number of keywords.  [default: 10]")
@click.option("--pretrained", is_flag=True, help="Show the model card of the trained network in the package.")
@click.option("--board", metavar="NAME", help="Predict how long the networks take on a board: %s." % ", ".join(BOARDS))
@options(FeatureSettings)
@_json
def list_models(architecture, model_size, model_size_info, keywords, pretrained, board, as_json, **features):
    """List the networks and what each costs, or the layers of one network, or the trained network in the package.

    \b
    kws models
    kws models ds_cnn --model-size l --keywords 4
    kws models --pretrained
    kws models --board nucleo-l4r5zi
    """
    with imports.guarded():
        from . import list_models, model_card

    overrides = {name: value for name, value in features.items() if value is not None}
    if not pretrained:
        labels = keywords + 2 if keywords else list_models.LABEL_COUNT
        click.echo(list_models.report(architecture, model_size, model_size_info, labels, overrides, as_json, board))
        return
    if architecture or model_size or model_size_info or keywords or board or overrides:
        raise KwsError("--pretrained shows the network in the package as it is",
                       "leave out the name, the size, the keywords, the features and the board")
    click.echo(model_card.report(as_json))


@cli.command()
@click.argument("paths", nargs=-1, metavar="[MODEL]...")
@_data_path(otherwise="recordings synthesised for the measurement")
@click.option("--model-architecture", "architecture", type=click.Choice(models.ARCHITECTURES), default="ds_cnn",
              show_default=True, help="The network to measure with.")
@click.option("--steps", type=click.IntRange(100), default=450, show_default=True, help="Steps per training.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Number of measurements per row.")
@_labels
@_json
@click.pass_context
def bench(context, paths, data_path, labels, as_json, rounds, **how):
    """Measure the speed of every part on this machine, in 3 to 5 minutes; or how long models take for a clip.

    MODEL is a run directory (its best checkpoint), a checkpoint, or an exported network.

    \b
    kws bench --data-path data
    kws bench output/0 ds_cnn.tflite ds_cnn.onnx
    """
    with imports.guarded():
        from . import bench as benching, model_speed

    if paths:
        _check_not_given(context, "does not act on the speed of models", "data_path", *how)
        speeds = model_speed.measure(paths, labels, rounds)
        if as_json:
            _print_json([one.to_json() for one in speeds])
        else:
            click.echo(model_speed.table(speeds))
        return
    _check_not_given(context, "belongs to a model", "labels")
    measured = benching.benchmark(data_path, rounds=rounds, **how)
    if as_json:
        _print_json([{"name": name.strip(), "value": value} for name, value in measured])
        return
    for name, value in measured:
        click.echo("%-62s %s" % (name, value))


@cli.command()
@_data_path("data")
@_json
def doctor(data_path, as_json):
    """Show what this machine has, and how to install or repair what kws needs.

    The exit status is 1 if something that kws needs is missing or broken.

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


@cli.command()
@click.argument("name", required=False, type=click.Choice(guides.NAMES), metavar="[NAME]")
def guide(name):
    """Print a guide, or the list of guides.

    \b
    kws guide
    kws guide training
    """
    click.echo(guides.read(name) if name else console.table(guides.titles()))


def main() -> None:
    """Run `kws`."""
    # TensorFlow's log is about instruction sets and drivers. Errors reach us as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Our own threads prepare batches. A thread pool of OpenBLAS in each would only make them wait for one another.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)  # from TensorFlow 1.15, about numpy
    cli(prog_name="kws")
