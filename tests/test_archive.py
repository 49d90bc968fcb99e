"""The archive reader: what it reads, and that it refuses damaged and hostile archives."""
import gzip
import hashlib
import io
import os
import tarfile

import pytest
from hypothesis import given, settings, strategies as st

from kwscli.data import archive
from kwscli.data.archive import Archive, stem
from kwscli.errors import KwsError

CONTENT = {"yes/a.wav": b"A" * 700, "no/b.wav": bytes(range(256)) * 40, "README": b"", "no/deep/er/c": b"c"}


def tar_bytes(content=CONTENT, mode="w", format=tarfile.GNU_FORMAT):
    """content: {name: bytes}, or [(name or TarInfo, bytes)]."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=format) as tar:
        for name, data in content.items() if isinstance(content, dict) else content:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if member.isreg():
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def special(name, type, linkname="", size=0):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = type, linkname, size
    return member


def with_size(data, size, offset=0):
    """A tar whose header at `offset` has another size and a correct checksum."""
    field = b"%011o\0" % size if size >= 0 else b"\xff" * 12  # base 256: minus one
    header = bytearray(data[offset : offset + 512])
    header[124:136], header[148:156] = field, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:offset] + bytes(header) + data[offset + 512 :]


@pytest.fixture
def read(tmp_path):
    """The content of an archive made of these bytes."""

    def read(data):
        path = tmp_path / "archive"
        path.write_bytes(data)
        return dict(Archive(str(path)))

    return read


@pytest.mark.parametrize("path, expected", [
    ("x/speech_commands_v0.02.tar.gz", "speech_commands_v0.02"), ("a.tgz", "a"), ("a.tar", "a"), ("a.tar.xz", "a"),
    ("a.b.tar.bz2", "a.b"), ("plain", "plain"),
])
def test_stem(path, expected):
    assert stem(path) == expected


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_compression_and_tar_format_is_read(read, mode, format):
    pytest.importorskip({"w:bz2": "bz2", "w:xz": "lzma"}.get(mode, "tarfile"))
    assert read(tar_bytes(mode=mode, format=format)) == CONTENT


def test_sha256_and_progress_cover_the_whole_file(tmp_path):
    path, seen = tmp_path / "a.tar.gz", []
    path.write_bytes(gzip.compress(tar_bytes()) + bytes(5000))
    reader = Archive(str(path), on_bytes=seen.append)
    assert reader.sha256 is None
    assert dict(reader) == CONTENT
    assert reader.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(seen) == path.stat().st_size


def test_a_gzip_of_several_members_is_one_stream(read):
    data = tar_bytes()
    assert read(b"".join(gzip.compress(data[start : start + 600]) for start in range(0, len(data), 600))) == CONTENT


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_an_archive_after_another_one_is_read_too(read, compress):
    one, other = {"yes/1": b"1"}, {"yes/2": b"2"}
    assert read(compress(tar_bytes(one)) + compress(tar_bytes(other))) == {**one, **other}


def test_zeros_after_the_end_are_ignored_wherever_a_chunk_ends(read, monkeypatch):
    data = gzip.compress(tar_bytes())
    for chunk_bytes in (len(data), len(data) + 3, 7):
        monkeypatch.setattr(archive, "_CHUNK_BYTES", chunk_bytes)
        assert read(data + bytes(40)) == CONTENT


def test_a_chunk_inflates_in_pieces(read, monkeypatch):
    monkeypatch.setattr(archive, "_MAX_INFLATED_BYTES", 1000)
    content = {"yes/zeros": bytes(500000), "no/a": b"a"}
    for mode in ("w:gz", "w:bz2", "w:xz"):
        pytest.importorskip({"w:bz2": "bz2", "w:xz": "lzma"}.get(mode, "tarfile"))
        assert read(tar_bytes(content, mode)) == content


def test_names_are_normalised(read):
    assert read(tar_bytes({"./yes/a": b"1", "x/../no//b": b"2"})) == {"yes/a": b"1", "no/b": b"2"}


def test_names_need_not_be_utf8_nor_short(read):
    name = "w" * 90 + "/" + "n" * 200
    assert read(tar_bytes({name: b"1"})) == {name: b"1"}
    assert read(tar_bytes({"caf\udce9/a": b"1"})) == {"caf\udce9/a": b"1"}


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(Archive(str(tmp_path / "none.tar")))


HOSTILE = {
    "parent": ("../../x", "is outside"),
    "parent inside": ("yes/../../x", "is outside"),
    "absolute": ("/etc/x", "is outside"),
    "parent folder": (special("../x", tarfile.DIRTYPE), "is outside"),
    "link outside": (special("../l", tarfile.SYMTYPE, "yes/a.wav"), "is outside"),
    "character device": (special("yes/d", tarfile.CHRTYPE), "a device or other special file"),
    "block device": (special("yes/d", tarfile.BLKTYPE), "a device or other special file"),
    "pipe": (special("yes/p", tarfile.FIFOTYPE), "a device or other special file"),
    "unknown type": (special("yes/v", b"V"), "a device or other special file"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_hostile_member_is_refused_by_name(read, case, format):
    member, why = HOSTILE[case]
    name = getattr(member, "name", member)
    with pytest.raises(KwsError, match=why) as error:
        read(tar_bytes([("yes/a.wav", b"fine"), (member, b"")], format=format))
    assert repr(name) in str(error.value) and "it was not unpacked" in str(error.value)


@pytest.mark.parametrize("size", [archive.MAX_MEMBER_BYTES + 1, 8 << 30 - 1, -1])
def test_an_absurd_size_is_refused_by_name(read, size):
    with pytest.raises(KwsError, match="'yes/a.wav' of %d bytes, over the limit" % size):
        read(with_size(tar_bytes(), size))


def test_an_absurd_long_name_is_refused(read):
    with pytest.raises(KwsError, match="over the limit"):
        read(with_size(tar_bytes({"n" * 300: b""}), archive._MAX_HEADER_BYTES + 1))


def test_an_absurd_size_in_an_extended_header_is_refused(read):
    member = tarfile.TarInfo("yes/a")
    member.pax_headers = {"size": str(1 << 40)}
    with pytest.raises(KwsError, match="over the limit|damaged"):
        read(tar_bytes([(member, b"12")], format=tarfile.PAX_FORMAT))


@pytest.mark.parametrize("headers", [
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "yes/a"},
    {"GNU.sparse.map": "0,x,1", "GNU.sparse.size": "9", "GNU.sparse.name": "yes/a"},
    {"GNU.sparse.map": "0,99999999999", "GNU.sparse.size": "99999999999", "GNU.sparse.name": "yes/a"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "../x", "GNU.sparse.realsize": "7"},
])
@pytest.mark.parametrize("data", [b"", b"9\n", b"99999999999\n1\n", b"1\n0\n99\n" + bytes(600)])
def test_a_hostile_sparse_file_ends_in_an_error_and_not_in_a_loop(read, headers, data):
    member = tarfile.TarInfo("yes/a")
    member.pax_headers = headers
    try:
        assert set(read(tar_bytes([(member, data)], format=tarfile.PAX_FORMAT))) <= {"yes/a"}
    except KwsError:
        pass


def test_nested_extended_headers_end_in_an_error(read):
    pax = tarfile.TarInfo("yes/a").tobuf(tarfile.PAX_FORMAT)
    nested = bytearray(pax[:512])
    nested[156:157] = tarfile.XHDTYPE
    nested = with_size(bytes(nested), 0)
    with pytest.raises(KwsError, match="damaged"):
        read(nested * 5000 + tar_bytes())


@pytest.mark.parametrize("data, why", [
    (b"", "empty|middle"), (b"just text, no tar at all\n" * 50, "damaged or not a tar"),
    (b"\x1f\x8b", "ends in the middle"),
    (gzip.compress(b"text"), "damaged or not a tar"), (gzip.compress(b""), "ends in the middle"),
    (b"BZh9junk", "damaged"),
    (gzip.compress(tar_bytes()) + b"rubbish", "damaged"), (tar_bytes() + b"r" * 600, "damaged"),
], ids="empty text cut gzipped-text gzipped-nothing bzip2 gzip-and-rubbish tar-and-rubbish".split())
def test_a_file_that_is_not_an_archive_is_an_error(read, data, why):
    with pytest.raises(KwsError, match=why) as error:
        read(data)
    assert "\n" not in str(error.value)


def test_a_damaged_header_does_not_end_the_archive(read):
    data = bytearray(tar_bytes())
    data[1024 + 512 + 5] ^= 1  # in the second member's name
    with pytest.raises(KwsError, match="bad checksum"):
        read(bytes(data))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_cut_archive_is_an_error_wherever_it_is_cut(read, mode):
    pytest.importorskip({"w:bz2": "bz2", "w:xz": "lzma"}.get(mode, "tarfile"))
    data = tar_bytes(mode=mode)
    # A plain tar is whole with its first block of zeros; of a compressed one, every byte of the trailer counts.
    end = len(data.rstrip(b"\0")) + 512 if mode == "w" else len(data)
    for cut in {0, 1, 100, 511, 512, 513, 1024, 2048, *range(max(0, end - 12), end)} & set(range(end)):
        if mode == "w" and not data[cut:].strip(b"\0"):
            continue
        with pytest.raises(KwsError):
            read(data[:cut])


NAMES = st.lists(st.text(alphabet="abcé /.", min_size=1, max_size=12), max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6), st.sampled_from(["w", "w:gz"]))
def test_any_archive_gives_its_files_or_an_error(tmp_path_factory, content, mode):
    path = tmp_path_factory.getbasetemp() / "any.tar"
    path.write_bytes(tar_bytes(content, mode))
    expected = {}
    try:
        for name, data in Archive(str(path)):
            assert not os.path.isabs(name) and name.split("/")[0] != ".."
            expected[name] = data
    except KwsError as error:
        assert "is outside" in str(error)
        return
    assert expected == {os.path.normpath(name): data for name, data in content.items()}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_gives_an_error_or_what_it_held(tmp_path_factory, data):
    whole = bytearray(tar_bytes(mode=data.draw(st.sampled_from(["w:gz", "w"]))))
    plain = whole[:2] != b"\x1f\x8b"
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    path.write_bytes(bytes(whole))
    try:
        found = dict(Archive(str(path)))
    except KwsError:
        return
    # Only a compressed archive has a checksum over the contents; in a plain one the headers have theirs.
    assert found == CONTENT or plain and set(found) == set(CONTENT)


@pytest.mark.parametrize("kind, target, path", [
    (tarfile.SYMTYPE, "a.wav", "yes/a.wav"), (tarfile.SYMTYPE, "../no/b.wav", "no/b.wav"),
    (tarfile.LNKTYPE, "yes/a.wav", "yes/a.wav"), (tarfile.LNKTYPE, "./yes/../no/b", "no/b"),
    (tarfile.SYMTYPE, "/etc/passwd", None), (tarfile.SYMTYPE, "../../x", None), (tarfile.LNKTYPE, "../x", None),
])
def test_links_are_collected_and_do_not_stop_the_rest(tmp_path, kind, target, path):
    file = tmp_path / "a.tar"
    file.write_bytes(tar_bytes([("yes/a.wav", b"1"), (special("yes/l", kind, target), b""), ("no/b.wav", b"2")]))
    archive = Archive(str(file))
    assert dict(archive) == {"yes/a.wav": b"1", "no/b.wav": b"2"}
    assert archive.links == [("yes/l", target, path)]
