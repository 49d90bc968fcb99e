"""The fingerprint of files: every change is noticed, whatever the times say, and nothing else is a change."""
import os
import shutil
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from kwscli.data.fingerprint import Fingerprint
from kwscli.data.sources import unpacked_files


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    for name in ("yes/a.wav", "yes/b, c.wav", "no/\n.wav"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode() * 3)
    return path


def taken(folder):
    fingerprint = Fingerprint(str(folder))
    for name in unpacked_files(str(folder)):
        fingerprint.add(name, zlib.crc32((folder / name).read_bytes()))
    return fingerprint


def changes(fingerprint, folder):
    return fingerprint.changes(unpacked_files(str(folder)))


def test_what_was_written_is_read(folder, tmp_path):
    path, fingerprint = str(tmp_path / "f.csv"), taken(folder)
    fingerprint.write(path)
    assert Fingerprint.read(path, str(folder)).stamps == fingerprint.stamps
    assert not changes(Fingerprint.read(path, str(folder)), folder)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\r\n\"b\",c"])
def test_names_need_not_be_text(folder, tmp_path, name):
    with open(os.path.join(os.fsencode(str(folder)), name), "wb") as file:
        file.write(b"1")
    path, fingerprint = str(tmp_path / "f.csv"), taken(folder)
    fingerprint.write(path)
    assert Fingerprint.read(path, str(folder)).stamps == fingerprint.stamps


@pytest.mark.parametrize("text", ["", "hello", "path,size\n", "path,size,mtime_ns,ctime_ns,crc32\na,1,2,3\n",
                                  "path,size,mtime_ns,ctime_ns,crc32\na,x,2,3,4\n",
                                  "path,size,mtime_ns,ctime_ns,crc32\n\n", "kws prepare unpacked an archive here.\n"])
def test_anything_else_is_a_value_error(tmp_path, text):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(ValueError):
        Fingerprint.read(str(tmp_path / "f.csv"), str(tmp_path))


def test_every_kind_of_change_is_named(folder):
    fingerprint = taken(folder)
    (folder / "yes" / "new.wav").write_bytes(b"1")
    (folder / "no" / "\n.wav").unlink()
    (folder / "yes" / "a.wav").write_bytes(b"longer than before, by far")
    found = changes(fingerprint, folder)
    assert found == (["yes/new.wav"], ["no/\n.wav"], ["yes/a.wav"])
    assert str(found) == "1 added, 1 removed, 1 changed, such as yes/new.wav, no/\\n.wav, yes/a.wav"


def test_another_content_of_the_same_size_and_time_is_noticed(folder):
    fingerprint, path = taken(folder), str(folder / "yes" / "a.wav")
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"Y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changes(fingerprint, folder) == ([], [], ["yes/a.wav"])


def test_a_copy_of_the_folder_is_the_same_and_is_compared_once(folder, tmp_path, monkeypatch):
    fingerprint, copy = taken(folder), tmp_path / "copy"
    shutil.copytree(str(folder), str(copy), copy_function=shutil.copyfile)
    (folder / "yes" / "a.wav").unlink()
    fingerprint = Fingerprint(str(copy), fingerprint.stamps)
    assert not changes(fingerprint, copy)
    monkeypatch.setattr("kwscli.data.fingerprint._crc32", lambda path: pytest.fail("reads it again"))
    assert not changes(fingerprint, copy)


def test_what_is_not_a_file_is_not_read(folder):
    fingerprint = taken(folder)
    (folder / "yes" / "a.wav").unlink()
    os.mkfifo(str(folder / "yes" / "a.wav"))
    assert changes(fingerprint, folder).changed == ["yes/a.wav"]


FILES = st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=3), max_size=6)


@settings(max_examples=100, deadline=None)
@given(FILES, FILES)
def test_any_change_is_noticed_and_nothing_else(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("any")
    for name, content in before.items():
        (folder / name).write_bytes(content)
    fingerprint = taken(folder)
    for name in before:
        (folder / name).unlink()
    for name, content in after.items():
        (folder / name).write_bytes(content)
        os.utime(str(folder / name), ns=(0, fingerprint.stamps[name][1] if name in before else 0))
    found = changes(fingerprint, folder)
    assert set(found.added) == set(after) - set(before) and set(found.removed) == set(before) - set(after)
    assert set(found.changed) == {name for name in set(before) & set(after) if before[name] != after[name]}
