"""`kws prepare`: what it makes of every source, its errors, and that nothing is lost or half done."""
import csv
import errno
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from kwscli import files
from kwscli.data import dataset, synthesize
from kwscli.data.prepare import prepare
from kwscli.data.recording_checks import Examiner


@pytest.fixture
def words(tones, tmp_path):
    """A folder of yes/, no/, up/ and background noise, outside of the data path."""
    return tones(tmp_path / "words", speakers=6, sample_count=5000)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def archived(words, data):
    """The data path, with these words as an archive in it."""
    pack(words, data / "words.tar.gz")
    return data


def pack(folder, path, top=""):
    with tarfile.open(str(path), "w:" + {".tar": "", ".tgz": "gz"}.get(path.suffix, path.suffix[1:])) as tar:
        for name in sorted(os.listdir(str(folder))):
            tar.add(os.path.join(str(folder), name), os.path.join(top, name))


def content(folder):
    """{path: bytes} of all files below a folder."""
    found = {}
    for inside, _, names in os.walk(str(folder)):
        for name in names:
            with open(os.path.join(inside, name), "rb") as file:
                found[os.path.relpath(os.path.join(inside, name), str(folder))] = file.read()
    return found


def problems(path):
    with open(str(path / "packed" / "problems.csv"), encoding="utf-8", newline="") as file:
        return {row["path"]: (row["problem"].split(":")[0], row["action"]) for row in csv.DictReader(file)}


def assert_refused(result, *parts):
    """One line on stderr that says these things, nothing on stdout, exit status 1."""
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert str(part) in result.stderr


def assert_done(result):
    assert result.exit_code == 0, result.stderr
    assert "Prepared in" in result.stdout


# Sources

@pytest.mark.parametrize("name, top", [
    ("w.tar", ""), ("w.tar.gz", ""), ("w.tgz", "."), ("w.tar.bz2", ""), ("w.tar.xz", ""), ("w.tar.gz", "enclosing"),
])
def test_an_archive_is_unpacked_and_packed(kws, words, data, name, top):
    pytest.importorskip({"w.tar.bz2": "bz2", "w.tar.xz": "lzma"}.get(name, "tarfile"))
    pack(words, data / name, top)
    result = kws("prepare", "--data-path", data)
    assert_done(result)
    assert "%s: 18 clips of 3 words by 6 speakers, 1 background recordings" % name in result.stdout
    assert len(dataset.load(str(data)).paths) == 18
    unpacked = content(data / "w" / top)
    unpacked.pop(".unpacked-by-kws", None)
    assert unpacked == content(words)


def test_a_folder_of_words_is_packed_in_place(kws, words):
    before = content(words)
    assert_done(kws("prepare", "--data-path", words))
    after = content(words)
    assert before == {path: after[path] for path in before}
    assert sorted(set(after) - set(before)) == [".lock"] + ["packed/%s" % name for name in (
        "background.npy", "clips.npy", "dataset.json", "manifest.csv", "problems.csv", "sources.csv"
    )]


def test_archive_and_folder_give_the_same_clips(archived, words, kws):
    kws("prepare", "--data-path", archived)
    kws("prepare", "--data-path", words)
    for name in ("clips.npy", "manifest.csv"):
        assert content(archived / "packed")[name] == content(os.path.join(words, "packed"))[name]


def test_out_keeps_the_source_clean(kws, archived, tmp_path):
    before = content(archived)
    assert_done(kws("prepare", "--data-path", archived, "--out", tmp_path / "new" / "out"))
    assert content(archived) == before
    assert sorted(os.listdir(str(tmp_path / "new" / "out"))) == [".lock", "packed", "words"]


def test_an_archive_is_chosen_by_name(kws, archived, words, data):
    pack(words, data / "other.tar")
    assert_refused(kws("prepare", "--data-path", data), "several archives (other.tar, words.tar.gz)", "--archive")
    assert_done(kws("prepare", "--data-path", data, "--archive", "other.tar"))
    assert_refused(kws("prepare", "--data-path", data, "--archive", "none.tar"), "no archive or folder none.tar")


