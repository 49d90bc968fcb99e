"""Layouts of data sets: what names a word, what only gives structure, and what label files say."""
import io
import json
import os
import tarfile
import unicodedata

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given, settings, strategies as st

from kwscli.data import dataset
from kwscli.data.layouts import Place, is_label_file, recognize, word_of
from kwscli.errors import KwsError
from kwscli.labels import UNKNOWN, folded

NOISE = dataset.BACKGROUND
NFC, NFD = unicodedata.normalize("NFC", "schön"), unicodedata.normalize("NFD", "schön")


def layout_of(paths, **label_files):
    """The Layout of these paths and label files: {name with "__" for "." and "//" for "/": text}."""
    texts = {name.replace("__", ".").replace("_IN_", "/"): text for name, text in label_files.items()}
    return recognize(list(paths) + list(texts), lambda name: io.StringIO(texts[name], newline=""))


def words(layout):
    return {path: place.word for path, place in layout.places.items()}


def splits(layout):
    return {path: place.split for path, place in layout.places.items()}


def table(rows, separator="\t"):
    return "".join(separator.join(row) + "\n" for row in rows)


# Folders

@pytest.mark.parametrize("path, word", [
    ("yes/1.wav", "yes"), ("anna/yes/1.wav", "yes"), ("train/yes/1.wav", "yes"), ("train/audio/yes/1.wav", "yes"),
    ("clips/lamp/x.opus", "lamp"), ("Training/Ja/1.wav", "Ja"), ("日本/語.flac", "日本"),
    ("hey marvin/1.wav", "hey marvin"),
    ("1.wav", ""), ("audio/1.wav", ""), ("yes/wav/1.wav", ""), ("test/audio/clip_1.wav", ""), ("CLIPS/x.mp3", ""),
    ("_background_noise_/rain.wav", NOISE), ("noise/1.wav", NOISE), ("train/Background/1.wav", NOISE),
    ("other/1.wav", UNKNOWN), ("_unknown_/1.wav", UNKNOWN), ("Unknown/1.wav", UNKNOWN),
    ("silence/1.wav", ""), ("_silence_/1.wav", ""), ("_private/1.wav", ""), (".trash/1.wav", ""),
])
def test_a_folder_is_a_word_only_where_it_can_be_one(path, word):
    assert word_of(path) == word
    assert words(layout_of([path])) == {path: word}


@pytest.mark.parametrize("name", [
    "train", "val", "validation", "valid", "dev", "test", "training", "testing", "clips", "audio", "wav",
    "wavs", "Test",
])
def test_a_folder_for_structure_is_never_a_word(name):
    for path in ("%s/1.wav", "yes/%s/1.wav", "%s/audio/1.wav"):
        layout = layout_of([path % name])
        assert words(layout) == {path % name: ""} and "is not a word" in layout.places[path % name].why
    assert words(layout_of([name + "/yes/1.wav"])) == {name + "/yes/1.wav": "yes"}


def test_a_word_below_different_parents_is_one_word():
    assert set(words(layout_of(["a/yes/1.wav", "b/yes/1.wav", "b/c/yes/2.wav"])).values()) == {"yes"}


def test_folders_inside_of_a_noise_folder_are_noise_unless_they_are_words_elsewhere():
    found = words(layout_of(["_background_noise_/rain/1.wav", "noise/wav/1.wav", "noise/yes/1.wav", "clean/yes/2.wav"]))
    assert list(found.values()) == [NOISE, NOISE, "yes", "yes"]


def test_what_folders_are_used_for_is_said():
    layout = layout_of(
        ["noise/1.wav", "noise/2.wav", "_background_noise_/a.wav", "other/a.wav", "silence/a.wav", "a.wav"]
    )
    assert layout.notes == [
        "noise: 2 recordings are background noise",
        "other: 1 recordings of unknown words, which can only be _unknown_",
    ]
    assert layout.passed_over == [
        "the folder itself: 1 recordings, not in a word's folder",
        "silence: 1 recordings, not in a word's folder: kws makes its own clips of silence, from background recordings",
    ]


def test_many_folders_that_are_passed_over_are_counted():
    layout = layout_of(["_%02d/%d.wav" % (folder, number) for folder in range(30) for number in range(folder + 1)])
    assert len(layout.passed_over) == 11 and layout.passed_over[0].startswith("_29: 30 recordings")
    assert layout.passed_over[-1] == "20 more folders"


# Splits

