"""Which word, split and speaker a recording has, from the paths of a data set and from the label files in it.

The folder that a recording is in names its word: WORD/name.wav, at any depth. Some folders never name a word: those
for splits and formats (`train`, `clips`, `wav`), for noise, for silence and for unknown words. Label files name the
words of recordings that are not in a word's folder, and the splits and speakers of all recordings.
"""
import collections
import csv
import functools
import os
import posixpath
import re
import unicodedata
from typing import Callable, Dict, Iterable, List, NamedTuple, Set, Tuple

from .. import files
from ..errors import KwsError
from ..labels import UNKNOWN, folded
from ..sound import audio
from ..sound.label_track import Spoken
from . import cuts
from .dataset import BACKGROUND, SPLITS, speaker_of

_SPLIT_OF = {
    "train": "training", "training": "training", "val": "validation", "valid": "validation",
    "validation": "validation", "dev": "validation", "test": "testing", "testing": "testing",
}
# Folders that say how the recordings are stored, not what is spoken in them.
_STRUCTURE = set(_SPLIT_OF) | set(
    "clips audio audios wav wavs mp3 flac opus ogg recordings sounds samples dataset datasets".split()
)
# These are compared without the characters that are not letters or digits: `_background_noise_` is `backgroundnoise`.
_NOISE = set("noise noises background backgrounds backgroundnoise backgroundnoises".split())
_SILENCE = set("silence silences silent".split())
_OTHER_WORDS = set("unknown unknowns other others".split())
# The columns of a label table by their use, as Common Voice, MSWC, Hugging Face and kws itself name them.
_COLUMNS = {
    "path": ("path", "file_name", "filename", "file", "link"),
    "word": ("word", "label", "sentence", "transcription", "text"),
    "split": ("set", "split"),
    "speaker": ("client_id", "speaker", "speaker_id"),
}
_EDGE_IMPULSE = "info.labels"
_REJECTED = ("invalidated.tsv", "other.tsv")  # of Common Voice: recordings that listeners did not confirm
_SILENT = "not in a word's folder: kws makes its own clips of silence, from background recordings"
# A folder of such a name, in a word's folder or around it, is the speaker of its recordings: speaker-anna, spk01.
_SPEAKER_FOLDER = re.compile(r"(?:speaker|spkr?|user|person)(?:[_-]?\d+|[_-]\w[\w-]*)$", re.IGNORECASE)
_MAX_WORDS = 3  # of one keyword; a longer text is a sentence
_MAX_FOLDERS = 10  # that are listed one by one


class Place(NamedTuple):
    """Where a recording belongs in the prepared data."""

    word: str  # BACKGROUND for noise, _unknown_ for a word that has no name, "" for a recording that is not used
    split: str = ""  # "" if the speaker decides
    speaker: str = ""  # "" if unknown
    why: str = ""  # why the recording is not used


class Layout(NamedTuple):
    """What is known about the recordings of a data set."""

    places: Dict[str, Place]  # {path: Place} of every sound file, or of every part of one that is cut
    given_splits: Tuple[str, ...]  # the splits that folders or label files give; () if speakers decide
    notes: List[str]  # what the user should know about it
    cuts: Dict[str, List[Tuple[str, Spoken]]]  # {path: (name, label) of each part} of the recordings that are cut
    passed_over: List[str]  # the folders whose recordings are not used, with the number of recordings and the reason


def is_label_file(path: str) -> bool:
    """Whether a file may name words: Edge Impulse's info.labels, or a table."""
    name = os.path.basename(path).lower()
    return name == _EDGE_IMPULSE or name.endswith((".csv", ".tsv")) and not name.startswith(".")


def relevant(paths: Iterable[str]) -> Set[str]:
    """The files that decide what the prepared data contains, and recordings that must be converted first."""
    paths = list(paths)
    found = {path for path in paths
             if audio.is_sound(path) or is_label_file(path) or audio.how_to_convert(path)}
    return found | cuts.relevant(paths, word_of)


def word_of(path: str) -> str:
    """The word of a recording if its path alone tells it, otherwise "". For background recordings: BACKGROUND.

    Whatever other files there are, `recognize` finds the same word.
    """
    folders = _folders(path)
    if not folders or _is_structure(folders[-1]) or any(_is_noise(folder) for folder in folders[:-1]):
        return ""
    return _meaning(folders[-1])[0]