def test_the_published_archive_is_preferred(kws, archived, words, data):
    pack(words, data / "speech_commands_v0.02.tar.gz")
    assert "speech_commands_v0.02.tar.gz: 18 clips" in kws("prepare", "--data-path", data).stdout


def test_json_is_dataset_json_and_advice(kws, archived):
    info = json.loads(kws("prepare", "--data-path", archived, "--json").stdout)
    assert [line.split(":")[0] for line in info.pop("advice")] == [
        "Fewer than 20 training clips", "Only 6 speakers", "Only no (4), up (4), yes (4)"
    ]
    assert info == dataset.read_info(str(archived))
    assert info["clip_count"] == 18 and info["speaker_count"] == 6 and info["sample_rate"] == 16000
    assert sum(sum(counts.values()) for counts in info["words"].values()) == 18


def test_rate_and_percentages(kws, words):
    assert_done(kws("prepare", "--data-path", words, "--sample-rate", 8000, "--validation-percentage", 100,
                    "--testing-percentage", 0))
    loaded = dataset.load(words)
    assert loaded.sample_rate == 8000 and set(loaded.counts) == {2500} and set(loaded.splits) == {"validation"}


@pytest.mark.parametrize("path, word", [
    ("Wörter mit Leerzeichen/eins zwei.wav", "Wörter mit Leerzeichen"), ("session 1/anna/ja/1.wav", "ja"),
    ("日本/語.flac", "日本"),
])
def test_words_have_any_name_and_their_folders_are_at_any_depth(kws, data, path, word):
    os.makedirs(str(data / os.path.dirname(path)))
    soundfile.write(str(data / path), np.full(8000, 0.1), 8000)
    result = kws("prepare", "--data-path", data)
    assert_done(result)
    assert "1 clips of 1 words by unknown speakers (split by file name)" in result.stdout
    assert "No _background_noise_ folder" in result.stdout
    loaded = dataset.load(str(data))
    assert (list(loaded.words), list(loaded.paths), list(loaded.counts)) == ([word], [path], [16000])


def test_a_name_that_is_not_text_is_shown_escaped(kws, data):
    os.makedirs(os.path.join(os.fsencode(str(data)), b"caf\xe9"))
    path = os.path.join(os.fsencode(str(data)), b"caf\xe9", b"a\n.wav")
    with open(path, "wb") as file:
        soundfile.write(file, np.full(8000, 0.1), 16000, format="WAV")
    assert "caf\\udce9" in kws("prepare", "--data-path", data).stdout
    assert dataset.load(str(data)).paths == ("caf\\udce9/a\\n.wav",)


def test_links_to_folders_are_followed_and_loops_are_not(kws, words, data):
    os.symlink(os.path.join(words, "yes"), str(data / "yes"))
    os.symlink(str(data), str(data / "again"))
    assert "6 clips of 1 words" in kws("prepare", "--data-path", data).stdout


# Problems of recordings

