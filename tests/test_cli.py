"""The command line: every flag in every spelling, every error in one line, and the whole path on a small data set."""
import inspect
import json
import os
import re
import shutil

import click
import pytest
from click.testing import CliRunner

from kwscli import __version__, cli
from kwscli.settings import KEYWORDS
from kwscli.training import job as jobs

DS_CNN_S = "5 64 10 4 2 2 64 3 3 1 1 64 3 3 1 1 64 3 3 1 1 64 3 3 1 1"
SIZE = tuple(map(int, DS_CNN_S.split()))
# The training lines of the seed's train_full_1p.sh and of the reference's README, as they are.
SEED_LINE = (
    "--model_architecture ds_cnn --model_size_info %s --dct_coefficient_count 10 "
    "--window_size_ms 40 --window_stride_ms 20 --learning_rate 0.0005,0.0001,0.00002 "
    "--how_many_training_steps 10000,10000,10000 "
    "--summaries_dir ./result/work/DS_CNN/DS_CNN_1/retrain_logs --data_dir DIR --batch_size 100 "
    "--train_dir ./result/work/DS_CNN/DS_CNN_1/training" % DS_CNN_S
)
SHELL_LINE = (
    "--precision_mode=allow_mix_precision --over_dump=True --data_dump_flag=1 --data_dump_step=10 --profiling=True "
    "--data_save_path=/home/data --data_path=DIR"
)
REFERENCE_LINE = (
    "--wanted_words yes,no --sample_rate 16000 --clip_duration_ms 1000 --silence_percentage 5.5 --unknown_percentage 7 "
    "--validation_percentage 15 --testing_percentage 20 --background_volume 0.2 --background_frequency 0.5 "
    "--time_shift_ms 50.0 --eval_step_interval 10 --check_nans True"
)


class Planned(Exception):
    """Carries the job that `kws train` was about to do."""


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """planned("--batch_size", "3"): the settings that these flags of `kws train` mean, or click's result."""
    original = jobs.plan

    def stop(values):
        raise Planned(original(values))

    monkeypatch.setattr(jobs, "plan", stop)
    monkeypatch.delenv("KWS_DATA_PATH", raising=False)
    monkeypatch.delenv("ASCEND_DEVICE_ID", raising=False)
    monkeypatch.chdir(tmp_path)

    def train(*flags):
        result = CliRunner().invoke(cli.cli, ["train"] + list(flags))
        if not isinstance(result.exception, Planned):
            assert isinstance(result.exception, SystemExit), result.exception
            return result
        job = result.exception.args[0]
        description = job.description("", "")
        found = dict(vars(description), **job._asdict())
        for part in (description.features, description.data, description.train, job.device):
            found.update(vars(part))
        return found

    return train


def test_no_flag_is_the_seeds_default(planned, tmp_path):
    job = planned()
    assert (job["architecture"], job["model_size_info"]) == ("ds_cnn", SIZE)
    assert job["labels"] == ("_silence_", "_unknown_") + KEYWORDS
    assert (job["run_path"], job["log_name"]) == (os.path.join("output", "0"), "train_0.log")
    assert job["data_path"] == str(tmp_path / "data")


def test_the_seeds_own_line(planned):
    job = planned(*SEED_LINE.split())
    assert (job["architecture"], job["model_size_info"]) == ("ds_cnn", SIZE)
    assert job["learning_rate"] == (0.0005, 0.0001, 0.00002)
    assert job["how_many_training_steps"] == (10000, 10000, 10000)
    assert job["summaries_dir"] == "./result/work/DS_CNN/DS_CNN_1/retrain_logs"
    assert job["run_path"] == "./result/work/DS_CNN/DS_CNN_1/training"
    assert os.path.basename(job["data_path"]) == "DIR"


def test_the_shell_scripts_flags(planned):
    job = planned(*SHELL_LINE.split())
    assert job["precision_mode"] == "allow_mix_precision" and job["data_save_path"] == "/home/data"
    assert job["over_dump"] is job["data_dump_flag"] is job["profiling"] is True
    assert job["data_dump_step"] == "10" and os.path.basename(job["data_path"]) == "DIR"


