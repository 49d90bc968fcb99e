"""How long a network takes on boards whose makers published latencies: predictions for `kws models --board`.

A prediction is a sum over the layers: multiplications times cycles per multiplication. These cycles follow from the
published results of three networks of MLPerf Tiny on the same board with the same engine. Two of its four networks
consist of depthwise and pointwise convolutions. Each is predicted from the other three, which shows how far a
prediction may be off. The other two are the only ones of their kind, so nothing else predicts them.
"""
from typing import Dict, Iterable, NamedTuple, Tuple

from .errors import KwsError

# {network of MLPerf Tiny: {kind of layer: multiplications of a weight with an activation}}, counted from its layers:
# an autoencoder, ResNet-8, DS-CNN S with 12 labels, and MobileNet 0.25 for images of 96 x 96.
MLPERF_TINY: Dict[str, Dict[str, int]] = {
    "anomaly detection": {"dense": 264192},
    "image classification": {"conv": 12500992, "dense": 640},
    "keyword spotting": {"conv": 320000, "separable": 2336000, "dense": 768},
    "visual wake words": {"conv": 497664, "separable": 6991488, "dense": 512},
}
# Each of these can be predicted without its own latency. The first one gives the cycles of `milliseconds`.
PREDICTABLE = ("keyword spotting", "visual wake words")
# A prediction that is further off than this would be of no use.
LARGEST_ERROR = 0.3
# {kind of layer of `models.costs`: the kind that its cycles are those of}. All other kinds are convolutions.
_KINDS = {
    "depthwise_conv": "separable", "pointwise_conv": "separable", "dense": "dense", "lstm": "dense", "gru": "dense",
}


class Engine(NamedTuple):
    """Software that runs networks on a board. per_second: {network of MLPerf Tiny: inferences per second}."""

    name: str
    per_second: Dict[str, float]
    source: str


class Board(NamedTuple):
    """A board, its processor, and the engines with published results."""

    title: str
    core: str
    mhz: int
    engines: Tuple[Engine, ...]


def _engine(name, source, *per_second):
    return Engine(name, dict(zip(MLPERF_TINY, per_second)), source)


# The medians in closed/SUBMITTER/results/BOARD/NETWORK/performance/results.txt of github.com/mlcommons/tiny_results_*.
BOARDS = {
    "nucleo-l4r5zi": Board("NUCLEO-L4R5ZI", "Cortex-M4", 120, (
        _engine("TFLM", "MLPerf Tiny v0.5, reference", 99.487, 1.420, 5.497, 1.665),
        _engine("CMSIS-NN", "MLPerf Tiny v1.0, OctoML, microTVM with CMSIS-NN", 116.212, 2.567, 10.019, 3.320),
    )),
    "nrf5340-dk": Board("nRF5340 DK", "Cortex-M33", 128, (
        _engine("CMSIS-NN", "MLPerf Tiny v1.0, OctoML, microTVM with CMSIS-NN", 159.579, 3.163, 13.143, 4.310),
    )),
    "nucleo-u575zi-q": Board("NUCLEO-U575ZI-Q", "Cortex-M33", 160, (
        _engine("X-CUBE-AI", "MLPerf Tiny v0.7, STMicroelectronics", 174.578, 6.324, 18.244, 6.595),
    )),
    "nucleo-h7a3zi-q": Board("NUCLEO-H7A3ZI-Q", "Cortex-M7", 280, (
        _engine("X-CUBE-AI", "MLPerf Tiny v0.7, STMicroelectronics", 438.349, 14.212, 44.863, 15.533),
    )),
}


def board(name: str) -> Board:
    """A board by its name."""
    if name not in BOARDS:
        raise KwsError("there are no published latencies of a board %s" % name, "choose one of %s" % ", ".join(BOARDS))
    return BOARDS[name]


def cycles_per_mac(one: Board, engine: Engine, separable: str = PREDICTABLE[0]) -> Dict[str, float]:
    """{kind of layer: cycles per multiplication} that explain the published latencies of three networks.

    separable: the one of `PREDICTABLE` that is among them.
    """
    found: Dict[str, float] = {}
    for kind, network in (("dense", "anomaly detection"), ("conv", "image classification"), ("separable", separable)):
        macs = dict(MLPERF_TINY[network])
        own = macs.pop(kind)
        cycles = one.mhz * 1e3 * published(engine, network)
        found[kind] = (cycles - sum(count * found[other] for other, count in macs.items())) / own
    return found


def published(engine: Engine, network: str) -> float:
    """The published latency of a network of MLPerf Tiny, in milliseconds."""
    return 1000 / engine.per_second[network]


def predicted(one: Board, engine: Engine, network: str) -> float:
    """The latency of a network of `PREDICTABLE` that follows from the other networks, in milliseconds."""
    (other,) = set(PREDICTABLE) - {network}
    cycles = cycles_per_mac(one, engine, other)
    return sum(count * cycles[kind] for kind, count in MLPERF_TINY[network].items()) / (one.mhz * 1e3)


def milliseconds(one: Board, engine: Engine, macs: Iterable[Tuple[str, int]]) -> float:
    """How long layers take: (kind of `models.costs`, multiplications) of each."""
    cycles = cycles_per_mac(one, engine)
    return sum(cycles[_KINDS.get(kind, "conv")] * count for kind, count in macs) / (one.mhz * 1e3)


def error(one: Board, engine: Engine, network: str) -> float:
    """By which share of the published latency the prediction is too long (positive) or too short."""
    return predicted(one, engine, network) / published(engine, network) - 1


def explanation(one: Board) -> str:
    """What the predictions for a board stand on."""
    lines = [
        "ms: predicted for the 8-bit network on a %s (%s, %d MHz), without the features."
        % (one.title, one.core, one.mhz)
    ]
    for engine in one.engines:
        cycles = cycles_per_mac(one, engine)
        lines.append(
            "%s: %.1f cycles per MAC of depthwise and pointwise convolutions, %.1f of others, %.1f of dense layers,\n"
            "from published latencies (%s). From the other networks,\n%s."
            % (engine.name, cycles["separable"], cycles["conv"], cycles["dense"], engine.source,
               " and ".join(_told(one, engine, network) for network in PREDICTABLE))
        )
    return "\n".join(lines)


def _told(one, engine, network):
    off = 100 * error(one, engine, network)
    return "%s is predicted %.0f %% too %s" % (network, abs(off), "long" if off > 0 else "short")
