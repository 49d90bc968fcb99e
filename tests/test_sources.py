"""What people do to their recordings after `kws prepare`: nothing of theirs is deleted, nothing stale is used."""
import io
import json
import os
import shutil
import stat
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile

from kwscli.data import dataset, freshness
from kwscli.errors import KwsError
from kwscli.evaluation import evaluate
from kwscli.settings import DataSettings
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.training import job as jobs


@pytest.fixture
def data(tones, tmp_path):
    """A data path with an archive of yes/, no/, up/ and background noise, which is not prepared yet."""
    words = tones(tmp_path / "words", speakers=6, sample_count=2000)
    (tmp_path / "data").mkdir()
    pack(words, tmp_path / "data" / "words.tar.gz")
    return tmp_path / "data"


@pytest.fixture
def prepared(data, kws):
    done(kws("prepare", "--data-path", data))
    return data


@pytest.fixture
def folder(tones, tmp_path, kws):
    """A data path with a prepared folder for each word."""
    path = tmp_path / "folder"
    tones(path, speakers=6, sample_count=2000)
    done(kws("prepare", "--data-path", path))
    return path


def pack(folder, path, *members):
    with tarfile.open(str(path), "w:gz") as tar:
        tar.add(str(folder), "")
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def record(folder, *names, level=0.1):
    for name in names:
        os.makedirs(os.path.dirname(str(folder / name)), exist_ok=True)
        soundfile.write(str(folder / name), np.full(2000, level), 16000)


def done(result):
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(result, *parts):
    assert result.exit_code == 1 and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    for part in parts:
        assert str(part) in result.stderr


def command_in(text, kws):
    """Run the kws command that a message advises."""
    words = text.strip().split("run kws ")[1].split(";")[0].split(". ")[0]
    return kws(*words.split())


# Nothing of the user's is deleted

@pytest.mark.parametrize("change", [
    lambda unpacked: record(unpacked, "mine/a.wav"),
    lambda unpacked: record(unpacked, "yes/mine.wav"),
    lambda unpacked: record(unpacked, "yes/00000000_nohash_0.wav"),
    lambda unpacked: (unpacked / "notes.txt").write_text("mine"),
    lambda unpacked: ((unpacked / ".git").mkdir(), (unpacked / ".git" / "HEAD").write_text("mine")),
    lambda unpacked: os.symlink(str(unpacked.parent), str(unpacked / "link")),
])
@pytest.mark.parametrize("flags", [("--force",), ("--force", "--sample-rate", 8000), ()])
def test_files_in_the_unpacked_folder_are_kept(kws, prepared, change, flags):
    unpacked = prepared / "words"
    change(unpacked)
    before = {path: path.lstat().st_mtime_ns for path in prepared.rglob("*") if path.name != ".lock"}
    refused(kws("prepare", "--data-path", prepared, *flags), unpacked, "1 ", "--archive %s" % unpacked)
    assert {path: path.lstat().st_mtime_ns for path in before} == before


def test_the_message_names_files_and_its_command_keeps_them(kws, prepared):
    record(prepared / "words", *["mine/%d.wav" % number for number in range(5)])
    result = kws("prepare", "--data-path", prepared, "--force")
    refused(result, "contains files that are not in words.tar.gz: 5 added, such as mine/0.wav, mine/1.wav, mine/2.wav")
    assert "23 clips of 4 words" in done(command_in(result.stderr, kws))
    assert (prepared / "words" / "mine" / "0.wav").exists()
    record(prepared / "words", "mine/5.wav")  # and again: the folder is the source now
    advised = freshness.outdated(str(prepared)).advice
    assert "--archive" in advised and "24 clips of 4 words" in done(command_in(advised, kws))
    refused(kws("prepare", "--data-path", prepared, "--force"), "contains files that are not in words.tar.gz")


def test_words_that_are_moved_out_are_used(kws, prepared):
    record(prepared / "words", "mine/0.wav")
    refused(kws("prepare", "--data-path", prepared, "--force"), "move your word folders out of it, next to the archive")
    (prepared / "words" / "mine").rename(prepared / "mine")
    assert "19 clips of 4 words" in done(kws("prepare", "--data-path", prepared))
    assert (prepared / "mine" / "0.wav").exists()


def test_an_untouched_folder_is_replaced(kws, prepared):
    (prepared / "words" / ".DS_Store").write_bytes(b"litter")
    os.utime(str(prepared / "words" / "yes" / "00000000_nohash_0.wav"))
    (prepared / "words" / "no" / "00000000_nohash_0.wav").unlink()
    result = kws("prepare", "--data-path", prepared)
    refused(result, "has changed since kws unpacked words.tar.gz: 1 removed", "as it is now")
    assert "18 clips" in done(kws("prepare", "--data-path", prepared, "--force"))
    assert (prepared / "words" / "no" / "00000000_nohash_0.wav").exists()


