"""The flags of ML-KWS-for-MCU's and TensorFlow's scripts, on the commands of kws that do the same."""
import os
import re
import shutil

import click
import pytest
from test_cli import SIZE, planned, trained  # noqa: F401  (planned and trained are fixtures)

from kwscli import cli, script_flags

DATA = (
    "--data_url= --data_dir DATA --silence_percentage 10.0 --unknown_percentage 10.0 --testing_percentage 10 "
    "--validation_percentage 10 "
)
FEATURES = "--sample_rate 16000 --clip_duration_ms 1000 --window_size_ms 40.0 --window_stride_ms 20.0 "
NETWORK = "--wanted_words yes,no --model_architecture ds_cnn "
SIZE_INFO = "--model_size_info 2 8 10 4 2 2 8 3 3 1 1 "
# All flags of each script, with the values that kws has for the run of these tests.
SCRIPTS = {
    "ML-KWS-for-MCU/train.py": ("train", DATA + FEATURES + NETWORK + SIZE_INFO + (
        "--dct_coefficient_count 10 --background_volume 0.1 --background_frequency 0.8 --time_shift_ms 100.0 "
        "--how_many_training_steps 20 --eval_step_interval 10 --learning_rate 0.01 --batch_size 20 "
        "--summaries_dir logs --train_dir run --save_step_interval 100 --start_checkpoint= --check_nans False"
    )),
    "ML-KWS-for-MCU/test.py": ("eval", DATA + FEATURES + NETWORK + SIZE_INFO + (
        "--dct_coefficient_count 10 --batch_size 100 --checkpoint output/0"
    )),
    "ML-KWS-for-MCU/test_pb.py": ("eval", DATA + FEATURES + NETWORK + SIZE_INFO + (
        "--dct_coefficient_count 10 --batch_size 100 --graph output/0/ds_cnn.pb --training=False"
    )),
    "ML-KWS-for-MCU/freeze.py": ("freeze", FEATURES + NETWORK + SIZE_INFO + (
        "--dct_coefficient_count 10 --clip_stride_ms 30 --checkpoint output/0 --output_file graph.pb"
    )),
    "ML-KWS-for-MCU/label_wav.py": ("label", (
        "--wav WAV --graph output/0/ds_cnn.pb --labels output/0/labels.txt --input_name wav_data:0 "
        "--output_name labels_softmax:0 --how_many_labels 3"
    )),
    "speech_commands/train.py": ("train", DATA + FEATURES + NETWORK + (
        "--feature_bin_count 40 --background_volume 0.1 --background_frequency 0.8 --time_shift_ms 100.0 "
        "--how_many_training_steps 15000,3000 --eval_step_interval 400 --learning_rate 0.001,0.0001 --batch_size 100 "
        "--summaries_dir logs --train_dir run --save_step_interval 100 --start_checkpoint= --check_nans=False "
        "--quantize=False --preprocess mfcc --verbosity INFO --optimizer adam"
    )),
    "speech_commands/freeze.py": ("freeze", FEATURES + NETWORK + (
        "--feature_bin_count 10 --clip_stride_ms 30 --start_checkpoint output/0 --output_file graph.pb "
        "--quantize=False --preprocess mfcc --save_format graph_def"
    )),
    "speech_commands/label_wav.py": ("label", (
        "--wav=WAV --graph=output/0/ds_cnn.pb --labels=output/0/labels.txt --input_name=wav_data "
        "--output_name=labels_softmax --how_many_labels=1"
    )),
    "speech_commands/test_streaming_accuracy.py": ("listen", (
        "--wav WAV --ground-truth truth.txt --labels output/0/labels.txt --model output/0/ds_cnn.pb "
        "--input-names wav_data:0 --output-name labels_softmax:0 --clip-duration-ms 1000 --sample-rate 16000 "
        "--clip-stride-ms 40 --average-window-duration-ms 500 --detection-threshold 0.7 --suppression-ms 500 "
        "--minimum-count 3 --time-tolerance-ms 750 --verbose"
    )),
    "speech_commands/label_wav_dir.py": ("label", (
        "--wav_dir DATA/yes --graph output/0/ds_cnn.pb --labels output/0/labels.txt --input_name wav_data:0 "
        "--output_name labels_softmax:0 --how_many_labels 3"
    )),
}


