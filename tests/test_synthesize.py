"""The synthesised corpus: its layout, its sound, and that it is whole or absent."""
import hashlib
import os
import subprocess
import sys
import types
import wave

import numpy as np
import pytest

from kwscli.data import synthesize as module
from kwscli.data.synthesize import ACCENTS, DEFAULT_WORDS, SPEAKERS, VARIANTS, synthesize
from kwscli.errors import KwsError
from kwscli.settings import KEYWORDS
from kwscli.sound.feature_settings import FeatureSettings
from kwscli.sound.features import features as features_of

WORDS = ("yes", "stop")
VOICES = (("en-us", "m3"), ("en-gb-scotland", "f4"), ("en", "klatt2"))


@pytest.fixture
def short(monkeypatch):
    """Backgrounds of two seconds."""
    monkeypatch.setattr(module, "BACKGROUND_SAMPLES", 2 * module.SAMPLE_RATE)


@pytest.fixture
def espeak(short):
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (the extra kwscli[synthesis])")


def read(path):
    with wave.open(str(path), "rb") as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 16000)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.float32) / 32768


def files(folder):
    """{path below `folder`: SHA-1 of the bytes}"""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in folder.rglob("*") if path.is_file()
    }


def test_layout_of_speech_commands(espeak, tmp_path):
    folder = synthesize(tmp_path / "deep" / "corpus", WORDS, seed=1, speakers=VOICES)
    assert folder == tmp_path / "deep" / "corpus"
    assert [entry.name for entry in folder.parent.iterdir()] == ["corpus"]
    assert {path for path in files(folder) if not path.startswith("_")} == {
        "%s/%s-%s_nohash_%d.wav" % (word, accent, variant, take)
        for word in WORDS for accent, variant in VOICES for take in (0, 1)
    }
    assert sorted(path.stem for path in (folder / "_background_noise_").iterdir()) == [
        "babble", "brown_noise", "mains_hum", "pink_noise", "typing", "white_noise",
    ]


def test_clips_are_a_second_and_differ(espeak, tmp_path):
    folder = synthesize(tmp_path / "corpus", WORDS, seed=1, speakers=VOICES)
    for path in folder.glob("[a-z]*/*.wav"):
        clip = read(path)
        assert len(clip) == 16000
        assert 0.09 < np.abs(clip).max() < 0.85
        assert not np.any(np.all(clip.reshape(100, 160) == 0, axis=1)), "digital silence"
        loud = np.flatnonzero(np.abs(clip) > 0.2 * np.abs(clip).max())
        assert 1000 < loud[-1] - loud[0] < module.LONGEST_WORD_SAMPLES
    for path in (folder / "_background_noise_").iterdir():
        samples = read(path)
        assert len(samples) == module.BACKGROUND_SAMPLES
        assert np.abs(samples).max() == pytest.approx(0.7, abs=0.001)
    assert len(set(files(folder).values())) == len(files(folder))


def test_same_seed_same_bytes(espeak, tmp_path):
    first = files(synthesize(tmp_path / "first", WORDS, seed=7, speakers=VOICES))
    assert files(synthesize(tmp_path / "again", WORDS, seed=7, speakers=VOICES)) == first
    other = files(synthesize(tmp_path / "other", WORDS, seed=8, speakers=VOICES))
    assert other.keys() == first.keys()
    assert not set(other.values()) & set(first.values())


def test_same_bytes_in_another_process(espeak, tmp_path):
    """No voice depends on what memory held before: glibc fills it with a pattern here."""
    program = "import sys; from kwscli.data import synthesize as module; module.BACKGROUND_SAMPLES = 32000; " \
        "module.synthesize(sys.argv[1], ('yes',), speakers=module.SPEAKERS[:%d], takes=1)" % len(VARIANTS)
    for folder, pattern in (("one", "37"), ("two", "210")):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / folder)], check=True,
            env=dict(os.environ, MALLOC_PERTURB_=pattern, PYTHONPATH=os.pathsep.join(sys.path)),
        )
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert {accent for accent, _ in SPEAKERS[: len(VARIANTS)]} == {ACCENTS[0]}, "every variant was compared"


