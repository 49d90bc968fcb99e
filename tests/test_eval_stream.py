"""`kws eval --stream`: made streams, false accepts per hour, operating curves, and thresholds of keywords."""
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings as hypothesis_settings, strategies as st
from test_freeze import write_run
from test_listen import Tones, spoken

from kwscli import classifiers, pretrained, significance
from kwscli.classifiers import light as light_models
from kwscli.data import dataset
from kwscli.detector import Detector
from kwscli.errors import KwsError
from kwscli.evaluation import operating_points
from kwscli.evaluation.made_stream import BLOCK, MadeStream
from kwscli.evaluation.operating_points import ScoredStream
from kwscli.export import freeze as freezing, light
from kwscli.listening.truth import Spoken
from kwscli.settings import DetectorSettings, StreamSettings
from kwscli.sound.feature_settings import FeatureSettings

LABELS = ("_silence_", "_unknown_", "yes", "no")
KEYWORDS = LABELS[2:]
STRIDE = 240.0
RATE = 16000
LEVEL = 8.5


@pytest.mark.parametrize("count, low, high", [
    (0, 0.0, 3.6889), (1, 0.0253, 5.5716), (2, 0.2422, 7.2247), (5, 1.6235, 11.6683), (10, 4.7954, 18.3904),
    (20, 12.2165, 30.8884), (100, 81.3640, 121.6270),
])
def test_the_interval_is_garwoods(count, low, high):
    """Garwood, Biometrika 28 (1936); the values are those of Ulm, American Journal of Epidemiology 131 (1990)."""
    assert significance.poisson_interval(count) == pytest.approx((low, high), abs=1e-3)


def test_the_rule_of_three():
    assert significance.poisson_upper_bound(0) == pytest.approx(-np.log(0.05))
    assert significance.poisson_upper_bound(5) == pytest.approx(10.513, abs=1e-3)


def random_stream(seed, count=2000, words=0, sureness=0.02):
    """Scores that seldom reach a threshold, and words at random times, which have nothing to do with them."""
    rng = np.random.RandomState(seed)
    seconds = count * STRIDE / 1000
    times = np.sort(rng.uniform(0, seconds, words))
    said = [Spoken(time, time + 0.4, word) for time, word in zip(times, rng.choice(["yes", "no", "bed"], words))]
    return ScoredStream(np.arange(count) * STRIDE + 500, rng.beta(sureness, 1, (count, len(LABELS))), seconds, said)


def detections(stream, settings):
    """What the detector of kws listen says, which sees all windows."""
    return [(one.time_ms / 1000, one.keyword) for one in Detector(LABELS, settings).feed(*stream[:2])]


SCORES = st.lists(
    st.lists(st.sampled_from([0.0, 0.3, 0.69, 0.7, 0.9, 0.99, 0.9999, 1.0]), min_size=4, max_size=4), max_size=60
)


@given(
    SCORES, st.sampled_from([0.0, 240.0, 500.0, 1500.0]), st.sampled_from([0.0, 500.0, 1500.0]), st.integers(1, 3),
    st.sampled_from([0.0, 0.7, 0.9, 1.0]),
)
def test_windows_that_are_left_out_change_nothing(rows, smoothing, suppression, minimum, threshold):
    scores = np.array(rows).reshape(-1, len(LABELS))
    stream = ScoredStream(np.arange(len(scores)) * STRIDE, scores, 60.0)
    settings = DetectorSettings(STRIDE, threshold, (), minimum, smoothing, suppression)
    assert operating_points.heard(LABELS, stream, settings) == detections(stream, settings)


def test_the_curve_is_what_the_detector_gives_with_each_threshold():
    streams, settings = [random_stream(1, 500), random_stream(2, 300)], DetectorSettings(thresholds=("yes=0.5",))
    points = operating_points.curve(LABELS, streams, settings)
    assert [point.threshold for point in points] == sorted(operating_points.THRESHOLDS, reverse=True)
    for point in points:
        common = DetectorSettings(threshold=point.threshold)
        assert point.false_accepts == sum(len(detections(one, common)) for one in streams)
        assert (point.hours, point.words, point.false_rejects) == (pytest.approx(800 * 0.24 / 3600), 0, None)
    assert points[0].false_accepts < points[-1].false_accepts