def test_kaggles_test_folder_is_passed_over_and_makes_no_word():
    train = ["train/audio/%s/%d.wav" % (word, number) for word in ("yes", "no") for number in range(3)]
    layout = layout_of(train + ["test/audio/clip_%d.wav" % number for number in range(5)])
    assert set(words(layout).values()) == {"yes", "no", ""} and not any(splits(layout).values())
    assert layout.given_splits == () and "into the training split: kws divides them by speaker" in layout.notes[0]
    assert layout.passed_over[0].startswith("test/audio: 5 recordings, not in a word's folder: audio is not a word")


@pytest.mark.parametrize("names", [
    ("train", "validation", "test"), ("training", "val", "testing"), ("Train", "dev", "Test"),
])
def test_splits_that_folders_give_are_kept(names):
    layout = layout_of(["%s/yes/%d.wav" % (name, number) for number, name in enumerate(names)])
    assert list(splits(layout).values()) == ["training", "validation", "testing"] == list(layout.given_splits)
    assert layout.notes == ["The splits are those of the folders or label files: training 1, validation 1, testing 1"]


def test_the_innermost_split_counts():
    assert splits(layout_of(["test/train/yes/1.wav", "train/test/yes/1.wav"])) == {
        "test/train/yes/1.wav": "training", "train/test/yes/1.wav": "testing",
    }


@pytest.mark.parametrize("names", [("test",), ("validation", "test"), ("train",)])
def test_splits_that_cannot_be_trained_on_are_not_kept(names):
    layout = layout_of(["%s/yes/1.wav" % name for name in names])
    assert not any(splits(layout).values()) and layout.given_splits == ()
    assert "kws divides them by speaker instead" in layout.notes[0]


def test_a_missing_split_and_recordings_outside_of_splits_and_shared_speakers_are_said():
    layout = layout_of(["train/yes/anna_nohash_0.wav", "test/yes/anna_nohash_1.wav", "yes/ben_nohash_0.wav"])
    assert layout.given_splits == ("training", "testing")
    assert layout.notes[1:] == [
        "There is no validation split: kws takes some of the training speakers for it",
        "1 recordings are in no split: kws divides them by speaker",
        "1 speakers are in more than one split: the accuracy will look better than it is",
    ]


# Label files

COMMON_VOICE = ("client_id", "path", "sentence", "up_votes", "segment")


def common_voice(*rows):
    return table([COMMON_VOICE] + [(who, path, text, "2", "") for who, path, text in rows])


def test_common_voice():
    paths = ["en/clips/cv_%d.mp3" % number for number in range(7)]
    layout = layout_of(
        paths,
        en_IN_train__tsv=common_voice(("anna", "cv_0.mp3", "Yes"), ("ben", "cv_1", "no."), ("ben", "gone.mp3", "no")),
        en_IN_dev__tsv=common_voice(("cleo", "cv_2.mp3", 'the "cat sat on a mat'), ("cleo", "cv_3.mp3", "Yes")),
        en_IN_test__tsv=common_voice(("dora", "cv_4.mp3", "Hey Marvin")),
        en_IN_validated__tsv=common_voice(("anna", "cv_0.mp3", "Yes"), ("dora", "cv_5.mp3", "no")),
        en_IN_invalidated__tsv=common_voice(("dora", "cv_6.mp3", "no")),
        en_IN_clip_durations__tsv=table([("clip", "duration[ms]"), ("cv_0.mp3", "1000")]),
    )
    assert list(layout.places.values()) == [
        Place("Yes", "training", "anna"), Place("no", "training", "ben"),
        Place("", "validation", "cleo", "not a word: its label has more than 3 words"),
        Place("Yes", "validation", "cleo"), Place("Hey Marvin", "testing", "dora"),
        Place("", "", "", "not in a split: only validated.tsv lists it"),
        Place("", "", "", "not in a split: only invalidated.tsv lists it"),
    ]


def test_common_voice_without_splits_uses_what_is_validated():
    layout = layout_of(["clips/a.mp3", "clips/b.mp3"], validated__tsv=common_voice(("anna", "a.mp3", "Yes")),
                       other__tsv=common_voice(("anna", "b.mp3", "Yes")))
    assert layout.places["clips/a.mp3"] == Place("Yes", "", "anna") and not layout.places["clips/b.mp3"].word


