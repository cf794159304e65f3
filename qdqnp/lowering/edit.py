"""Edit: a graph under change. Passes that rewrite many places need each change in constant time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from qdqnp.graph import Graph, Names, Node, Shape, Value, frozen
from qdqnp.quant import Array

Use = tuple[Node, int]


class Edit:
    """Nodes, uses and values of a graph, changed in place; `done()` gives the resulting Graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value] = dict(graph.values)
        self.outputs = graph.output_set
        self.opset = graph.opset
        self._names = Names(graph)
        self._places: dict[Node, float] = {node: float(at) for at, node in enumerate(graph.nodes)}
        self._producers = dict(graph.producers)
        self._uses: dict[str, dict[Use, None]] = {n: dict.fromkeys(u) for n, u in graph.consumers.items()}
        self._became: dict[Node, Node] = {}
        self._changed = False

    # -- asking ------------------------------------------------------------------------------------------------
    def nodes(self) -> Iterator[Node]:
        """Every node the graph had at first, as it is now; those that are gone by then are left out."""
        for node in self.graph.nodes:
            current = self.now(node)
            if current is not None:
                yield current

    def now(self, node: Node) -> Node | None:
        """What a node has become by `rewire`, `redirect` and `rename_output`; None when it is gone."""
        while node not in self._places and node in self._became:
            node = self._became[node]
        return node if node in self._places else None

    def producer(self, name: str) -> Node | None:
        return self._producers.get(name) if name else None

    def uses(self, name: str) -> tuple[Use, ...]:
        return tuple(self._uses.get(name, ()))

    def is_read(self, name: str) -> bool:
        """Whether a node reads a tensor, or it is a graph output."""
        return bool(self._uses.get(name)) or name in self.outputs

    def is_output(self, name: str) -> bool:
        return name in self.outputs

    def users(self, node: Node) -> tuple[Use, ...]:
        """Uses of any output of a node."""
        return tuple(use for name in node.outputs if name for use in self.uses(name))

    def makes_output(self, node: Node) -> bool:
        return any(name in self.outputs for name in node.outputs)

    def only_user(self, node: Node) -> Node | None:
        """The node that alone reads this node's outputs, once, none of them being a graph output."""
        users = self.users(node)
        return users[0][0] if len(users) == 1 and not self.makes_output(node) else None

    def constant(self, name: str) -> Array | None:
        value = self.values.get(name)
        return None if value is None else value.const

    def dtype(self, name: str) -> np.dtype[np.generic] | None:
        value = self.values.get(name)
        return None if value is None else value.dtype

    # -- changing ----------------------------------------------------------------------------------------------
    def fresh(self, base: str, like: Value | None = None) -> str:
        """A new tensor name; with `like`, a tensor of that dtype and shape is noted under it."""
        name = self._names.fresh(base)
        if like is not None:
            self.values[name] = Value(name, like.dtype, like.shape)
        return name

    def add_constant(self, base: str, array: Array) -> str:
        name = self._names.fresh(base)
        array = frozen(array)
        self.values[name] = Value(name, array.dtype, array.shape, array)
        return name

    def code_tensor(self, base: str, like: Node, shape: Shape) -> str:
        """A new tensor for the codes that a Q with the parameters of `like` (a Q or DQ) makes."""
        name = self._names.fresh(base)
        codes = like.outputs[0] if like.op == "QuantizeLinear" else like.inputs[0]
        self.values[name] = Value(name, self.values[codes].dtype, shape)
        return name

    def set_constant(self, name: str, array: Array) -> None:
        array = frozen(array)
        self.values[name] = Value(name, array.dtype, array.shape, array)

    def set_shape(self, name: str, shape: Shape) -> None:
        """Note another shape of a tensor."""
        self.values[name] = Value(name, self.values[name].dtype, shape)

    def retype(self, name: str, dtype: np.dtype[Any]) -> None:
        """Note another dtype of a tensor."""
        self.values[name] = Value(name, dtype, self.values[name].shape)
        self._changed = True

    def replace(self, old: Node | Iterable[Node], new: Node | Iterable[Node] = ()) -> None:
        """Take nodes out and put others in at the place of the last of them. A doubt about the old ones stays with
        the new ones."""
        gone = (old,) if isinstance(old, Node) else tuple(old)
        come = (new,) if isinstance(new, Node) else tuple(new)
        doubt = next((node.doubt for node in gone if node.doubt), "")
        come = tuple(node if node.doubt or not doubt else node.with_(doubt=doubt) for node in come)
        place = max(self._places[node] for node in gone)
        for node in gone:
            self._unlink(node)
        for node in come:
            self._link(node, place)
        self._changed = True

    def insert(self, node: Node, near: Node) -> None:
        """Put a node in beside another one."""
        self._link(node, self._places[near])
        self._changed = True

    def rewire(self, node: Node, index: int, name: str) -> Node:
        """Make one input of a node read another tensor; returns the changed node."""
        inputs = (*node.inputs[:index], name, *node.inputs[index + 1 :])
        return self.change(node, inputs=inputs)

    def change(self, node: Node, **changes: Any) -> Node:
        """Replace a node by itself with other fields; `now` leads from the old to the new one."""
        changed = node.with_(**changes)
        self.replace(node, changed)
        self._became[node] = changed
        return changed

    def redirect(self, old: str, new: str) -> None:
        """Make every use of one tensor a use of another."""
        for node in dict.fromkeys(user for user, _ in self.uses(old)):
            self.change(node, inputs=tuple(new if name == old else name for name in node.inputs))

    def rename_output(self, node: Node, old: str, new: str) -> Node:
        return self.change(node, outputs=tuple(new if name == old else name for name in node.outputs))

    def done(self) -> Graph:
        if not self._changed:
            return self.graph
        nodes = sorted(self._places, key=lambda node: self._places[node])
        return self.graph.replaced(nodes, self.values.values())

    def _link(self, node: Node, place: float) -> None:
        self._places[node] = place
        for name in node.outputs:
            if name:
                self._producers[name] = node
        for index, name in enumerate(node.inputs):
            if name:
                self._uses.setdefault(name, {})[node, index] = None

    def _unlink(self, node: Node) -> None:
        del self._places[node]
        for name in node.outputs:
            if name and self._producers.get(name) is node:
                del self._producers[name]
        for index, name in enumerate(node.inputs):
            if name:
                self._uses[name].pop((node, index), None)