def test_every_problem_is_counted_and_listed(kws, data):
    rng, folder = np.random.RandomState(0), data / "yes"
    folder.mkdir()
    sounds = {
        "fine": rng.uniform(-0.5, 0.5, 16000), "silent": rng.uniform(-0.001, 0.001, 16000),
        "clipped": np.sign(rng.uniform(-1, 1, 16000)), "short": rng.uniform(-0.5, 0.5, 1600),
        "long": rng.uniform(-0.5, 0.5, 40000), "none": [], "nan": np.full(100, np.nan),
    }
    for name, samples in sounds.items():
        soundfile.write(str(folder / (name + ".wav")), samples, 16000, subtype="FLOAT" if name == "nan" else "PCM_16")
    shutil.copy(str(folder / "fine.wav"), str(folder / "twin.wav"))
    (folder / "text.wav").write_text("no sound")
    (folder / "zero.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("passed over")
    (folder / "._fine.wav").write_bytes(b"passed over")
    (folder / "folder.wav").mkdir()
    os.mkfifo(str(folder / "pipe.wav"))
    os.symlink("nowhere", str(folder / "broken.wav"))
    (data / "_silence_").mkdir()
    shutil.copy(str(folder / "fine.wav"), str(data / "_silence_" / "s.wav"))
    result = kws("prepare", "--data-path", data)
    assert_done(result)
    assert problems(data) == {
        "yes/silent.wav": ("silent", "kept"), "yes/clipped.wav": ("clipped", "kept"),
        "yes/short.wav": ("very short", "kept"),
        "yes/long.wav": ("very long", "kept"), "yes/twin.wav": ("duplicate", "kept"),
        "yes/none.wav": ("empty", "left out"),
        "yes/zero.wav": ("empty", "left out"), "yes/nan.wav": ("unreadable", "left out"),
        "yes/text.wav": ("unreadable", "left out"),
        "yes/pipe.wav": ("unreadable", "left out"), "yes/broken.wav": ("unreadable", "left out"),
        "_silence_/s.wav": ("not in a word's folder", "left out"),
    }
    assert "    4 unreadable, left out\n" in result.stdout and "    2 empty, left out\n" in result.stdout
    assert "problems.csv" in result.stdout
    assert sorted(dataset.load(str(data)).paths) == ["yes/%s.wav" % name for name in (
        "clipped", "fine", "long", "short", "silent", "twin"
    )]


@pytest.mark.parametrize("value", [0.0, 0.25, -0.5, 1.0])
def test_a_constant_value_is_silent(kws, data, value):
    (data / "yes").mkdir()
    rng = np.random.RandomState(0)
    sounds = {"muted": np.full(16000, value), "hum": np.clip(value + rng.uniform(-0.0005, 0.0005, 16000), -1, 1)}
    sounds["speech"] = np.clip(value + rng.uniform(-0.1, 0.1, 16000), -1, 1)
    for name, samples in sounds.items():
        soundfile.write(str(data / "yes" / (name + ".wav")), samples, 16000, subtype="PCM_16")
    kws("prepare", "--data-path", data)
    with open(str(data / "packed" / "problems.csv"), encoding="utf-8", newline="") as file:
        silent = {row["path"] for row in csv.DictReader(file) if row["problem"].startswith("silent: peak 0.000")}
    assert silent == {"yes/muted.wav", "yes/hum.wav"}
    muted = list(dataset.load(str(data)).paths).index("yes/muted.wav")
    assert set(dataset.load(str(data)).recording(muted)) == {min(round(value * 32768), 32767)}  # as it was recorded


@pytest.mark.usefixtures("no_ffmpeg")
def test_files_of_phones_are_listed_with_the_command_that_converts_them(kws, words):
    for name in ("a.m4a", "b.M4A", "c.webm", "d.amr", "e.mpeg", "f.3gp"):
        with open(os.path.join(words, "yes", name), "wb") as file:
            file.write(b"no sound for libsndfile")
    result = kws("prepare", "--data-path", words)
    assert "    1 cannot read .m4a files, left out\n" in result.stdout and "18 clips" in result.stdout
    with open(os.path.join(words, "packed", "problems.csv"), encoding="utf-8", newline="") as file:
        found = {row["path"]: row["problem"] for row in csv.DictReader(file)}
    assert len(found) == 6
    assert found["yes/c.webm"] == "cannot read .webm files: convert them with ffmpeg -i x.webm x.wav"


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_data_set_of_nothing_but_phone_files_says_how_to_convert_them(kws, data):
    (data / "yes").mkdir()
    (data / "yes" / "a.m4a").write_bytes(b"x")
    assert_refused(kws("prepare", "--data-path", data), "cannot read .m4a files: convert them with ffmpeg -i x.m4a")


def test_channels_that_cancel_each_other_out_are_kept_and_listed(kws, data):
    (data / "yes").mkdir()
    samples = np.random.RandomState(0).uniform(-0.5, 0.5, 16000)
    soundfile.write(str(data / "yes" / "a.wav"), np.stack([samples, -samples], axis=1), 16000)
    kws("prepare", "--data-path", data)
    assert problems(data) == {"yes/a.wav": ("channels cancel each other out", "kept")}
    assert np.abs(dataset.load(str(data)).recording(0)).max() > 16000


@pytest.mark.parametrize("packed_as", ["folder", "archive"])
def test_a_long_background_recording_is_used_in_part(kws, words, data, monkeypatch, packed_as):
    monkeypatch.setattr("kwscli.data.recording_checks.BACKGROUND_SECONDS", 1)
    if packed_as == "folder":
        monkeypatch.setattr("kwscli.data.recordings.MAX_MEMBER_BYTES", 20000)  # above that of the words
    else:
        pack(words, data / "w.tar")
    path = words if packed_as == "folder" else data
    result = kws("prepare", "--data-path", path)
    assert "18 clips" in result.stdout and "1 background recordings" in result.stdout
    assert "    1 too long, kept\n" in result.stdout
    assert [len(noise) for noise in dataset.load(str(path)).background] == [16000]


def test_a_recording_of_a_word_that_is_too_large_is_left_out(kws, words, monkeypatch):
    monkeypatch.setattr("kwscli.data.recordings.MAX_MEMBER_BYTES", 10044)
    assert "18 clips" in kws("prepare", "--data-path", words).stdout
    monkeypatch.setattr("kwscli.data.recordings.MAX_MEMBER_BYTES", 10043)
    assert_refused(kws("prepare", "--data-path", words, "--force"), "it has more than 10043 bytes")


def test_background_recordings_that_cannot_be_used_are_not_said_to_be_missing(kws, words):
    with open(os.path.join(words, "_background_noise_", "noise.wav"), "wb") as file:
        file.write(b"no sound")
    result = kws("prepare", "--data-path", words)
    assert "The 1 background recordings cannot be used: training will not add noise to the clips." in result.stdout
    assert "No _background_noise_ folder" not in result.stdout


def test_peak_and_full_scale(kws, data):
    (data / "yes").mkdir()
    samples = np.zeros(16000, np.int16)
    samples[:10] = -32768
    soundfile.write(str(data / "yes" / "ten.wav"), samples, 16000)
    samples[10] = 32767
    soundfile.write(str(data / "yes" / "eleven.wav"), samples, 16000)
    kws("prepare", "--data-path", data)
    assert problems(data) == {"yes/eleven.wav": ("clipped", "kept")}
    with open(str(data / "packed" / "manifest.csv"), encoding="utf-8") as lines:
        assert [row["peak"] for row in csv.DictReader(lines)] == ["1.0", "1.0"]


def test_an_unreadable_file_is_left_out(kws, words, monkeypatch):
    forbidden = os.path.join(words, "yes", "00000000_nohash_0.wav")

    def refusing(path, *args, **how):
        if path == forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return io.open(path, *args, **how)

    monkeypatch.setattr("kwscli.data.recordings.open", refusing, raising=False)
    assert "17 clips" in kws("prepare", "--data-path", words).stdout


def test_a_member_that_is_twice_in_the_archive_is_used_once(kws, words, archived, data):
    os.remove(str(data / "words.tar.gz"))
    with tarfile.open(str(data / "w.tar"), "w") as tar:
        tar.add(words, "")
        tar.add(os.path.join(words, "no", "00000000_nohash_0.wav"), "yes/00000000_nohash_0.wav")
    assert "18 clips" in kws("prepare", "--data-path", data).stdout
    assert problems(data) == {"yes/00000000_nohash_0.wav": ("twice in the archive", "left out")}


# Bad input

def cut_short(path):
    os.truncate(str(path), path.stat().st_size - 5)  # inside gzip's trailer


def with_members(*names):
    def make(path):
        with tarfile.open(str(path), "w:gz") as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 3
                tar.addfile(member, io.BytesIO(b"abc"))
    return make


BAD_ARCHIVES = {
    "cut": (cut_short, "damaged or not a tar archive (it ends in the middle"),
    "empty": (lambda path: path.write_bytes(b""), "damaged or not a tar archive"),
    "text": (lambda path: path.write_text("hello"), "damaged or not a tar archive"),
    "outside": (with_members("yes/a.wav", "../../x"), "'../../x', which is outside of its folder; it was not unpacked"),
    "absolute": (with_members("/tmp/kws-x"), "'/tmp/kws-x', which is outside of its folder"),
    "file and folder": (with_members("yes", "yes/a.wav"), "'yes/a.wav' both as a file and as a folder"),
    "folder and file": (with_members("yes/a.wav", "yes"), "'yes' both as a file and as a folder"),
    "only text": (with_members("yes/a.wav"),
                  "(WORD/name.wav) that can be read; the first problem: unreadable: yes/a.wav cannot"),
    "no words": (with_members("a.txt"), "no recording of a word"),
    "name too long": (with_members("yes/" + 300 * "n"), "File name too long"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_and_leaves_nothing(kws, archived, tmp_path, case):
    damage, why = BAD_ARCHIVES[case]
    outside = {path for path in content(tmp_path) if not path.startswith("data")}
    damage(archived / "words.tar.gz")
    assert_refused(kws("prepare", "--data-path", archived), why)
    assert sorted(os.listdir(str(archived))) == [".lock", "words.tar.gz"]
    assert {path for path in content(tmp_path) if not path.startswith("data")} == outside
    assert not dataset.is_prepared(str(archived))


def test_a_data_path_without_recordings_is_refused(kws, tmp_path, data):
    assert_refused(kws("prepare", "--data-path", tmp_path / "none"), "there is no folder", "--download or --synthesize")
    assert_refused(kws("prepare", "--data-path", data), "holds neither an archive", "--download or --synthesize")
    (data / "file.tar").write_text("x")
    assert_refused(kws("prepare", "--data-path", data / "file.tar"), "is a file", "--archive")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("flags", [("--archive", "a.tar", "--synthesize"), ("--download", "--synthesize", "yes")])
def test_two_sources_at_once_are_refused(kws, data, flags):
    assert_refused(kws("prepare", "--data-path", data, *flags), "give one of them")


@pytest.mark.parametrize("flags, status", [
    (("--validation-percentage", 60, "--testing-percentage", 41), 1), (("--validation-percentage", "nan"), 1),
    (("--validation-percentage", 101), 2), (("--sample-rate", 0), 2), (("--no-such-flag",), 2),
    (("--download", "0.03"), 2),
])
def test_impossible_settings_are_refused(kws, archived, flags, status):
    result = kws("prepare", "--data-path", archived, *flags)
    assert result.exit_code == status and "Error: " in result.stderr
    assert not dataset.is_prepared(str(archived))


# Again

def test_prepared_data_is_kept(kws, archived):
    first = kws("prepare", "--data-path", archived)
    before = content(archived)
    again = kws("prepare", "--data-path", archived)
    assert again.stdout == "Already prepared; add --force to prepare it again.\n" + first.stdout
    os.remove(str(archived / "words.tar.gz"))  # to save the space; the data is as good as before
    del before["words.tar.gz"]
    assert kws("prepare", "--data-path", archived).stdout == again.stdout
    assert content(archived) == before


def test_a_folder_that_was_moved_is_still_prepared(kws, words, tmp_path):
    kws("prepare", "--data-path", words)
    os.rename(words, str(tmp_path / "moved"))
    assert "Already prepared" in kws("prepare", "--data-path", tmp_path / "moved").stdout


def test_prepared_data_is_found_where_nothing_can_be_written(kws, archived, monkeypatch):
    kws("prepare", "--data-path", archived)
    monkeypatch.setattr(files, "only_one", lambda *args: pytest.fail("wants to write a lock"))
    assert "Already prepared" in kws("prepare", "--data-path", archived).stdout


@pytest.mark.parametrize("change, why", [
    (lambda data: with_members("yes/a.wav")(data / "words.tar.gz"), "source bytes"),
    (lambda data: (data / "words.tar.gz").rename(data / "new.tar.gz"),
     "source words.tar.gz, but now it is new.tar.gz"),
])
def test_another_archive_does_not_pass_for_the_one_prepared(kws, archived, change, why):
    kws("prepare", "--data-path", archived)
    before = content(archived / "packed")
    change(archived)
    assert_refused(kws("prepare", "--data-path", archived), why, "--force", "--out")
    assert content(archived / "packed") == before


def test_added_recordings_are_noticed(kws, words):
    kws("prepare", "--data-path", words)
    shutil.copy(os.path.join(words, "yes", "00000000_nohash_0.wav"), os.path.join(words, "yes", "new.wav"))
    result = kws("prepare", "--data-path", words)
    assert "have changed since they were prepared: 1 added, such as yes/new.wav" in result.stderr
    assert "19 clips" in result.stdout and "Already" not in result.stdout
    assert "Already prepared" in kws("prepare", "--data-path", words).stdout


@pytest.mark.parametrize("flags", [("--sample-rate", 8000), ("--testing-percentage", 20)])
def test_other_settings_need_force(kws, archived, flags):
    kws("prepare", "--data-path", archived)
    assert_refused(kws("prepare", "--data-path", archived, *flags), flags[0].strip("-").replace("-", " "), "--force")
    assert_done(kws("prepare", "--data-path", archived, "--force", *flags))
    assert "Already prepared" in kws("prepare", "--data-path", archived, *flags).stdout


def test_a_folder_that_others_made_is_left_alone(kws, archived):
    (archived / "words").mkdir()
    (archived / "words" / "mine.txt").write_text("precious")
    assert_refused(kws("prepare", "--data-path", archived), "is in the way", "move it away", "--out")
    assert (archived / "words" / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("flags", [(), ("--force",)])
def test_a_word_whose_folder_is_named_like_the_prepared_data_is_left_alone(kws, words, flags):
    os.rename(os.path.join(words, "yes"), os.path.join(words, "packed"))
    before = content(words)
    assert_refused(kws("prepare", "--data-path", words, *flags), "packed is in the way", "rename it", "--out")
    assert dict(content(words), **{".lock": b""}) == dict(before, **{".lock": b""})


@pytest.mark.parametrize("name", ["words.old", "words.part", "packed.old", "packed.part"])
def test_what_was_moved_away_stays(kws, archived, name):
    (archived / name).mkdir()
    (archived / name / "mine.txt").write_text("precious")
    assert_done(kws("prepare", "--data-path", archived))
    assert_done(kws("prepare", "--data-path", archived, "--force"))
    assert (archived / name / "mine.txt").read_text() == "precious"


def test_a_process_can_wait_for_another_one(archived):
    source = str(archived / "words.tar.gz")
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: prepare(source, str(archived), wait=True), range(2)))
    assert sorted(report.fresh for report in reports) == [False, True]


@pytest.mark.parametrize("name", [".tar.gz", "packed.tar.gz", "packed.part.tar.gz", "words"])
def test_an_archive_whose_name_is_in_the_way_is_refused(kws, archived, name):
    path = archived / name
    (archived / "words.tar.gz").rename(path)
    before = path.read_bytes()
    assert_refused(kws("prepare", "--data-path", archived, "--archive", path))
    assert path.read_bytes() == before


# Interrupted

CHILD = """
import os, shutil, signal, sys
from kwscli import files
from kwscli.data import dataset, prepare, recording_checks
point, count, data = sys.argv[1], int(sys.argv[2]), sys.argv[3]
owner, name = {"examine": (recording_checks.Examiner, "examine"), "finish": (dataset.Writer, "finish"),
               "manifest": (dataset, "_write_csv"), "rename": (files.os, "rename"),
               "remove": (shutil, "rmtree")}[point]
original = getattr(owner, name)

def dying(*args, **how):
    global count
    count -= 1
    if count < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **how)

setattr(owner, name, dying)
prepare.prepare(os.path.join(data, "words.tar.gz"), data, force=True, data_path=data)
"""
MOMENTS = [("examine", 0), ("examine", 7), ("finish", 0), ("manifest", 1), ("rename", 0), ("rename", 1), ("remove", 1)]


def killed(data, point, count):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-c", CHILD, point, str(count), str(data)]
    child = subprocess.run(command, env=dict(os.environ, PYTHONPATH=here))
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point, count", MOMENTS)
def test_killed_at_any_moment_it_is_not_complete_and_runs_again(kws, archived, point, count):
    killed(archived, point, count)
    assert not dataset.is_prepared(str(archived))
    result = kws("prepare", "--data-path", archived)
    assert_done(result)
    assert "Already" not in result.stdout
    assert len(dataset.load(str(archived)).paths) == 18
    assert sorted(os.listdir(str(archived))) == [".lock", "packed", "words", "words.tar.gz"]


@pytest.mark.parametrize("point, count", MOMENTS + [("rename", 2), ("rename", 3), ("remove", 5)])
def test_a_killed_force_loses_nothing(kws, archived, point, count):
    kws("prepare", "--data-path", archived)
    before = content(archived / "packed")
    killed(archived, point, count)
    saved = [folder for folder in ("packed", ".packed.kws.old") if (archived / folder).exists()]
    assert before in [content(archived / folder) for folder in saved]
    assert_done(kws("prepare", "--data-path", archived))
    assert content(archived / "packed") == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("owner, name", [
    (Examiner, "examine"), (dataset.Writer, "finish"), (dataset._SampleFile, "close"),
])
def test_a_full_disk_or_ctrl_c_keeps_what_was_there(kws, archived, monkeypatch, owner, name, error):
    kws("prepare", "--data-path", archived)
    before = content(archived)

    def failing(*args):
        raise type(error)(*error.args)

    monkeypatch.setattr(owner, name, failing)
    result = kws("prepare", "--data-path", archived, "--force")
    if isinstance(error, OSError):
        assert_refused(result, "No space left on device", "free some space and run the same command again")
    assert result.exit_code == (1 if isinstance(error, OSError) else 130)
    assert content(archived) == before


def test_a_read_only_folder_is_one_line(kws, archived, monkeypatch):
    def refusing(path, *args, **how):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(files.os, "makedirs", refusing)
    assert_refused(kws("prepare", "--data-path", archived), archived, "Permission denied", "check its permissions")


def test_two_at_once_are_refused(kws, archived):
    with open(str(archived / ".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_refused(kws("prepare", "--data-path", archived), "another process is preparing", "wait for it to end")
    assert_done(kws("prepare", "--data-path", archived))


# Synthesised words

@pytest.fixture
def spoken(monkeypatch, tones):
    """Which words were synthesised; tones stand in for espeak-ng."""
    asked = []

    def fake(folder, words=synthesize.DEFAULT_WORDS, **how):
        asked.append(tuple(words))
        tones(folder, words, speakers=1, sample_count=5000)

    monkeypatch.setattr(synthesize, "synthesize", fake)
    return asked


@pytest.mark.parametrize("flags, given", [
    (("--synthesize", "--data-path"), ()), (("--synthesize", "yes,oui, non,", "--data-path"), ("yes", "oui", "non")),
    (("--synthesize=oui", "--data_path"), ("oui",)),
])
def test_words_are_synthesised_with_others_beside_them(kws, data, spoken, flags, given):
    assert_done(kws("prepare", *flags, data))
    others = tuple(word for word in synthesize.DEFAULT_WORDS if word not in given)
    assert spoken == [given + others]
    assert set(dataset.load(str(data)).words) == set(given) | set(synthesize.DEFAULT_WORDS)


def test_what_was_synthesised_is_used_again(kws, data, spoken):
    kws("prepare", "--data-path", data, "--synthesize", "oui")
    again = kws("prepare", "--data-path", data, "--synthesize", "oui")
    assert "Already prepared" in again.stdout and "nothing to synthesise" in again.stderr
    assert "Already prepared" in kws("prepare", "--data-path", data).stdout
    assert len(spoken) == 1
    assert_refused(kws("prepare", "--data-path", data, "--synthesize", "non"), "without non", "delete it")


def test_a_downloaded_archive_is_prepared(kws, archived, monkeypatch):
    monkeypatch.setattr(
        "kwscli.data.download.download", lambda version, folder: os.path.join(str(folder), "words.tar.gz")
    )
    assert "18 clips" in kws("prepare", "--data-path", archived, "--download").stdout


# The real recordings

def test_real_recordings(shared_data, tmp_path, kws):
    make = os.path.join(shared_data, "make_archive.py")
    subprocess.run([sys.executable, make, str(tmp_path), "--per-word", "3"], check=True, stdout=subprocess.DEVNULL)
    assert_done(kws("prepare", "--data-path", tmp_path))
    loaded = dataset.load(str(tmp_path))
    assert len(set(loaded.words)) == 35 and len(loaded.background) == 6
    assert loaded.info["problems"] == {} or all("left out" not in problem for problem in loaded.info["problems"])