def test_false_rejects_are_misses_and_wrong_words():
    scores = np.zeros((100, len(LABELS)))
    scores[10, 2] = scores[50, 3] = 1.0
    said = [Spoken(time, time, word) for time, word in ((2.4, "yes"), (12, "yes"), (20, "no"), (22, "bed"))]
    point, = operating_points.curve(LABELS, [ScoredStream(np.arange(100) * STRIDE, scores, 24.0, said)],
                                    DetectorSettings(), thresholds=(0.9,))
    assert (point.words, point.hits, point.wrong_words, point.false_accepts) == (3, 1, 1, 0)
    assert point.false_rejects == pytest.approx(2 / 3)
    assert json.loads(json.dumps(point.to_json()))["false_accepts_per_hour"] == 0


def test_the_point_at_a_rate():
    points = [operating_points.Point(threshold, 0, 0, 0, count, 2.0)
              for threshold, count in ((1.0, 0), (0.9, 1), (0.8, 4), (0.7, 3), (0.6, 9))]
    found = [operating_points.at_rate(points, rate) for rate in (0, 0.4, 0.5, 1.9, 2, 100)]
    assert [point.threshold for point in found] == [1.0, 1.0, 0.9, 0.9, 0.7, 0.6]
    assert operating_points.at_rate([points[1]], 0.1) is None


@hypothesis_settings(deadline=None, max_examples=8)
@given(st.integers(0, 10 ** 6), st.sampled_from([0.0, 3.0, 20.0, 60.0, 200.0]), st.sampled_from([0, 40]))
def test_all_keywords_together_keep_to_the_rate(seed, rate, words):
    streams = [random_stream(seed, 2000, words), random_stream(seed + 1, 3000)]
    found = operating_points.thresholds_for(LABELS, streams, DetectorSettings(), rate)
    assert set(found) == set(KEYWORDS) and set(found.values()) <= set(operating_points.THRESHOLDS)
    settings = operating_points.with_thresholds(DetectorSettings(), found)
    false = sum(len(operating_points.compare(LABELS, one, settings).false_accepts) for one in streams)
    assert false <= rate * sum(one.seconds for one in streams) / 3600


def test_the_rate_holds_for_streams_that_took_no_part():
    """On average: thresholds that only just keep to the rate would make one more false accept per keyword."""
    counts = []
    for seed in range(0, 32, 2):
        found = operating_points.thresholds_for(LABELS, [random_stream(seed)], DetectorSettings(), 75.0)
        settings = operating_points.with_thresholds(DetectorSettings(), found)
        counts.append(len(operating_points.heard(LABELS, random_stream(seed + 1), settings)))
    hours = 2000 * STRIDE / 1000 / 3600
    assert len(set(found.values())) == 2 and 75 * hours == pytest.approx(10)
    assert 5 < np.mean(counts) < 10 + 3 * np.std(counts) / len(counts) ** 0.5


def test_keywords_share_a_threshold_where_the_stream_is_short():
    stream = random_stream(5, 2000)
    hours = stream.seconds / 3600
    assert len(set(operating_points.thresholds_for(LABELS, [stream], DetectorSettings(), 3.9 / hours).values())) == 1
    assert len(set(operating_points.thresholds_for(LABELS, [stream], DetectorSettings(), 4.1 / hours).values())) == 2
    assert operating_points.hours_for_own_thresholds(len(KEYWORDS), 4 / hours) == pytest.approx(hours)


def test_a_threshold_is_no_lower_than_it_is_good_for():
    stream = random_stream(0, 4000)
    scores = stream.scores.copy()
    scores[:, 2] = 0.0
    scores[100::100, 2] = 0.999  # the words, which a threshold of 0.5 does not find better
    said = [Spoken(time / 1000, time / 1000, "yes") for time in stream.times_ms[100::100]]
    found = operating_points.thresholds_for(LABELS, [stream._replace(scores=scores, spoken=said)],
                                            DetectorSettings(minimum_windows=1), 200)
    assert 0.99 <= found["yes"] <= 0.999 and found["no"] < 0.9


