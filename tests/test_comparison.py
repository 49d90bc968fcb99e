"""Which network is better, by how much and how sure that is; and whether the clips are enough to say so."""
import csv
import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import soundfile
from scipy import stats
from test_evaluate import LABELS, SETTINGS, Loudness, one_hot, write

from kwscli import significance
from kwscli.data import leakage, prepare
from kwscli.evaluation import cautions, compare, evaluate, verdicts
from kwscli.metrics import Result

# Tests and intervals


@pytest.mark.parametrize("table, low, high", [
    # (both, only the first, only the second, neither right); published as first - second, so both ends change sign
    ((36, 2, 12, 0), 0.0569, 0.3404),  # Newcombe, Statistics in Medicine 17 (1998), method 10
    ((14, 0, 5, 22), 0.0115, 0.2265),  # Altman et al., Statistics with Confidence (2000), table 6.2
    ((59, 16, 6, 80), -0.1186, -0.0046),  # Fagerland et al., Statistical Analysis of Contingency Tables (2017), ch. 8
    ((1, 7, 1, 12), -0.507, -0.026),  # Fagerland et al., Statistics in Medicine 33 (2014)
])
def test_the_interval_of_a_paired_difference_is_the_published_one(table, low, high):
    found = significance.paired_interval(*table)
    assert found == pytest.approx((low, high), abs=5e-4 if low == -0.507 else 5e-5)
    both, first, second, neither = table
    swapped = significance.paired_interval(both, second, first, neither)
    assert swapped == pytest.approx((-found[1], -found[0]))


@pytest.mark.parametrize("table", [(0, 0, 0, 9), (9, 0, 0, 0), (0, 9, 0, 0), (0, 0, 9, 0), (1, 0, 0, 0)])
def test_the_interval_of_extreme_counts_is_finite_and_holds_the_difference(table):
    low, high = significance.paired_interval(*table)
    assert -1 <= low <= (table[2] - table[1]) / sum(table) <= high <= 1


@pytest.mark.parametrize("first, second", [(0, 0), (1, 0), (0, 6), (6, 16), (1, 7), (250, 300), (4000, 4100)])
def test_mcnemars_test_is_the_exact_binomial_one(first, second):
    count = first + second
    wanted = min(1.0, 2 * stats.binom.cdf(min(first, second), count, 0.5))
    assert significance.mcnemar(first, second) == pytest.approx(wanted)
    assert significance.mcnemar(second, first) == significance.mcnemar(first, second)


def test_welchs_test_is_that_of_scipy():
    first, second = [0.91, 0.93, 0.92], [0.95, 0.94, 0.96, 0.97]
    p, low, high = significance.welch(first, second)
    wanted = stats.ttest_ind(second, first, equal_var=False)
    assert p == pytest.approx(wanted.pvalue)
    assert low < 0.035 < high and low + high == pytest.approx(2 * 0.035)
    # The interval touches zero where the test is at its level.
    error = 0.035 / wanted.statistic
    freedom = error ** 4 / ((1e-4 / 3) ** 2 / 2 + (np.var(second, ddof=1) / 4) ** 2 / 3)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, freedom) * error)


@pytest.mark.parametrize("first, second, p", [((0.9, 0.9), (0.9, 0.9), 1), ((0.9, 0.9), (0.8, 0.8), 0)])
def test_welchs_test_of_values_that_do_not_vary(first, second, p):
    assert significance.welch(first, second)[0] == p


def test_holms_adjustment_is_the_published_one():
    # Holm's example: 0.01, 0.04, 0.03 and 0.005 (Statistics notes of many textbooks, such as R's p.adjust).
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.9, 0.8]) == [1, 1] and significance.holm([]) == []


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.9, 0.95, 1])
@pytest.mark.parametrize("half_width", [0.01, 0.05])
def test_the_number_of_clips_for_a_half_width_is_the_smallest_one(share, half_width):
    def half(count):
        z = stats.norm.ppf(0.975)
        return z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))

    count = significance.clips_for_half_width(share, half_width)
    assert half(count) <= half_width * (1 + 1e-6) and half(count - 1) > half_width * (1 - 1e-6)