def test_words_can_be_told_apart(espeak, tmp_path):
    """The nearest centroid of aligned features knows the words of voices that it was not made of."""
    words, speakers = ("yes", "stop", "marvin"), SPEAKERS[::11]
    folder = synthesize(tmp_path / "corpus", words, speakers=speakers, takes=1)
    features = np.array([[_aligned(folder, word, speaker) for speaker in speakers] for word in words])
    centroids = features[:, : len(speakers) // 2].mean(axis=1)
    unseen = features[:, len(speakers) // 2 :]
    distances = ((unseen[:, :, np.newaxis] - centroids) ** 2).sum(axis=(-1, -2))
    assert (distances.argmin(axis=-1) == np.arange(len(words))[:, np.newaxis]).mean() > 0.8


def _aligned(folder, word, speaker):
    """Features [15, coefficients] of a clip, from the beginning of the word to its end."""
    clip = read(folder / word / ("%s-%s_nohash_0.wav" % speaker))
    loud = np.flatnonzero(np.abs(clip) > 0.1 * np.abs(clip).max()) // 320
    found = features_of(clip[np.newaxis], FeatureSettings())[0]
    return found[np.linspace(loud[0], loud[-1], 15).round().astype(int).clip(0, len(found) - 1), 1:]


def test_leftovers_are_removed(espeak, tmp_path):
    (tmp_path / ".corpus.kws.part" / "old").mkdir(parents=True)
    (tmp_path / "corpus").mkdir()
    folder = synthesize(str(tmp_path / "corpus"), ("go",), speakers=VOICES[:1], takes=1)
    assert sorted(entry.name for entry in folder.iterdir()) == ["_background_noise_", "go"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["corpus"]


def test_interrupted_work_leaves_nothing(espeak, tmp_path, monkeypatch):
    def interrupt(*what):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "recorded", interrupt)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "corpus", WORDS, speakers=VOICES)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    synthesize(tmp_path / "corpus", ("go",), speakers=VOICES[:1], takes=1)


def test_long_words_are_said_faster(espeak, tmp_path):
    folder = synthesize(tmp_path / "corpus", ("turn on the kitchen light",), speakers=VOICES[:1], takes=1)
    assert len(read(folder / "turn on the kitchen light" / "en-us-m3_nohash_0.wav")) == 16000
    with pytest.raises(KwsError, match="to say, but a clip lasts 1.0 s; choose something shorter"):
        synthesize(tmp_path / "other", ("antidisestablishmentarianism and incomprehensibilities",), speakers=VOICES[:1])
    assert [entry.name for entry in tmp_path.iterdir()] == ["corpus"]


def test_nothing_to_say(espeak, tmp_path):
    with pytest.raises(KwsError, match=r"espeak-ng says nothing for '\?\?\?'; write it as it sounds"):
        synthesize(tmp_path / "corpus", ("yes", "???"), speakers=VOICES[:1])


def test_unknown_voice(espeak, tmp_path):
    with pytest.raises(KwsError, match=r"this espeak-ng has no voice xx\+m1"):
        synthesize(tmp_path / "corpus", WORDS, speakers=(("xx", "m1"),))


@pytest.mark.parametrize(
    "word", ["", " ", "..", ".", "a/b", "a\\b", "_unknown_", ".hidden", "a\nb", "\0", "\udcff", "x" * 61]
)
def test_words_that_cannot_name_a_folder(tmp_path, word):
    with pytest.raises(KwsError, match="cannot be a word here, because a folder is named after each word"):
        synthesize(tmp_path / "corpus", ("yes", word))
    assert list(tmp_path.iterdir()) == []


def test_no_words(tmp_path):
    with pytest.raises(KwsError, match="no word to synthesise"):
        synthesize(tmp_path / "corpus", ())


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(KwsError, match="exists already; delete it, or choose another folder"):
            synthesize(path, WORDS)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(KwsError, match="cannot write the synthesised words to .*corpus: Not a directory"):
        synthesize(tmp_path / "notes.txt" / "corpus", WORDS)


def fake_loader(monkeypatch, library, data):
    loader = types.SimpleNamespace(get_library_path=lambda: str(library), get_data_path=lambda: str(data))
    monkeypatch.setitem(sys.modules, "espeakng_loader", loader)


def test_espeak_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(KwsError, match=r'run: pip install "kwscli\[synthesis\]"'):
        synthesize(tmp_path / "corpus", WORDS)
    assert list(tmp_path.iterdir()) == []


def test_espeak_library_that_does_not_load(tmp_path, monkeypatch):
    (tmp_path / "libespeak-ng.so").write_bytes(b"not a library")
    fake_loader(monkeypatch, tmp_path / "libespeak-ng.so", tmp_path)
    with pytest.raises(KwsError, match="espeak-ng cannot be loaded: .*libespeak-ng.so"):
        synthesize(tmp_path / "corpus", WORDS)


def test_espeak_without_its_data(espeak, tmp_path, monkeypatch):
    import espeakng_loader

    fake_loader(monkeypatch, espeakng_loader.get_library_path(), tmp_path / "absent")
    with pytest.raises(KwsError, match="espeak-ng finds no voices in .*absent"):
        synthesize(tmp_path / "corpus", WORDS)


def test_espeak_in_a_deep_folder(espeak, tmp_path, monkeypatch):
    import espeakng_loader

    deep = tmp_path / ("x" * 200)
    deep.mkdir()
    (deep / "data").symlink_to(espeakng_loader.get_data_path())
    fake_loader(monkeypatch, espeakng_loader.get_library_path(), deep / "data")
    synthesize(tmp_path / "corpus", ("go",), speakers=VOICES[:1], takes=1)


def test_default_corpus():
    assert DEFAULT_WORDS[: len(KEYWORDS)] == KEYWORDS
    assert len(set(DEFAULT_WORDS)) == 20
    assert 150 <= len(set(SPEAKERS)) == len(SPEAKERS) <= 200
