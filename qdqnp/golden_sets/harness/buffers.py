"""Find a place in one arena for each tensor of a network, by the layers between which it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qdqnp.golden_sets.harness.layer import LayerCode, count
from qdqnp.graph import Sizes
from qdqnp.schedule.arena import Span, offsets

#: The arena of the schedule counts in floats.
UNIT = 4


@dataclass(frozen=True, eq=False)
class ArenaPlaces:
    """Where everything lies in the arena, in bytes."""

    #: Tensors by name.
    tensors: Mapping[str, int]
    #: Memory for one layer alone, by the layer's place and the name there.
    temporaries: Mapping[tuple[int, str], int]
    #: Bytes of the arena.
    size: int


def place(
    codes: Sequence[LayerCode], inputs: Iterable[str], outputs: Iterable[str], shapes: Mapping[str, Sizes]
) -> ArenaPlaces:
    """Return places for the tensors of a network. What a layer makes by another name shares the memory.

    codes: the layers in order.
    inputs: the tensors that are given.
    outputs: those that are kept to the end.
    shapes: the shape of each tensor of one byte an element.
    """
    root: dict[str, str] = {}
    first: dict[str, int] = dict.fromkeys(inputs, 0)
    last: dict[str, int] = dict.fromkeys(first, 0)
    for index, code in enumerate(codes):
        for name in code.step.input_names:
            own = root.get(name, name)
            if own in last:
                last[own] = index
        made = code.step.output_names[0]
        if code.view:
            root[made] = root.get(code.step.input_names[0], code.step.input_names[0])
        else:
            first[made] = last[made] = index
    for name in outputs:
        last[root.get(name, name)] = len(codes)
    spans = [_span(f"t {name}", count(shapes[name]), first[name], last[name]) for name in first]
    alone = [(index, name, size) for index, code in enumerate(codes) for name, size in code.temporaries.items()]
    spans += [_span(f"{index} {name}", size, index, index) for index, name, size in alone]
    found, total = offsets(spans)
    tensors = {name: UNIT * found[f"t {name}"] for name in first}
    tensors |= {name: tensors[of] for name, of in root.items()}
    temporaries = {(index, name): UNIT * found[f"{index} {name}"] for index, name, _ in alone}
    return ArenaPlaces(tensors, temporaries, UNIT * total)


def _span(name: str, size: int, first: int, last: int) -> Span:
    return Span(name, max(1, -(-size // UNIT)), first, last)
