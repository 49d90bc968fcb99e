"""Other words of a language: a list of the user, a list in `lists/`, or numbers, which espeak-ng reads everywhere."""
import itertools
import os
from typing import List, Optional

from ..console import say
from ..errors import KwsError

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lists")
_NUMBERS = [str(number) for number in itertools.chain(range(100), range(100, 1000, 25))]
_FEWEST = 20  # words that are worth a list


def words_of(language: str, path: Optional[str] = None) -> List[str]:
    """Words of a language, separated by white space in the file `path` if it is given."""
    own = os.path.join(_FOLDER, language.split("-")[0].lower() + ".txt")
    if path is None and not os.path.exists(own):
        say("There is no word list for %s: numbers stand for its other words. Give a list with --word-list." % language)
        return list(_NUMBERS)
    try:
        with open(path or own, encoding="utf-8-sig") as file:
            words = list(dict.fromkeys(word for word in file.read().split() if word.isalpha()))
    except UnicodeDecodeError:
        raise KwsError("%s is not a text in UTF-8" % path, "give --word-list a file with a word per line")
    if len(words) < _FEWEST:
        raise KwsError("%s holds %d words" % (path, len(words)), "give a word list with at least %d" % _FEWEST)
    return words