def recognize(paths: Iterable[str], lines_of: Callable[[str], Iterable[str]]) -> Layout:
    """Find the place of every sound file among these paths, which are relative to the data set.

    lines_of: returns the lines of a label file, given its path.
    """
    paths = list(paths)
    sounds = [path for path in paths if audio.is_sound(path)]
    listed = _Listed(sounds)
    listed.read([path for path in paths if is_label_file(path)], lines_of)
    folders = collections.defaultdict(list)
    for path in sounds:
        folders[os.path.dirname(path)].append(path)
    words = {folded(word_of(inside[0])) for inside in folders.values()}
    places = {}
    for inside in folders.values():
        named = _folder_place(inside, words)
        for path in inside:
            places[path] = _place(path, named, listed)
    notes = listed.notes() + _notes_on_names(places)
    notes += _notes_on_grid(places)
    parts = _cut(places, cuts.beside(paths), lines_of, notes)
    _unite_forms(places, notes)
    given = _settle_splits(places, notes)
    names = [name for path in sounds for name in ([part for part, _ in parts[path]] if path in parts else [path])]
    return Layout({name: places[name] for name in names}, given, notes, parts, _passed_over(places))


def _cut(places, tracks, lines_of, notes):
    """Replace recordings that have a label track, and no word, by their parts -> {path: [(name, label), ...]}."""
    parts = {}
    for path, track_path in sorted(tracks.items()):
        track, whole = cuts.read(track_path, lines_of(track_path)), places[path]
        if whole.word and not track.problem:
            notes.append("%s is not used, because %s has a word already" % (track_path, path))
        elif not whole.word and track.problem:
            places[path] = whole._replace(why="%s, and %s" % (whole.why, track.problem))
        if whole.word or track.problem:
            continue
        del places[path]
        parts[path] = [(cuts.name_of(path, number), label) for number, label in enumerate(track.spoken, 1)]
        for name, label in parts[path]:
            word, why = _label_meaning(label.word)
            places[name] = whole._replace(word=word, why=why)
        notes.append("%s: cut into %d recordings, as %s says" % (path, len(track.spoken), os.path.basename(track_path)))
    return parts


def _place(path, named, listed):
    """The place of a recording. named: the place that its folder gives; the label files have the details."""
    place = named or Place("", _folder_split(path))
    entry = listed.get(path)
    if entry:
        word, why = (place.word, place.why) if place.word or place.why == _SILENT else (entry.word, entry.why)
        place = Place(word, entry.split or place.split, entry.speaker, why)
    elif not named:
        word, why = _label_meaning(os.path.basename(path).split(".")[0])
        place = place._replace(word=word, why=why)
    return place._replace(speaker=place.speaker or _speaker(path))


def _folder_place(inside, words):
    """The place that a folder gives to its recordings, or None if the name of each begins with its label.

    inside: the paths of all its recordings. words: the folded words of all folders.
    """
    folders, split = _folders(inside[0]), _folder_split(inside[0])
    if not folders:
        return Place("", why="not in a word's folder")
    noise = any(_is_noise(folder) for folder in folders[:-1])
    if noise and (_is_structure(folders[-1]) or folded(folders[-1]) not in words):
        return Place(BACKGROUND, split)
    if folded(folders[-1]) in _SPLIT_OF and all(_begins_with_label(path) for path in inside):
        return None
    if _is_structure(folders[-1]):
        why = "not in a word's folder: %s is not a word, and no label file names its recordings" % folders[-1]
        return Place("", split, why=why)
    word, why = _meaning(folders[-1])
    return Place(word, split, why=why)


def _meaning(name):
    """(the word that a folder or a label names, "") or ("", why it names no word)."""
    plain = _plain(name)
    if plain in _NOISE:
        return BACKGROUND, ""
    if plain in _OTHER_WORDS:
        return UNKNOWN, ""
    if plain in _SILENCE:
        return "", _SILENT
    if not name.strip() or name.startswith(("_", ".")):
        return "", "not in a word's folder: %s is not a word" % (name.strip() or "an empty name")
    return name, ""


def _label_meaning(label):
    """As `_meaning`, for the text in a label file."""
    name = " ".join(label.split()).rstrip(".,;:!? ")
    if len(name.split()) > _MAX_WORDS:
        return "", "not a word: its label has more than %d words" % _MAX_WORDS
    return _meaning(name)


@functools.lru_cache(maxsize=4096)  # many recordings are in few folders
def _plain(name):
    return re.sub(r"[\W_]+", "", folded(name))


def _is_noise(folder):
    return _plain(folder) in _NOISE


def _is_structure(folder):
    return folded(folder) in _STRUCTURE


def _folders(path):
    """The names of the folders that a path goes through, without those that name a speaker."""
    return [name for name in path.replace(os.sep, "/").split("/")[:-1] if not _SPEAKER_FOLDER.match(name)]


def _speaker(path):
    """The speaker that the name of a recording gives, or that of one of its folders, or ""."""
    named = (name for name in reversed(path.replace(os.sep, "/").split("/")[:-1]) if _SPEAKER_FOLDER.match(name))
    return speaker_of(path) or next(named, "")


def _folder_split(path):
    """The split that the innermost folder for a split gives, or ""."""
    return next((_SPLIT_OF[folded(name)] for name in reversed(_folders(path)) if folded(name) in _SPLIT_OF), "")


