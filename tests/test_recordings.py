"""The search for sound files: one order and one set of rules, whatever the file system and the links in it."""
import os

import numpy as np
import pytest

from kwscli.data.recordings import read, recordings, sound_files
from kwscli.sound import audio


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_files_come_before_sub_folders_and_both_are_sorted(tmp_path):
    make(tmp_path, "b/z.wav", "b/a/1.flac", "a.wav", "c.WAV", "b/c.wav", "A/x.ogg", "notes.txt", "b/notes.md")
    assert list(sound_files(str(tmp_path))) == ["a.wav", "c.WAV", "A/x.ogg", "b/c.wav", "b/z.wav", "b/a/1.flac"]
    assert list(recordings(str(tmp_path))) == ["A/x.ogg", "b/c.wav", "b/z.wav", "b/a/1.flac"]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_does_not_depend_on_when_files_were_made(tmp_path, seed):
    names = ["%d/%d/%d.wav" % (a, b, c) for a in range(5) for b in range(5) for c in range(3)]
    make(tmp_path, *np.random.RandomState(seed).permutation(names))
    assert list(sound_files(str(tmp_path))) == names


def test_hidden_and_prepared_files_are_skipped(tmp_path):
    make(tmp_path, ".git/a.wav", "yes/.trash/a.wav", "yes/._a.wav", "packed/a.wav", "yes/a.wav", ".a.wav")
    assert list(sound_files(str(tmp_path))) == ["yes/a.wav"]


def test_a_hidden_folder_can_be_searched_itself(tmp_path):
    make(tmp_path, ".hidden/yes/a.wav")
    assert list(sound_files(str(tmp_path / ".hidden"))) == ["yes/a.wav"]


def test_links_are_followed_once_and_loops_end(tmp_path):
    make(tmp_path, "other/yes/a.wav", "data/no/b.wav")
    data = tmp_path / "data"
    os.symlink(str(tmp_path / "other" / "yes"), str(data / "yes"))
    os.symlink(str(tmp_path / "other" / "yes"), str(data / "yes again"))
    os.symlink(str(data), str(data / "loop"))
    os.symlink("nowhere", str(data / "broken"))
    assert list(sound_files(str(data))) == ["no/b.wav", "yes/a.wav"]


def test_a_missing_folder_has_no_files(tmp_path):
    assert list(sound_files(str(tmp_path / "none"))) == []


def test_the_bytes_of_a_file_are_read(tmp_path):
    make(tmp_path, "yes/a.wav")
    assert read(str(tmp_path), "yes/a.wav") == b"yes/a.wav"


@pytest.mark.parametrize("name, damage, why", [
    ("pipe.wav", os.mkfifo, "it is not a file, or it is a broken link"),
    ("broken.wav", lambda path: os.symlink("nowhere", path), "it is not a file, or it is a broken link"),
    ("folder.wav", os.mkdir, "it is not a file, or it is a broken link"),
    ("none.wav", lambda path: None, "it is not a file, or it is a broken link"),
    ("large.wav", lambda path: (os.mknod(path), os.truncate(path, 1 << 40)), "it has more than 268435456 bytes"),
])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, damage, why):
    damage(str(tmp_path / name))
    with pytest.raises(audio.UnreadableAudio) as error:
        read(str(tmp_path), name)
    assert str(error.value) == "%s cannot be read: %s" % (name, why)
