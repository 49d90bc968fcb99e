"""The zip reader: what it reads, and that it refuses damaged and hostile archives."""
import hashlib
import io
import os
import stat
import struct
import warnings
import zipfile
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from kwscli.data import members
from kwscli.data.archive import Archive, stem
from kwscli.errors import KwsError

CONTENT = {"yes/a.wav": b"A" * 700, "no/b.wav": bytes(range(256)) * 40, "README": b"", "no/deep/er/c": b"c"}


def info(name, mode=stat.S_IFREG | 0o644, system=3, **values):
    entry = zipfile.ZipInfo(name)
    entry.external_attr, entry.create_system = mode << 16, system
    for key, value in values.items():
        setattr(entry, key, value)
    return entry


def zip_bytes(content=CONTENT, method=zipfile.ZIP_DEFLATED):
    """content: {name: bytes}, or [(name or ZipInfo, bytes)]."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # about two files with one name
        for name, data in content.items() if isinstance(content, dict) else content:
            archive.writestr(name, data)
    return file.getvalue()


@pytest.fixture
def opened(tmp_path):
    """The Archive of these bytes."""

    def opened(data, **how):
        path = tmp_path / "archive.zip"
        path.write_bytes(data)
        return Archive(str(path), **how)

    return opened


@pytest.fixture
def read(opened):
    return lambda data: dict(opened(data))


def test_stem():
    assert stem("x/mini_speech_commands.zip") == "mini_speech_commands"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_files_are_read(read, method):
    assert read(zip_bytes(method=method)) == CONTENT


def test_checksums_and_progress_cover_the_whole_file(opened):
    data, seen = zip_bytes(), []
    archive = opened(data, on_bytes=seen.append)
    assert dict(archive) == CONTENT
    assert archive.sha256 == hashlib.sha256(data).hexdigest() and archive.crc32 == zlib.crc32(data)
    assert 0 < sum(seen) <= len(data)


def test_folders_and_resource_forks_are_not_files(read):
    assert read(zip_bytes([
        ("mini/", b""), (info("mini/yes/", stat.S_IFDIR | 0o755), b""), ("mini/yes/a.wav", b"1"),
        ("__MACOSX/mini/yes/._a.wav", b"fork"),
    ])) == {"mini/yes/a.wav": b"1"}


def test_names_of_windows_and_macos(read):
    assert read(zip_bytes([(info("yes\\a.wav", 0, system=0), b"1")])) == {"yes/a.wav": b"1"}
    data = zip_bytes([(info("w\u00f6rter/a.wav"), b"1")])
    plain = data.replace(b"\x14\x00\x00\x08", b"\x14\x00\x00\x00")  # the name stays UTF-8, and nothing says so
    assert plain != data and read(plain) == {"w\u00f6rter/a.wav": b"1"}
    assert read(data) == {"w\u00f6rter/a.wav": b"1"}


def test_a_name_that_is_there_twice_is_read_twice(opened):
    assert [name for name, _ in opened(zip_bytes([("yes/a", b"1"), ("yes/a", b"2")]))] == ["yes/a", "yes/a"]


def test_links_are_collected(opened):
    link = stat.S_IFLNK | 0o777
    archive = opened(zip_bytes([
        (info("yes/l.wav", link), b"../no/b.wav"), (info("yes/m.wav", link), b"../../x"), ("no/b.wav", b"1"),
    ]))
    assert dict(archive) == {"no/b.wav": b"1"}
    assert archive.links == [("yes/l.wav", "../no/b.wav", "no/b.wav"), ("yes/m.wav", "../../x", None)]


def encrypted(data):
    changed = bytearray(data)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[data.index(magic) + offset] |= 1
    return bytes(changed)


def with_size(size):
    """A file that claims another size."""
    data = zip_bytes({"yes/a": b"1" * 100})
    changed = bytearray(data)
    offset = data.index(b"PK\x01\x02") + 24
    changed[offset : offset + 4] = struct.pack("<I", size)
    return bytes(changed)


def overlapping():
    """Two entries of the directory that share the bytes of one file."""
    data = zip_bytes({"yes/a": b"1" * 100, "yes/b": b"1" * 100})
    changed = bytearray(data)
    second = data.rindex(b"PK\x01\x02")
    changed[second + 42 : second + 46] = struct.pack("<I", 10)
    return bytes(changed)


HOSTILE = {
    "parent": (zip_bytes({"../../x": b""}), "'../../x', which is outside of its folder; it was not unpacked"),
    "parent inside": (zip_bytes({"yes/../../x": b""}), "is outside"),
    "parent of Windows": (zip_bytes([(info("..\\..\\x", 0, system=0), b"")]), "is outside"),
    "absolute": (zip_bytes({"/etc/x": b""}), "is outside"),
    "link outside": (zip_bytes([(info("../l", stat.S_IFLNK), b"yes/a")]), "is outside"),
    "device": (zip_bytes([(info("yes/d", stat.S_IFCHR), b"")]), "a device or other special file"),
    "pipe": (zip_bytes([(info("yes/p", stat.S_IFIFO), b"")]), "a device or other special file"),
    "long link": (zip_bytes([(info("yes/l", stat.S_IFLNK), b"x" * 5000)]), "a link of 5000 bytes"),
    "large": (with_size(members.MAX_MEMBER_BYTES + 1), "over the limit of %d" % members.MAX_MEMBER_BYTES),
    "overlapping": (overlapping(), "in the same place|damaged"),
    "encrypted": (encrypted(zip_bytes({"yes/a": b"1"})), "is encrypted; unpack it yourself"),
    "another method": (zip_bytes(method=zipfile.ZIP_LZMA), "compressed with method 14, which kws does not read"),
    "smaller than it is": (with_size(10), "damaged"),
    "larger than it is": (with_size(1000), "damaged"),
    "cut": (zip_bytes()[:-30], "damaged or not a zip"),
    "only magic": (b"PK\x03\x04", "damaged or not a zip"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_or_damaged_archive_is_an_error(read, case):
    data, why = HOSTILE[case]
    with pytest.raises(KwsError, match=why) as error:
        read(data)
    assert "archive.zip" in str(error.value) and "\n" not in str(error.value)


def test_memory_is_limited_by_the_size_that_the_archive_claims(opened):
    """A file that inflates to 1 GB although it claims 10 bytes is an error at once."""
    compressor = zlib.compressobj(9, wbits=-15)
    packed = b"".join(compressor.compress(bytes(1 << 24)) for _ in range(64)) + compressor.flush()
    name = b"yes/a"
    fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 33, 0, len(packed), 10)
    local = b"PK\x03\x04" + fields + struct.pack("<HH", len(name), 0) + name + packed
    central = b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    with pytest.raises(KwsError, match="damaged"):
        dict(opened(local + central + end))


NAMES = st.lists(st.text(alphabet="abcé /.\\", min_size=1, max_size=12), max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6))
def test_any_archive_gives_its_files_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.zip"
    content.pop("", None)
    path.write_bytes(zip_bytes(content))
    expected = {os.path.normpath(name): data for name, data in content.items() if not name.endswith("/")}
    try:
        found = dict(Archive(str(path)))
    except KwsError as error:
        assert "is outside" in str(error)
        return
    assert found == expected and not any(os.path.isabs(name) or name.split("/")[0] == ".." for name in found)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_archive_gives_an_error_or_what_it_held(tmp_path_factory, data):
    whole = bytearray(zip_bytes(method=data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(bytes(whole))
    try:
        found = dict(Archive(str(path)))
    except KwsError:
        return
    assert set(found.values()) <= set(CONTENT.values())  # each content has a checksum; names have none
