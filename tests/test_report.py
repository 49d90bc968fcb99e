"""The report of kws eval: its numbers against other ways to compute them, what it does with odd data, and its page in a
browser.
"""
import base64
import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, strategies as st

from kwscli.classifiers.classifier import Classifier
from kwscli.errors import KwsError
from kwscli.evaluation import calibration, curves, measurements, observer, robustness
from kwscli.evaluation.report import figures, page, writer
from kwscli.evaluation.scoring import Batch
from kwscli.metrics import Result
from kwscli.settings import DataSettings
from kwscli.sound.feature_settings import FeatureSettings

for library in ("matplotlib", "jinja2"):
    pytest.importorskip(library)
CHROMIUM = shutil.which("chromium")
LABELS = ("_silence_", "_unknown_", "yes", "no")


# Curves and calibration

scored_clips = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40).filter(
    lambda clips: len({is_keyword for is_keyword, _ in clips}) == 2
)


def rates(clips, threshold):
    """(false accepts, false rejects) of [(whether it is the keyword, score)], counted one by one."""
    keyword = [score for is_keyword, score in clips if is_keyword]
    others = [score for is_keyword, score in clips if not is_keyword]
    return (sum(score >= threshold for score in others) / len(others),
            sum(score < threshold for score in keyword) / len(keyword))


def curve_of(clips):
    return curves.curve(np.array([one for one, _ in clips]), np.array([score for _, score in clips], np.float32))


@given(scored_clips)
def test_each_point_of_a_curve_is_what_its_threshold_accepts(clips):
    found = curve_of(clips)
    points = zip(found.thresholds, found.false_accepts, found.false_rejects)
    for threshold, false_accepts, false_rejects in points:
        assert (false_accepts, false_rejects) == pytest.approx(rates(clips, threshold))
    assert (found.false_accepts[0], found.hits[0], found.false_accepts[-1], found.hits[-1]) == (0, 0, 1, 1)


@given(scored_clips)
def test_the_corners_of_a_curve_are_the_same_line(clips):
    found = curve_of(clips)
    fewer = found.corners
    assert fewer.area == pytest.approx(found.area) and len(fewer.hits) <= len(found.hits)
    assert set(zip(fewer.false_accepts, fewer.hits)) <= set(zip(found.false_accepts, found.hits))


@given(scored_clips)
def test_the_area_is_the_share_of_pairs_in_the_right_order(clips):
    pairs = [(a > b) + (a == b) / 2 for one, a in clips if one for other, b in clips if not other]
    assert curve_of(clips).area == pytest.approx(sum(pairs) / len(pairs))


@given(scored_clips)
def test_both_errors_are_equal_where_the_curve_says_so(clips):
    """That point lies between two thresholds: an independent walk along all thresholds finds the two."""
    points = [(0.0, 1.0)] + [rates(clips, threshold) for threshold in sorted({score for _, score in clips})[::-1]]
    for (a0, r0), (a1, r1) in zip(points, points[1:]):
        if a1 >= r1:
            break
    part = (r0 - a0) / ((r0 - a0) + (a1 - r1))
    assert curve_of(clips).equal_error_rate == pytest.approx(a0 + part * (a1 - a0))


@given(scored_clips, st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0]))
def test_false_rejects_at_a_rate_of_false_accepts(clips, rate):
    tried = [rates(clips, threshold) for threshold in [9] + [score for _, score in clips]]
    assert curve_of(clips).false_rejects_at(rate) == pytest.approx(min(fr for fa, fr in tried if fa <= rate))


def test_a_keyword_without_clips_has_no_curve():
    assert curves.curve(np.array([False, False]), np.array([0.1, 0.9])) is None
    assert curves.curve(np.array([True, True]), np.array([0.1, 0.9])) is None