@pytest.mark.parametrize("spelt", [lambda line: line, lambda line: line.replace("_percentage", "-percentage").replace(
    "--wanted_words", "--wanted-words"), lambda line: line.replace(" ", "=").replace("=--", " --")])
def test_the_references_flags_in_every_spelling(planned, spelt):
    job = planned(*spelt(REFERENCE_LINE).split(" "))
    assert job["wanted_words"] == ("yes", "no") and job["labels"] == ("_silence_", "_unknown_", "yes", "no")
    assert (job["silence_percentage"], job["unknown_percentage"]) == (5.5, 7)
    assert (job["validation_percentage"], job["testing_percentage"]) == (15, 20)
    assert (job["background_volume"], job["background_frequency"], job["time_shift_ms"]) == (0.2, 0.5, 50)
    assert (job["eval_step_interval"], job["check_nans"]) == (10, True)


@pytest.mark.parametrize("size", [
    DS_CNN_S.split(), [DS_CNN_S], [DS_CNN_S.replace(" ", ",")], [DS_CNN_S.replace(" ", ", ")],
    DS_CNN_S.replace(" ", ", ").split(" "), ["5,64 10"] + DS_CNN_S.split()[3:],
])
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("after", [(), ("--batch_size", "7"), ("--batch-size=7",)])
def test_integers_in_every_spelling(planned, size, joined, after):
    flags = ["--model_size_info=" + size[0]] + size[1:] if joined else ["--model-size-info"] + size
    job = planned(*flags, *after)
    assert job["model_size_info"] == SIZE and job["batch_size"] == (7 if after else 100)


@pytest.mark.parametrize("flags, wanted", [
    ("--learning_rate 0.2 0.1 --how_many_training_steps 10 20", ((0.2, 0.1), (10, 20))),
    ("--learning_rate=0.2,1e-1 --how_many_training_steps=10,20", ((0.2, 0.1), (10, 20))),
    ("--how_many_training_steps 10 --learning_rate .2", ((0.2,), (10,))),
])
def test_phases(planned, flags, wanted):
    job = planned(*flags.split())
    assert (job["learning_rate"], job["how_many_training_steps"]) == wanted


BEST = "--recipe", "best"


def test_the_recipe_best_replaces_the_defaults(planned):
    job, other = planned(*BEST), planned()
    assert (job["recipe"], other["recipe"]) == ("best", "hello-edge")
    assert job["schedule"] == "cosine" and sum(job["how_many_training_steps"]) == sum(other["how_many_training_steps"])
    for name in ("label_smoothing", "weight_decay", "gradient_clipping", "weight_averaging", "keyword_balance",
                 "speed_percentage"):
        assert job[name] and not other[name], name


def test_a_flag_replaces_its_part_of_a_recipe(planned):
    job = planned(*BEST, *"--label-smoothing 0 --how-many-training-steps 500 --dct-coefficient-count 12".split())
    assert job["label_smoothing"] == 0 and job["how_many_training_steps"] == (500,) and job["speed_percentage"]
    assert (job["dct_coefficient_count"], job["upper_edge_hertz"]) == (12, 7600)
    job = planned(*BEST, "--schedule", "phases")
    assert (job["schedule"], len(job["learning_rate"]), job["warm_up_percentage"]) == ("phases", 3, 0)
    job = planned(*BEST, "--model-size", "l", "--time-masks", "0")
    assert job["time_masks"] == 0 and job["frequency_masks"]


def test_large_networks_learn_from_harder_clips(planned):
    for size in "sml":
        job = planned(*BEST, "--model-size", size)
        assert bool(job["time_masks"]) == bool(job["noise_snr_db"]) == (size != "s")
    assert (job["time_mask_frames"], job["frequency_mask_channels"]) == (7, 2)  # of 49 frames and 20 channels
    job = planned(*BEST, "--model-size", "l", "--background-volume", "0.2", "--time-masks", "0")
    assert (job["background_volume"], job["noise_snr_db"], job["time_masks"]) == (0.2, (), 0)


def test_few_keywords_need_more_other_words_with_every_recipe(planned):
    for words, wanted in (("yes", 200), ("yes,no,up,down", 62.5), ("a,b,c,d,e,f,g,h", 20)):
        assert planned(*BEST, "--wanted-words", words)["unknown_percentage"] == wanted


