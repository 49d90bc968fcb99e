"""The trained network in the package: its file, its model card, its name in every command, and real recordings."""
import glob
import json
import os
import subprocess
import sys
import tarfile
import zipfile

import click
import make_pretrained
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from test_architecture import loaded_after
from test_train import data, train, unbroken  # noqa: F401  (data and unbroken are fixtures)

from kwscli import cli, files, list_models, model_card, models, pretrained, settings
from kwscli.errors import KwsError
from kwscli.runs.description import Description
from kwscli.settings import DataSettings, TrainSettings
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.training import job as jobs

SETTINGS = {"features": FeatureSettings, "data": DataSettings, "train": TrainSettings}
DESCRIBED = ("architecture", "model_size_info", "labels") + tuple(SETTINGS)
NAME = pretrained.names()[0]
PACKAGE = os.path.dirname(pretrained.__file__)
TOLD = "There is no run under output/, so this uses the packaged network %s; see kws models --pretrained.\n" % NAME


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty current folder, beside a folder with the recording tone.wav -> the path of the recording."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "tone.wav"
    soundfile.write(str(path), 0.3 * np.sin(np.arange(16000) / 5), 16000)
    return path


def test_label_works_without_a_run(empty, kws):
    found = kws("label", empty)
    assert found.exit_code == 0 and found.stderr == TOLD
    assert found.stdout.startswith("%s  " % empty) and found.stdout.count("%") == 3
    named = kws("label", "--checkpoint", NAME, empty)
    assert (named.exit_code, named.stdout, named.stderr) == (0, found.stdout, "")


def test_eval_works_without_a_run(empty, kws, tones, tmp_path):
    folder = tones(tmp_path / "data", words=("yes", "no"), speakers=20)
    assert kws("prepare", "--data-path", folder).exit_code == 0
    found = kws("eval", "--data-path", folder, "--json")
    assert found.exit_code == 0 and TOLD in found.stderr
    assert json.loads(found.stdout)["checkpoint"] == pretrained.path(NAME)


def test_a_run_comes_first(unbroken, empty, kws):  # noqa: F811
    os.symlink(str(unbroken.parent), "output")
    found = kws("label", empty, "--top", "9", "--json")
    assert set(json.loads(found.stdout)[0]["scores"]) == {"_silence_", "_unknown_", "low", "high"}
    assert found.stderr == ""


@pytest.mark.parametrize("name", ["", ".ckpt-7.index"])
def test_a_file_or_a_folder_of_that_name_comes_first(unbroken, empty, kws, name):  # noqa: F811
    if name:
        open(NAME + name, "w").close()
    else:
        os.symlink(str(unbroken), NAME)
    found = kws("label", "--checkpoint", NAME + name.replace(".index", ""), empty, "--top", "9")
    assert "is incomplete" in found.stderr or "model.json" in found.stderr if name else "low" in found.stdout


def test_a_graph_that_has_the_same_name_and_a_suffix_does_not_hide_the_network(empty, kws):
    open(NAME + ".tflite", "w").close()
    assert kws("label", "--checkpoint", NAME, empty).exit_code == 0


@pytest.mark.parametrize("command", [
    ["eval", "--checkpoint"], ["label", "x.wav", "--checkpoint"], ["freeze", "--checkpoint"],
    ["train", "--start-checkpoint"],
])
def test_a_wrong_name_lists_the_right_ones(empty, kws, command):
    result = kws(*command, "ds_cnn_x")
    assert result.exit_code == 1 and result.stderr == (
        "Error: there is no checkpoint ds_cnn_x; check the path, or name a network of the package: %s\n"
        % ", ".join(pretrained.names())
    )


def test_freeze_says_that_it_is_frozen(empty, kws):
    result = kws("freeze", "--checkpoint", NAME)
    assert result.exit_code == 1 and "%s.tflite is frozen already" % NAME in result.stderr
    assert os.listdir(".") == []