@given(st.lists(st.tuples(st.floats(0.34, 1), st.booleans()), min_size=1, max_size=50))
def test_the_expected_calibration_error(clips):
    scores = np.array([(top, (1 - top) / 2, (1 - top) / 2) for top, _ in clips])
    found = calibration.Calibration.of(scores, np.array([right for _, right in clips]))
    error = 0.0
    for one in range(15):
        inside = [clip for clip in clips if one / 15 < clip[0] <= (one + 1) / 15]
        if inside:
            gap = sum(right for _, right in inside) / len(inside) - sum(top for top, _ in inside) / len(inside)
            error += len(inside) / len(clips) * abs(gap)
    assert found.error == pytest.approx(error, abs=1e-9)
    assert sum(one.clips for one in found.bins) == len(clips)


# A network whose answers are known


class Level(Classifier):
    """Labels a clip by its first sample: 0.1 is label 1, 0.2 is label 2, and so on. It is never quite certain."""

    format = "level"

    def __init__(self, path, labels=LABELS):
        super().__init__(path, labels, FeatureSettings(), DataSettings(wanted_words=tuple(labels[2:])))
        self.seen = []

    def scores(self, clips):
        self.seen.append(clips.copy())
        answers = np.clip(np.rint(clips[:, 0] * 10).astype(int), 0, len(self.labels) - 1)
        sure = 0.6 + np.abs(clips[:, 1]).reshape(-1, 1)
        rest = (1 - sure) / (len(self.labels) - 1)
        return np.where(np.eye(len(self.labels), dtype=bool)[answers], sure, rest).astype(np.float32)


