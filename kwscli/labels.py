"""The labels of a network: `_silence_`, `_unknown_`, then the keywords, in this order everywhere."""
import unicodedata
from typing import Sequence, Tuple

from .errors import KwsError
from .files import replacing

SILENCE = "_silence_"
UNKNOWN = "_unknown_"
SILENCE_INDEX = 0
UNKNOWN_INDEX = 1


def folded(word: str) -> str:
    """The form in which words are compared: `Yes` is `yes`, and all Unicode forms of a letter are the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())


def labels_of(keywords: Sequence[str]) -> Tuple[str, ...]:
    """The labels of a network that spots these keywords: `_silence_`, `_unknown_`, keywords..."""
    forms = [folded(word) for word in keywords]
    repeated = sorted({word for word, form in zip(keywords, forms) if forms.count(form) > 1})
    if repeated:
        raise KwsError("the keywords have %s more than once" % ", ".join(repeated), "give each keyword once")
    reserved = [word for word in keywords if word.startswith("_")]
    if reserved:
        raise KwsError(
            "%s cannot be a keyword, because it begins with _" % reserved[0],
            "leave it out; kws adds %s and %s itself" % (SILENCE, UNKNOWN),
        )
    return (SILENCE, UNKNOWN) + tuple(keywords)


def read_labels(path: str) -> Tuple[str, ...]:
    """Read a `labels.txt`, which has one label per line."""
    with open(path, encoding="utf-8") as lines:
        try:
            labels = tuple(line.strip() for line in lines if line.strip())
        except UnicodeDecodeError:
            raise KwsError("%s is not a text file" % path, "give a file with one label per line")
    if not labels:
        raise KwsError("%s holds no labels" % path, "give a file with one label per line")
    return labels


def write_labels(path: str, labels: Sequence[str]) -> None:
    """Write a `labels.txt` as the field's scripts read it: one label per line."""
    with replacing(path) as lines:
        lines.write("\n".join(labels) + "\n")