def test_augmentations(planned):
    job = planned(*"--noise_snr_db -5 20 --speed_percentage 15 --time_masks 2 --time_mask_frames 9".split())
    assert (job["noise_snr_db"], job["speed_percentage"]) == ((-5, 20), 15)
    assert (job["time_masks"], job["time_mask_frames"], job["frequency_masks"]) == (2, 9, 0)
    job = planned(*"--noise-snr-db=-5,20 --background-volume 0.1 --sampling reference".split())
    assert (job["noise_snr_db"], job["background_volume"]) == ((-5, 20), 0.1)  # the volume is that of silence


@pytest.mark.parametrize("flag", ["check_nans", "over_dump", "data_dump_flag", "profiling"])
@pytest.mark.parametrize("spelt, wanted", [
    ("--%s", True), ("--%s True", True), ("--%s False", False), ("--%s=true", True), ("--%s=0", False),
    ("--%s 1", True), ("--%s --batch_size 3", True),
])
def test_yes_and_no_in_every_spelling(planned, flag, spelt, wanted):
    assert planned(*(spelt % flag).split())[flag] is wanted


@pytest.mark.parametrize("words", ["yes,no", "yes, no", "yes no", " yes ,no, "])
def test_words_in_every_spelling(planned, words):
    assert planned("--wanted_words", words)["wanted_words"] == ("yes", "no")


@pytest.mark.parametrize("words, expected", [
    ("hey marvin,stop", ("hey marvin", "stop")), (" hey  marvin , stop", ("hey marvin", "stop")),
    ("hey marvin,", ("hey marvin",)), ("hey marvin", ("hey", "marvin")),
])
def test_words_may_have_spaces_where_commas_separate_them(planned, words, expected):
    assert planned("--wanted_words", words)["wanted_words"] == expected


@pytest.mark.parametrize("flags, status, message", [
    ("--batch_size 0", 2, "0 is not in the range 1<=x<=100000."),
    ("--batch_size 1.5", 2, "'1.5' is not a valid integer range."),
    ("--learning_rate nan,1,1", 1, "Error: --learning-rate is nan; give a finite number"),
    ("--time_shift_ms nan", 1, "Error: --time-shift-ms is nan; give a finite number"),
    ("--time_shift_ms 1e300", 2, "1e+300 is not in the range 0<=x<=60000."),
    ("--how_many_training_steps 10", 1,
     "Error: --learning-rate has 3 phases (0.0005,0.0001,2e-05), but --how-many-training-steps has 1 (10); give one "
     "rate per phase"),
    ("--how_many_training_steps 1e3,1,1", 2, "'1e3,1,1' is not a list of integers; separate them by commas"),
    ("--model_size_info", 2, "'' is not a list of integers; separate them by commas"),
    ("--model_size_info --batch_size 3", 2, "'' is not a list of integers; separate them by commas"),
    ("--model_size_info five", 2, "'five' is not a list of integers; separate them by commas"),
    ("--model_size s --model_size_info 1 2", 1,
     "Error: --model-size and --model-size-info both choose the size of the network; give one of them"),
    ("--model_size xl", 1, "Error: ds_cnn has no size xl; its sizes are: s, m, l"),
    ("--wanted_words yes,yes", 1, "Error: the keywords have yes more than once; give each keyword once"),
    ("--wanted_words yes,Yes", 1, "Error: the keywords have Yes, yes more than once; give each keyword once"),
    ("--wanted_words _silence_", 1,
     "Error: _silence_ cannot be a keyword, because it begins with _; leave it out; kws adds "
     "_silence_ and _unknown_ itself"),
    ("--wanted_words ,", 2, "',' is not a list of words; separate them by commas"),
    ("--check_nans maybe", 2, "Error: Got unexpected extra argument (maybe)"),
    ("--time_masks 2 --time_mask_frames 60", 1,
     "Error: --time-mask-frames 60 is too wide for the features, which have 49 frames; choose at most 48"),
    ("--distillation_weight 0.5", 1, "Error: --distillation-weight 0.5 has no effect without --teacher; add --teacher"),
    ("--quantize_percentage 30", 1, "Error: --quantize-percentage 30 has no effect without --quantize; leave it out"),
    ("--quantize_percentage 20", 1, "Error: --quantize-percentage 20 has no effect without --quantize; leave it out"),
    ("--recipe fast", 2, "Invalid value for '--recipe'"),
    ("--recipe best --how_many_training_steps 10 20", 1, "a cosine schedule has one --learning-rate and one"),
    ("--noise_snr_db -5,20 --background_volume 0.2", 1,
     "Error: --background-volume 0.2 has no effect with --noise-snr-db; leave one of them out"),
    ("--noise_snr_db nan,20", 1, "Error: --noise-snr-db is nan; give a finite number"),
    ("--room_frequency 1.5", 2, "1.5 is not in the range 0<=x<=1."),
    ("--precision_mode float8", 2, "'float8' is not one of"),
    ("--start_checkpoint nowhere", 1, "Error: there is no checkpoint nowhere"),
    ("--batch_sise 3", 2, "--batch-size"),
    ("--learning_rates 3", 2, "--learning-rate"),
])
def test_what_cannot_be_is_told_in_one_line(planned, flags, status, message):
    result = planned(*flags.split())
    assert result.exit_code == status
    assert message in result.output.splitlines()[-1]