@pytest.fixture
def here(trained, tmp_path, monkeypatch, kws):  # noqa: F811
    """A folder with the trained run and its graphs; the data is that of `trained`."""
    shutil.copytree(str(trained / "output"), str(tmp_path / "output"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "truth.txt").write_text("yes, 500\n")
    assert kws("freeze").exit_code == 0
    return tmp_path


@pytest.mark.parametrize("script", [name for name in SCRIPTS if SCRIPTS[name][0] != "train"])
def test_every_flag_of_a_script(script, here, trained, kws):  # noqa: F811
    command, line = SCRIPTS[script]
    wav = sorted(str(path) for path in (trained / "data" / "yes").iterdir())[0]
    result = kws(command, *line.replace("DATA", str(trained / "data")).replace("WAV", wav).split())
    assert result.exit_code == 0, result.stderr
    assert "is not checked" not in result.stderr
    assert command != "freeze" or os.path.exists("graph.pb")
    assert command != "label" or wav in result.stdout


@pytest.mark.parametrize("script", [name for name in SCRIPTS if SCRIPTS[name][0] == "train"])
def test_every_flag_of_a_script_that_trains(script, planned):  # noqa: F811
    job = planned(*SCRIPTS[script][1].split())
    assert job["save_interval"] == 100 and job["wanted_words"] == ("yes", "no")
    assert job["dct_coefficient_count"] == (40 if "speech_commands" in script else 10)


def test_the_flags_that_the_issue_names(planned):  # noqa: F811
    job = planned("--data_url=", "--save_step_interval=50")
    assert job["save_interval"] == 50 and job["model_size_info"] == SIZE


@pytest.mark.parametrize("command, flags, message", [
    ("train", "--data_url http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
     "kws train cannot use --data-url http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz; kws prepare "
     "--download downloads Speech Commands; give --data-path for other data"),
    ("train", "--optimizer gradient_descent",
     "kws train cannot use --optimizer gradient_descent; kws train uses the Adam optimizer"),
    ("train", "--preprocess=average", "kws train cannot use --preprocess average; kws train --features chooses"),
    ("freeze", "--quantize True", "kws freeze cannot use --quantize True; use --format tflite-int8"),
    ("eval", "--training", "kws eval cannot use --training; use --split training"),
    ("eval", "--wanted_words no,yes", "--wanted-words is no,yes, but that of CHECKPOINT is yes,no; leave"),
    ("eval", "--window_size_ms 30.5", "--window-size-ms is 30.5, but that of CHECKPOINT is 40; leave it"),
    ("eval", "--model_architecture dnn", "--model-architecture is dnn, but that of CHECKPOINT is ds_cnn"),
    ("eval", "--testing_percentage 20", "--testing-percentage is 20, but that of CHECKPOINT is 10; leave"),
    ("freeze", "--model_size_info 1 2", "--model-size-info is 1,2, but that of output/0 is 2,8,10,4,2,2,8,3,3,1,1; "),
    ("freeze", "--feature_bin_count 40", "--dct-coefficient-count is 40, but that of output/0 is 10; leave it out"),
    ("freeze", "--clip_stride_ms 20", "kws freeze cannot use --clip-stride-ms 20; no network of kws keeps a cache"),
    ("label", "--wav x.wav --input_name decoded_sample_data:0",
     "kws label cannot use --input-name decoded_sample_data:0; kws label finds the input node itself"),
    ("label", "--wav x.wav --labels other.txt", "_unknown_, yes, no), and other.txt has others; leave --labels out"),
])
def test_a_value_that_kws_does_not_have_is_refused_by_name(command, flags, message, here, kws):
    (here / "other.txt").write_text("_silence_\n_unknown_\nno\nyes\n")
    checkpoint = () if command == "train" else ("--checkpoint", "output/0")
    result = kws(command, *checkpoint, *flags.split())
    assert result.exit_code == 1
    shown = re.sub(r"output/0/ds_cnn-\d+.ckpt", "CHECKPOINT", result.stderr)  # the best one
    assert message in shown.splitlines()[-1]


def test_labels_of_a_graph_that_are_not_its_own_are_refused(here, kws):
    (here / "other.txt").write_text("_silence_\n_unknown_\nno\nyes\n")
    result = kws("label", "x.wav", "--graph", "output/0/ds_cnn.pb", "--labels", "other.txt")
    assert "output/0/ds_cnn.pb contains its labels (_silence_, _unknown_, yes, no), and other.txt has" in result.stderr


@pytest.mark.parametrize("command", cli.cli.commands)
def test_the_table_agrees_with_the_commands(command):
    own = {flag for param in cli.cli.commands[command].params if isinstance(param, click.Option)
           for flag in param.opts if not param.hidden}
    renamed, fixed = script_flags.RENAMED.get(command, {}), script_flags.FIXED.get(command, {})
    repeated = {"--" + name.replace("_", "-") for name in script_flags.REPEATED.get(command, {})}
    assert not own & (set(renamed) | set(fixed) | repeated)
    assert set(renamed.values()) <= own | repeated | {""}
