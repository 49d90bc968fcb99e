"""The files that prepared data is made from, and how they differ from it later."""
import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ..sound import audio
from . import archive
from .dataset import BACKGROUND, PACKED
from .recordings import recordings, sound_files

UNPACKED_MARK = ".unpacked-by-kws"  # in a folder that kws unpacked an archive into: the fingerprint of its files
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # operating systems put these files into folders by themselves


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

    def word_folders(self) -> List[str]:
        """The names of the folders in the data path that contain recordings of a word."""
        return [name for name in self._folders() if _is_word(name) and _has_sounds_itself(self._beside(name))]

    def not_used(self) -> List[str]:
        """The names of archives in the data path, and of folders with sound files, that are not used."""
        if not self.data_path:
            return []
        words = set(self.word_folders())
        folders = [name for name in self._folders() if name not in words and _has_sounds(self._beside(name))]
        return folders + [name for name in archive.names(self.data_path) if not _same(self._beside(name), self.main)]

    def recordings(self) -> Iterator[Tuple[str, str, str]]:
        """Yield (folder, path of a recording in that folder, name of the file) of all that is not in an archive."""
        if os.path.isdir(self.main):
            prefix = self._prefix(self.main)
            for path in recordings(self.main):
                yield self.main, path, prefix + path
        for word in self.word_folders():
            prefix = self._prefix(self.data_path)
            for name in sorted(filter(audio.is_sound, os.listdir(self._beside(word)))):
                path = os.path.join(word, name)
                yield self.data_path, path, prefix + path

    def names(self) -> List[str]:
        """The names of all files that exist now."""
        return [self.name_of(self.main)] * self.is_archive + [name for _, _, name in self.recordings()]

    def without_main(self, names: List[str]) -> List[str]:
        """Those of the names that do not belong to the main source."""
        prefix = self._prefix(self.main)
        return [name for name in names if name != self.name_of(self.main) and not name.startswith(prefix)]

    def name_of(self, path: str) -> str:
        """The name of a file or folder, `.` for `out` itself."""
        if _same(path, self.out):
            return os.curdir
        path, inside = os.path.abspath(path), os.path.join(os.path.abspath(self.out), "")
        return path[len(inside) :] if path.startswith(inside) else path

    def _prefix(self, folder):
        name = self.name_of(folder)
        return "" if name == os.curdir else os.path.join(name, "")

    def _beside(self, name):
        return os.path.join(self.data_path, name)

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


def _is_word(name):
    return name == BACKGROUND or not name.startswith("_")


def _has_sounds_itself(folder):
    return any(map(audio.is_sound, os.listdir(folder)))


def _has_sounds(folder):
    return any(True for _ in sound_files(folder))


def _same(path, other):
    return os.path.realpath(path) == os.path.realpath(other)


def _joined(folder, name):
    return folder if name == os.curdir else os.path.join(folder, name)
