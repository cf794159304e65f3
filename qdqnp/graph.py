"""A graph is what the model file says: immutable, model-local functions inlined, nothing fused.

Passes of a lowering map Graph to Graph; `Graph.replaced` and `Names` are all that a pass needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from qdqnp.lazy import lazy
from qdqnp.quant import Array

Dim = int | str | None  # a size, a symbolic name, or unknown
Shape = tuple[Dim, ...]
Sizes = tuple[int, ...]
AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array

ONNX = ""  # ONNX's spelling of the default operator domain
MICROSOFT = "com.microsoft"
DEVICES = "qdqnp"  # operators that a lowering makes, and that no other software has


@dataclass(frozen=True, eq=False)
class Value:
    """A named tensor."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    #: The read-only array of an initializer or a folded constant; None for computed tensors and graph inputs.
    const: Array | None = None
    #: What is known before a run of a small tensor that is computed from sizes and constants alone. Elements in the
    #: tensor's dtype where all are known; else objects, each a number, the name of a size, or None. None for tensors
    #: that depend on data, and for constants.
    known: Array | None = None

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        const = state["const"]  # a copy, which came out writeable
        self.__dict__.update(state, const=None if const is None else frozen(const))


@dataclass(frozen=True, eq=False)
class Node:
    """One operator call. An absent optional input or output is the empty name, as in ONNX."""

    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    name: str = ""
    #: Labels of the file's nodes that this node stands for; () means itself.
    origin: tuple[str, ...] = ()
    #: Why a lowering does not promise that this node makes what its session computes; '' where it does.
    doubt: str = ""
    #: The least and the largest code that the node makes, where a lowering took an activation (Relu, Clip) into it.
    limits: tuple[int, int] | None = None
    #: The operator that was given for this load (`load(..., operators=...)`); None for those that qdqnp has.
    given: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.op, self.domain, self.inputs, self.outputs, dict(self.attributes), self.name, self.origin)
        return Node, (*state, self.doubt, self.limits, self.given)

    @property
    def label(self) -> str:
        """The name of this node in messages: its ONNX name, else its operator with its first output."""
        return self.name or f"{self.op}({next((o for o in self.outputs if o), '')})"

    @property
    def origins(self) -> tuple[str, ...]:
        return self.origin or (self.label,)

    def input(self, index: int) -> str:
        """Return the name of an input, '' when the input is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def with_(self, **changes: Any) -> Node:
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Graph:
    """An immutable dataflow graph."""

    #: Nodes in topological order.
    nodes: tuple[Node, ...]
    #: Every tensor by name, constants included.
    values: Mapping[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    #: The operator set version by domain.
    opsets: Mapping[str, int]
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "opsets", MappingProxyType(dict(self.opsets)))

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.nodes, dict(self.values), self.inputs, self.outputs, dict(self.opsets), self.name)
        return Graph, state

    @lazy
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each tensor; graph inputs and constants are missing."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @lazy
    def consumers(self) -> Mapping[str, tuple[tuple[Node, int], ...]]:
        """Every use of each tensor by a node, as (node, input index). A graph output is not a use listed here."""
        uses: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for index, name in enumerate(node.inputs):
                if name:
                    uses.setdefault(name, []).append((node, index))
        return {name: tuple(found) for name, found in uses.items()}

    @lazy
    def ops(self) -> frozenset[str]:
        """The operators that occur in the graph, of whatever domain."""
        return frozenset(node.op for node in self.nodes)

    @lazy
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
        """Count the uses by nodes, plus one if the tensor is a graph output."""
        return len(self.uses(name)) + (name in self.output_set)

    def constant(self, name: str) -> Array | None:
        value = self.values.get(name)
        return None if value is None else value.const

    def replaced(self, nodes: Iterable[Node], values: Iterable[Value] = ()) -> Graph:
        """Return this graph with another node list and with further or changed values.

        The nodes are sorted here; unused constants go.
        """
        kept = sort_nodes(tuple(nodes), self)
        table = {**self.values, **{value.name: value for value in values}}
        alive = set(self.inputs) | set(self.outputs)
        for node in kept:
            alive.update(node.inputs)
            alive.update(node.outputs)
        return replace(self, nodes=kept, values={k: v for k, v in table.items() if k in alive})


def sort_nodes(nodes: tuple[Node, ...], graph: Graph) -> tuple[Node, ...]:
    """Sort nodes topologically, as close to the given order as dependencies allow. The nodes must be acyclic.

    Raises AssertionError where they are not.
    """
    maker = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    begun: set[int] = set()
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
                assert index not in begun, f"node {nodes[index].label} needs its own outputs"
                begun.add(index)
                stack.extend(reversed(waiting))
            else:
                stack.pop()
                done.add(index)
                order.append(nodes[index])
    return tuple(order)


class Names:
    """Makes fresh tensor names that differ from all names in a graph."""

    def __init__(self, graph: Graph) -> None:
        self._taken = set(graph.values)
        self._counts: dict[str, int] = {}  # the last number of each base: counting from 0 again would be quadratic

    def fresh(self, base: str) -> str:
        name = base
        while name in self._taken:
            self._counts[base] = self._counts.get(base, 0) + 1
            name = f"{base}_{self._counts[base]}"
        self._taken.add(name)
        return name


def concrete(shape: Shape) -> Sizes:
    """Return a shape all of whose sizes must be known."""
    found = tuple(size for size in shape if isinstance(size, int))
    assert len(found) == len(shape)
    return found


def frozen(array: Array) -> Array:
    """Return a read-only, C-contiguous, native-endian array with the same elements (copied only where needed)."""
    result = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)
    if result.flags.writeable:
        result = result.view()
        result.flags.writeable = False
    return result
