"""`kws prepare --check-labels`: recordings whose words are doubtful, in a table and on a page."""
import csv
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, strategies

from kwscli.data import prepare
from kwscli.evaluation import label_errors
from kwscli.evaluation.label_errors import Doubt
from kwscli.sound.feature_settings import FeatureSettings


def test_a_label_is_doubtful_below_its_mean_score_if_another_one_reaches_its_own():
    targets = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([
        [0.9, 0.1],
        [0.8, 0.2],
        [0.1, 0.9],  # labelled 0, whose mean is 0.6; that of 1 is 0.7
        [0.3, 0.7],
        [0.2, 0.8],
        [0.4, 0.6],  # below its mean, but 0 does not reach its own
    ])
    assert label_errors.find(targets, scores) == [Doubt(2, 1, pytest.approx(0.8))]


def test_the_most_doubtful_come_first():
    targets = np.repeat([0, 1], 10)
    scores = np.tile([0.9, 0.1], (20, 1))
    scores[10:] = [0.1, 0.9]
    scores[[3, 5, 12]] = [[0.2, 0.8], [0.0, 1.0], [0.9, 0.1]]
    scores[13] = [0.7, 0.3]
    found = label_errors.find(targets, scores)
    assert [one.clip for one in found] == [5, 12, 3]
    assert [one.suggested for one in found] == [1, 0, 1]


def test_a_label_without_clips_is_never_suggested():
    assert label_errors.find(np.array([0, 0]), np.array([[0.1, 0.9], [0.2, 0.8]])) == []


@given(strategies.integers(1, 12), strategies.integers(1, 4), strategies.integers(0, 2 ** 32 - 1))
def test_the_rule_is_that_of_confident_learning(count, labels, seed):
    """Against its definition, clip by clip."""
    rng = np.random.RandomState(seed)
    targets, scores = rng.randint(labels, size=count), rng.choice([0, 0.125, 0.25, 0.5, 0.75, 1], (count, labels))
    mean = {label: scores[targets == label, label].sum() / (targets == label).sum() for label in set(targets)}
    doubtful = {}
    for clip, (target, row) in enumerate(zip(targets, scores)):
        others = [label for label in mean if label != target and row[label] >= mean[label]]
        if others and row[target] < mean[target]:
            doubtful[clip] = max(row[label] for label in others) - row[target]
    found = label_errors.find(targets, scores)
    assert {one.clip: one.margin for one in found} == pytest.approx(doubtful)
    assert [one.margin for one in found] == sorted(doubtful.values(), reverse=True)
    assert all(one.suggested != targets[one.clip] for one in found)


tf = pytest.importorskip("tensorflow.compat.v1")

WRONG = {"yes": "no", "no": "up", "up": "yes"}
NETWORK = (
    "--model_architecture", "dnn", "--model_size_info", "16", "--wanted_words", "yes,no", "--learning_rate", "0.01",
)


def relabel(data_path, **changes):
    """Change words in the manifest of prepared data: {part of a path: word}."""
    path = os.path.join(data_path, "packed", "manifest.csv")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["word"] = changes.get(row["path"].replace("/", "_")[:-4], row["word"])
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def folder(tones, tmp_path_factory):
    """A folder with prepared data/, in which three recordings have wrong words, and the run of a small network."""
    from click.testing import CliRunner

    from kwscli import cli

    folder = tmp_path_factory.mktemp("labels")
    data = tones(folder / "data", speakers=30)
    prepare.prepare(data, data)
    relabel(data, **{"%s_%08x_nohash_0" % (word, 4): wrong for word, wrong in WRONG.items()})
    result = CliRunner().invoke(cli.cli, [
        "train", "--data-path", data, "--train-dir", str(folder / "run"), *NETWORK, "--how_many_training_steps", "1",
    ])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def checked(folder):
    from click.testing import CliRunner

    from kwscli import cli

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("kwscli.training.folds._MIN_STEPS", 50)
        result = CliRunner().invoke(
            cli.cli, ["prepare", "--data-path", str(folder / "data"), "--check-labels", str(folder / "run")],
            catch_exceptions=False,
        )
    assert result.exit_code == 0, result.output
    return result


def rows_of(data_path):
    with open(os.path.join(str(data_path), "packed", "doubtful.csv"), newline="") as file:
        return list(csv.DictReader(file))


def test_recordings_with_wrong_words_are_listed_with_the_right_one(folder, checked):
    rows = rows_of(folder / "data")
    found = {row["file"]: (row["word"], row["suggested"]) for row in rows[:3]}
    assert found == {"%s/00000004_nohash_0.wav" % word: (wrong, word) for word, wrong in WRONG.items()}
    assert all(float(row["score_of_word"]) < float(row["score_of_suggested"]) for row in rows)
    assert "%d of 90 words are doubtful; the most doubtful come first. " % len(rows) in checked.output
    assert "All of them: %s" % os.path.join(str(folder / "data"), "packed", "doubtful.csv") in checked.output


def test_the_page_has_a_player_for_each(folder, checked):
    pytest.importorskip("jinja2")
    page = (folder / "data" / "packed" / "doubtful.html").read_text(encoding="utf-8")
    assert page.count("<audio ") == len(rows_of(folder / "data"))
    assert "no, or yes?" in page and "yes/00000004_nohash_0.wav: the score of no is 0." in page


