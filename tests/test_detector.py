"""The detector on made-up scores: words that are short, long, said twice or half heard, and an oracle that is slow."""
import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kwscli.detector import Detector
from kwscli.errors import KwsError
from kwscli.settings import DetectorSettings, from_json, to_json

LABELS = ("_silence_", "_unknown_", "yes", "no")
STRIDE = 240.0


def track(**words):
    """Scores of windows: yes=[0.9, ...] and no=[...]; the rest is silence."""
    count = max(map(len, words.values()))
    scores = np.zeros((count, len(LABELS)))
    for word, values in words.items():
        scores[: len(values), LABELS.index(word)] = values
    scores[:, 0] = 1 - scores.sum(axis=1)
    return scores


def detect(scores, settings=DetectorSettings(), batch=None):
    """[(window, keyword, score)] of all detections, with the windows in batches."""
    detector, found = Detector(LABELS, settings), []
    batch = batch or len(scores)
    for start in range(0, len(scores), batch):
        rows = scores[start : start + batch]
        found += detector.feed((start + np.arange(len(rows))) * STRIDE, rows)
    return [(int(round(one.time_ms / STRIDE)), one.keyword, round(one.score, 6)) for one in found]


def test_a_word_that_two_windows_hear_is_detected_once():
    assert detect(track(yes=[0, 0, 0.95, 0.95, 0, 0, 0])) == [(3, "yes", 0.95)]


def test_a_short_word_that_one_window_hears_is_not_averaged_away():
    """tensorflow#28516: the mean of its windows in half a second is a third."""
    assert detect(track(yes=[0, 0, 0, 0.995, 0, 0, 0])) == [(3, "yes", round(1 - 0.005 ** 0.5, 6))]


def test_one_window_that_is_not_sure_is_not_enough():
    assert detect(track(yes=[0, 0.95, 0, 0, 0.95, 0])) == []
    assert detect(track(yes=[0, 0.95, 0, 0, 0.95, 0]), DetectorSettings(minimum_windows=1)) == [
        (1, "yes", 0.95), (4, "yes", 0.95)
    ]


def test_windows_that_hear_nothing_do_not_count_against_a_word():
    assert detect(track(yes=[0, 0.96, 0, 0.96, 0])) == [(3, "yes", 0.96)]


def test_a_word_that_is_said_twice_is_detected_twice():
    found = detect(track(yes=[0, 0.999, 0.99, 0.1, 0.1, 0.999, 0.99, 0]))
    assert [one[:2] for one in found] == [(1, "yes"), (5, "yes")]


def test_a_long_word_or_a_hum_is_detected_once():
    assert len(detect(track(yes=[0.99] * 1000))) == 1
    assert len(detect(track(yes=[0.99] * 500 + [0.1] + [0.99] * 500))) == 2


def test_nothing_is_detected_soon_after_a_detection():
    scores = track(yes=[0.999] + [0] * 9, no=[0, 0.999] + [0] * 8)
    assert detect(scores) == detect(scores[:1])
    assert len(detect(scores, DetectorSettings(suppression_ms=0))) == 2


def test_another_word_after_the_suppression_is_detected():
    assert [one[:2] for one in detect(track(yes=[0.999, 0, 0, 0, 0], no=[0, 0, 0, 0.999]))] == [(0, "yes"), (3, "no")]


def test_what_was_heard_during_the_suppression_does_not_count():
    assert detect(track(yes=[0.999] + [0] * 4, no=[0, 0.95, 0.95, 0.95, 0]))[1:] == []


@pytest.mark.parametrize("label", ["_silence_", "_unknown_"])
def test_silence_and_other_words_are_never_detected(label):
    scores = np.zeros((50, len(LABELS)))
    scores[:, LABELS.index(label)] = 1
    assert detect(scores) == []


def test_an_hour_of_silence():
    assert detect(np.tile([1.0, 0, 0, 0], (15000, 1)), batch=100) == []