@pytest.mark.parametrize("discordant, difference", [(0.05, 0.01), (0.1, 0.03), (0.02, 0.02)])
def test_that_many_clips_show_the_difference_in_80_percent_of_all_cases(discordant, difference):
    count, rng = significance.clips_for_difference(discordant, difference), np.random.RandomState(0)
    second = (discordant + difference) / 2
    draws = rng.multinomial(count, [discordant - second, second, 1 - discordant], 4000)
    shown = np.mean([significance.mcnemar(*draw[:2]) < 0.05 for draw in draws])
    assert 0.7 < shown < 0.9  # the formula is that of the test by the normal distribution


def test_more_discordant_clips_need_more_clips():
    assert significance.clips_for_difference(0.2, 0.01) > significance.clips_for_difference(0.05, 0.01)
    assert significance.clips_for_difference(0.0, 0.01) == significance.clips_for_difference(0.01, 0.01)


# What is said


def right(count, *wrong):
    """[count] bool: False in these ranges."""
    found = np.ones(count, bool)
    for one in wrong:
        found[one] = False
    return found


def test_better_is_said_where_it_holds():
    found = verdicts.of_clips("A", "B", right(454, slice(0, 20)), right(454, slice(18, 22)))
    assert found.is_shown and found.measured == {"clips": 454, "only_first_right": 2, "only_second_right": 18}
    assert str(found) == "B is better than A: +3.5 points (1.6 to 5.8), p < 0.001, N = 454"
    assert str(verdicts.of_clips("B", "A", right(454, slice(18, 22)), right(454, slice(0, 20)))).startswith(
        "A is worse than B: -3.5 points (-5.8 to -1.6), p < 0.001")


def test_a_difference_that_is_not_shown_says_how_many_clips_would_show_one():
    found = verdicts.of_clips("A", "B", right(454, slice(0, 20)), right(454, slice(5, 22)))
    assert not found.is_shown
    needed = significance.clips_for_difference(7 / 454, 0.01)
    assert str(found).startswith("B and A: no difference shown: +0.7 points (")
    assert str(found).endswith("N = 454; about {:,} clips would show a difference of 1 point".format(needed))
    assert found.to_json()["clips_needed"] == needed


def test_the_interval_and_the_test_must_both_show_a_difference():
    """Newcombe's interval of 5 discordant clips excludes zero, but the exact test has p = 0.0625."""
    found = verdicts.of_clips("A", "B", right(1000, slice(0, 5)), right(1000))
    assert found.interval[0] > 0 and found.p == 0.0625 and not found.is_shown


def test_no_discordant_clips():
    found = verdicts.of_clips("A", "A", right(300, slice(0, 9)), right(300, slice(0, 9)))
    assert found.p == 1 and found.difference == 0 and not found.is_shown
    assert "A and A: no difference shown: +0.0 points (" in str(found)


def test_several_comparisons_are_adjusted_for_their_number():
    first = right(454, slice(0, 20))
    found = verdicts.adjusted([
        verdicts.of_clips("A", "B", first, right(454, slice(8, 20))),  # 8 clips better
        verdicts.of_clips("A", "C", first, right(454, slice(8, 20))),
        verdicts.of_clips("A", "D", first, right(454, slice(1, 20))),
    ])
    assert found[0].p == pytest.approx(2 / 2 ** 8) and found[0].adjusted_p == pytest.approx(3 * found[0].p)
    assert [one.is_shown for one in found] == [True, True, False]
    assert verdicts.notes(found)[-1] == "The p-values are adjusted for 3 comparisons (Holm)."
    many = verdicts.adjusted([found[0]] * 10)
    assert many[0].adjusted_p == pytest.approx(10 * found[0].p) and not many[0].is_shown


def test_seeds_are_compared_by_their_accuracies():
    found = verdicts.of_seeds("A", "B", [0.90, 0.91, 0.92], [0.94, 0.95, 0.96])
    assert found.is_shown and str(found).startswith("B is better than A: +4.0 points (1.7 to 6.3), p = 0.00")
    assert str(found).endswith(", 3 and 3 seeds")
    found = verdicts.of_seeds("A", "B", [0.90, 0.94], [0.91, 0.95])
    assert not found.is_shown and str(found).endswith("2 and 2 seeds; more seeds would make the interval narrower")