def test_a_training_starts_from_it(data, empty):  # noqa: F811
    card = pretrained.card(NAME)
    flags = "--start_checkpoint", NAME, "--how_many_training_steps", "1", "--learning_rate", "1e-30"
    result = CliRunner().invoke(cli.cli, [
        "train", "--data-path", data, "--train-dir", "run", "--wanted-words", "low,high", *flags
    ])
    assert result.exit_code == 0, result.output
    assert "Starting from %s.tflite; new: low, high.\n" % NAME in result.output
    described = json.loads(open(os.path.join("run", "model.json")).read())
    for key in ("architecture", "model_size_info", "features"):
        assert described[key] == card[key]
    assert described["start_checkpoint"] == pretrained.path(NAME)
    assert described["start_sha256"] == files.sha256_of(pretrained.path(NAME))


def test_a_training_of_another_network_does_not_start_from_it(data, empty):  # noqa: F811
    result = train(data, "run", "--start_checkpoint", NAME, "--model_architecture", "dnn", "--model_size_info", "8")
    assert result.exit_code == 1
    assert "--model-architecture is dnn, but that of the start checkpoint is ds_cnn; leave " in result.output


@pytest.mark.parametrize("name", pretrained.names())
def test_the_card_agrees_with_the_file(name, kws, empty):
    card, path = pretrained.card(name), pretrained.path(name)
    assert card["name"] == name and card["file"] == os.path.basename(path)
    assert card["bytes"] == os.path.getsize(path) <= make_pretrained.MAX_BYTES == 200 * 1024
    described = described_in(path)
    portable = described.portable().to_json()
    for key in DESCRIBED:
        assert json.loads(json.dumps(portable[key])) == complete(card, key), key
    assert [one["label"] for one in card["evaluation"]["testing"]["labels"]] == card["labels"]
    row = list_models.row(
        described.architecture, None, models.custom(*described.network), len(described.labels), portable["features"]
    )
    assert (card["parameters"], card["macs"]) == (row["parameters"], row["macs"])
    assert card["known_weaknesses"] == make_pretrained.weaknesses(card["evaluation"]["testing"])
    assert described.data_path == described.start_checkpoint == "", "it holds paths of a machine"


def complete(card, key):
    """A part of a card, with the settings that are younger than the card."""
    if key not in SETTINGS:
        return card[key]
    return json.loads(json.dumps(settings.to_json(settings.from_json(SETTINGS[key], card[key], card["name"]))))


def described_in(path):
    """The Description in a file."""
    with zipfile.ZipFile(path) as archive:
        return Description.from_json(json.loads(archive.read("model.json").decode()), path)


