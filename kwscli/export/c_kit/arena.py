"""Where each activation is in memory: tensors that are not needed at the same time share bytes."""
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

from .layers import Alias, Call
from .tflite_file import Network

ALIGNMENT = 4


class Arena(NamedTuple):
    """offsets: {index of an activation: its first byte}. size: of all in bytes."""

    offsets: Dict[int, int]
    size: int


def plan(network: Network, calls: Sequence[Union[Call, Alias]]) -> Arena:
    """Place the activations, the largest first, each at the lowest place that is free as long as it is needed."""
    reads = _last_reads(network, calls)
    buffer_of = {network.input.index: 0}
    buffers: List[List[int]] = [[network.input.size, -1, reads[network.input.index]]]  # size, written, read last
    for step, call in enumerate(calls):
        output = call.output
        shared = _shared(call, step, buffers, buffer_of)
        if shared is None:
            shared = len(buffers)
            buffers.append([output.size, step, step])
        buffer_of[output.index] = shared
        one = buffers[shared]
        one[0], one[2] = max(one[0], output.size), max(one[2], reads.get(output.index, step))
    places: Dict[int, int] = {}
    for index in sorted(range(len(buffers)), key=lambda one: -buffers[one][0]):
        places[index] = _lowest_free(buffers, places, index)
    size = max(places[index] + buffers[index][0] for index in places)
    return Arena({tensor: places[buffer] for tensor, buffer in buffer_of.items()}, _aligned(size))


def _last_reads(network, calls):
    """{index of a tensor: the last step that reads it, directly or through another name}."""
    reads = {network.output.index: len(calls)}
    for step in reversed(range(len(calls))):
        call = calls[step]
        if isinstance(call, Alias):
            reads[call.input.index] = max(reads.get(call.input.index, step), reads.get(call.output.index, step))
            continue
        for source in call.inputs:
            reads.setdefault(source.index, step)
    return reads


def _shared(call, step, buffers, buffer_of):
    """The buffer that an output shares with an input, or None."""
    if isinstance(call, Alias):
        return buffer_of[call.input.index]
    for source in call.inputs if call.in_place else ():
        buffer = buffer_of.get(source.index)
        if buffer is not None and source.size == call.output.size and buffers[buffer][2] == step:
            return buffer
    return None


def _lowest_free(buffers: List[List[int]], places: Dict[int, int], index: int) -> int:
    size, written, read = buffers[index]
    taken: List[Tuple[int, int]] = sorted(
        (places[other], places[other] + buffers[other][0])
        for other in places if buffers[other][1] <= read and written <= buffers[other][2]
    )
    place = 0
    for start, end in taken:
        if place + size <= start:
            break
        place = max(place, _aligned(end))
    return place


def _aligned(size):
    return -(-size // ALIGNMENT) * ALIGNMENT
