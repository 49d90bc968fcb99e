"""Hard negatives: phrases that sound like a keyword, its parts, and its words in another order.

A network that learns a keyword from clips of the keyword and of unlike words takes everything that resembles it for the
keyword. Phrases from here are trained as `_unknown_`.
"""
import itertools
from typing import Callable, Dict, List, Sequence, Tuple

Phonemes = Tuple[str, ...]
_STRESS = str.maketrans("", "", "',:|-")  # espeak-ng's marks of stress, length and joints
_SHORTEST_PART = 3  # letters of half a word


def sounds(phonemes: Sequence[str]) -> Phonemes:
    """espeak-ng's phonemes without stress and length, which do not tell words apart in a noisy room."""
    return tuple(filter(None, (phoneme.translate(_STRESS) for phoneme in phonemes)))


def distance(one: Phonemes, other: Phonemes) -> int:
    """The least number of phonemes to insert, delete or replace (Levenshtein) that makes one of the other."""
    row = list(range(len(other) + 1))
    for number, phoneme in enumerate(one, 1):
        before, row[0] = row[0], number
        for index, compared in enumerate(other, 1):
            before, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, before + (phoneme != compared))
    return row[-1]


class HardNegatives:
    """Finds hard negatives in a word list. sounds_of: a text -> its Phonemes.

    keywords: none of them, and nothing that sounds the same, is a hard negative.
    """

    def __init__(self, keywords: Sequence[str], words: Sequence[str], sounds_of: Callable[[str], Phonemes]) -> None:
        self._sounds_of = sounds_of
        self._taken = {sounds_of(keyword) for keyword in keywords}
        self._words: Dict[str, Phonemes] = {word: sounds_of(word) for word in words}

    def of(self, phrase: str, count: int) -> List[str]:
        """Up to `count` hard negatives of a phrase: its parts and other orders first, then the most alike."""
        sure = [text for text in _parts(phrase) + _orders(phrase) if self._sounds_of(text) not in self._taken]
        return list(dict.fromkeys(sure + self._alike(phrase, count)))[:count]

    def _alike(self, phrase, count):
        """The phrases that differ from a phrase by as few phonemes as possible, but by one at least."""
        own = self._sounds_of(phrase)
        near = {text: distance(own, self._sounds_of(text)) for text in self._with_other_words(phrase, count)}
        return sorted((text for text in near if near[text] and self._sounds_of(text) not in self._taken),
                      key=lambda text: (near[text], text))[:count]

    def _with_other_words(self, phrase, count):
        """The phrase with each of its words replaced by the words that sound most like it."""
        spoken = phrase.split()
        for index, word in enumerate(spoken):
            for other in self._nearest(word, count):
                yield " ".join(spoken[:index] + [other] + spoken[index + 1 :])

    def _nearest(self, word, count):
        own = self._sounds_of(word)
        near = {other: distance(own, theirs) for other, theirs in self._words.items() if theirs != own}
        return sorted(near, key=lambda other: (near[other], other))[:count]


def _parts(phrase):
    """Each word alone, and the beginning and the end of what is left of a phrase; of a single word, its halves."""
    spoken = phrase.split()
    if len(spoken) > 1:
        return list(dict.fromkeys(spoken + [" ".join(spoken[:-1]), " ".join(spoken[1:])]))
    middle = (len(phrase) + 1) // 2
    return [part for part in (phrase[:middle], phrase[middle:]) if len(part) >= _SHORTEST_PART]


def _orders(phrase):
    """The words in other orders; of a long phrase, only the reverse."""
    spoken = phrase.split()
    orders = itertools.permutations(spoken) if len(spoken) <= 3 else [tuple(reversed(spoken))]
    return [" ".join(order) for order in orders if list(order) != spoken]
