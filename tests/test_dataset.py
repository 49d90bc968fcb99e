"""Prepared data: the split rule, and what is read of data that is whole, damaged or absent."""
import collections
import json
import os

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kwscli.data import dataset, prepare
from kwscli.data.dataset import speaker_of, split_of
from kwscli.errors import KwsError
from kwscli.sound import audio


@pytest.mark.parametrize("path, speaker", [
    ("yes/0a7c2a8d_nohash_0.wav", "0a7c2a8d"), ("0a7c2a8d_nohash_12.wav", "0a7c2a8d"),
    ("yes/en-us-f1_nohash_1.wav", "en-us-f1"),
    ("yes/speaker12-3.wav", "speaker12"), ("yes/yes-speaker12-3.flac", "speaker12"),
    ("yes/yes_Speaker_anna_3.wav", "Speaker_anna"),
    ("yes/speaker-anna.wav", "speaker-anna"), ("yes/speaker-01.wav", "speaker-01"),
    ("yes/speakerA-1.wav", "speakerA"),
    ("yes/speakers-01.wav", ""), ("yes/Speakers_01.wav", ""),
    ("yes/speakerphone-01.wav", ""), ("yes/1.wav", ""), ("yes/loudspeaker.wav", ""),
    ("speaker7/yes.wav", ""),
    ("yes/_nohash_3.wav", ""),
])
def test_speaker_of(path, speaker):
    assert speaker_of(path) == speaker


@pytest.mark.parametrize("path, split", [  # as the official lists have them
    ("bed/0a7c2a8d_nohash_0.wav", "training"), ("bed/026290a7_nohash_0.wav", "validation"),
    ("bed/0c40e715_nohash_0.wav", "testing"),
])
def test_known_splits(path, split):
    assert split_of(path, 10, 10) == split


@pytest.mark.parametrize("split, count", [("validation", 9981), ("testing", 11005)])
def test_the_official_lists_are_reproduced(shared_data, split, count):
    with open(os.path.join(shared_data, "lists", split + "_list.txt")) as lines:
        paths = lines.read().split()
    assert len(paths) == count
    assert collections.Counter(split_of(path, 10, 10) for path in paths) == {split: count}


NAME = st.text(alphabet="abc019é -_", min_size=1, max_size=10)
PERCENT = st.integers(0, 50)


@given(NAME.filter(lambda name: "_nohash_" not in name), st.integers(0, 99), NAME, NAME, PERCENT, PERCENT)
def test_a_speaker_is_in_one_split_whatever_they_say(speaker, take, word, other, validation, testing):
    splits = {split_of("%s/%s_nohash_%d.wav" % (one, speaker, take), validation, testing) for one in (word, other)}
    splits.add(split_of("%s/%s_nohash_0.wav" % (word, speaker), validation, testing))
    assert len(splits) == 1


@given(NAME, PERCENT, st.integers(0, 50))
def test_shares_are_nested(name, validation, more):
    """Who asks for more validation takes it from testing and training, and moves nobody out of validation."""
    if split_of(name, validation, 0) == "validation":
        assert split_of(name, validation + more, 0) == "validation"
    assert split_of(name, 0, 0) == "training" and split_of(name, 100.1, 0) == "validation"


def test_shares_are_kept():
    counts = collections.Counter(split_of("%d.wav" % number, 20, 30) for number in range(5000))
    assert abs(counts["validation"] - 1000) < 100 and abs(counts["testing"] - 1500) < 100


@pytest.fixture
def prepared(tones, tmp_path):
    folder = tones(tmp_path / "data", speakers=6, sample_count=4000)
    prepare.prepare(folder, folder)
    return folder


def test_adding_recordings_moves_no_other(prepared, tones, tmp_path):
    before = dataset.load(prepared)
    more = tones(tmp_path / "more", speakers=9, sample_count=4000)
    prepare.prepare(more, more)
    after = dict(zip(dataset.load(more).paths, dataset.load(more).splits))
    assert len(after) > len(before.paths)
    assert all(after[path] == split for path, split in zip(before.paths, before.splits))


