"""Long recordings with a label track: which parts of them become recordings."""
import csv
import os

import numpy as np
import pytest
import soundfile
from hypothesis import given, strategies as st

from kwscli.data import cuts, dataset, layouts
from kwscli.sound.label_track import Spoken

RATE = 16000
TRACK = "1.0\t1.4\tja\n3.0\t3.6\tnein\n5.0\t6.5\tja\n8.0\t9.0\tnoise\n"


@pytest.mark.parametrize("spoken, expected", [
    ([(3.0, 3.4)], (2.7, 3.7)),  # a second around the middle
    ([(3.0, 4.5)], (3.0, 4.5)),  # as it is, where it is longer
    ([(3.0, 3.0)], (2.5, 3.5)),  # a point
    ([(0.1, 0.3)], (0.0, 0.7)),  # not before the beginning
    ([(9.8, 9.9)], (9.35, 10.0)),  # not beyond the end
    ([(3.0, 3.4), (3.6, 4.0)], (2.7, 3.5)),  # halfway to the next label
    ([(3.0, 3.4), (2.0, 2.9)], (2.95, 3.7)),  # and to the one before, in any order
    ([(3.0, 3.4), (3.2, 3.8)], (2.7, 3.4)),  # all of the label where labels overlap
    ([(3000, 3400)], (2.7, 3.7)),  # milliseconds
])
def test_the_part_of_a_label(spoken, expected):
    found = cuts.spans([Spoken(float(start), float(end), "ja") for start, end in spoken], 10 * RATE, RATE)
    assert found[0] == pytest.approx([end * RATE for end in expected], abs=1)


TIME = st.floats(0, 12)


@given(st.lists(st.tuples(TIME, st.floats(0, 2)), min_size=1, max_size=8))
def test_parts_are_inside_of_the_recording_and_hold_their_labels(found):
    spoken = [Spoken(start, start + length, "ja") for start, length in found]
    for (first, last), one in zip(cuts.spans(spoken, 10 * RATE, RATE), spoken):
        assert 0 <= first <= last <= 10 * RATE
        assert first <= max(0, round(one.start * RATE)) and last >= min(10 * RATE, round(one.end * RATE))


def session(folder, name="session", track=TRACK, suffix=".txt"):
    """A recording of ten seconds, whose samples say their second, and its label track."""
    os.makedirs(str(folder), exist_ok=True)
    samples = np.repeat(np.arange(1, 11) / 20, RATE) * np.tile([1.0, -1.0], 5 * RATE)
    soundfile.write(str(folder / (name + ".wav")), samples, RATE)
    (folder / (name + suffix)).write_text(track)


@pytest.mark.parametrize("track, suffix", [
    (TRACK, ".txt"), ("start,end,word\n1,1.4,ja\n3,3.6,nein\n5,6.5,ja\n8,9,noise\n", ".csv"),
    ("start_ms;end_ms;label\n1000;1400;Ja\n3000;3600;nein\n5000;6500;ja\n8000;9000;noise\n", ".csv"),
])
def test_a_long_recording_is_cut_by_its_label_track(kws, tmp_path, track, suffix):
    session(tmp_path, track=track, suffix=suffix)
    result = kws("prepare", "--data-path", tmp_path)
    assert result.exit_code == 0, result.output
    assert "3 clips of 2 words" in result.stdout and "1 background recordings" in result.stdout
    assert "session.wav: cut into 4 recordings, as session%s says\n" % suffix in result.stdout
    data = dataset.load(str(tmp_path))
    assert list(data.paths) == ["session.wav#1", "session.wav#2", "session.wav#3"]
    assert [word.lower() for word in data.words] == ["ja", "nein", "ja"] and list(data.counts) == [16000, 16000, 24000]
    assert np.median(np.abs(data.recording(0))) == pytest.approx(3276, abs=2)  # of its second second


def test_a_track_that_changes_is_noticed(kws, tmp_path):
    session(tmp_path)
    kws("prepare", "--data-path", tmp_path)
    assert "Already prepared" in kws("prepare", "--data-path", tmp_path).stdout
    (tmp_path / "session.txt").write_text(TRACK.replace("nein", "licht"))
    result = kws("prepare", "--data-path", tmp_path)
    assert "1 changed, such as session.txt" in result.stderr and "licht" in result.stdout


def test_labels_that_give_no_recording_are_listed(kws, tmp_path):
    session(tmp_path, track=TRACK + "9.0\t9.5\tsilence\n11.0\t12.0\tja\n")
    assert kws("prepare", "--data-path", tmp_path).exit_code == 0
    with open(str(tmp_path / "packed" / "problems.csv"), newline="") as file:
        found = {row["path"]: row["problem"] for row in csv.DictReader(file) if row["action"] == "left out"}
    assert found["session.wav#6"] == "the label is beyond the end of the recording"
    assert "makes its own clips of silence" in found["session.wav#5"]


def lines_of(files):
    return lambda path: files[path].splitlines(True)


def test_a_file_that_is_no_label_track_is_the_reason():
    files = {"a.txt": "what was said\n"}
    layout = layouts.recognize(["a.wav", "a.txt"], lines_of(files))
    assert layout.cuts == {} and layout.places["a.wav"].why == (
        "not in a word's folder, and line 1 of a.txt has no word and time: 'what was said'"
    )


def test_a_recording_in_a_words_folder_is_not_cut():
    layout = layouts.recognize(["ja/a.wav", "ja/a.txt"], lines_of({"ja/a.txt": TRACK}))
    assert layout.cuts == {} and layout.places["ja/a.wav"].word == "ja"
    assert layout.notes == ["ja/a.txt is not used, because ja/a.wav has a word already"]
    assert layouts.relevant(["ja/a.wav", "ja/a.txt", "b.wav", "b.txt", "notes.txt"]) == {"ja/a.wav", "b.wav", "b.txt"}