def test_a_size_is_checked_before_anything_is_done(planned):
    result = planned("--model_size_info", "5", "64")
    assert result.exit_code == 1 and "found 2" in result.output
    assert planned("--model_size_info", "-1", "2").exit_code == 1


def test_the_last_of_repeated_flags_counts(planned):
    job = planned("--batch_size", "3", "--batch-size", "4", "--data_dir", "a", "--data-path", "b")
    assert job["batch_size"] == 4 and os.path.basename(job["data_path"]) == "b"


def test_environment(planned, monkeypatch):
    monkeypatch.setenv("KWS_DATA_PATH", "/recordings")
    monkeypatch.setenv("ASCEND_DEVICE_ID", "3")
    job = planned()
    assert job["data_path"] == "/recordings"
    assert (job["run_path"], job["log_name"]) == (os.path.join("output", "3"), "train_3.log")
    assert planned("--data_dir", "/mine", "--device-id", "5")["run_path"] == os.path.join("output", "5")
    monkeypatch.setenv("ASCEND_DEVICE_ID", "first")
    assert "$ASCEND_DEVICE_ID is 'first'; it must be the number of a device" in planned().output


@pytest.mark.parametrize("name", cli.cli.commands)
def test_every_command_has_help_an_example_and_helps_of_its_own(name, kws):
    command = cli.cli.commands[name]
    assert "kws " + name in inspect.cleandoc(command.help) and not command.help.startswith("kws")
    helps = [param.help for param in command.params if isinstance(param, click.Option)]
    assert len(set(helps)) == len(helps)
    for flag in ("--help", "-h"):
        assert kws(name, flag).exit_code == 0


def test_help_and_version(kws):
    assert kws("--version").stdout == "kws, version %s\n" % __version__
    assert all("kws " + name in kws("--help").stdout for name in ("prepare", "train", "eval", "label", "freeze"))
    assert kws("tarin").exit_code == 2


TINY = (
    "--wanted_words yes,no --model_size_info 2 8 10 4 2 2 8 3 3 1 1 --how_many_training_steps 20 --learning_rate 0.01 "
    "--batch_size 20 --eval_step_interval 10"
).split()


