"""Truth files of other tools, and how detections compare with what was said."""
import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kwscli.errors import KwsError
from kwscli.listening import truth
from kwscli.listening.truth import Heard, Spoken

EXPECTED = [Spoken(1.5, 1.5, "yes"), Spoken(4.0, 4.0, "hey marvin"), Spoken(9.25, 9.25, "no")]
WITH_ENDS = [Spoken(1.5, 2.0, "yes"), Spoken(4.0, 4.5, "hey marvin")]


def read(tmp_path, text, seconds=10.0):
    path = tmp_path / "truth.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return truth.in_seconds(truth.read(str(path)), seconds)


@pytest.mark.parametrize("text", [
    "yes, 1500\nhey marvin, 4000\nno, 9250\n",
    "yes,1500\r\nhey marvin,4000\r\n\r\nno,9250",
    "yes, 1.5\nhey marvin, 4.0\nno, 9.25\n",
    "1.5,yes\n4,hey marvin\n9.25,no\n",
    "word,time\nyes,1.5\nhey marvin,4\nno,9.25\n",
    "file;Time_ms;Label\na;1500;yes\na;4000;hey marvin\na;9250;no\n",
    "1.5\t1.5\tyes\n\\\t100\t200\n4.0\t4.0\they marvin\n9.25\t9.25\tno\n",
    "\ufeff# made by hand\nyes, 1.5\nhey marvin, 4.0\nno, 9.25\n",
])
def test_every_form_of_a_truth_file(tmp_path, text):
    assert read(tmp_path, text) == EXPECTED


@pytest.mark.parametrize("text", [
    "1.5\t2.0\tyes\n4.0\t4.5\they marvin\n",
    "1.5,2.0,yes\n4.0,4.5,hey marvin\n",
    "1500,2000,yes\n4000,4500,hey marvin\n",
    "start,end,word\n1.5,2,yes\n4,4.5,hey marvin\n",
    "keyword,score,start,end\nyes,0.5,1.5,2\nhey marvin,0.5,4,4.5\n",
    "word,start_ms,end_ms\nyes,1500,2000\nhey marvin,4000,4500\n",
])
def test_words_with_a_start_and_an_end(tmp_path, text):
    assert read(tmp_path, text) == WITH_ENDS


def test_whole_seconds_within_the_recording_are_seconds(tmp_path):
    assert read(tmp_path, "yes, 3\nno, 7\n") == [Spoken(3, 3, "yes"), Spoken(7, 7, "no")]


@pytest.mark.parametrize("text", [
    "yes\n", "yes, soon\n", "yes, 1.5\nno\n", "1, 2\n", "word,when\nyes,1\n", "word,time\nyes\n",
    "word,time\nyes,soon\n", "yes, nan\n", "yes, inf\n", b"\xff\xfe\x00",
])
def test_what_is_no_truth_file(tmp_path, text):
    with pytest.raises(KwsError, match="truth.txt.*; give lines such as `yes, 12.3`"):
        read(tmp_path, text)


def test_an_empty_file_says_that_nothing_was_said(tmp_path):
    assert read(tmp_path, "") == []


def compare(spoken, heard, tolerance=0.75):
    said = [Spoken(time, time, word) for word, time in spoken]
    return truth.compare(("yes", "no"), said, [Heard(time, word) for word, time in heard], 3600.0, tolerance)


def counts(found):
    return len(found.hits), len(found.wrong), len(found.misses), len(found.false_accepts)