@pytest.mark.parametrize("suffix", [".opus", ".wav"])  # many people convert them
@pytest.mark.parametrize("top", ["", "en/"])
def test_mswc(suffix, top):
    rows = [("TRAIN", "lamp/cv_0", "lamp", "s0"), ("DEV", "lamp/cv_1", "lamp", "s1")]
    rows += [("TEST", "door/cv_0", "door", "s2")]
    text = table([("SET", "LINK", "WORD", "VALID", "SPEAKER", "GENDER")] + [
        (split, link + ".opus", word, "True", speaker, "NAN") for split, link, word, speaker in rows
    ], ",")
    layout = layout_of([top + "clips/" + link + suffix for _, link, _, _ in rows], en_splits__csv=text)
    assert list(layout.places.values()) == [
        Place("lamp", "training", "s0"), Place("lamp", "validation", "s1"), Place("door", "testing", "s2"),
    ]


def test_a_table_for_one_split_gives_it_by_its_name():
    text = table([("LINK", "WORD", "VALID", "SPEAKER", "GENDER"), ("lamp/a.opus", "lamp", "True", "s", "NAN")], ",")
    layout = layout_of(["clips/lamp/a.opus", "clips/lamp/b.opus"], en_dev__csv=text,
                       en_train__csv=text.replace("a.opus", "b.opus"))
    assert splits(layout) == {"clips/lamp/a.opus": "validation", "clips/lamp/b.opus": "training"}


def test_a_table_beside_the_recordings_counts_for_its_own_folder():
    text = "file_name,transcription\n0.wav,%s\n"
    tables = {"train_IN_metadata__csv": text % "yes", "test_IN_metadata__csv": text % "no"}
    layout = layout_of(["train/0.wav", "test/0.wav"], **tables)
    assert list(layout.places.values()) == [Place("yes", "training"), Place("no", "testing")]


@pytest.mark.parametrize("text", ["", "\n", "fname,label\na.wav,silence\n", "path\na.wav\n", '"', "path,x\n\0\n"])
def test_a_table_about_something_else_is_ignored_and_said(text):
    layout = layout_of(["yes/a.wav"], some__csv=text)
    assert layout.notes == ["Not label files, because no line names a recording and a word: some.csv"]
    assert layout._replace(notes=[]) == layout_of(["yes/a.wav"])


@pytest.mark.parametrize("text", ["path,label\nclips/a.wav\n", "path,label\n,,,\n\n", "path,label\nb.wav,yes\n",
                                  "path,label\nclips/a.wav,\n", "path,label\nclips/a.wav,_x\n"])
def test_lines_of_a_table_may_be_incomplete(text):
    assert words(layout_of(["clips/a.wav"], some__csv=text)) == {"clips/a.wav": ""}


def test_a_table_that_cannot_be_read_is_named():
    with pytest.raises(KwsError, match="some.csv cannot be read as a table: field larger.*; repair the file"):
        layout_of(["clips/a.wav"], some__csv="path,label\nclips/a.wav,%s\n" % ("x" * 200000))


def test_edge_impulse_names_recordings_by_their_label():
    layout = layout_of(
        ["training/yes.1.wav", "training/noise.1a2b.wav", "training/_unknown_.3.wav", "testing/yes.2.wav"]
    )
    assert [(place.word, place.split) for place in layout.places.values()] == [
        ("yes", "training"), (NOISE, "training"), (UNKNOWN, "training"), ("yes", "testing"),
    ]


@pytest.mark.parametrize("paths", [
    ["training/yes.1.wav", "training/clip.wav"], ["training/2020.01.02.wav"], ["clips/yes.1.wav"], ["training/.1.wav"],
])
def test_other_names_with_dots_are_no_labels(paths):
    assert not any(words(layout_of(paths)).values())


def info_labels(*files):
    return json.dumps({"version": 1, "files": [
        {"path": path, "name": "x", "category": category, "label": label} for path, category, label in files
    ]})


def test_edge_impulses_label_file():
    layout = layout_of(
        ["training/a.wav", "testing/yes.1.wav", "training/c.wav", "training/d.wav", "training/e.wav"],
        info__labels=info_labels(
            ("training/a.wav", "training", {"type": "label", "label": "yes"}),
            ("testing/yes.1.wav", "testing", {"type": "label", "label": "no"}),
            ("training/c.wav", "training", {"type": "multi-label", "labels": []}),
            ("training/d.wav", "training", {"type": "unlabeled"}),
        ),
    )
    several = "not one word: info.labels gives it no label or several"
    assert list(layout.places.values())[:4] == [
        Place("yes", "training"), Place("no", "testing"), Place("", "training", why=several),
        Place("", "training", why=several),
    ]
    assert not layout.places["training/e.wav"].word


def test_edge_impulses_label_file_may_be_in_each_folder():
    layout = layout_of(["training/a.wav"], training_IN_info__labels=info_labels(
        ("a.wav", "training", {"type": "label", "label": "yes"})
    ))
    assert words(layout) == {"training/a.wav": "yes"}