def test_thresholds_of_some_keywords():
    scores = track(yes=[0.7, 0.7, 0, 0, 0], no=[0, 0, 0, 0.7, 0.7][:5])
    scores[3:, 3] = 0.7
    settings = DetectorSettings(thresholds=("yes=0.6",))
    assert [one[1] for one in detect(scores, settings)] == ["yes"]
    assert [one[1] for one in detect(scores, DetectorSettings(threshold=0.6, thresholds=("yes=0.9",)))] == ["no"]


@pytest.mark.parametrize("text", ["yes", "yes=", "yes=high", "=0.5", "yes=1.5", "yes=-0.1", "yes=nan"])
def test_a_threshold_that_is_no_number(text):
    with pytest.raises(KwsError, match="KEYWORD=NUMBER"):
        DetectorSettings(thresholds=(text,))


@pytest.mark.parametrize("word", ["maybe", "_silence_", "_unknown_"])
def test_a_threshold_of_what_is_not_a_keyword(word):
    with pytest.raises(KwsError, match="%s, which is not a keyword.*; its keywords are yes, no" % word):
        Detector(LABELS, DetectorSettings(thresholds=(word + "=0.5",)))


def test_settings_are_the_same_after_json():
    settings = DetectorSettings(threshold=0.5, thresholds=("yes=0.6", "no=0.9"))
    assert from_json(DetectorSettings, to_json(settings), "x") == settings


def oracle(scores, settings):
    """The same rules, computed anew for each window from the whole track."""
    found, last_time, used_until = [], -np.inf, -1
    since = {2: 0, 3: 0}  # the first window that may count for each keyword; None while it is heard after a detection
    for index, row in enumerate(scores):
        for keyword in since:
            if since[keyword] is None and row[keyword] < settings.threshold:
                since[keyword] = index
        if index * STRIDE < last_time + settings.suppression_ms:
            used_until = index
            continue
        scored = []
        for keyword in since:
            doubts = []  # of the windows that may count
            for other in range(used_until + 1, index + 1):
                heard = since[keyword] is not None and other >= since[keyword]
                if heard and other * STRIDE >= index * STRIDE - settings.smoothing_ms:
                    doubts.append(1 - scores[other][keyword])
            smallest = sorted(doubts)[: settings.minimum_windows]
            score = 1.0 - np.prod(smallest) ** (1 / settings.minimum_windows)
            if doubts and score >= settings.threshold:
                scored.append((score, -keyword))
        if scored:
            score, negative = max(scored)
            found.append((index, LABELS[-negative], round(score, 6)))
            since[-negative], last_time, used_until = None, index * STRIDE, index
    return found


@given(
    st.lists(st.sampled_from([0.0, 0.5, 0.85, 0.9, 0.95, 0.99, 0.9999, 1.0]), min_size=1, max_size=40),
    st.lists(st.sampled_from([0.0, 0.3, 0.9, 0.97, 0.999]), min_size=1, max_size=40),
    st.sampled_from([0.0, 250.0, 500.0, 1000.0]), st.sampled_from([0.0, 240.0, 500.0, 1500.0]), st.integers(1, 4),
    st.sampled_from([0.5, 0.8, 0.93]), st.integers(1, 50),
)
def test_the_oracle_agrees(yes, no, smoothing, suppression, minimum, threshold, batch):
    count = max(len(yes), len(no))
    scores = np.zeros((count, len(LABELS)))
    scores[: len(yes), 2], scores[: len(no), 3] = yes, no
    settings = DetectorSettings(STRIDE, threshold, (), minimum, smoothing, suppression)
    assert detect(scores, settings, batch) == oracle(scores, settings)


def test_every_setting_has_an_effect():
    rng = np.random.RandomState(0)
    scores = track(yes=rng.beta(0.3, 0.6, 400), no=np.zeros(400))
    before = detect(scores)
    for change in ({"threshold": 0.6}, {"thresholds": ("yes=0.6",)}, {"smoothing_ms": 0.0}, {"minimum_windows": 3},
                   {"suppression_ms": 2000.0}):
        assert detect(scores, dataclasses.replace(DetectorSettings(), **change)) != before, change
