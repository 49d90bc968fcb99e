"""The files that prepared data is made from: an archive or a folder, and the word folders next to it."""
import os
import shlex
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from ..errors import KwsError
from ..sound import audio
from . import archive, dataset, layouts
from .dataset import PACKED
from .recordings import all_files

PUBLISHED = "speech_commands_v0.02.tar.gz"  # preferred where there are several archives
IN_PLACE = "."  # the source of data that was prepared in the folder of the recordings themselves
FINGERPRINT = "sources.csv"  # in the prepared data: the fingerprint of the files that it is made from
UNPACKED_MARK = ".unpacked-by-kws"  # in a folder that kws unpacked an archive into: the fingerprint of its files
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # operating systems put these files into folders by themselves


class SourceFile(NamedTuple):
    """A file that may decide what the prepared data contains."""

    path: str  # relative to the archive or folder; ../WORD/name in a word folder next to it
    disk_path: str
    name: str  # in the fingerprint; "" for a file of an archive, because the archive itself is in the fingerprint


def find_source(data_path: str, name: Optional[str] = None) -> str:
    """The archive in `data_path`, or `data_path` itself if it holds recordings in folders named after words."""
    if name:
        for path in (name, os.path.join(data_path, name)):
            if os.path.exists(path):
                return path
        raise KwsError(
            "there is no archive or folder %s, neither in the current folder nor in %s" % (name, data_path),
            "check the name after --archive",
        )
    if os.path.isfile(data_path):
        raise KwsError("%s is a file" % data_path, "give the folder that it is in, or use --archive %s" % data_path)
    if not os.path.isdir(data_path):
        raise KwsError(
            "there is no folder %s" % data_path,
            "create it and put %s or a folder of recordings for each word into it, or use --download or --synthesize"
            % PUBLISHED,
        )
    found = archive.names(data_path)
    chosen = [name for name in found if name == PUBLISHED] or found
    if len(chosen) == 1:
        return os.path.join(data_path, chosen[0])
    if found:
        raise KwsError("%s holds several archives (%s)" % (data_path, ", ".join(found)), "choose one with --archive")
    if dataset.is_prepared(data_path) or any(map(_is_recording, all_files(data_path))):
        return data_path
    raise KwsError(
        "%s holds neither an archive (%s) nor a folder of recordings for each word"
        % (data_path, ", ".join(archive.SUFFIXES)),
        "put one there, or use --download or --synthesize",
    )