# `kws eval`


@pytest.fixture(scope="module")
def data(tones, tmp_path_factory):
    folder = tones(tmp_path_factory.mktemp("comparison"), speakers=60)
    prepare.prepare(folder, folder)
    return folder


TINY = (
    "--wanted_words", "yes,no", "--model_architecture", "dnn", "--model_size_info", "8", "--learning_rate", "0.01",
    "--batch_size", "20", "--eval_step_interval", "50",
)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A folder with the trained runs `good` and `bad`, and with `seeds`, which has the runs of three seeds."""
    pytest.importorskip("tensorflow")
    from click.testing import CliRunner

    from kwscli import cli

    folder = tmp_path_factory.mktemp("runs")
    for name, steps, seed in (
        ("good", 100, 1), ("bad", 1, 1), ("seeds/seed-7", 100, 7), ("seeds/seed-8", 100, 8), ("seeds/seed-10", 100, 10)
    ):
        result = CliRunner().invoke(cli.cli, [
            "train", "--data-path", data, "--train-dir", str(folder / name), *TINY, "--how_many_training_steps",
            str(steps), "--seed", str(seed),
        ])
        assert result.exit_code == 0, result.output
    return folder


def test_a_model_is_compared_with_the_first_one(runs, kws):
    paths = [str(runs / "bad"), str(runs / "good"), str(runs / "bad")]
    result = kws("eval", *paths, "--split", "training")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[7].startswith("%s is better than %s: +" % (paths[1], paths[0]))
    assert lines[8].startswith("%s and %s: no difference shown: +0.0 points (" % (paths[2], paths[0]))
    assert lines[10] == "The p-values are adjusted for 2 comparisons (Holm)."
    told = json.loads(kws("eval", *paths, "--split", "training", "--json").stdout)
    assert told[0]["against_first"] is None
    found = told[1]["against_first"]
    assert found["difference"] == pytest.approx(told[1]["accuracy"] - told[0]["accuracy"])
    only = found["only_first_right"], found["only_second_right"]
    assert found["p"] == pytest.approx(min(1, 2 * stats.binom.cdf(min(only), sum(only), 0.5)))
    assert found["difference_shown"] and found["text"] == lines[7] and found["clips"] == told[0]["clips"]


def test_the_runs_of_several_seeds_are_one_model(runs, kws):
    result = kws("eval", runs / "seeds", "--split", "training")
    assert result.exit_code == 0, result.stderr
    told = json.loads(kws("eval", runs / "seeds", "--split", "training", "--json").stdout)[0]
    accuracies = [one["accuracy"] for one in told["seeds"]]
    assert [os.path.basename(one["checkpoint"]) for one in told["seeds"]] == ["seed-7", "seed-8", "seed-10"]
    assert told["accuracy"] == pytest.approx(np.mean(accuracies))
    row = result.stdout.splitlines()[3]
    assert "3 seeds" in row and "%.2f %%" % (100 * told["accuracy"]) in row
    assert "its interval is for other seeds and the same clips (Student's t)" in result.stdout


def test_seeds_are_compared_with_seeds_and_not_with_a_single_run(runs, kws, tmp_path):
    shutil.copytree(str(runs / "bad"), str(tmp_path / "untrained" / "seed-1"))
    shutil.copytree(str(runs / "bad"), str(tmp_path / "untrained" / "seed-2"))
    lines = kws("eval", runs / "seeds", tmp_path / "untrained", runs / "good", "--split", "training").stdout
    assert "%s is worse than %s: -" % (tmp_path / "untrained", runs / "seeds") in lines
    assert "3 and 2 seeds" in lines and "Welch's t-test" in lines
    assert "%s and %s: not compared, because only one of them has several seeds" % (
        runs / "good", runs / "seeds") in lines


def test_a_folder_with_the_run_of_one_seed(runs, kws, tmp_path):
    shutil.copytree(str(runs / "bad"), str(tmp_path / "seeds" / "seed-1"))
    result = kws("eval", tmp_path / "seeds")
    assert result.exit_code == 1
    assert "seeds holds the run of one seed, which has no interval; name the run " in result.stderr


def test_a_training_that_is_not_finished_is_named(runs, kws, tmp_path):
    shutil.copytree(str(runs / "seeds"), str(tmp_path / "seeds"))
    state = tmp_path / "seeds" / "seed-8" / "state.json"
    state.write_text(json.dumps(dict(json.loads(state.read_text()), finished=False)))
    result = kws("eval", tmp_path / "seeds")
    assert "seed-8 is not finished: its best checkpoint so far is measured" in result.stderr and not result.exit_code


def test_a_page_without_comparisons_has_none(data):
    """A single group of seeds."""
    row = compare.Row("A", "x", 1, evaluate.evaluate(Loudness(), data, SETTINGS), 1.0, 1.0)
    assert "shown" not in compare.page([row])


def test_what_limits_all_models_is_said_once(leaking):
    prepare.prepare(leaking, leaking)
    row = compare.Row("A", "x", 1, evaluate.evaluate(Loudness(), leaking, SETTINGS), 1.0, 1.0)
    page = compare.page([row, row])
    assert page.count("1 speaker is in more than one split") == 1
    other = row._replace(evaluation=row.evaluation._replace(cautions=["something else"]))
    assert "in more than one split" not in compare.page([row, other])


# The official test archive


def test_the_official_test_archive_is_scored_as_published(tmp_path):
    """Every file once: nothing is sampled, and files of another length count, too."""
    folder, rng = tmp_path / "set", np.random.RandomState(0)
    counts = {"_silence_": 40, "_unknown_": 41, "yes": 42, "no": 40}
    for level, (label, count) in enumerate(counts.items()):
        write(folder, label, ["%08x_nohash_%d.wav" % (rng.randint(2 ** 31), index) for index in range(count)], level)
    soundfile.write(str(folder / "yes" / "short_nohash_0.wav"), np.full(11000, 0.2), 16000)
    soundfile.write(str(folder / "no" / "long_nohash_0.wav"), np.full(24000, 0.3), 16000)
    path = str(tmp_path / "speech_commands_test_set_v0.02.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(str(folder), ".")
        for name, text in (("LICENSE", b"CC BY 4.0"), ("README.md", b"text")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    classifier, seen = Loudness(), []
    classifier.scores = lambda clips: seen.append(len(clips)) or Loudness().scores(clips)
    result = evaluate.evaluate(classifier, path, SETTINGS).result
    assert result.count == sum(counts.values()) + 2 == sum(seen)
    assert result.confusion.sum(axis=1).tolist() == [40, 41, 43, 41]
    assert result.accuracy == 1


# Is the data good enough?


def of(targets, predicted=None):
    return cautions.of_result(Result.of(LABELS, targets, one_hot(targets if predicted is None else predicted)))


def test_enough_clips_need_no_caution():
    assert of([0, 1, 2, 3] * 1000) == []


def test_too_few_clips_are_told_with_the_number_that_is_needed():
    targets = np.repeat([0, 1, 2, 3], [200, 200, 200, 60])
    predicted = np.where(np.arange(660) % 10, targets, 1)
    wanted = significance.clips_for_half_width(np.mean(targets == predicted), 0.01)
    assert of(targets, predicted) == [
        "For an interval of +-1 point, the accuracy needs about {:,} clips; these are 660.".format(wanted),
        "With fewer than 100 clips, the recall of a label is uncertain: no (60 clips: 80 to 95 %).",
    ]


def test_labels_without_clips_and_a_single_label():
    assert of([2] * 300) == [
        "All clips have the label yes: the accuracy does not show how often other sounds are taken for it.",
        "No clips of _silence_, _unknown_, no: the accuracy says nothing about them.",
    ]


def test_ten_thousand_labels_are_a_short_page():
    names = tuple("<b>%d" % number for number in range(10000))
    scores = np.zeros((600, 10000), np.float32)
    targets = np.arange(600)
    scores[targets, np.where(targets % 3, targets, 9999)] = 1
    result = Result.of(names, targets, scores)
    assert len(str(result).splitlines()) < 50 and "--json prints all 10000 labels" in str(result)
    lines = cautions.of_result(result)
    assert len(lines) == 3 and max(map(len, lines)) < 300 and "and 9,395 more" in lines[1]
    told = result.to_json()
    assert told["confusion"] is None and len(told["confusions"]) == 200 and len(told["labels"]) == 10000
    assert told["confusions"][0] == {"label": "<b>0", "predicted": "<b>9999", "clips": 1}


def table(*rows):
    """The columns of a manifest."""
    return tuple(zip(*rows))


def test_leakage_is_a_speaker_or_a_recording_in_two_splits():
    same = "clipped: 20 samples at full scale; duplicate: the same samples as yes/1.wav"
    found = leakage.find(*table(
        ("yes/1.wav", "Anna", "training", ""), ("yes/2.wav", "anna", "testing", ""),
        ("yes/3.wav", "ben", "validation", same), ("no/4.wav", "ben", "validation", ""),
        ("no/5.wav", "", "testing", ""),
    ))
    assert found.speakers == (("Anna", ("testing", "training")),)
    assert found.recordings == (("yes/1.wav", ("training", "validation")),)
    lines = list(found.lines())
    assert lines == [
        "1 speaker is in more than one split (Anna: testing and training): the accuracy will look better than it is; "
        "put all recordings of a speaker into one split",
        "1 recording is in more than one split (yes/1.wav: training and validation): the accuracy will look better "
        "than it is; delete the copies, which problems.csv lists",
        "The speaker of 1 recording is unknown, and may be in more than one split; name files after their speakers, "
        "as in anna_nohash_0.wav",
    ]
    assert list(found.with_split("testing").lines()) == [lines[0], lines[2]]


def test_data_without_leakage():
    same = "duplicate: the same samples as yes/1.wav"
    found = leakage.find(*table(("yes/1.wav", "anna", "testing", ""), ("yes/2.wav", "anna", "testing", same)))
    assert list(found.lines()) == []


@pytest.fixture
def leaking(tmp_path):
    """Recordings whose folders give the splits: one speaker, and one recording, are in two of them."""
    rng = np.random.RandomState(0)
    for split, speakers in (("train", range(20)), ("test", range(19, 40))):
        for word, level in (("yes", 2), ("no", 3)):
            folder = tmp_path / "data" / split / word
            os.makedirs(str(folder))
            for speaker in speakers:
                noise = 0.01 * rng.uniform(-1, 1, 8000)
                soundfile.write(str(folder / ("%08x_nohash_0.wav" % speaker)), level / 10 + noise, 16000)
    shutil.copy(
        str(tmp_path / "data" / "train" / "no" / "00000003_nohash_0.wav"),
        str(tmp_path / "data" / "test" / "no" / "00000030_nohash_1.wav"),
    )
    return str(tmp_path / "data")


def test_prepare_and_eval_report_leakage(leaking, kws):
    shown = kws("prepare", "--data-path", leaking).stdout
    assert "1 speaker is in more than one split (00000013: testing and training): the accuracy will look" in shown
    assert "1 recording is in more than one split (" in shown
    told = json.loads(kws("prepare", "--data-path", leaking, "--json").stdout)["leakage"]
    assert told["speakers"] == {"00000013": ["testing", "training"]} and len(told["recordings"]) == 1
    lines = str(evaluate.evaluate(Loudness(), leaking, SETTINGS)).splitlines()
    assert sum("in more than one split" in line for line in lines) == 2
    assert not any("in more than one split" in line
                   for line in evaluate.evaluate(Loudness(), leaking, SETTINGS, "training").cautions)
    with open(os.path.join(leaking, "packed", "problems.csv"), newline="") as file:
        assert any(row["problem"].startswith(leakage.DUPLICATE) for row in csv.DictReader(file))


def test_the_json_of_an_evaluation_has_its_cautions(leaking):
    prepare.prepare(leaking, leaking)
    told = evaluate.evaluate(Loudness(), leaking, SETTINGS).to_json()
    assert told["clips_for_1_point"] == significance.clips_for_half_width(told["accuracy"], 0.01)
    assert any("in more than one split" in line for line in told["cautions"])