def test_recordings_are_those_of_the_files(prepared):
    data = dataset.load(prepared)
    assert sorted(set(data.words)) == ["no", "up", "yes"] and len(data.paths) == 18
    for index, path in enumerate(data.paths):
        np.testing.assert_array_equal(data.recording(index), audio.read_int16(os.path.join(prepared, path), 16000))
    assert [len(noise) for noise in data.background] == [32000]
    assert isinstance(data.recording(0).base, np.memmap)  # a view of the file, which is never read whole


def test_clips_begin_where_a_long_recording_is_loudest(prepared):
    data = dataset.load(prepared)
    assert not data.starts(16000).any()
    starts = data.starts(1600)
    assert (starts >= 0).all() and (starts + 1600 <= data.counts).all()


def test_other_percentages_split_anew(prepared):
    assert set(dataset.load(prepared, 100, 0).splits) == {"validation"}
    assert set(dataset.load(prepared, 0, 0).splits) == {"training"}
    np.testing.assert_array_equal(dataset.load(prepared, 10, 10).splits, dataset.load(prepared).splits)


def cut(path):
    os.truncate(path, os.path.getsize(path) - 100)


def write(text):
    return lambda path: open(path, "w").write(text) and None


MANIFEST = "path,word,speaker,split,duration_ms,peak,sample_count,problems\n"
DAMAGE = {
    "clips cut": ("clips.npy", cut), "clips empty": ("clips.npy", write(" ")),
    "clips no array": ("clips.npy", write("text" * 99)),
    "background cut": ("background.npy", cut), "manifest cut": ("manifest.csv", cut),
    "manifest empty": ("manifest.csv", write("\n")),
    "manifest of something else": ("manifest.csv", write("a,b\n1,2\n")),
    "info cut": ("dataset.json", cut), "info of something else": ("dataset.json", write("[]")),
    "info newer": ("dataset.json", write(json.dumps({"format": 99}))),
    "info nested": ("dataset.json", write("[" * 100000)),
    "info without values": ("dataset.json", write(json.dumps({"format": 1}))),
    "manifest of large numbers": ("manifest.csv", write(MANIFEST + "a.wav,yes,a,training,1,0.5,%d,\n" % 9 ** 30)),
    "manifest of lines in quotes": ("manifest.csv", write(MANIFEST + '"a\nb",1\n')),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_data_is_named_and_what_to_do_is_said(prepared, case):
    name, damage = DAMAGE[case]
    damage(os.path.join(prepared, "packed", name))
    with pytest.raises(KwsError, match="kws prepare --data-path %s --force" % prepared) as error:
        dataset.load(prepared)
    assert os.path.join(prepared, "packed") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(dataset._INFO_TYPES))
@pytest.mark.parametrize("value", ["text", {}, None, [1]])
def test_every_wrong_value_of_dataset_json_is_named(prepared, name, value):
    path = os.path.join(prepared, "packed", "dataset.json")
    info = dict(dataset.read_info(prepared), **{name: value})
    if name != "background" and isinstance(value, dataset._INFO_TYPES[name]):
        return
    write(json.dumps(info))(path)
    with pytest.raises(KwsError, match="%s is damaged: %s .*; run kws prepare --data-path" % (path, name)):
        dataset.load(prepared)


def test_a_lost_file_is_named(prepared):
    os.remove(os.path.join(prepared, "packed", "clips.npy"))
    with pytest.raises(FileNotFoundError, match="clips.npy"):
        dataset.load(prepared)


def test_a_folder_without_prepared_data_is_an_error(tmp_path):
    with pytest.raises(KwsError, match="holds no prepared data; run kws prepare"):
        dataset.load(str(tmp_path))
    with pytest.raises(KwsError, match="there is no folder"):
        dataset.load(str(tmp_path / "none"))
