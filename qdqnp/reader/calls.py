"""Turns a NodeProto into a Call: one node as it stands in the graph or in a function body, before inlining."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

import onnx

from qdqnp.errors import Problems
from qdqnp.graph import ONNX
from qdqnp.limits import NODE_PARTS
from qdqnp.ops import registry
from qdqnp.reader.attributes import Attribute, AttributeReference, read_attributes
from qdqnp.reader.constants import CONSTANT
from qdqnp.reader.external import ExternalData
from qdqnp.reader.text import read_domain, read_text

Key = tuple[str, str, str]  # the domain, name and overload of a function


@dataclass(frozen=True, eq=False)
class Call:
    """A node of the file."""

    op: str
    domain: str
    overload: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str
    attributes: dict[str, Attribute | AttributeReference] = field(default_factory=dict)
    #: Whether the node has problems of its own (noted), so that its outputs are unknown.
    broken: bool = False

    @property
    def key(self) -> Key:
        return self.domain, self.op, self.overload

    @property
    def parts(self) -> int:
        """What the call counts against the limit on the size of the graph.

        Passes may replace a node once for each of its inputs, so inputs and outputs count with their square.
        """
        ends = len(self.inputs) + len(self.outputs)
        return NODE_PARTS + ends + len(self.attributes) + ends**2 // 64


def trimmed(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names without the empty ones at the end, which mean the same as absent ones."""
    end = len(names)
    while end and not names[end - 1]:
        end -= 1
    return names[:end]


def read_call(
    proto: onnx.NodeProto,
    inside: str,
    external: ExternalData,
    problems: Problems,
    given: Container[tuple[str, str]] = (),
) -> Call:
    """Read one node.

    inside: the text before the node's label in messages, for example "function 'f', ".
    given: domain and name of the operators that are given for this load.
    """
    before = problems.count
    op = read_text(proto.op_type, f"{inside}a node's op_type", problems)
    name = read_text(proto.name, f"{inside}a node's name", problems)
    outputs = tuple(read_text(item, f"{inside}node {name or op}, an output's name", problems) for item in proto.output)
    first = next((output for output in outputs if output), "")
    where = f"{inside}node {name or f'{op}({first})'}"
    if not op:
        problems.add(where, "an operator name (op_type)", "an empty one")
    if not any(outputs):
        problems.add(where, "at least one output", "none")
    inputs = tuple(read_text(item, f"{where}, an input's name", problems) for item in proto.input)
    domain = read_domain(proto.domain, f"{where}, domain", problems)
    overload = read_text(proto.overload, f"{where}, overload", problems)
    # an operator of ONNX's that is not there is refused by its name, whatever its attributes (If has subgraphs)
    refused = domain == ONNX and op != CONSTANT and registry.lookup(domain, op) is None
    refused = refused and (domain, op) not in given
    attributes = {} if refused else read_attributes(proto.attribute, f"{where} ({op})", external, problems)
    broken = attributes is None or problems.count > before
    return Call(op, domain, overload, inputs, outputs, name, attributes or {}, broken)