def test_the_data_is_still_prepared_afterwards_and_can_be_prepared_again(folder, checked, kws, tmp_path):
    shutil.copytree(str(folder / "data"), str(tmp_path / "data"))
    assert "Already prepared" in kws("prepare", "--data-path", folder / "data").stdout
    again = kws("prepare", "--data-path", tmp_path / "data", "--force")
    assert again.exit_code == 0, again.stderr
    assert not (tmp_path / "data" / "packed" / "doubtful.csv").exists(), "the old words were checked, not these"


def test_json_has_the_doubtful_recordings(folder, kws, monkeypatch):
    from kwscli import label_check

    one = label_check.Doubtful(4, "yes/a.wav", "yes", "no", 0.1, 0.9)
    report = label_check.Report((one,), 90, 0.95, "doubtful.csv", None)
    monkeypatch.setattr(label_check, "check", lambda data_path, model_path: report)
    told = json.loads(kws(
        "prepare", "--data-path", folder / "data", "--check-labels", folder / "run", "--json").stdout)
    assert told["clip_count"] == 90 and told["label_check"] == {
        "doubtful": [{
            "file": "yes/a.wav", "word": "yes", "suggested": "no", "score_of_word": 0.1, "score_of_suggested": 0.9,
        }],
        "checked": 90, "accuracy": 0.95, "table": "doubtful.csv", "page": None,
    }


def test_no_network_has_heard_the_speaker_that_it_scores(folder, monkeypatch):
    from kwscli import label_check
    from kwscli.data import dataset
    from kwscli.training import folds

    data = dataset.load(str(folder / "data"))
    fold_of = label_check._folds(data)
    for speaker in set(data.speakers):
        assert len(set(fold_of[data.speakers == speaker])) == 1
    assert np.bincount(fold_of).tolist() == [90 // folds.FOLDS] * folds.FOLDS
    trained = []
    monkeypatch.setattr(folds, "_scores", lambda job, features, targets, unseen, progress: trained.append(
        set(features[:, 0, 0]) & set(unseen[:, 0, 0])) or np.tile(unseen[:, 0], (1, 3)))
    clips = np.arange(90.0).reshape(90, 1, 1)
    scores = folds.scores(clips, np.zeros(90, int), fold_of, ("a", "b", "c"), ("dnn", (8,)), FeatureSettings())
    assert trained == [set()] * folds.FOLDS, "these were trained on and scored by one network"
    np.testing.assert_array_equal(scores, np.tile(clips[:, 0], (1, 3)))


def test_a_fold_without_clips_of_words_that_are_checked_needs_no_network(monkeypatch):
    from kwscli.training import folds

    trained = []
    monkeypatch.setattr(folds, "_scores", lambda job, features, targets, unseen, progress: trained.append(
        len(unseen)) or np.ones((len(unseen), 2)))
    fold_of = np.array([0, 0, 2, 2, 2, 4])
    scores = folds.scores(np.zeros((6, 1, 1)), np.zeros(6, int), fold_of, ("a", "b"), ("dnn", (8,)), FeatureSettings())
    assert trained == [2, 3, 1] and scores.all()


def test_names_with_html_are_escaped_on_the_page(folder, tmp_path):
    pytest.importorskip("jinja2")
    from kwscli import label_check
    from kwscli.data import dataset

    data = dataset.load(str(folder / "data"))
    one = label_check.Doubtful(0, "<script>/a.wav", "<script>", "no", 0.1, 0.9)
    path = label_check._write_page(str(tmp_path / "page.html"), data, [one])
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert "<script" not in text and "&lt;script&gt;, or no?" in text


def test_words_with_few_recordings_and_speakers_without_names_are_said(tones, tmp_path, capsys, monkeypatch):
    from kwscli import label_check
    from kwscli.data import dataset

    data_path = tones(tmp_path / "data", ("yes", "no", "up"), speakers=12)
    for index in range(4, 12):
        os.remove(os.path.join(data_path, "up", "%08x_nohash_0.wav" % index))
    for word in ("yes", "no", "up"):
        for name in os.listdir(os.path.join(data_path, word)):
            os.rename(os.path.join(data_path, word, name), os.path.join(data_path, word, name.replace("_nohash_", "")))
    prepare.prepare(data_path, data_path)
    data = dataset.load(data_path)
    assert label_check._words(data, label_check._folds(data)) == ("no", "yes")
    told = capsys.readouterr().err
    assert "names 0 speakers, which is too few to divide them: a voice may be in training and in the check." in told
    assert "Not checked, because they have fewer than 10 recordings by several speakers: up." in told


def test_data_that_cannot_be_checked(tones, tmp_path, folder, kws):
    data = tones(tmp_path / "data", ("yes",), speakers=12)
    result = kws("prepare", "--data-path", data, "--check-labels", folder / "run")
    assert result.exit_code == 1
    assert "has fewer than two words with 10 recordings by several speakers; record more of them" in result.stderr


def test_a_run_that_is_not_there_is_an_error_before_anything_is_prepared(tones, tmp_path, kws):
    data = tones(tmp_path / "data", ("yes",), speakers=2)
    result = kws("prepare", "--data-path", data, "--check-labels", tmp_path / "nowhere")
    assert result.exit_code == 1 and "there is no checkpoint %s" % (tmp_path / "nowhere") in result.stderr
    assert not os.path.exists(os.path.join(data, "packed"))