def test_a_rate_that_no_threshold_keeps():
    scores = np.zeros((100, len(LABELS)))
    scores[10::20, 3] = 1.0
    stream = ScoredStream(np.arange(100) * STRIDE, scores, 24.0)
    with pytest.raises(KwsError, match="even with a threshold of 1, there are 5 false accepts in 0.01 hours, more"):
        operating_points.thresholds_for(LABELS, [stream], DetectorSettings(), 10)


class QuietTones(Tones):
    """Hears tones of the level that words of made streams have."""

    def scores(self, clips):
        return super().scores(np.asarray(clips) * LEVEL)


def quiet(*words, seconds=10.0):
    """A sound in which words (time of its middle, hertz) are tones of 0.4 s that `QuietTones` hears."""
    return spoken(*words, seconds=seconds) / LEVEL


def clip_of(hertz, seed):
    """A clip whose middle is a tone of 0.4 s."""
    return 0.5 * spoken((0.5, hertz), seconds=1.0) + 0.0001 * np.random.RandomState(seed).randn(RATE)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of keywords and another word that `QuietTones` tells apart, with background noise."""
    folder = str(tmp_path_factory.mktemp("recordings"))
    for word, hertz in (("yes", 440), ("no", 880), ("bed", 1760)):
        os.makedirs(os.path.join(folder, word))
        for speaker in range(30):
            path = os.path.join(folder, word, "%08x_nohash_0.wav" % speaker)
            soundfile.write(path, clip_of(hertz, speaker), RATE, subtype="PCM_16")
    os.makedirs(os.path.join(folder, "_background_noise_"))
    for number in range(2):
        noise = 0.05 * (number + 1) * np.random.RandomState(number).randn(3 * RATE)
        path = os.path.join(folder, "_background_noise_", "%d.wav" % number)
        soundfile.write(path, noise, RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def prepared(recordings):
    from kwscli.data import prepare
    from kwscli.settings import PrepareSettings

    prepare.prepare(recordings, recordings, PrepareSettings(validation_percentage=30, testing_percentage=40))
    return recordings


def made(folder, **settings):
    settings = StreamSettings(**dict({"stream_minutes": 1.0}, **settings))
    return MadeStream(dataset.load(folder), KEYWORDS, FeatureSettings(), "testing", settings)


def samples_of(stream):
    return np.concatenate(list(stream.blocks()))


def test_a_made_stream_depends_on_its_settings_only(prepared):
    one, same, other = made(prepared), made(prepared), made(prepared, stream_seed=2)
    assert np.array_equal(samples_of(one), samples_of(same)) and one.spoken() == same.spoken()
    assert one.spoken() != other.spoken()
    assert len(samples_of(one)) == 60 * RATE and [len(block) for block in one.blocks()][0] == BLOCK


def test_half_of_the_words_are_keywords_of_the_split(prepared):
    stream = made(prepared, words_per_minute=40)
    words = [one.word for one in stream.spoken()]
    data = dataset.load(prepared)
    others = int(((data.words == "bed") & (data.splits == "testing")).sum())
    assert len(words) == 40 and words.count("bed") == 20 > others and {"yes", "no", "bed"} == set(words)
    assert str(stream) == (
        "1 minutes made of testing clips: 20 keywords and 20 other words (of %d recordings) at 10 dB over background "
        "noise (seed 1)" % others
    )


def test_the_truth_is_exact(prepared):
    """A tone is where the truth says, and nowhere else."""
    stream = made(prepared, stream_snr_db=40)
    samples = samples_of(stream)
    for said in stream.spoken():
        assert said.end - said.start == pytest.approx(0.38, abs=0.01)
        before, after = int((said.start - 0.05) * RATE), int((said.end + 0.05) * RATE)
        around = np.abs(samples[before : after]) > 0.02
        assert before + np.argmax(around) == pytest.approx((said.start - 0.01) * RATE, abs=30)
    starts = [said.start for said in stream.spoken()]
    assert min(np.diff(starts)) >= 1.0, "no clips overlap"


@pytest.mark.parametrize("ratio", [20, 0, -10])
def test_the_ratio_of_signal_and_noise(prepared, ratio):
    noise = samples_of(made(prepared, stream_snr_db=ratio, words_per_minute=0))
    both = samples_of(made(prepared, stream_snr_db=ratio))
    stream = made(prepared, stream_snr_db=ratio)
    clip = int(round((stream.spoken()[0].start - 0.31) * RATE))  # where the clip of the first word begins
    word = (both - noise)[clip : clip + RATE]
    assert 10 * np.log10(np.square(word).mean() / np.square(noise).mean()) == pytest.approx(ratio, abs=0.1)


def test_a_background_of_several_recordings_has_one_level(prepared):
    noise = samples_of(made(prepared, words_per_minute=0)).reshape(-1, RATE)
    assert np.ptp(10 * np.log10(np.square(noise).mean(axis=1))) < 0.5


@pytest.fixture
def evaluating(kws, monkeypatch, prepared):
    """evaluating(*args): runs kws eval with the classifier `QuietTones` and the prepared data."""
    def opened(path=None, labels=None, light=False):
        model = QuietTones()
        model.data_path = prepared
        return model

    monkeypatch.setattr("kwscli.classifiers.open", opened)
    monkeypatch.setattr("kwscli.classifiers.located", lambda path: path or "tones")
    return lambda *args: kws("eval", *args)


def test_a_stream_without_a_file_is_made(evaluating):
    shown = evaluating("--stream", "--stream-minutes", 2).stdout
    lines = shown.splitlines()
    assert lines[0].startswith("2 minutes made of testing clips: 20 keywords and 20 other words")
    assert lines[2].startswith("20 of 20 keywords found (100.0 %), 0 wrong words, 0 misses, 0 false accepts")
    assert "false accepts per hour: 0.00 (95 % interval 0.00 to 110.67; 0 in 0.03 hours)" in lines
    assert "false rejects at a rate of false accepts" in lines
    latency = [line for line in lines if line.startswith("latency from the end of a word: median ")]
    assert len(latency) == 1 and latency[0].endswith(" ms")


def test_latency_is_from_the_end_of_the_word_to_the_end_of_the_window(evaluating, monkeypatch):
    """The windows last 1 s, and their middles are at 0.5 s, 0.74 s, 0.98 s, ..."""
    def sure(model, source):
        scores = np.zeros((40, len(LABELS)))
        scores[10, 2] = scores[20, 3] = 1.0  # these windows end at 3.4 s and 5.8 s
        said = [Spoken(2.6, 3.1, "yes"), Spoken(4.9, 5.4, "no")]
        return ScoredStream(np.arange(40) * STRIDE + 500, scores, 10.0, said)

    monkeypatch.setattr("kwscli.evaluation.streaming.score", sure)
    found = json.loads(evaluating("--stream", "--json").stdout)
    assert found["latency_ms"] == {"median": pytest.approx(350), "90 %": pytest.approx(390)} and found["hits"] == 2


def test_listen_reproduces_the_numbers_on_a_stream_that_was_kept(evaluating, kws, tmp_path):
    folder = tmp_path / "kept"
    made_how = "--stream", "--stream-minutes", 2
    found = json.loads(evaluating(*made_how, "--save-stream", folder, "--json").stdout)
    assert found["hits"] == 20
    assert sorted(os.listdir(str(folder))) == ["stream.flac", "stream.txt"]
    kept = folder / "stream.flac", "--truth", folder / "stream.txt", "--json"
    assert json.loads(kws("listen", *kept).stdout.splitlines()[-1]).items() <= found.items()
    again = json.loads(evaluating("--stream", *kept).stdout)
    assert again["operating_curve"] == found["operating_curve"]
    assert again["latency_ms"]["median"] == pytest.approx(found["latency_ms"]["median"], abs=0.01)
    ran = evaluating("--stream", "--save-stream", folder)
    assert ran.exit_code == 1 and "stream.flac is there already; choose another folder for --save-stream" in ran.stderr


def test_a_recording_without_keywords_measures_false_accepts_alone(evaluating, tmp_path):
    soundfile.write(str(tmp_path / "room.wav"), quiet((2.0, 440), (6.0, 440)), RATE)
    ran = evaluating("--stream", tmp_path / "room.wav")
    assert "0 of 0 keywords found, 0 wrong words, 0 misses, 2 false accepts (720.0 per hour)" in ran.stdout
    assert "room.wav, in which no keyword is said" in ran.stdout and "false rejects at" not in ran.stdout
    assert "latency" not in ran.stdout


def test_words_that_are_not_keywords_count_as_other_speech(evaluating, tmp_path):
    soundfile.write(str(tmp_path / "a.wav"), quiet((2.0, 440), (6.0, 440)), RATE)
    (tmp_path / "a.csv").write_text("word,time\nyes,2.0\nbed,6.0\nbed,8.5\n")
    ran = evaluating("--stream", tmp_path / "a.wav", "--truth", tmp_path / "a.csv")
    assert "1 of 1 keywords found (100.0 %), 0 wrong words, 0 misses, 1 false accepts" in ran.stdout
    assert "a.csv has words that are not keywords of the network: bed (2). They count as other speech." in ran.stderr


@pytest.mark.parametrize("time", ["700.5", "-1.5"])
def test_a_word_that_is_not_in_the_recording(evaluating, tmp_path, time):
    soundfile.write(str(tmp_path / "a.wav"), quiet(), RATE)
    (tmp_path / "a.txt").write_text("yes, 2.0\nno, %s\n" % time)
    ran = evaluating("--stream", tmp_path / "a.wav", "--truth", tmp_path / "a.txt")
    assert ran.exit_code == 1 and ran.stdout == ""
    assert "word 2 in %s is no at %.2f s, but" % (tmp_path / "a.txt", float(time)) in ran.stderr
    assert "a.wav lasts from 0 to 10.00 s; give the recording that belongs to it" in ran.stderr


def test_a_recording_that_is_shorter_than_a_window(evaluating, tmp_path):
    soundfile.write(str(tmp_path / "a.wav"), quiet(seconds=0.4), RATE)
    ran = evaluating("--stream", tmp_path / "a.wav")
    assert ran.exit_code == 0 and "a.wav" in ran.stderr
    assert "is shorter than a window of the network: it lasts 0.40 s of 1.00 s." in ran.stderr


@pytest.mark.parametrize("arguments, message", [
    (["--stream", "missing.wav"], "there is no file missing.wav"),
    (["--stream", "."], "--stream . is a folder; name the model first: kws eval . --stream"),
    (["--stream", "--truth", "a.txt"], "--truth a.txt says what is said in a recording; name it: --stream FILE"),
    (["--stream", "a.wav", "--stream-minutes", "5"], "--stream-minutes 5.0 is for a stream that kws makes"),
    (["--stream", "a.wav", "--data-path", "data"], "--data-path is for a stream that kws makes, but --stream"),
    (["--stream", ".", "--data-path", "data"], "--stream . is a folder; name the model first: kws eval . --stream"),
    (["--stream", "a.wav", "--split", "training"], "--split training is for a stream that kws makes"),
    (["--stream", "a.wav", "--save-stream", "kept"], "--save-stream kept is for a stream that kws makes"),
    (["--stream", "--silence-percentage", "5"], "--silence-percentage 5.0 is about clips, and a stream has none"),
    (["--stream-minutes", "5"], "--stream-minutes 5.0 has no effect without --stream; leave it out"),
    (["--max-false-accepts-per-hour", "5"], "--max-false-accepts-per-hour 5.0 has no effect without --stream"),
    (["--truth", "a.txt"], "--truth a.txt has no effect without --stream"),
    (["--stream", "--words-per-minute", "70"], "--words-per-minute 70 leaves no room between the clips; choose"),
    (["--stream", "--max-false-accepts-per-hour", "nan"], "--max-false-accepts-per-hour is nan; give a finite number"),
    (["one", "two", "--stream", "-"], "standard input can be read once, but there are 2 models; save it as a file"),
    (["one", "two", "--stream", "--max-false-accepts-per-hour", "1"], "changes one model, but there are 2"),
])
def test_flags_that_cannot_act(evaluating, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kwscli.classifiers.detector_writer", lambda path: None)
    ran = evaluating(*arguments)
    assert ran.exit_code == 1 and message in ran.stderr and ran.stderr.count("\n") == 1
    assert os.listdir(str(tmp_path)) == []


def test_a_negative_rate_is_a_usage_error(evaluating):
    assert evaluating("--stream", "--max-false-accepts-per-hour", "-1").exit_code == 2


def without(prepared, folder, *words):
    """Another folder of prepared data, made of the recordings without those of some words."""
    from kwscli.data import prepare
    from kwscli.settings import PrepareSettings

    for word in {"yes", "no", "bed", "_background_noise_"} - set(words):
        shutil.copytree(os.path.join(prepared, word), os.path.join(str(folder), word))
    prepare.prepare(str(folder), str(folder), PrepareSettings(validation_percentage=30, testing_percentage=40))
    return str(folder)


def test_data_without_background_recordings_or_other_words(evaluating, prepared, tmp_path):
    folder = without(prepared, tmp_path / "data", "_background_noise_", "bed")
    ran = evaluating("--stream", "--stream-minutes", 2, "--data-path", folder)
    assert "has no background recordings: between the words, the stream is silent." in ran.stderr
    assert "has no testing clips of other words: the stream has keywords only." in ran.stderr
    assert "40 keywords (of" in ran.stdout and "and 0 other words over silence" in ran.stdout


def test_data_without_keywords(evaluating, prepared, tmp_path):
    ran = evaluating("--stream", "--data-path", without(prepared, tmp_path / "data", "yes", "no"))
    assert ran.exit_code == 1 and "has no testing clips of keywords; choose another --split" in ran.stderr


def test_several_models_are_a_table(evaluating):
    lines = evaluating("one", "two", "--stream", "--stream-minutes", 1).stdout.splitlines()
    assert lines[2].split()[:5] == ["model", "found", "wrong", "misses", "false"]
    assert [line.split()[0] for line in lines[3:]] == ["tones", "tones"]
    found = json.loads(evaluating("one", "two", "--stream", "--stream-minutes", 1, "--json").stdout)
    assert [one["hits"] for one in found] == [10, 10]


def test_models_with_other_keywords_are_not_in_one_table(evaluating, monkeypatch):
    def opened(path=None, labels=None, light=False):
        model = QuietTones()
        model.path, model.labels = path, LABELS if path == "one" else LABELS[:2] + ("on", "off")
        return model

    monkeypatch.setattr("kwscli.classifiers.open", opened)
    monkeypatch.setattr("kwscli.evaluation.streaming.score", lambda model, source: random_stream(0, 100))
    ran = evaluating("one", "two", "--stream", "room.wav")
    assert (ran.exit_code, ran.stderr) == (1, "Error: two has other keywords (on, off) than one; measure it alone\n")


class WritesIntoTones:
    """What classifiers.detector_writer returns."""

    def __call__(self, settings):
        self.settings = settings


def test_thresholds_are_found_on_the_validation_split(evaluating, monkeypatch):
    write = WritesIntoTones()
    monkeypatch.setattr("kwscli.classifiers.detector_writer", lambda path: write)
    ran = evaluating("--stream", "--stream-minutes", 2, "--max-false-accepts-per-hour", 30)
    assert [text.split("=")[0] for text in write.settings.thresholds] == list(KEYWORDS)
    assert dataclasses.replace(write.settings, thresholds=()) == DetectorSettings()
    shown = ran.stdout.splitlines()
    at = shown.index("thresholds for at most 30 false accepts per hour")
    assert shown[at + 1] == ",".join(write.settings.thresholds)
    assert shown[at + 2].startswith("They were found on another stream: 2 minutes made of validation clips")
    assert shown[at + 3] == "That stream is too short for a threshold per keyword, which takes 0.13 hours."
    assert shown[at + 4] == (
        "0 false accepts in 0.03 hours show that there are at most 89.87 per hour (95 % confidence). To show 30 per "
        "hour, a stream without any false accept has to last 0.10 hours."
    )
    assert "tones now has these thresholds" in ran.stderr


@pytest.mark.parametrize("rate, end", [
    (0, "No stream is long enough to show 0 per hour."), (3000, "(95 % confidence)."),
])
def test_what_a_recording_shows(evaluating, monkeypatch, tmp_path, rate, end):
    monkeypatch.setattr("kwscli.classifiers.detector_writer", lambda path: WritesIntoTones())
    words = [(second, 440) for second in range(2, 58, 4)]
    soundfile.write(str(tmp_path / "room.wav"), quiet(*words, seconds=60), RATE)
    shown = evaluating("--stream", tmp_path / "room.wav", "--max-false-accepts-per-hour", rate).stdout
    assert "They were found on this very stream, which flatters them: measure them on another one." in shown
    assert shown.rstrip().endswith(end)


def test_a_rate_that_is_exceeded_is_said(evaluating, monkeypatch, prepared):
    """Words of the testing split that sound like a keyword, which those of the validation split do not."""
    def confused(model, source):
        scores = np.zeros((100, len(LABELS)))
        scores[10::20, 2] = 0.9999 if "testing" in str(source) else 0.0
        return ScoredStream(np.arange(100) * STRIDE, scores, 24.0)

    monkeypatch.setattr("kwscli.classifiers.detector_writer", lambda path: WritesIntoTones())
    monkeypatch.setattr("kwscli.evaluation.streaming.score", confused)
    shown = evaluating("--stream", "--max-false-accepts-per-hour", 100).stdout
    assert "5 false accepts in 0.01 hours" in shown and shown.rstrip().endswith(
        "That is more than wanted: find the thresholds on a longer stream, or for a lower rate."
    )


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("run"))
    light.update(run)
    return run


@pytest.fixture
def room(tmp_path):
    path = str(tmp_path / "room.wav")
    soundfile.write(path, 0.1 * np.random.RandomState(0).randn(10 * RATE), RATE)
    return path


def test_the_thresholds_are_in_the_run_in_its_light_model_and_in_what_is_frozen(a_run, room, kws, tmp_path):
    with open(os.path.join(a_run, "model.json")) as file:
        before = json.load(file)
    ran = kws("eval", a_run, "--stream", room, "--max-false-accepts-per-hour", 1000, "--json")
    found = json.loads(ran.stdout)["thresholds"]
    with open(os.path.join(a_run, "model.json")) as file:
        after = json.load(file)
    assert {name for name in after if after[name] != before[name]} == {"detector"}
    assert light_models.find(a_run), "the light model still belongs to the run"
    frozen, = freezing.freeze(a_run, str(tmp_path / "a.tflite"), formats=["tflite"])
    for path in (a_run, light_models.find(a_run), frozen.path):
        with classifiers.open(path) as model:
            assert model.detector.keyword_thresholds() == found and set(found) == set(model.labels[2:])


def test_a_tflite_file_gets_thresholds_and_keeps_all_else(a_run, room, kws, tmp_path):
    frozen, = freezing.freeze(a_run, str(tmp_path / "a.tflite"), formats=["tflite"])
    with classifiers.open(frozen.path) as before:
        scores = before.scores(np.full((1, RATE), 0.1, np.float32))
    there = os.listdir(str(tmp_path))
    assert kws("eval", frozen.path, "--stream", room, "--max-false-accepts-per-hour", 1e6).exit_code == 0
    with classifiers.open(frozen.path) as after:
        assert np.array_equal(after.scores(np.full((1, RATE), 0.1, np.float32)), scores)
        assert set(after.detector.keyword_thresholds().values()) == {0.5}
        assert (after.labels, after.data, after.network) == (before.labels, before.data, before.network)
    assert sorted(os.listdir(str(tmp_path))) == sorted(there)


def test_models_that_cannot_be_changed(room, kws, tmp_path):
    ran = kws("eval", tmp_path / "a.pb", "--stream", room, "--max-false-accepts-per-hour", 1)
    assert ran.exit_code == 1 and ran.stdout == "" and ran.stderr.count("\n") == 1
    assert "kws does not change the settings in %s; give the run" % (tmp_path / "a.pb") in ran.stderr
    name = pretrained.names()[0]
    ran = kws("eval", name, "--stream", room, "--max-false-accepts-per-hour", 1)
    assert ran.exit_code == 1 and "the network in the package stay as they are; give a copy of " in ran.stderr


def test_the_network_in_the_package_hears_nothing_in_noise(room, kws):
    assert "0 false accepts (0.0 per hour)" in kws("eval", pretrained.names()[0], "--stream", room).stdout