@pytest.fixture(scope="module")
def trained(tones, tmp_path_factory):
    """A folder with prepared data/ and, trained on it for a moment, output/0/."""
    folder = tmp_path_factory.mktemp("trained")
    tones(folder / "data", speakers=40)
    before = os.getcwd()
    os.chdir(str(folder))
    try:
        for command in (["prepare"], ["train"] + TINY):
            result = CliRunner().invoke(cli.cli, command, catch_exceptions=False)
            assert result.exit_code == 0, result.output
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder of one's own with the trained run; the data is that of `trained`."""
    shutil.copytree(str(trained / "output"), str(tmp_path / "output"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_whole_path(here, trained, kws):
    evaluated = kws("eval")
    assert evaluated.exit_code == 0 and evaluated.stdout.startswith("accuracy ")
    told = json.loads(kws("eval", "--json").stdout)
    assert told["split"] == "testing" and told["checkpoint"].endswith("ckpt")
    file = str(sorted((trained / "data" / "yes").iterdir())[0])
    line = kws("label", file).stdout
    assert line.startswith(file + "  ") and line.count("%") == 3
    frozen = kws("freeze")
    assert frozen.exit_code == 0 and len(frozen.stdout.splitlines()) == 3
    for path in ("output/0/ds_cnn.pb", "output/0/ds_cnn_features.pb"):
        assert json.loads(kws(
                "eval", "--checkpoint", path, "--data-path", trained / "data", "--json"
            ).stdout)["confusion"] == told["confusion"]
        assert kws("label", "--checkpoint", path, file).stdout == line


@pytest.mark.parametrize("name", ["output/0", "output/0/", "PREFIX", "PREFIX.index", "PREFIX.data-00000-of-00001"])
def test_every_name_of_a_checkpoint(here, trained, kws, name):
    prefix = next((here / "output" / "0").glob("*-20.ckpt.index"))
    file = next((trained / "data" / "no").iterdir())
    result = kws("label", "--checkpoint", name.replace("PREFIX", str(prefix)[: -len(".index")]), file, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)[0]["label"] in ("_silence_", "_unknown_", "yes", "no")


def remove(name):
    return lambda folder: [os.remove(str(path)) for path in folder.glob(name)]


def write(name, text):
    return lambda folder: [path.write_text(text) for path in folder.glob(name)]


def change(**values):
    def edit(folder):
        path = folder / "model.json"
        described = dict(json.loads(path.read_text()), **values)
        path.write_text(json.dumps({key: value for key, value in described.items() if value is not None}))

    return edit


@pytest.mark.parametrize("damage, message", [
    (remove("model.json"), "there is no output/0/model.json; keep a checkpoint together with the model.json that"),
    (write("model.json", '{"labels": ["ye'), "output/0/model.json is damaged: "),
    (change(format=99), "output/0/model.json has format 99, but kws %s reads format 1; " % __version__),
    (change(labels=None), "output/0/model.json lacks "),
    (change(gears=6), "output/0/model.json contains gears, which kws "),
    (change(architecture="abacus"), "abacus"),
    (write("model.json", "[1, 2]"), "output/0/model.json is damaged: "),
    (change(features=3), "output/0/model.json is damaged: "),
    (change(labels=7), "output/0/model.json is damaged: "),
    (change(labels=["_silence_", "_unknown_", "yes"]),
     ".ckpt does not belong to the network in model.json: the shape of ds_cnn/fc1/"),
    (change(model_size_info=[2, 4, 10, 4, 2, 2, 8, 3, 3, 1, 1]),
     ".ckpt does not belong to the network in model.json: "),
    (change(model_size_info=[2, 8]), "--model-size-info of ds_cnn is "),
    (write("state.json", "{"), "output/0/state.json is damaged: "),
    (remove("state.json"),
     "output/0 lacks state.json, which says which checkpoint is the best one; name a checkpoint file"),
    (remove("*.data-00000-of-00001"), ".ckpt is incomplete; "),
    (remove("*.index"), ".ckpt is incomplete; "),
    (write("*.data-00000-of-00001", ""), ".ckpt cannot be read: Read less bytes than requested"),
    (write("*.index", "cut"), ".ckpt cannot be read: file is too short to be an sstable"),
])
def test_a_damaged_run_is_one_line_from_every_command(here, trained, kws, damage, message):
    damage(here / "output" / "0")
    file = next((trained / "data" / "no").iterdir())
    for command in (["eval"], ["label", file], ["freeze"]):
        result = kws(*command, "--checkpoint", "output/0")
        assert (result.exit_code, result.stdout) == (1, "")
        error, = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert message in error
    assert not list((here / "output" / "0").glob("*.pb*"))


def test_freeze_without_a_run(tmp_path, monkeypatch, kws):
    """Other commands use the network in the package, see test_pretrained."""
    monkeypatch.chdir(tmp_path)
    result = kws("freeze")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: there is no trained network under output; run kws train, or name a network with --checkpoint\n"
    )


@pytest.mark.parametrize("command", [["eval"], ["label", "x.wav"], ["freeze"]])
def test_a_checkpoint_that_is_not_there(tmp_path, monkeypatch, kws, command):
    monkeypatch.chdir(tmp_path)
    message = kws(*command, "--checkpoint", "nowhere").stderr
    assert message.startswith("Error: there is no checkpoint nowhere; check the path, or name a network of the package")


def test_several_files_where_some_are_bad(here, trained, kws):
    good = str(next((trained / "data" / "no").iterdir()))
    (here / "bad.wav").write_bytes(b"RIFF")
    result = kws("label", "bad.wav", good, "missing.wav", "--top", "1")
    assert result.exit_code == 1
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [good]
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert errors == [
        "Error: bad.wav cannot be read as sound: Format not recognised", "Error: there is no file missing.wav"
    ]
    told = kws("label", "bad.wav", good, "--json")
    assert told.exit_code == 1 and [sorted(one)[0] for one in json.loads(told.stdout)] == ["error", "duration_ms"]


def test_standard_input(here, trained):
    sound = next((trained / "data" / "no").iterdir()).read_bytes()
    assert CliRunner().invoke(cli.cli, ["label", "-"], input=sound).stdout.startswith("-  ")
    assert CliRunner().invoke(cli.cli, ["label", "-"], input=b"").exit_code == 1


def test_flags_without_a_value(here, trained, kws):
    """`--json`, `--force` and `--overwrite` take none, unlike `--check_nans True`."""
    data = here / "data"
    shutil.copytree(str(trained / "data"), str(data))
    assert json.loads(kws("prepare", "--data-path", data, "--force", "--json").stdout)["clip_count"] == 120
    result = kws("train", "--data-path", data, "--train-dir", "output/0", *TINY, "--overwrite")
    assert result.exit_code == 0 and "output/0" in result.stdout


def test_a_folder_that_is_gone_is_told(kws, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = kws("doctor")
    assert result.exit_code == 1
    assert result.stderr == "Error: the current folder no longer exists; change to another folder\n"


def test_data_that_is_missing_or_not_prepared(here, kws):
    assert kws("eval", "--data-path", "nowhere").stderr.startswith("Error: there is no folder nowhere; ")
    (here / "empty").mkdir()
    result = kws("eval", "--data-path", "empty")
    assert "empty holds no prepared data; run kws prepare --data-path empty first" in result.stderr
    result = kws("train", "--data-path", "empty", "--train-dir", "new")
    assert result.exit_code == 1 and result.stderr.startswith("Error: empty holds neither an archive ")
    assert not (here / "new").exists()


def test_freeze_without_the_data_checks_on_noise(here, kws):
    change(data_path="/nowhere")(here / "output" / "0")
    result = kws("freeze", "--output", "graphs/x.pb")
    assert result.exit_code == 0
    assert "There is no prepared data in /nowhere, so the files are checked on noise." in result.stderr
    assert sorted(os.listdir("graphs")) == ["x.pb", "x_features.pb", "x_labels.txt"]


@pytest.mark.parametrize("flags, percentage", [
    ((), 10.0), (("--wanted_words", "yes,no"), 200.0), (("--wanted_words", "yes,no", "--unknown_percentage", "7"), 7.0),
    (("--wanted_words", ",".join(KEYWORDS)), 10.0),
])
def test_the_share_of_other_words_follows_the_number_of_keywords(planned, flags, percentage):
    assert planned(*flags)["unknown_percentage"] == percentage
    assert planned(*flags)["data"].unknown_percentage == percentage


def test_what_an_epoch_has_is_said(here, trained, kws):
    result = kws("train", "--data-path", trained / "data", "--train-dir", "run", *TINY)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Trains on ")]
    keywords = int(re.search(r": (\d+) of keywords", line).group(1))
    assert line.endswith("%d of other words (200 %%), %d of silence (10 %%)." % (2 * keywords, -(-keywords // 10)))