def test_a_folder_that_an_older_kws_unpacked_is_not_replaced(kws, prepared):
    (prepared / "words" / ".unpacked-by-kws").write_text("kws prepare unpacked an archive here.\n")
    assert "Already prepared" in done(kws("prepare", "--data-path", prepared))
    refused(kws("prepare", "--data-path", prepared, "--force"), "may contain files of yours", "if nothing in it is")
    shutil.rmtree(str(prepared / "words"))
    done(kws("prepare", "--data-path", prepared, "--force"))


def test_files_in_the_prepared_data_are_kept(kws, prepared):
    (prepared / "packed" / "notes.txt").write_text("mine")
    refused(kws("prepare", "--data-path", prepared, "--force"), "contains notes.txt, which kws did not create")
    assert (prepared / "packed" / "notes.txt").read_text() == "mine"


# Words beside an archive

def test_word_folders_beside_an_archive_are_used(kws, data):
    record(data, "mine/a.wav", "mine/b.wav", "yes/mine.wav", "_background_noise_/room.wav")
    record(data, "stray.wav", "sets/deep/c.wav", ".hidden/d.wav", "_mine_/e.wav", "mine/anna/f.wav")
    record(data, "test/no/g.wav", "clips/h.wav", "silence/i.wav")
    pack(data / "mine", data / "other.tar")
    output = done(kws("prepare", "--data-path", data, "--archive", "words.tar.gz"))
    assert "words.tar.gz: 21 clips of 4 words" in output and "2 background recordings" in output
    assert "Together with the word folders next to it: _background_noise_, mine, yes\n" in output
    assert "Not used: stray.wav, _mine_, clips, mine/anna, sets, silence, test, other.tar\n" in output
    again = done(kws("prepare", "--data-path", data, "--archive", "words.tar.gz"))
    assert again == "Already prepared; add --force to prepare it again.\n" + output


def test_a_word_folder_that_is_added_later_is_noticed(kws, prepared):
    record(prepared, "mine/a.wav")
    assert "1 added, such as mine/a.wav" in str(freshness.outdated(str(prepared)))
    assert "19 clips of 4 words" in done(kws("prepare", "--data-path", prepared))
    assert freshness.outdated(str(prepared)) is None
    shutil.rmtree(str(prepared / "mine"))
    assert "1 removed, such as mine/a.wav" in str(freshness.outdated(str(prepared)))
    assert "18 clips of 3 words" in done(kws("prepare", "--data-path", prepared))


def test_the_hash_of_the_data_depends_on_the_words_beside_the_archive(kws, prepared):
    hashes = [dataset.read_info(str(prepared))["sha256"]]
    for level in (0.1, 0.2):
        record(prepared, "mine/a.wav", level=level)
        hashes.append(json.loads(done(kws("prepare", "--data-path", prepared, "--json")))["sha256"])
    assert len(set(hashes)) == 3


def test_an_archive_from_elsewhere_and_a_folder_have_words_beside_them_too(kws, data, tmp_path):
    record(tmp_path, "elsewhere/no.wav")
    record(tmp_path / "mine", "mine/a.wav")
    output = done(kws("prepare", "--data-path", tmp_path / "mine", "--archive", data / "words.tar.gz"))
    assert "19 clips" in output and "next to it: mine" in output
    record(tmp_path / "folders", "set/yes/a.wav", "mine/a.wav")
    output = done(kws("prepare", "--data-path", tmp_path / "folders", "--archive", "set"))
    assert "set: 2 clips of 2 words" in output