def write_clips(folder, word, levels, speaker="0"):
    """A clip per level, with that level in every sample; later clips have a louder second sample."""
    os.makedirs(os.path.join(str(folder), word), exist_ok=True)
    for number, level in enumerate(levels):
        samples = np.full(16000, level / 10)
        samples[1] = 0.02 * number
        path = os.path.join(str(folder), word, "%s_nohash_%d.wav" % (speaker, number))
        soundfile.write(path, samples, 16000)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """(report.json, the page, the folder) of a report in which 7 of 9 clips are labelled correctly."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "level.bin").write_bytes(b"x" * 10)
    write_nine(folder / "clips")
    return report(Level(str(folder / "level.bin")), str(folder / "clips"), folder / "report") + (folder / "report",)


def write_nine(folder):
    write_clips(folder, "_silence_", [0, 0])
    write_clips(folder, "bird", [1, 2], "a")
    write_clips(folder, "yes", [2, 2, 2], "b")
    write_clips(folder, "no", [3, 2], "a")


@pytest.fixture
def level(tmp_path):
    """A Level network, with a file that has a size."""
    path = tmp_path / "level.bin"
    path.write_bytes(b"x" * 10)
    return Level(str(path))


@pytest.fixture
def clips(tmp_path):
    """A folder of labels: 7 of 9 clips are labelled correctly."""
    write_nine(tmp_path / "clips")
    return str(tmp_path / "clips")


def report(network, data_path, folder):
    """Measure, write and read back -> (report.json, the page)."""
    writer.write(measurements.measure(network, data_path, "kws eval"), str(folder))
    with open(os.path.join(str(folder), "report.json"), encoding="utf-8") as numbers:
        return json.load(numbers), (folder / "index.html").read_text(encoding="utf-8")


def table(folder, name):
    with open(os.path.join(str(folder), name + ".csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_numbers_of_a_report(known):
    numbers, text, _ = known
    assert (numbers["accuracy"], numbers["clips"]) == (7 / 9, 9)
    assert numbers["interval_95"] == list(Result(("a", "b"), np.array([[7, 2], [0, 0]])).interval)
    by_label = {one["label"]: one for one in numbers["labels"]}
    assert by_label["yes"] == {
        "label": "yes", "clips": 3, "precision": 3 / 5, "recall": 1.0, "f1": pytest.approx(2 / (5 / 3 + 1))
    }
    assert {(one["true"], one["predicted"]): one["clips"] for one in numbers["confusion"]} == {
        ("_silence_", "_silence_"): 2, ("_unknown_", "_unknown_"): 1, ("_unknown_", "yes"): 1, ("yes", "yes"): 3,
        ("no", "no"): 1, ("no", "yes"): 1,
    }
    assert {one["speaker"]: (one["clips"], one["right"]) for one in numbers["speakers"]} == {
        "0": (2, 2), "a": (4, 2), "b": (3, 3)
    }
    assert [one["keyword"] for one in numbers["keywords"]] == ["yes", "no", "(pooled)"]
    assert numbers["cost"]["file_bytes"] == 10 and numbers["cost"]["parameters"] is None
    assert "77.78" in text and "9 clips" in text


def test_the_tables_and_pictures_have_the_same_numbers(known):
    numbers, _, folder = known
    for name in ("labels", "confusion", "keywords", "curves", "robustness", "speakers", "calibration"):
        rows = [{key: "" if value is None else str(value) for key, value in one.items()} for one in numbers[name]]
        assert rows == [dict(row) for row in table(folder, name)], name
    assert [row["right"] for row in table(folder, "clips")].count("1") == 7
    for name in ("confusion", "roc", "det", "noise", "shift", "gain", "speakers", "calibration"):
        assert (folder / (name + ".png")).read_bytes().startswith(b"\x89PNG")
    assert set(os.listdir(str(folder))) <= writer.FILES


def test_the_mistakes_are_there_with_the_most_confident_first(known):
    text = known[1]
    titles = re.findall(r"<h3>(.* taken for .*)</h3>", text)
    assert titles == ["_unknown_, taken for yes", "no, taken for yes"]  # both 62 %: the first in order comes first
    sounds = re.findall(r'<audio [^>]*src="data:audio/wav;base64,([^"]+)"', text)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert rate == 16000 and samples == pytest.approx(np.append([0.2, 0.02], np.full(15998, 0.2)), abs=1e-4)


def test_the_data_has_a_hash(level, clips, tmp_path):
    """Of the name, a zero byte and the content of every file, in the order of names; of an archive, its own."""
    sha256 = hashlib.sha256()
    for word in sorted(os.listdir(clips)):
        for name in sorted(os.listdir(os.path.join(clips, word))):
            with open(os.path.join(clips, word, name), "rb") as file:
                sha256.update(("%s/%s" % (word, name)).encode() + b"\0" + file.read())
    assert report(level, clips, tmp_path / "report")[0]["data_sha256"] == sha256.hexdigest()
    archive = shutil.make_archive(str(tmp_path / "archive"), "gztar", clips)
    with open(archive, "rb") as file:
        expected = hashlib.sha256(file.read()).hexdigest()
    numbers, _ = report(level, archive, tmp_path / "report")
    assert (numbers["data_sha256"], numbers["accuracy"]) == (expected, 7 / 9)


# Robustness


def speech(count=5):
    return np.random.RandomState(1).uniform(-0.11, 0.11, (count, 16000)).astype(np.float32)


def changed(background=()):
    """{(kind, value): the clips that the network saw} of the clips of `speech`."""
    network = Level("level")
    found = robustness.measure(network, speech(), np.zeros(5, int), background)
    assert len(network.seen) == len(found)
    return {(one.kind, one.value): seen for one, seen in zip(found, network.seen)}


def test_the_noise_has_the_power_that_the_ratio_says():
    hum = (3000 * np.sin(np.arange(50000) / 7)).astype(np.int16)
    seen = changed([hum])
    for kind in ("background noise", "white noise"):
        for ratio in (20, 15, 10, 5, 0, -5):
            noise = seen[kind, ratio].astype(np.float64) - speech()
            power = (speech().astype(np.float64) ** 2).mean(axis=1)
            found = 10 * np.log10(power / (noise ** 2).mean(axis=1))
            assert found == pytest.approx(np.full(5, ratio), abs=0.01)
    hum_again = seen["background noise", 5] - speech()
    assert np.corrcoef(hum_again[0][:-44], hum_again[0][44:])[0, 1] > 0.99  # 44 samples are a period


def test_shifted_clips_have_zeros_where_nothing_is():
    seen = changed()
    np.testing.assert_array_equal(seen["clean", 0], speech())
    np.testing.assert_array_equal(seen["time shift", 100][:, 1600:], speech()[:, :-1600])
    np.testing.assert_array_equal(seen["time shift", -300][:, :-4800], speech()[:, 4800:])
    assert not seen["time shift", 100][:, :1600].any() and not seen["time shift", -300][:, -4800:].any()


def test_gain_is_that_of_a_16_bit_recording():
    seen = changed()
    assert seen["gain", -20] == pytest.approx(speech() / 10, abs=0.5 / 32768 + 1e-7)
    assert seen["gain", 20] == pytest.approx(np.clip(speech() * 10, -1, 32767 / 32768), abs=0.5 / 32768 + 1e-6)


def test_without_background_recordings_there_is_only_white_noise():
    assert {kind for kind, _ in changed()} == {"clean", "white noise", "time shift", "gain"}


def test_a_shift_that_is_longer_than_the_clip_leaves_silence():
    network = Level("level")
    network.features = FeatureSettings(clip_duration_ms=100)
    robustness.measure(network, speech()[:, :1600], np.zeros(5, int), [])
    assert any(not seen.any() for seen in network.seen)


# What stays in memory


def test_few_clips_stay_in_memory_however_many_there_are():
    watching, rng = observer.Observer(Level("level")), np.random.RandomState(0)
    for _ in range(30):
        batch = Batch(
            rng.uniform(0, 0.3, (100, 16000)).astype(np.float32), np.full(100, 2), ["yes"] * 100, ["a"] * 100,
            ["b"] * 100,
        )
        watching.see(batch, rng.dirichlet(np.ones(4), 100))
    found = watching.observed()
    assert (found.scores.shape, len(found.sample), len(found.mistakes)) == ((3000, 4), 500, 12)
    assert all(kept.clip.base is None for kept in [*found.sample, *found.mistakes])  # not a view of its batch
    wrong = np.sort(found.scores.max(axis=1)[~found.right])[::-1][:12]
    assert [found.scores[kept.row].max() for kept in found.mistakes] == pytest.approx(list(wrong))
    assert [kept.row for kept in found.sample] == sorted({kept.row for kept in found.sample})


def test_of_long_clips_fewer_stay():
    network = Level("level")
    network.features = FeatureSettings(clip_duration_ms=60000)
    watching = observer.Observer(network)
    for _ in range(30):
        watching.see(Batch(np.zeros((1, 960000), np.float32), np.array([2]), [""], [""], [""]), np.eye(4)[[3]])
    found = watching.observed()
    assert (len(found.sample), len(found.mistakes)) == (16, 1)


# Odd data


def test_no_mistakes_at_all(level, tmp_path):
    write_clips(tmp_path / "clips", "yes", [2, 2])
    write_clips(tmp_path / "clips", "no", [3])
    numbers, text = report(level, str(tmp_path / "clips"), tmp_path / "report")
    assert numbers["accuracy"] == 1 and "There are no mistakes: all 3 clips get their label." in text
    assert "<audio" not in text and "There are no confusions." in text


def test_clips_of_one_label_only(level, tmp_path):
    write_clips(tmp_path / "clips", "yes", [2, 3])
    numbers, _ = report(level, str(tmp_path / "clips"), tmp_path / "report")
    assert [one["keyword"] for one in numbers["keywords"]] == ["(pooled)"]  # how often yes is taken for no
    assert numbers["labels"][3] == {"label": "no", "clips": 0, "precision": 0.0, "recall": None, "f1": 0.0}


def test_silence_only(level, tmp_path):
    write_clips(tmp_path / "clips", "_silence_", [0, 0])
    numbers, text = report(level, str(tmp_path / "clips"), tmp_path / "report")
    assert "There are no curves, because they need" in text and "not measured, because all clips are silence" in text
    assert "robustness" not in numbers and not (tmp_path / "report" / "roc.png").exists()


def test_ten_thousand_labels(level, tmp_path):
    level.labels = LABELS[:2] + tuple("word %d" % number for number in range(9998))
    level.data = DataSettings(wanted_words=level.labels[2:])

    def scores(clips):
        found = np.zeros((len(clips), 10000), np.float32)
        found[range(len(clips)), np.rint(clips[:, 0] * 10).astype(int)] = 1
        return found

    level.scores = scores
    for number, levels in enumerate([[2, 2, 3], [3, 3], [2, 4]]):
        write_clips(tmp_path / "clips", "word %d" % number, levels)
    numbers, text = report(level, str(tmp_path / "clips"), tmp_path / "report")
    assert len(numbers["labels"]) == 10000 and text.count("<tr>") < 100
    assert "The most frequent confusions" in text and "<td class=\"text\">word 2</td>" in text
    assert "The network has 10,000 labels" in text and "word 9000" not in text


def test_names_are_text_and_no_html(level, tmp_path):
    evil = "<script>alert(1)"
    level.labels = ("_silence_", "_unknown_", evil, "$x^", "_hidden")
    write_clips(tmp_path / "clips", evil, [2, 3])
    write_clips(tmp_path / "clips", "$x^", [3, 4], "<b>")
    write_clips(tmp_path / "clips", "_hidden", [4])
    _, text = report(level, str(tmp_path / "clips"), tmp_path / "report")
    assert "<script" not in text and "<b>" not in text
    assert "&lt;script&gt;alert(1)" in text and "&lt;b&gt;_nohash_" in text


def test_names_that_are_no_text(level, tmp_path):
    write_clips(tmp_path / "clips", "yes", [2, 3])
    os.rename(os.fsencode(str(tmp_path / "clips" / "yes" / "0_nohash_1.wav")),
              os.fsencode(str(tmp_path / "clips" / "yes")) + b"/\xff_nohash_1.wav")
    _, text = report(level, str(tmp_path / "clips"), tmp_path / "report")
    assert "\\udcff_nohash_1.wav" in text


def test_files_that_cannot_be_read_are_left_out(level, clips, tmp_path, capsys):
    with open(os.path.join(clips, "yes", "broken.wav"), "wb") as file:
        file.write(b"RIFF")
    numbers, _ = report(level, clips, tmp_path / "report")
    assert numbers["clips"] == 9 and "Left out: yes/broken.wav" in capsys.readouterr().err


def test_a_recording_that_disappears_after_it_was_scored(level, clips, tmp_path):
    """Each file is read once: the mistakes and the clips for robustness are kept."""
    measure, score = measurements.measure, level.scores

    def scores(batch):
        shutil.rmtree(clips, ignore_errors=True)
        return score(batch)

    level.scores = scores
    writer.write(measure(level, clips, "kws eval"), str(tmp_path / "report"))
    assert not os.path.exists(clips) and "<audio" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


# The folder


def test_an_earlier_report_is_replaced_as_a_whole(level, clips, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()  # empty: that is fine, too
    report(level, clips, folder)
    (folder / "training.csv").write_text("old")
    report(level, clips, folder)
    assert not (folder / "training.csv").exists() and (folder / "index.html").exists()
    assert [name for name in os.listdir(str(tmp_path)) if "report" in name] == ["report"]


@pytest.mark.parametrize("names, told", [
    (["notes.txt"], "is not a report: it contains notes.txt; choose another folder for --report"),
    (["report.json", "thesis.doc"], "is not a report: it contains thesis.doc;"),
    (["index.html"], "is not a report: it contains index.html;"),
])
def test_a_folder_of_something_else_is_left_alone(tmp_path, names, told):
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(KwsError, match=told):
        writer.check(str(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == sorted(names)


def test_neither_a_file_nor_the_current_folder_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KwsError, match="file is a file, but a report is a folder"):
        writer.check(str(tmp_path / "file"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(KwsError, match="cannot replace the current folder"):
        writer.check(".")


def test_a_report_that_cannot_be_made_is_told_before_the_measurement(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KwsError, match="file/report cannot be made in .*file, which is a file; choose another place"):
        writer.check(str(tmp_path / "file" / "report"))
    with pytest.raises(KwsError, match="--report is empty; name a folder"):
        writer.check("")
    writer.check(str(tmp_path / "new" / "report"))
    assert os.listdir(str(tmp_path)) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_report_in_a_folder_without_write_permission(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(KwsError, match="which is a folder without write permission"):
        writer.check(str(tmp_path / "report"))


def test_an_earlier_report_stays_if_the_new_one_fails(level, clips, tmp_path, monkeypatch):
    folder = tmp_path / "report"
    _, before = report(level, clips, folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer.report_page, "html", full)
    with pytest.raises(OSError):
        report(level, clips, folder)
    assert (folder / "index.html").read_text(encoding="utf-8") == before
    assert [name for name in os.listdir(str(tmp_path)) if "report" in name] == ["report"]


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_is_told_before_anything_is_measured(kws, monkeypatch, tmp_path, library):
    monkeypatch.setitem(sys.modules, library, None)
    result = kws("eval", "--checkpoint", tmp_path / "nothing", "--report", tmp_path / "report")
    assert result.exit_code == 1 and 'pip install "kwscli[report]"' in result.stderr
    assert library in result.stderr and result.stderr.count("\n") == 1


def test_a_report_is_about_one_model(kws, tmp_path):
    result = kws("eval", "a.pb", "b.pb", "--report", tmp_path / "report")
    assert result.exit_code == 1 and "is about one network, but there are several; leave it out" in result.stderr


# The whole way, by the command line


@pytest.fixture(scope="module")
def trained(tones, tmp_path_factory):
    """A folder with data/, trained on it for a moment run/, and the report of that in report/."""
    from click.testing import CliRunner

    from kwscli import cli

    folder = tmp_path_factory.mktemp("trained")
    tones(folder / "data", speakers=60)
    data, run = ["--data-path", str(folder / "data")], str(folder / "run")
    for command in (
        ["prepare"] + data,
        ["train", *data, "--train-dir", run, "--wanted-words", "yes,no", "--how-many-training-steps", "12",
         "--learning-rate", "0.001", "--eval-step-interval", "6", "--batch-size", "20"],
        ["eval", *data, "--checkpoint", run, "--report", str(folder / "report")],
    ):
        result = CliRunner().invoke(cli.cli, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    return folder


def test_the_report_of_a_run(trained, kws):
    with open(str(trained / "report" / "report.json"), encoding="utf-8") as file:
        numbers = json.load(file)
    told = json.loads(kws("eval", "--checkpoint", trained / "run", "--data-path", trained / "data", "--json").stdout)
    for name in ("accuracy", "interval_95", "clips", "split", "silence_percentage", "other_words", "cautions"):
        assert numbers[name] == told[name], name
    metrics = [json.loads(line) for line in open(str(trained / "run" / "metrics.jsonl"))]
    assert [{key: value for key, value in one.items() if key in line} for one, line in zip(
        numbers["training"], metrics)] == metrics
    assert {one["condition"] for one in numbers["robustness"]} >= {"background noise", "white noise"}
    assert numbers["cost"]["parameters"] > 20000 and numbers["settings"]["train"]["batch_size"] == 20
    assert (trained / "report" / "training.png").exists()


def test_the_command_in_a_report_repeats_it(trained, kws, monkeypatch):
    import shlex

    with open(str(trained / "report" / "report.json"), encoding="utf-8") as file:
        before = json.load(file)
    command = shlex.split(before["command"])
    assert command[0] == "kws" and kws(*command[1:]).exit_code == 0
    with open(str(trained / "report" / "report.json"), encoding="utf-8") as file:
        again = json.load(file)
    del before["cost"]["milliseconds"], again["cost"]["milliseconds"]
    assert again == before


def test_damaged_metrics_leave_the_rest_of_the_report(trained, kws, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(str(trained / "run"), str(run))
    with open(str(run / "metrics.jsonl"), "a") as file:
        file.write('{"step": 1')
    result = kws("eval", "--checkpoint", run, "--data-path", trained / "data", "--report", tmp_path / "report")
    assert result.exit_code == 0 and "The report has no training curves: " in result.stderr
    assert "training" not in json.loads((tmp_path / "report" / "report.json").read_text())


# The page in a browser

CHECKS = """<pre id="findings"></pre><script>
addEventListener("load", function () {
  var view = document.querySelector("iframe").contentWindow, page = view.document;
  var all = function (what, of) { return Array.from(page.querySelectorAll(what)).map(of); };
  document.getElementById("findings").textContent = JSON.stringify({
    view: view.innerWidth, width: page.documentElement.scrollWidth,
    images: all("img", function (one) { return [one.naturalWidth, one.naturalHeight, one.alt]; }),
    players: all("audio", function (one) { return [one.currentSrc.slice(0, 15), one.duration]; }),
    links: all("a", function (one) { return one.getAttribute("href"); }),
    targets: all("[id]", function (one) { return one.id; }),
    dark: view.getComputedStyle(page.body).backgroundColor,
  });
});
</script>"""


def browse(path, profile):
    """(the document after its load, what the console says) of a file in a real browser."""
    if not CHROMIUM:
        pytest.skip("there is no chromium")
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=%s" % profile,
         "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", "file://%s" % path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
    )
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    return done.stdout.decode("utf-8"), console


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    """What a browser finds in the page of a run, in a frame as wide as a phone."""
    folder = tmp_path_factory.mktemp("browser")
    text = (trained / "report" / "index.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # which would stop our script
    frame = '<!DOCTYPE html><iframe width="360" height="800" style="border: 0" srcdoc="%s"></iframe>%s'
    (folder / "frame.html").write_text(frame % (html.escape(text), CHECKS), encoding="utf-8")
    document, console = browse(folder / "frame.html", folder / "profile")
    assert console == []
    return json.loads(html.unescape(re.search(r'<pre id="findings">(.*?)</pre>', document, re.S).group(1)))


def test_the_console_of_the_browser_is_empty(trained, tmp_path):
    assert browse(trained / "report" / "index.html", tmp_path / "profile")[1] == []


def test_this_test_sees_errors_on_the_console(tmp_path):
    (tmp_path / "bad.html").write_text("<script>missing()</script>")
    assert "missing is not defined" in browse(tmp_path / "bad.html", tmp_path / "profile")[1][0]


def test_every_image_is_there_and_has_a_text(found):
    assert len(found["images"]) >= 9
    assert all(width > 100 and height > 50 and alt for width, height, alt in found["images"])


def test_every_player_has_a_sound(found):
    assert found["players"] and all(player == ["data:audio/wav;", 1] for player in found["players"])


def test_every_link_leads_somewhere(found, trained):
    inside = [link[1:] for link in found["links"] if link.startswith("#")]
    files = [link for link in found["links"] if not link.startswith("#")]
    assert len(inside) == 9 and set(inside) <= set(found["targets"])
    assert set(files) == set(os.listdir(str(trained / "report"))) - {"index.html"}


def test_a_phone_does_not_scroll_sideways(found):
    assert found["view"] == 360 and found["width"] <= 360


def test_the_page_needs_nothing_from_elsewhere(trained):
    text = (trained / "report" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?:https?:|//)', text) and "url(" not in text and "<script" not in text


def test_a_page_with_clips_to_listen_to():
    """What other commands than this report show."""
    picture = figures.spectrogram(speech()[0], 16000)
    clip = page.Clip("yes & no", np.zeros(1600, np.float32), 16000, "said by <b>", picture)
    text = page.clips_page("Clips", "Listen.", [clip, clip])
    assert text.count("<audio") == 2 and "yes &amp; no" in text and "said by &lt;b&gt;" in text
