"""`kws models --pretrained`: the model cards of the networks in the package, as text or JSON. No TensorFlow."""
import json
import textwrap
from typing import Any, Dict, Iterator

from . import console, pretrained
from .labels import SILENCE, UNKNOWN
from .settings import flag_of
from .sound import feature_settings

_WIDTH = 100  # columns of text


def report(as_json: bool = False) -> str:
    """The cards of all networks in the package."""
    cards = [pretrained.card(name) for name in pretrained.names()]
    return json.dumps(cards, indent=1) if as_json else "\n\n\n".join(map(text, cards))


def text(card: Dict[str, Any]) -> str:
    """A card for a person to read."""
    parts = [
        card["name"], _table(_facts(card)), "Accuracy\n" + console.table(_accuracy(card), "<>"),
        "Per label\n" + console.table(_per_label(card), "<>"),
        "Known weaknesses\n" + "\n".join(_wrapped(one, "- ") for one in card["known_weaknesses"]),
    ]
    return "\n\n".join(parts)


def _facts(card):
    """(what, value) of all but the measurements."""
    data, features = card["training_data"], feature_settings.FeatureSettings(**card["features"])
    size = " ".join(map(str, card["model_size_info"]))
    yield "network", "%s, size %s" % (card["architecture"], card["model_size"] or size)
    yield "labels", ", ".join(card["labels"])
    yield "features", "%s, %d frames of %d channels, %g to %g Hz, from %d ms of sound with %d samples per second" % (
        (features.features,) + features.shape + (features.lower_edge_hertz, features.upper_edge_hertz)
        + (features.clip_duration_ms, features.sample_rate)
    )
    yield "parameters", "{:,}".format(card["parameters"])
    yield "MACs", "{:,} per clip".format(card["macs"])
    yield "file", "{}, {:,} bytes".format(card["file"], card["bytes"])
    yield "training data", "{}: {:,} recordings of {:,} speakers for training, {} words".format(
        data["name"], data["recordings"], data["speakers"], data["words"]
    )
    yield "licence of data", data["licence"]
    yield "attribution", data["attribution"]
    yield "recipe", "kws train " + " ".join(flags(card))
    if card["teachers"]:
        yield "teachers", "1 network" if card["teachers"] == 1 else "%d networks" % card["teachers"]
    if card["started_from"]:
        yield "start", "the weights of %s" % card["started_from"]
    yield "made with", ", ".join("%s %s" % item for item in card["versions"].items())


# Settings that name files of another machine, or have no effect without them.
TEACHING = {"teacher", "distillation_weight", "distillation_temperature"}


def flags(card: Dict[str, Any]) -> Iterator[str]:
    """The network and all its settings but its teachers, as flags of `kws train`."""
    yield "--model-architecture %s" % card["architecture"]
    yield "--model-size-info %s" % _value(card["model_size_info"])
    unused = TEACHING.union(getattr(feature_settings.load(card["features"]["features"]), "UNUSED", ()))
    if not card["train"].get("quantize"):
        unused.add("quantize_percentage")
    for group in ("features", "data", "train"):
        for name, value in card[group].items():
            if value not in (None, []) and name not in unused:
                yield "%s %s" % (flag_of(name), _value(value))


def _value(value):
    if isinstance(value, list):
        return ",".join(map(_value, value))
    return "%g" % value if isinstance(value, float) else str(value)


def _accuracy(card):
    yield "split", "clips", "accuracy", "95 % interval", "other words taken for a keyword"
    for split, found in card["evaluation"].items():
        others = found["other_words"]
        yield (
            split, "{:,}".format(found["clips"]), _percent(found["accuracy"]),
            "%.2f to %.2f" % tuple(100 * end for end in found["interval_95"]),
            others and "{:,} of {:,} clips ({})".format(
                others["taken_for_keywords"], others["clips"], _percent(others["share"])
            ),
        )


def _per_label(card):
    """Recall and precision of each label on each split; the keywords first."""
    splits = card["evaluation"]
    yield ["label"] + [heading for split in splits for heading in (split + " clips", "recall", "precision")]
    found = list(zip(*(one["labels"] for one in splits.values())))
    for rows in sorted(found, key=lambda rows: rows[0]["label"] in (SILENCE, UNKNOWN)):
        cells = [[row["clips"], _percent(row["recall"]), _percent(row["precision"])] for row in rows]
        yield [rows[0]["label"]] + [cell for row in cells for cell in row]


def _percent(share):
    return None if share is None else "%.2f %%" % (100 * share)


def _table(rows):
    """(what, value) in two columns, with long values in several lines."""
    rows = list(rows)
    width = max(len(what) for what, _ in rows) + 2
    return "\n".join(_wrapped(value, what.ljust(width)) for what, value in rows)


def _wrapped(line, start):
    return textwrap.fill(
        line, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )
