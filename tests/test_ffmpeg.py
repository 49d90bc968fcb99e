"""Files of phones, which ffmpeg converts where it is installed."""
import csv
import os
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import soundfile

from kwscli.sound import audio, ffmpeg

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
RATE = 16000
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
KINDS = {".m4a": (), ".mp4": (), ".webm": (), ".3gp": ("-c:a", "aac"), ".mka": ("-c:a", "flac"), ".mpeg": ("-f", "mp2")}


def write(path, samples=TONE):
    """Write samples as ffmpeg encodes them for the ending of a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wav, how = str(path) + ".source.wav", KINDS[path.suffix.lower()]
    soundfile.write(wav, samples, RATE)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", wav, *how, str(path)], check=True)
    os.remove(wav)
    return path


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("in_memory", [False, True])
def test_the_sound_is_that_of_the_file(tmp_path, suffix, in_memory):
    path = write(tmp_path / ("x" + suffix))
    found = audio.read(path.read_bytes() if in_memory else str(path), RATE, str(path))
    assert abs(len(found) - RATE) < 0.1 * RATE
    peak = np.argmax(np.abs(np.fft.rfft(found[2000:14000])))
    assert peak * RATE / 12000 == pytest.approx(440, abs=5)
    assert audio.is_sound(path.name) and not audio.how_to_convert(path.name)


@pytest.mark.parametrize("name", ["-x.m4a", "a b'c.m4a", "http:x.m4a", "ja\u0308.m4a"])
def test_any_name_is_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.rename(str(write(tmp_path / "x.m4a")), name)
    assert len(audio.read(name, RATE)) > 0.9 * RATE


@pytest.mark.parametrize("content, message", [
    (b"no sound", "x.m4a cannot be read as sound: ffmpeg says: "), (b"", "x.m4a is an empty file"),
    (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "x.m4a cannot be read as sound: "),
])
def test_a_file_that_ffmpeg_cannot_read(content, message):
    with pytest.raises(audio.UnreadableAudio) as caught:
        audio.read(content, RATE, "x.m4a")
    assert str(caught.value).startswith(message)


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path = write(tmp_path / "x.m4a")
    audio.read(str(path), RATE)
    with pytest.raises(audio.UnreadableAudio):
        audio.read(b"no sound", RATE, "x.m4a")
    assert os.listdir(str(tmp_path / "scratch")) == []


@pytest.mark.parametrize("packed", [False, True])
def test_recordings_of_phones_are_prepared(kws, tmp_path, packed):
    for word, hertz in (("ja", 1), ("nein", 2)):
        for number, suffix in enumerate((".m4a", ".3gp")):
            write(tmp_path / "set" / word / ("%d%s" % (number, suffix)), TONE / hertz)
    (tmp_path / "set" / "ja" / "bad.webm").write_bytes(b"no sound")
    data = tmp_path / "data" if packed else tmp_path / "set"
    if packed:
        data.mkdir()
        with zipfile.ZipFile(str(data / "set.zip"), "w") as archive:
            for path in sorted((tmp_path / "set").rglob("*.*")):
                archive.write(str(path), str(path.relative_to(tmp_path / "set")))
    result = kws("prepare", "--data-path", data)
    assert result.exit_code == 0 and "4 clips of 2 words" in result.stdout, result.output
    with open(str(data / "packed" / "problems.csv"), newline="") as file:
        row, = [row for row in csv.DictReader(file) if row["action"] == "left out"]
    assert row["path"] == "ja/bad.webm" and "unreadable: ja/bad.webm cannot be read as sound: ffmpeg" in row["problem"]


def test_label_and_listen_read_them(kws, tmp_path):
    path = write(tmp_path / "x.m4a")
    labelled = kws("label", "--checkpoint", "ds_cnn_s", path)
    assert labelled.exit_code == 0 and labelled.stdout.count("%") == 3
    heard = kws("listen", "--checkpoint", "ds_cnn_s", path)
    assert heard.exit_code == 0 and "keywords in 0:01." in heard.stderr


def test_without_it_the_error_says_the_command(kws, tmp_path, no_ffmpeg):
    assert ffmpeg.program() is None
    (tmp_path / "x.m4a").write_bytes(b"x")
    result = kws("label", "--checkpoint", "ds_cnn_s", tmp_path / "x.m4a")
    assert result.exit_code == 1 and "convert them with ffmpeg -i x.m4a x.wav" in result.stderr
