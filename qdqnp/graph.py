"""Graph: what the model file says. Immutable, model-local functions inlined, nothing fused.

Passes of a lowering map Graph to Graph; `Graph.replaced` and `Names` are all they need to do so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from qdqnp.quant import Array

Dim = int | str | None  # a size, a symbolic name, or unknown
Shape = tuple[Dim, ...]
Sizes = tuple[int, ...]
AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array

ONNX = ""  # the default operator domain, as ONNX spells it
MICROSOFT = "com.microsoft"


@dataclass(frozen=True, eq=False)
class Value:
    """A named tensor. `const` is its read-only array when it is an initializer (or a folded constant)."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    const: Array | None = None


@dataclass(frozen=True, eq=False)
class Node:
    """One operator call. An absent optional input or output is the empty name, as in ONNX."""

    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    name: str = ""
    origin: tuple[str, ...] = ()  # labels of the file's nodes that this one stands for; () means: itself
    doubt: str = ""  # why a lowering does not promise that what this node makes is what its session computes

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    @property
    def label(self) -> str:
        """How messages name this node: its ONNX name, else its first output."""
        return self.name or f"{self.op}({next((o for o in self.outputs if o), '')})"

    @property
    def origins(self) -> tuple[str, ...]:
        return self.origin or (self.label,)

    def input(self, index: int) -> str:
        """Name of an input, '' when it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def with_(self, **changes: Any) -> Node:
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order; `values` has every tensor by name, constants included."""

    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opsets: Mapping[str, int]
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "opsets", MappingProxyType(dict(self.opsets)))

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each tensor; graph inputs and constants are missing."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[tuple[Node, int], ...]]:
        """(node, input index) of every use of each tensor by a node. A graph output is not a use listed here."""
        uses: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for index, name in enumerate(node.inputs):
                if name:
                    uses.setdefault(name, []).append((node, index))
        return {name: tuple(found) for name, found in uses.items()}

    @cached_property
    def ops(self) -> frozenset[str]:
        """The operators that there are, of whatever domain."""
        return frozenset(node.op for node in self.nodes)

    @cached_property
    def output_set(self) -> frozenset[str]:
        return frozenset(self.outputs)

    @property
    def opset(self) -> int:
        return self.opsets.get(ONNX, 1)

    def producer(self, name: str) -> Node | None:
        return self.producers.get(name)

    def uses(self, name: str) -> tuple[tuple[Node, int], ...]:
        return self.consumers.get(name, ())

    def use_count(self, name: str) -> int:
        """Uses by nodes, plus one if it is a graph output."""
        return len(self.uses(name)) + (name in self.output_set)

    def constant(self, name: str) -> Array | None:
        value = self.values.get(name)
        return None if value is None else value.const

    def replaced(self, nodes: Iterable[Node], values: Iterable[Value] = ()) -> Graph:
        """This graph with another node list (sorted here) and further or changed values; unused constants go."""
        kept = sort_nodes(tuple(nodes), self)
        table = {**self.values, **{value.name: value for value in values}}
        alive = set(self.inputs) | set(self.outputs)
        for node in kept:
            alive.update(node.inputs)
            alive.update(node.outputs)
        return replace(self, nodes=kept, values={k: v for k, v in table.items() if k in alive})


def sort_nodes(nodes: tuple[Node, ...], graph: Graph) -> tuple[Node, ...]:
    """Nodes in topological order, as close to the given order as dependencies allow. The nodes must be acyclic."""
    maker = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    done: set[int] = set()
    order: list[Node] = []
    for start in range(len(nodes)):
        stack = [start]  # an explicit stack: graphs are deeper than Python's recursion limit
        while stack:
            index = stack[-1]
            if index in done:
                stack.pop()
                continue
            waiting = [maker[n] for n in nodes[index].inputs if n in maker and maker[n] not in done]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                stack.pop()
                done.add(index)
                order.append(nodes[index])
    return tuple(order)


class Names:
    """Fresh tensor names that collide with none in a graph."""

    def __init__(self, graph: Graph) -> None:
        self._taken = set(graph.values)
        self._counts: dict[str, int] = {}  # the number that each base came to: counting from 0 again is quadratic

    def fresh(self, base: str) -> str:
        name = base
        while name in self._taken:
            self._counts[base] = self._counts.get(base, 0) + 1
            name = f"{base}_{self._counts[base]}"
        self._taken.add(name)
        return name


def concrete(shape: Shape) -> Sizes:
    """A shape all of whose sizes are known."""
    found = tuple(size for size in shape if isinstance(size, int))
    assert len(found) == len(shape)
    return found


def frozen(array: Array) -> Array:
    """A read-only, C-contiguous, native-endian array with the same elements (copied only where needed)."""
    result = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)
    if result.flags.writeable:
        result = result.view()
        result.flags.writeable = False
    return result