@pytest.mark.parametrize("text", ["{", "[]", "[" * 10000, "\0"])
def test_a_damaged_label_file_is_named(text):
    with pytest.raises(KwsError, match="info.labels cannot be used: .*; export the data again"):
        layout_of(["training/a.wav"], info__labels=text)


@pytest.mark.parametrize("value", [{}, {"files": 3}, {"files": [3, {}, {"path": 3}, {"path": "a.wav", "label": [1]}]}])
def test_a_label_file_with_other_values_names_no_word(value):
    assert words(layout_of(["training/a.wav"], info__labels=json.dumps(value))) == {"training/a.wav": ""}


# Names

def test_case_and_unicode_forms_are_one_word_and_that_is_said():
    paths = ["Yes/1.wav", "yes/1.wav", "yes/2.wav", NFC + "/1.wav", NFD + "/1.wav", NFD + "/2.wav", "No/1.wav"]
    layout = layout_of(paths)
    assert list(words(layout).values()) == ["yes"] * 3 + [NFC] * 3 + ["No"]
    assert layout.notes == ["Yes, yes are one word: yes", "scho\\u0308n, %s are one word: %s" % (NFC, NFC)]


FOLDER = st.sampled_from(
    ["yes", "Yes", "no", NFC, NFD, "a", "train", "Test", "dev", "clips", "noise", "_background_noise_", "other",
     "silence", "_x", "hey marvin"]
)
FILE = st.sampled_from(["1.wav", "yes.1.wav", "anna_nohash_0.flac", "x.mp3", "x.m4a", "notes.txt", ".a.wav"])
PATHS = st.lists(st.builds(lambda folders, name: "/".join(folders + [name]), st.lists(FOLDER, max_size=3), FILE),
                 unique=True, max_size=12)


@settings(deadline=None, max_examples=200)
@given(PATHS, st.randoms())
def test_any_paths_have_a_layout(paths, random):
    layout = layout_of(paths)
    assert all(bool(place.word) != bool(place.why) for place in layout.places.values())
    for path, place in layout.places.items():
        assert folded(place.word) not in ("train", "test", "dev", "clips", "silence")
        if word_of(path):  # what is known from the path alone stays true
            assert folded(place.word) == folded(word_of(path))
        assert bool(place.split) <= bool(layout.given_splits)
    shuffled = list(paths)
    random.shuffle(shuffled)
    again = layout_of(shuffled)
    assert again.places == layout.places and again.passed_over == layout.passed_over


@settings(deadline=None)
@given(PATHS, st.text(alphabet='path,label\n\t"aw./yes1x', max_size=60), st.sampled_from(["a.csv", "clips/train.tsv"]))
def test_any_table_gives_a_layout_or_an_error_in_one_line(paths, text, name):
    assume(is_label_file(name))
    try:
        layout = recognize(paths + [name], lambda _: io.StringIO(text, newline=""))
    except KwsError as error:
        assert "\n" not in str(error)
        return
    assert set(layout.places) == set(layout_of(paths).places)


# From folders and archives to prepared data

def sound(seed=0, suffix=".wav"):
    file, samples = io.BytesIO(), np.random.RandomState(seed).uniform(-0.3, 0.3, 16000)
    how = {".opus": {"format": "OGG", "subtype": "OPUS"}, ".mp3": {"format": "MP3"}}.get(suffix, {"format": "WAV"})
    soundfile.write(file, samples, 16000, **how)
    return file.getvalue()


def write(folder, contents):
    for path, data in contents.items():
        os.makedirs(os.path.dirname(os.path.join(str(folder), path)), exist_ok=True)
        with open(os.path.join(str(folder), path), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode("utf-8"))


def archive(path, contents):
    with tarfile.open(str(path), "w") as tar:
        for name, data in contents.items():
            data = data if isinstance(data, bytes) else data.encode("utf-8")
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def common_voice_files():
    suffix = ".mp3" if "MP3" in soundfile.available_formats() else ".opus"
    files, number = {}, 0
    for split, count in (("train", 6), ("dev", 2), ("test", 2)):
        rows = []
        for word in ("Yes", "No"):
            for _ in range(count):
                number += 1
                files["en/clips/cv_%d%s" % (number, suffix)] = sound(number, suffix)
                rows.append(("%s%d" % (split, number), "cv_%d%s" % (number, suffix), word))
        files["en/%s.tsv" % split] = common_voice(*rows)  # after the recordings
    return files