def _begins_with_label(path):
    """Whether a file is named as Edge Impulse names it: `yes.1a2b3c.wav`."""
    parts = os.path.basename(path).split(".")
    return len(parts) > 2 and bool(parts[0]) and not parts[0].isdigit()


class _Listed:
    """What label files say about recordings."""

    def __init__(self, sounds):
        self._sounds = sounds
        self._by_key, self._by_end = collections.defaultdict(list), collections.defaultdict(list)  # {key: paths}
        self._exact, self._loose = {}, {}  # {path: Place} where a label file names the whole path, or only its end
        self._used, self._missing = collections.Counter(), collections.defaultdict(list)  # {label file: count, names}
        self._no_table = []  # label files by their ending, but not by their columns

    def get(self, path):
        """The Place that a label file gives to a recording, or None."""
        return self._exact.get(path) or self._loose.get(path)

    def read(self, paths, lines_of):
        """Read label files. Where two of them name a recording, those that give splits come first."""
        if paths:
            self._index()
        tables = [path for path in paths if os.path.basename(path).lower() != _EDGE_IMPULSE]
        with_splits = {os.path.dirname(path) for path in tables if _table_split(path)}
        for path in sorted(set(paths) - set(tables)):
            for name, place in _edge_impulse(path, "".join(lines_of(path))):
                self._add(path, name, place)
        for path in sorted(tables, key=lambda path: (not _table_split(path), path)):
            name = os.path.basename(path).lower()
            unused = ""
            if name in _REJECTED or name == "validated.tsv" and os.path.dirname(path) in with_splits:
                unused = "not in a split: only %s lists it" % os.path.basename(path)
            rows = list(_table(path, lines_of(path)))
            self._no_table += [] if rows else [path]
            for recording, place in rows:
                self._add(path, recording, Place("", why=unused) if unused else place)

    def notes(self):
        """A line per label file: how many recordings it names, and those that are not there."""
        lines = []
        for path in sorted(set(self._used) | set(self._missing)):
            missing = self._missing[path]
            lines.append("%s is a label file: it names %d recordings%s" % (
                path, self._used[path],
                ", and %d that are not there, such as %s" % (len(missing), missing[0]) if missing else "",
            ))
        tracks = set(cuts.beside(self._sounds + self._no_table).values())
        others = sorted(set(self._no_table) - tracks)
        if others:
            lines.append("Not label files, because no line names a recording and a word: %s" % ", ".join(others))
        return lines

    def _index(self):
        for path in self._sounds:
            key = _key(path)
            self._by_key[key].append(path)
            for end in {_end(key, 1), _end(key, 2)}:
                self._by_end[end].append(path)

    def _add(self, label_file, name, place):
        folder = os.path.dirname(label_file).replace(os.sep, "/")
        whole = [path for inside in ("", "clips")
                 for path in self._by_key.get(_key(posixpath.join(folder, inside, name)), ())]
        for path in whole:
            self._exact.setdefault(path, place)
        found = self._by_end.get(_end(_key(name), 2), ())
        if len(found) == 1:
            self._loose.setdefault(found[0], place)
        if whole or len(found) == 1:
            self._used[label_file] += 1
        else:
            self._missing[label_file].append(name)


def _end(key, count):
    return "/".join(key.split("/")[-count:])


def _key(path):
    """A path in the form in which label files and file systems agree: no ending, one Unicode form."""
    path = posixpath.normpath(path.replace(os.sep, "/").strip())
    stem, suffix = posixpath.splitext(path)
    return unicodedata.normalize("NFC", stem if suffix.lower() in audio.SUFFIXES + audio.CONVERTIBLE else path)


def _table_split(path):
    """The split that the name of a table gives: `en_train.csv` -> training; otherwise ""."""
    return _SPLIT_OF.get(re.split(r"[_.-]", os.path.basename(path).lower())[-2], "")


def _table(path, lines):
    """Yield (path of a recording, Place) of each line of a label table. A table about something else yields nothing."""
    how = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.lower().endswith(".tsv") else {}
    rows = csv.reader(lines, **how)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
    except csv.Error:
        return
    columns = {use: next((header.index(name) for name in names if name in header), None)
               for use, names in _COLUMNS.items()}
    if columns["path"] is None or columns["word"] is None:
        return

    def cell(row, use):
        column = columns[use]
        return row[column] if column is not None and column < len(row) else ""

    try:
        for row in rows:
            if not cell(row, "path"):
                continue
            word, why = _label_meaning(cell(row, "word"))
            split = _SPLIT_OF.get(cell(row, "split").strip().lower(), "") or _table_split(path)
            yield cell(row, "path"), Place(word, split, cell(row, "speaker").strip(), why)
    except csv.Error as error:
        raise KwsError("%s cannot be read as a table: %s" % (path, error), "repair the file, or move it away")