@pytest.mark.parametrize("name", pretrained.names())
def test_the_recipe_on_the_card_is_that_of_the_network(name, monkeypatch, tmp_path):
    for variable in ("RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE", "TF_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    card = pretrained.card(name)
    arguments = " ".join(model_card.flags(card)).split() + ["--data-path", str(tmp_path)]
    parent = click.Context(cli.cli, info_name="kws")
    job = jobs.plan(cli.train.make_context("train", arguments, parent).params)
    planned = job.description("", "").portable().to_json()
    for key in DESCRIBED:
        assert json.loads(json.dumps(planned[key])) == complete(card, key), key


def test_the_card_for_a_person(kws):
    card, shown = pretrained.card(NAME), kws("models", "--pretrained")
    testing = card["evaluation"]["testing"]
    assert shown.exit_code == 0 and shown.stdout.startswith(NAME + "\n")
    for part in (
        "{:,}".format(card["parameters"]), "{:,}".format(card["macs"]), "{:,} bytes".format(card["bytes"]), "CC BY 4.0",
        "Pete Warden", "arxiv.org/abs/1804.03209", "%.2f %%" % (100 * testing["accuracy"]),
        "%.2f to %.2f" % tuple(100 * end for end in testing["interval_95"]), "--seed %d" % card["train"]["seed"],
        *card["labels"],
    ):
        assert part in shown.stdout, part
    words = " ".join(shown.stdout.split())
    assert all(sentence in words for sentence in card["known_weaknesses"])
    assert max(map(len, shown.stdout.splitlines())) <= 100 and shown.stdout.isascii()


def test_the_card_for_programs(kws):
    assert json.loads(kws("models", "--pretrained", "--json").stdout) == list(map(pretrained.card, pretrained.names()))


def test_the_list_of_networks_mentions_it(kws):
    line = kws("models").stdout.splitlines()[-1]
    assert line == "trained networks in the package: %s; see kws models --pretrained" % ", ".join(pretrained.names())


@pytest.mark.parametrize("flags", [["ds_cnn"], ["--model-size", "s"], ["--keywords", "3"], ["--sample-rate", "8000"]])
def test_the_card_has_no_other_figures(kws, flags):
    result = kws("models", "--pretrained", *flags)
    assert result.exit_code == 1 and "--pretrained shows the network in the package as it is; leave " in result.stderr


def test_the_card_needs_no_tensorflow():
    assert "tensorflow" not in loaded_after(
        "from kwscli import cli\ncli.cli(['models', '--pretrained'], standalone_mode=False)"
    )
    assert loaded_after("from kwscli import pretrained\npretrained.card(pretrained.names()[0])") == []


def test_an_installed_kws_has_it():
    pytest.importorskip("setuptools")
    code = (
        "from setuptools.dist import Distribution\n"
        "dist = Distribution(); dist.parse_config_files()\n"
        "build = dist.get_command_obj('build_py'); build.ensure_finalized()\n"
        "print(*[name for found in build.data_files for name in found[3]])"
    )
    root = os.path.dirname(os.path.dirname(PACKAGE))
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, stdout=subprocess.PIPE, check=True)
    wanted = {name + suffix for name in pretrained.names() for suffix in (".tflite", ".json")} | {"NOTICE"}
    assert wanted <= {os.path.basename(name) for name in shown.stdout.decode().split()}


def test_the_notice_gives_attribution():
    with open(os.path.join(PACKAGE, "NOTICE"), encoding="utf-8") as file:
        notice = file.read()
    for part in ("Speech Commands", "Pete Warden", "Google", "CC BY 4.0", "arxiv.org/abs/1804.03209", "was changed"):
        assert part in notice


def test_the_command_that_packages_a_run(data, unbroken, tmp_path):  # noqa: F811
    path = make_pretrained.make(str(unbroken), "tiny", folder=str(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == ["tiny.json", "tiny.tflite"] and path == str(tmp_path / "tiny.tflite")
    card = json.loads((tmp_path / "tiny.json").read_text())
    assert card["bytes"] == os.path.getsize(path) and card["labels"] == ["_silence_", "_unknown_", "low", "high"]
    assert set(card["evaluation"]) == {"validation", "testing"} and card["training_data"]["recordings"] > 100
    assert "trained on" not in model_card.text(card) and model_card.text(card).startswith("tiny\n")


def test_a_run_that_is_too_large_is_not_packaged(data, unbroken, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(make_pretrained, "MAX_BYTES", 1000)
    with pytest.raises(KwsError, match="a network of the package has at most 1000; package a smaller network"):
        make_pretrained.make(str(unbroken), "tiny", folder=str(tmp_path))
    assert os.listdir(str(tmp_path)) == []


def test_it_recognizes_real_recordings(shared_data, empty, kws):
    """Recordings of the testing split, which it was not trained on."""
    keywords = pretrained.card(NAME)["labels"][2:]
    with open(os.path.join(shared_data, "lists", "testing_list.txt")) as file:
        testing = set(file.read().split())
    for word in keywords:
        with tarfile.open(os.path.join(shared_data, "flac", word + ".tar")) as archive:
            members = [one for one in archive if "%s/%s.wav" % (word, os.path.basename(one.name)[:-5]) in testing]
            for member in members[:8]:
                os.makedirs(os.path.join("clips", word), exist_ok=True)
                with open(os.path.join("clips", word, os.path.basename(member.name)), "wb") as file:
                    file.write(archive.extractfile(member).read())
    assert len(glob.glob("clips/*/*")) >= 48
    found = kws("eval", "--data-path", "clips", "--json")
    assert found.exit_code == 0 and json.loads(found.stdout)["accuracy"] > 0.8, found.stdout + found.stderr