def mswc_files():
    rows = [(split, "%s/cv_%d%d.opus" % (word, index, number), word, "True", "s%d%d" % (index, number), "NAN")
            for index, split in enumerate(("TRAIN", "DEV", "TEST")) for word in ("lamp", "door") for number in range(2)]
    files = {"clips/" + row[1]: sound(number, ".opus") for number, row in enumerate(rows)}
    files["zz_splits.csv"] = table([("SET", "LINK", "WORD", "VALID", "SPEAKER", "GENDER")] + rows, ",")
    return files


def edge_impulse_files():
    return {"%s/%s.%d.wav" % (split, word, number): sound(number)
            for split in ("training", "testing") for word in ("yes", "no", "noise") for number in range(3)}


def hugging_face_files():
    return {"%s/%s/%s%d_nohash_0.wav" % (split, word, split, number): sound(number)
            for split in ("train", "validation", "test") for word in ("yes", "no") for number in range(2)}


DATA_SETS = {
    "Common Voice": (common_voice_files, {"Yes": [6, 2, 2], "No": [6, 2, 2]}, 0),
    "MSWC": (mswc_files, {"lamp": [2, 2, 2], "door": [2, 2, 2]}, 0),
    "Edge Impulse": (edge_impulse_files, {"yes": [3, 0, 3], "no": [3, 0, 3]}, 6),
    "Hugging Face": (hugging_face_files, {"yes": [2, 2, 2], "no": [2, 2, 2]}, 0),
}


@pytest.mark.parametrize("packed_as", ["folder", "archive"])
@pytest.mark.parametrize("name", DATA_SETS)
def test_public_layouts_are_prepared_with_their_own_splits(kws, tmp_path, name, packed_as):
    make, expected, noise = DATA_SETS[name]
    if packed_as == "folder":
        write(tmp_path, make())
    else:
        archive(tmp_path / "data.tar", make())
    result = kws("prepare", "--data-path", tmp_path, "--validation-percentage", 0, "--json")
    info = json.loads(result.stdout)
    assert {word: list(map(counts.get, dataset.SPLITS)) for word, counts in info["words"].items()} == expected
    assert len(info["background"]) == noise and any("The splits are those" in note for note in info["notes"])
    loaded = dataset.load(str(tmp_path))
    assert len(loaded.paths) == info["clip_count"] and loaded.counts.sum() == len(loaded._samples)
    with pytest.raises(KwsError, match="the splits of .* come with its recordings.*; leave out --validation-percent"):
        dataset.load(str(tmp_path), 30, 10)


def test_a_missing_validation_split_is_taken_from_the_training_speakers(kws, tmp_path):
    write(tmp_path, {"%s/yes/%s%d_nohash_0.wav" % (split, split, number): sound(number)
                     for split in ("train", "test") for number in range(30)})
    info = json.loads(kws("prepare", "--data-path", tmp_path, "--json", "--validation-percentage", 30).stdout)
    counts = info["words"]["yes"]
    assert counts["testing"] == 30 and 0 < counts["validation"] < 20
    assert counts["training"] + counts["validation"] == 30


@pytest.mark.parametrize("packed_as", ["folder", "archive"])
def test_what_is_not_recognized_is_shown_in_an_error(kws, tmp_path, packed_as):
    files = {"clips/a.wav": sound(), "clips/b.wav": sound(1), "train/wav/1.wav": sound(2)}
    write(tmp_path, files) if packed_as == "folder" else archive(tmp_path / "a.tar", files)
    result = kws("prepare", "--data-path", tmp_path)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and not dataset.is_prepared(str(tmp_path))
    assert "holds no recording of a word (WORD/name.wav)" in result.stderr
    assert "clips: 2 recordings, not in a word's folder: clips is not a word" in result.stderr
    assert "train/wav: 1 recordings" in result.stderr
    assert "put the recordings of each word into a folder that has its name" in result.stderr


def test_prepare_ends_with_what_it_passed_over(kws, tmp_path):
    sounds = {"yes/1.wav": sound(), "clips/a.wav": sound(1), "silence/a.wav": sound(2)}
    write(tmp_path, dict(sounds, **{"README.md": "", "LICENSE": ""}))
    first = kws("prepare", "--data-path", tmp_path).stdout
    assert "Passed over: clips: 1 recordings, not in a word's folder: clips is not a word" in first
    assert "Passed over: silence: 1 recordings, not in a word's folder: kws makes its own clips of silence" in first
    assert "Not recordings: 2 files (.md, no ending)" in first and "    2 not in a word's folder, left out" in first
    assert kws("prepare", "--data-path", tmp_path).stdout.endswith(first)