def _edge_impulse(path, text):
    """Yield (path of a recording, Place) of each file in an info.labels of Edge Impulse."""
    listed = files.parse_json(text, path, "export the data again, or move the file away").get("files")
    for one in listed if isinstance(listed, list) else []:
        if not isinstance(one, dict) or not isinstance(one.get("path"), str):
            continue
        label = one.get("label")
        label = label.get("label") if isinstance(label, dict) and label.get("type", "label") == "label" else None
        word, why = "", "not one word: %s gives it no label or several" % _EDGE_IMPULSE
        if isinstance(label, str):
            word, why = _label_meaning(label)
        yield one["path"], Place(word, _SPLIT_OF.get(str(one.get("category")).lower(), ""), why=why)


def _notes_on_grid(places):
    """A line where a word's folders have the same names in several other folders: they may be those of speakers."""
    parents = collections.defaultdict(set)
    for path, place in places.items():
        if place.word not in ("", BACKGROUND, UNKNOWN) and len(_folders(path)) > 1:
            outer, inner = _folders(path)[-2:]
            if not _is_structure(outer):
                parents[inner].add(outer)
    shared = [name for name, outer in parents.items() if len(outer) > 1]
    if not shared:
        return []
    outer, inner = sorted(parents[shared[0]])[0], shared[0]
    return ["%s/%s and other folders inside of folders: %s is taken as the word. If it is the speaker, rename it to "
            "speaker-%s" % (outer, inner, inner, inner)]


def _notes_on_names(places):
    """Lines about folders that are used for something else than a word."""
    noise, others = collections.Counter(), collections.Counter()
    for path, place in places.items():
        if place.word == BACKGROUND and BACKGROUND not in _folders(path):
            noise[os.path.dirname(path)] += 1
        elif place.word == UNKNOWN:
            others[os.path.dirname(path)] += 1
    notes = ["%s: %d recordings are background noise" % one for one in sorted(noise.items())]
    return notes + [
        "%s: %d recordings of unknown words, which can only be _unknown_" % one for one in sorted(others.items())
    ]


def _unite_forms(places, notes):
    """Give words that differ only in case or in their Unicode form one name, the one with the most recordings."""
    counts = collections.defaultdict(collections.Counter)
    for place in places.values():
        if place.word:
            counts[folded(place.word)][place.word] += 1
    names = {}
    for forms in counts.values():
        name = max(forms, key=lambda form: (forms[form], form))
        names.update(dict.fromkeys(forms, unicodedata.normalize("NFC", name)))
        if len(forms) > 1:
            notes.append("%s are one word: %s" % (", ".join(map(_shown, sorted(forms))), names[name]))
    for path, place in places.items():
        if place.word and names[place.word] != place.word:
            places[path] = place._replace(word=names[place.word])


def _shown(word):
    """A word so that its Unicode form is visible where it is not the usual one."""
    return word if unicodedata.normalize("NFC", word) == word else ascii(word)[1:-1]


def _settle_splits(places, notes):
    """Keep the given splits if they are complete enough to train on, or remove them all; return those that are kept."""
    used = {path: place for path, place in places.items() if place.word not in ("", BACKGROUND)}
    counts = collections.Counter(place.split for place in used.values())
    given = tuple(split for split in SPLITS if counts[split])
    if given[:1] != ("training",) or len(given) == 1:
        if given:
            notes.append("Folders or label files put all words into the %s split: kws divides them by speaker instead"
                         % " and ".join(given))
        for path, place in places.items():
            places[path] = place._replace(split="")
        return ()
    notes.append("The splits are those of the folders or label files: %s"
                 % ", ".join("%s %d" % (split, counts[split]) for split in given))
    for split in set(SPLITS) - set(given):
        notes.append("There is no %s split: kws takes some of the training speakers for it" % split)
    if counts[""]:
        notes.append("%d recordings are in no split: kws divides them by speaker" % counts[""])
    splits_of = collections.defaultdict(set)
    for place in used.values():
        if place.speaker and place.split:
            splits_of[place.speaker].add(place.split)
    shared = sum(len(splits) > 1 for splits in splits_of.values())
    if shared:
        notes.append("%d speakers are in more than one split: the accuracy will look better than it is" % shared)
    return given


def _passed_over(places):
    """A line per folder with recordings that are not used, from the folder with the most recordings down."""
    counts = collections.Counter((os.path.dirname(path), place.why) for path, place in places.items() if not place.word)
    found = ["%s: %d recordings, %s" % (folder or "the folder itself", count, why)
             for (folder, why), count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
    more = found[_MAX_FOLDERS:]
    return found[:_MAX_FOLDERS] + (["%d more folders" % len(more)] if more else [])