@pytest.mark.parametrize("spoken, heard, expected", [
    ([], [], (0, 0, 0, 0)),
    ([("yes", 1)], [("yes", 1.5)], (1, 0, 0, 0)),
    ([("Yes", 1)], [("yes", 0.3)], (1, 0, 0, 0)),
    ([("yes", 1)], [("yes", 1.8)], (0, 0, 1, 1)),
    ([("yes", 1)], [("no", 1.5)], (0, 1, 0, 0)),
    ([("yes", 1)], [], (0, 0, 1, 0)),
    ([("bed", 1)], [("yes", 1)], (0, 0, 0, 1)),
    ([("yes", 1)], [("yes", 1), ("yes", 1.2)], (1, 0, 0, 1)),
    ([("yes", 1), ("yes", 2)], [("yes", 1.5)], (1, 0, 1, 0)),
    ([("yes", 1), ("yes", 2)], [("yes", 1.5), ("yes", 1.6)], (2, 0, 0, 0)),
    ([("yes", 1), ("no", 1.5)], [("no", 1.2), ("yes", 1.6)], (2, 0, 0, 0)),
    ([("yes", 1), ("no", 1.5)], [("no", 1.2)], (1, 0, 1, 0)),
])
def test_what_is_a_hit(spoken, heard, expected):
    assert counts(compare(spoken, heard)) == expected


def test_a_word_with_an_end_is_heard_until_then():
    said = [Spoken(1.0, 3.0, "yes")]
    assert len(truth.compare(("yes",), said, [Heard(3.4, "yes")], 10, 0.5).hits) == 1
    assert len(truth.compare(("yes",), said, [Heard(3.6, "yes")], 10, 0.5).hits) == 0


TIMES = st.lists(st.tuples(st.sampled_from(["yes", "no", "bed"]), st.integers(0, 40).map(lambda n: n / 4)), max_size=8)


@given(TIMES, TIMES)
def test_nothing_is_counted_twice_and_no_hit_is_missed(spoken, heard):
    heard = [(word, time) for word, time in heard if word != "bed"]
    found = compare(spoken, heard)
    said = [word for word, _ in spoken if word != "bed"]
    assert len(found.hits) + len(found.wrong) + len(found.misses) == len(said)
    assert len(found.hits) + len(found.wrong) + len(found.false_accepts) == len(heard)
    best = 0
    for word in ("yes", "no"):  # the most pairs, by search over all
        best += most_pairs([t for w, t in spoken if w == word], [t for w, t in heard if w == word])
    assert len(found.hits) == best


def most_pairs(spoken, heard):
    if not spoken:
        return 0
    most = most_pairs(spoken[1:], heard)
    for index, time in enumerate(heard):
        if abs(time - spoken[0]) <= 0.75:
            most = max(most, 1 + most_pairs(spoken[1:], heard[:index] + heard[index + 1 :]))
    return most


def test_what_is_printed():
    shown = str(compare([("yes", 1), ("no", 5), ("no", 9), ("bed", 20)], [("yes", 1.2), ("yes", 5.1), ("no", 20)]))
    lines = shown.splitlines()
    assert lines[0] == "1 of 3 keywords found (33.3 %), 1 wrong words, 1 misses, 1 false accepts (1.0 per hour)"
    assert [line.split() for line in lines[3:5]] == [["yes", "1", "1", "0", "0", "0"], ["no", "2", "0", "1", "1", "1"]]
    assert [line.split() for line in lines[6:]] == [
        "5.00 s said no heard yes".split(), "9.00 s said no missed".split(), "20.00 s heard no".split()
    ]


def test_json():
    found = compare([("yes", 1), ("no", 5)], [("yes", 1.2), ("yes", 30)]).to_json()
    assert json.loads(json.dumps(found)) == {
        "hits": 1, "wrong_words": 0, "misses": 1, "false_accepts": 1, "false_accepts_per_hour": 1.0,
        "keywords": [
            {"keyword": "yes", "said": 1, "hits": 1, "wrong_words": 0, "misses": 0, "false_accepts": 1},
            {"keyword": "no", "said": 1, "hits": 0, "wrong_words": 0, "misses": 1, "false_accepts": 0},
        ],
        "mistakes": [{"time": 5, "said": "no", "heard": ""}, {"time": 30, "said": "", "heard": "yes"}],
    }


def test_many_mistakes_are_not_all_shown():
    shown = str(compare([], [("yes", float(time)) for time in np.arange(50)]))
    assert shown.splitlines()[-1] == "... and 30 more"