class Sources:
    """What the prepared data in the folder `out` is made from.

    main: an archive, or a folder with a folder of recordings for each word. data_path: a folder whose own word folders
    are used in addition; "" for none. Names of files are relative to `out` if they are in it, otherwise absolute.
    """

    def __init__(self, out: str, main: str, data_path: str = "") -> None:
        self.out, self.main = out, main
        self.data_path = data_path if os.path.isdir(data_path) and not _same(main, data_path) else ""

    @classmethod
    def recorded(cls, out: str, info: Dict[str, Any]) -> Optional["Sources"]:
        """The sources in dataset.json; None if an older version of kws wrote it."""
        found = info.get("sources")
        if not isinstance(found, dict):
            return None
        main, data_path = str(found.get("main", os.curdir)), str(found.get("data_path", ""))
        return cls(out, _joined(out, main), data_path and _joined(out, data_path))

    def to_json(self) -> Dict[str, Any]:
        """What `recorded` reads, and the word folders for people."""
        return {
            "main": self.name_of(self.main), "data_path": self.data_path and self.name_of(self.data_path),
            "word_folders": self.word_folders(),
        }

    @property
    def is_archive(self) -> bool:
        """Whether the main source is an archive, which is there."""
        return os.path.isfile(self.main)

    def unpacked(self) -> str:
        """The folder that the archive is unpacked into."""
        return os.path.join(self.out, archive.stem(self.main))

    @property
    def source(self) -> str:
        """The name of the main source, for people."""
        in_place = self.name_of(self.main) == os.curdir
        return IN_PLACE if in_place else os.path.basename(os.path.abspath(self.main))

    def word_folders(self) -> List[str]:
        """The names of the folders in the data path that contain recordings of a word."""
        return [
            name for name in self._folders()
            if layouts.word_of(os.path.join(name, "")) and any(map(_is_recording, self._files_in(name)))
        ]

    def not_used(self) -> List[str]:
        """The names of archives, recordings and folders with recordings in the data path that are not used."""
        if not self.data_path:
            return []
        words, folders = self.word_folders(), list(filter(_is_recording, sorted(os.listdir(self.data_path))))
        for name in self._folders():
            found = (os.path.dirname(path) for path in all_files(self._beside(name)) if _is_recording(path))
            if name in words:  # only the recordings directly in it are used
                folders += [os.path.join(name, inside) for inside in sorted(set(found)) if inside]
            elif next(found, None) is not None:
                folders.append(name)
        return folders + [name for name in archive.names(self.data_path) if not _same(self._beside(name), self.main)]

    def files(self) -> Iterator[SourceFile]:
        """Yield all files that are not in an archive."""
        if os.path.isdir(self.main):
            prefix = self._prefix(self.main)
            for path in all_files(self.main):
                yield SourceFile(path, os.path.join(self.main, path), prefix + path)
        prefix = self._prefix(self.data_path) if self.data_path else ""
        for word in self.word_folders():
            for name in self._files_in(word):
                path = os.path.join(word, name)
                yield SourceFile(os.path.join(os.pardir, path), self._beside(path), prefix + path)

    def names(self) -> List[str]:
        """The names of all files that exist now and decide what the prepared data contains; [] without a recording."""
        found = list(self.files())
        relevant = layouts.relevant(file.path for file in found)
        found = [file for file in found if file.path in relevant]
        names = [file.name for file in found] if any(_is_recording(file.path) for file in found) else []
        return [self.name_of(self.main)] * self.is_archive + names

    def without_main(self, names: List[str]) -> List[str]:
        """Those of the names that do not belong to the main source."""
        main, prefix = self.name_of(self.main), self._prefix(self.main)
        return [name for name in names if name != main and not name.startswith(prefix)]

    def name_of(self, path: str) -> str:
        """The name of a file or folder, `.` for `out` itself."""
        if _same(path, self.out):
            return os.curdir
        path, inside = os.path.abspath(path), os.path.join(os.path.abspath(self.out), "")
        return path[len(inside) :] if path.startswith(inside) else path

    def command(self, main: Optional[str] = None) -> str:
        """The command that prepares the sources again. main: the main source, if another one is to be used."""
        data_path = self.data_path or self.out
        command = ["kws", "prepare", "--data-path", data_path]
        if main or _found(data_path) != self.main:
            command += ["--archive", main or self.main]
        command += ["--out", self.out] if self.name_of(data_path) != os.curdir else []
        return " ".join(map(shlex.quote, command))

    def how_to_use_unpacked(self) -> str:
        """What a user can do who has changed the unpacked archive."""
        return (
            "to use the folder as it is now, run %s --force; or move your word folders out of it, next to the archive"
            % self.command(self.unpacked())
        )

    def _prefix(self, folder):
        name = self.name_of(folder)
        return "" if name == os.curdir else os.path.join(name, "")

    def _beside(self, name):
        return os.path.join(self.data_path, name)

    def _files_in(self, name):
        """The names of the files directly in a folder of the data path."""
        with os.scandir(self._beside(name)) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir())

    def _folders(self):
        """The names of the folders in the data path that do not belong to kws or to the main source."""
        taken = [self.out, self.main, self.unpacked()]
        for name in sorted(os.listdir(self.data_path)) if self.data_path else ():
            path = self._beside(name)
            if os.path.isdir(path) and name != PACKED and not name.startswith(".") \
                    and not os.path.exists(os.path.join(path, UNPACKED_MARK)) \
                    and not any(_same(path, other) for other in taken):
                yield name


def unpacked_files(folder: str) -> List[str]:
    """The names of all files in an unpacked archive, also of those that the user added. Links are not followed."""
    found = []
    for inside, folders, names in os.walk(folder):
        within = "" if inside == folder else os.path.relpath(inside, folder)
        links = [name for name in folders if os.path.islink(os.path.join(inside, name))]
        found += [os.path.join(within, name) for name in names + links if name not in LITTER]
    return sorted(name for name in found if name != UNPACKED_MARK)


def _found(data_path):
    try:
        return find_source(data_path)
    except KwsError:
        return None


def _is_recording(name):
    """Whether a file is a recording, even if kws cannot read its format."""
    return audio.is_sound(name) or bool(audio.how_to_convert(name))


def _same(path, other):
    return os.path.realpath(path) == os.path.realpath(other)


def _joined(folder, name):
    return folder if name == os.curdir else os.path.join(folder, name)
