"""The labels of a network: `_silence_`, `_unknown_`, then the keywords, in this order everywhere."""
from .errors import KwsError
from .files import replacing

SILENCE = "_silence_"
UNKNOWN = "_unknown_"
SILENCE_INDEX = 0
UNKNOWN_INDEX = 1


def labels_of(keywords):
    """Keywords -> labels: (`_silence_`, `_unknown_`, keywords...)."""
    repeated = sorted({word for word in keywords if keywords.count(word) > 1})
    if repeated:
        raise KwsError("--wanted-words names %s more than once; name every keyword once" % ", ".join(repeated))
    reserved = [word for word in keywords if word.startswith("_")]
    if reserved:
        raise KwsError("%s cannot be a keyword; %s and %s are added by themselves" % (reserved[0], SILENCE, UNKNOWN))
    return (SILENCE, UNKNOWN) + tuple(keywords)


def read_labels(path):
    """A `labels.txt`, one label a line -> tuple of labels."""
    with open(path, encoding="utf-8") as lines:
        try:
            labels = tuple(line.strip() for line in lines if line.strip())
        except UnicodeDecodeError:
            raise KwsError("%s is no text; it should hold one label a line" % path)
    if not labels:
        raise KwsError("%s holds no label; it should have one a line" % path)
    return labels


def write_labels(path, labels):
    """Write `labels.txt` as the field's scripts read it: one label a line."""
    with replacing(path) as lines:
        lines.write("\n".join(labels) + "\n")
