"""Which layers of a network learn, and how fast, in a training that starts with the weights of another one."""
from typing import NamedTuple, Sequence, Tuple

from ..errors import KwsError
from ..models import costs
from ..runs.description import Description
from ..settings import ALL_BUT_THE_LAST


class Layers(NamedTuple):
    """The names of the layers, as `kws models NAME` prints them, in the order in which the features pass them."""

    frozen: Tuple[str, ...] = ()  # they keep their weights, and their averages of batch norm
    old: Tuple[str, ...] = ()  # they learn at `old_layers_rate_percentage` of the learning rate
    new: Tuple[str, ...] = ()  # they learn at the learning rate

    def __str__(self) -> str:
        parts = ("frozen", self.frozen), ("old", self.old), ("new", self.new)
        return "; ".join("%s: %s" % (what, _shown(names)) for what, names in parts if names)


def _shown(names):
    return names[0] if len(names) == 1 else "%s to %s (%d)" % (names[0], names[-1], len(names))


def layers_of(description: Description) -> Layers:
    """The layers of a training. Without a start checkpoint, all of them are new."""
    names = costs.count(
        description.architecture, description.model_size_info, description.features, len(description.labels)
    ).names
    return split(names, description.train.freeze_layers) if description.start_checkpoint else Layers(new=names)


def split(names: Sequence[str], freeze: str) -> Layers:
    """The layers with these names, of which the first are frozen. freeze: how many, or all but the last."""
    count = len(names) - 1 if freeze == ALL_BUT_THE_LAST else int(freeze)
    if count >= len(names):
        raise KwsError(
            "--freeze-layers %d leaves no layer that learns: there are %d (%s)" % (count, len(names), ", ".join(names)),
            "give a smaller number, or %s, which is all but the last" % ALL_BUT_THE_LAST,
        )
    return Layers(tuple(names[:count]), tuple(names[count:-1]), tuple(names[-1:]))