@pytest.mark.usefixtures("no_ffmpeg")
def test_names_beside_an_archive_mean_the_same_as_in_it(kws, data):
    record(data, "YES/a.wav", "noise/b.wav", "unknown/c.wav", "yes/00000000_nohash_0.wav")
    write(data / "phone" / "d.m4a", "of a phone")
    output = done(kws("prepare", "--data-path", data))
    assert "words.tar.gz: 21 clips of 4 words by 6 speakers, 2 background recordings" in output
    assert "next to it: YES, noise, phone, unknown, yes\n" in output
    assert "YES, yes are one word: yes\n" in output and "../noise: 1 recordings are background noise\n" in output
    assert "../phone/d.m4a,cannot read .m4a files" in problems(data)
    assert sorted(path for path in dataset.load(str(data)).paths if path.startswith("..")) == [
        "../YES/a.wav", "../unknown/c.wav", "../yes/00000000_nohash_0.wav"
    ]


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_layouts_are_recognized_in_every_archive(kws, tmp_path, kind):
    record(tmp_path / "set", "clips/a.wav", "clips/b.wav", "noise/c.wav", "test/no/d.wav", "audio/e.wav", level=0.1)
    write(tmp_path / "set" / "train.csv", "path,word,speaker\nclips/a.wav,yes,anna\nclips/b.wav,no,ben\n")
    write(tmp_path / "set" / "f.amr", "of a phone")
    (tmp_path / "data").mkdir()
    if kind == "tar":
        pack(tmp_path / "set", tmp_path / "data" / "set.tar.gz", link("clips/b.wav", "a.wav"), link("no/g.wav", "../f"),
             link("clips/link.wav", "a.wav"))
    else:
        with zipfile.ZipFile(str(tmp_path / "data" / "set.zip"), "w") as archive:
            for path in sorted((tmp_path / "set").rglob("*")):
                archive.write(str(path), str(path.relative_to(tmp_path / "set")))
    output = done(kws("prepare", "--data-path", tmp_path / "data"))
    assert "3 clips of 2 words" in output and "1 background recordings" in output
    assert "The splits are those of the folders or label files: training 2, testing 1" in output
    assert "Passed over: audio: 1 recordings" in output and "1 cannot read .amr files" in output
    assert ("Passed over: clips: 1 recordings" in output) == (kind == "tar")  # the link, which no label file names
    assert dict(zip(dataset.load(str(tmp_path / "data")).paths, dataset.load(str(tmp_path / "data")).words)) == {
        "clips/a.wav": "yes", "clips/b.wav": "no", "test/no/d.wav": "no"
    }


# Nothing stale is used

@pytest.mark.parametrize("change, what", [
    (lambda path: record(path, "yes/new.wav"), "1 added, such as yes/new.wav"),
    (lambda path: shutil.rmtree(str(path / "no")), "6 removed, such as no/00000000_nohash_0.wav"),
    (lambda path: record(path, "yes/00000000_nohash_0.wav"), "1 changed, such as yes/00000000_nohash_0.wav"),
    (lambda path: record(path, "_background_noise_/new.wav"), "1 added, such as _background_noise_/new.wav"),
    (lambda path: (path / "yes").rename(path / "oui"), "6 added, 6 removed, such as oui/00000000_nohash_0.wav"),
])
def test_changed_recordings_are_prepared_again(kws, folder, change, what):
    change(folder)
    error = freshness.outdated(str(folder))
    assert error.problem == "the recordings in %s have changed since kws prepared them: %s" % (
        folder, str(error).split("prepared them: ")[1].split("; run")[0])
    assert what in error.problem and error.advice == "run kws prepare --data-path %s" % folder
    result = command_in(error.advice, kws)
    assert result.stderr.count(what) == 1 and "Already" not in done(result)
    assert freshness.outdated(str(folder)) is None
    assert "Already prepared" in done(kws("prepare", "--data-path", folder))


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("change, what", [
    (lambda path: write(path / "en.csv", "path,word,speaker\nclips/a.wav,ja,anna\n"), "1 changed, such as en.csv"),
    (lambda path: write(path / "fr.csv", "path,word\n"), "1 added, such as fr.csv"),
    (lambda path: (path / "en.csv").unlink(), "1 removed, such as en.csv"),
    (lambda path: write(path / "yes" / "new.m4a", ""), "1 added, such as yes/new.m4a"),
    (lambda path: (path / "no" / "phone.m4a").unlink(), "1 removed, such as no/phone.m4a"),
    (lambda path: record(path, "test/audio/b.wav"), "1 added, such as test/audio/b.wav"),
    (lambda path: (path / "clips" / "a.wav").unlink(), "1 removed, such as clips/a.wav"),
    (lambda path: record(path, "clips/a.wav"), "1 changed, such as clips/a.wav"),
    (lambda path: record(path, "_background_noise_/hum.wav"), "1 changed, such as _background_noise_/hum.wav"),
    (lambda path: record(path, "test/audio/a.wav", level=0.2), ""),  # its content is not used
    (lambda path: os.utime(str(path / "no" / "phone.m4a")), ""),
    (lambda path: write(path / "notes.txt", "other notes"), ""),
])
@pytest.mark.parametrize("beside", [False, True])
def test_every_file_that_decides_the_result_is_compared(kws, tones, tmp_path, change, what, beside):
    path = tmp_path / "set"
    tones(path, speakers=2, sample_count=2000)
    record(path, "clips/a.wav", "test/audio/a.wav", "_background_noise_/hum.wav", level=0.3)
    write(path / "en.csv", "path,word\nclips/a.wav,oui\n")
    write(path / "no" / "phone.m4a", "of a phone")
    write(path / "notes.txt", "notes")
    out = tmp_path / "out" if beside else path
    assert "7 clips of 4 words" in done(kws("prepare", "--data-path", path, "--out", out))
    change(path)
    error = freshness.outdated(str(out))
    assert what in error.problem.replace("%s/" % path, "") if what else error is None
    again = kws("prepare", "--data-path", path, "--out", out)
    assert ("Already prepared" in done(again)) == (not what)
    assert freshness.outdated(str(out)) is None


def test_label_files_alone_are_not_compared(kws, folder):
    write(folder / "en.csv", "path,word\n")
    done(kws("prepare", "--data-path", folder))
    for word in ("yes", "no", "up", "_background_noise_"):
        shutil.rmtree(str(folder / word))
    assert freshness.outdated(str(folder)) is None


def test_a_replaced_archive_is_named_with_force(kws, prepared):
    pack(prepared / "words" / "yes", prepared / "words.tar.gz")
    error = freshness.outdated(str(prepared))
    assert "1 changed, such as words.tar.gz" in error.problem and error.advice.endswith("%s --force" % prepared)


def test_another_archive_of_the_same_size_and_time_is_noticed(kws, prepared):
    path = str(prepared / "words.tar.gz")
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(4)  # the time in the header of gzip
        file.write(b"time")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "words.tar.gz" in freshness.outdated(str(prepared)).problem
    refused(kws("prepare", "--data-path", prepared), "was prepared with another words.tar.gz", "--force", "--out")


@pytest.mark.parametrize("names", [("words.tar.gz",), ("words",), ("words.tar.gz", "words"),
                                   ("words.tar.gz", "words", "mine")])
def test_sources_that_were_deleted_as_a_whole_are_not_missed(kws, data, names):
    record(data, "mine/a.wav")
    done(kws("prepare", "--data-path", data))
    for name in names:
        path = str(data / name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    assert freshness.outdated(str(data)) is None
    assert "19 clips" in done(kws("prepare", "--data-path", data))


def test_a_folder_whose_recordings_were_all_deleted_is_still_prepared(kws, folder):
    for word in ("yes", "no", "up", "_background_noise_"):
        shutil.rmtree(str(folder / word))
    assert freshness.outdated(str(folder)) is None
    assert "Already prepared" in done(kws("prepare", "--data-path", folder))


@pytest.mark.parametrize("copy", [shutil.copyfile, shutil.copy2])
@pytest.mark.parametrize("name", ["prepared", "folder"])
def test_a_copy_is_still_prepared_and_read_only_once(kws, request, tmp_path, monkeypatch, copy, name):
    shutil.copytree(str(request.getfixturevalue(name)), str(tmp_path / "copy"), copy_function=copy)
    assert freshness.outdated(str(tmp_path / "copy")) is None
    assert "Already prepared" in done(kws("prepare", "--data-path", tmp_path / "copy"))
    read = []
    monkeypatch.setattr("kwscli.data.fingerprint._crc32", read.append)
    assert name == "prepared" or freshness.outdated(str(tmp_path / "copy")) is None and not read


def test_data_that_an_older_kws_prepared_is_used_as_it_is(kws, folder):
    path = folder / "packed" / "dataset.json"
    info = json.loads(path.read_text())
    del info["sources"]
    path.write_text(json.dumps(info))
    (folder / "packed" / "sources.csv").unlink()
    assert freshness.outdated(str(folder)) is None
    assert "Already prepared" in done(kws("prepare", "--data-path", folder))
    record(folder, "yes/new.wav")
    assert freshness.outdated(str(folder)) is None  # nothing to compare with
    assert "19 clips" in done(kws("prepare", "--data-path", folder))
    assert freshness.outdated(str(folder)) is None


def test_a_damaged_fingerprint_is_named(kws, folder):
    (folder / "packed" / "sources.csv").write_text("path")
    for result in (kws("prepare", "--data-path", folder), kws("train", "--data-path", folder)):
        refused(result, "sources.csv is damaged", "kws prepare --data-path %s --force" % folder)
    done(kws("prepare", "--data-path", folder, "--force"))


def test_out_has_its_sources_elsewhere(kws, folder, tmp_path):
    out = tmp_path / "out"
    done(kws("prepare", "--data-path", folder, "--out", out))
    record(folder, "yes/new.wav")
    error = freshness.outdated(str(out))
    assert "19 clips" in done(command_in(error.advice, kws))
    shutil.rmtree(str(folder))
    assert freshness.outdated(str(out)) is None


class Job:
    overwrite, run_path = False, "none"
    cluster = type("Cluster", (), {"rank": 0, "size": 1})


def test_train_refuses_to_begin_and_continues(kws, folder, capsys, monkeypatch):
    jobs.ensure_prepared(str(folder), Job)
    record(folder, "yes/new.wav")
    refused(kws("train", "--data-path", folder, "--train-dir", folder / "run"), "1 added", "run kws prepare")
    monkeypatch.setattr(jobs.run_directory, "read_state", lambda path: (False, ["checkpoint"]))
    jobs.ensure_prepared(str(folder), Job)
    assert "1 added, such as yes/new.wav; run kws prepare" in capsys.readouterr().err
    with pytest.raises(KwsError):
        jobs.ensure_prepared(str(folder), type("Job", (Job,), {"overwrite": True}))


def test_eval_says_that_the_recordings_have_changed(kws, folder, capsys):
    class Model:
        labels, features, path = ("_silence_", "_unknown_", "yes"), FeatureSettings(), "model"

        def scores(self, clips):
            return np.zeros((len(clips), 3))

    settings = DataSettings(wanted_words=("yes",))
    evaluate.evaluate(Model(), str(folder), settings, "training")
    assert "changed" not in capsys.readouterr().err
    record(folder, "yes/new.wav")
    evaluate.evaluate(Model(), str(folder), settings, "training")
    said = capsys.readouterr().err
    assert "1 added, such as yes/new.wav; run kws prepare --data-path %s. The network" % folder in said


# Links and zip archives

def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def problems(path):
    return (path / "packed" / "problems.csv").read_text(encoding="utf-8")


def test_links_in_an_archive_are_followed_inside_and_left_out_otherwise(kws, data):
    first = "yes/00000000_nohash_0.wav"
    pack(
        data.parent / "words", data / "words.tar.gz", link("no/soft.wav", "../" + first),
        link("no/hard.wav", first, tarfile.LNKTYPE), link("no/chain.wav", "soft.wav"), link("up/loop.wav", "loop.wav"),
        link("up/outside.wav", "/etc/passwd"), link("up/parent.wav", "../../data.wav"), link("oui", "yes"),
        link("README", "nowhere"),
    )
    output = done(kws("prepare", "--data-path", data))
    assert "21 clips" in output and "5 a link, left out" in output
    listed = problems(data)
    assert "up/outside.wav,\"a link: it leads to /etc/passwd, which is outside of the archive\",left out" in listed
    assert "up/loop.wav,\"a link: it leads to loop.wav, which is not a file in the archive\",left out" in listed
    unpacked = data / "words"
    assert (unpacked / "no" / "chain.wav").read_bytes() == (unpacked / first).read_bytes()
    assert not any(path.is_symlink() for path in unpacked.rglob("*")) and not (unpacked / "up" / "outside.wav").exists()
    assert "Already prepared" in done(kws("prepare", "--data-path", data))


def zipped(folder, path, top="mini_speech_commands"):
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, _, names in sorted(os.walk(str(folder))):
            for name in names:
                full = os.path.join(inside, name)
                archive.write(full, os.path.join(top, os.path.relpath(full, str(folder))))
                archive.writestr(os.path.join("__MACOSX", top, os.path.relpath(inside, str(folder)), "._" + name), "x")
        entry = zipfile.ZipInfo(top + "/no/link.wav")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "../yes/00000000_nohash_0.wav")


def test_a_zip_archive_is_read_like_a_tar_archive(kws, data, tmp_path):
    (data / "words.tar.gz").unlink()
    zipped(tmp_path / "words", data / "mini_speech_commands.zip")
    output = done(kws("prepare", "--data-path", data))
    assert "mini_speech_commands.zip: 19 clips of 3 words by 6 speakers, 1 background recordings" in output
    assert sorted(os.listdir(str(data / "mini_speech_commands"))) == [".unpacked-by-kws", "mini_speech_commands"]
    shutil.copytree(str(data / "mini_speech_commands" / "mini_speech_commands"), str(tmp_path / "same"))
    done(kws("prepare", "--data-path", tmp_path / "same"))
    names = [os.path.basename(path) for path in dataset.load(str(tmp_path / "same")).paths]
    assert sorted(names) == sorted(os.path.basename(path) for path in dataset.load(str(data)).paths)
    assert "Already prepared" in done(kws("prepare", "--data-path", data))
