"""Turns an AttributeProto into a Python value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from qdqnp.errors import Problems
from qdqnp.graph import AttributeValue
from qdqnp.reader.external import ExternalData
from qdqnp.reader.tensors import read_tensor
from qdqnp.reader.text import read_text

Kind = onnx.AttributeProto
SUBGRAPHS = (Kind.GRAPH, Kind.GRAPHS)
NO_CONTROL_FLOW = "qdqnp runs no control flow (If, Loop, Scan); export the model without it."


@dataclass(frozen=True, eq=False)
class Attribute:
    """A value with the type that the file gives it: () alone would not tell INTS from FLOATS."""

    #: ONNX's AttributeType.
    kind: int
    value: AttributeValue

    @property
    def length(self) -> int:
        """The length of its list; every node with a reference to the attribute reads the whole list."""
        return len(self.value) if isinstance(self.value, tuple) else 0


@dataclass(frozen=True)
class AttributeReference:
    """An attribute inside a function whose value is an attribute of the call."""

    #: ONNX's AttributeType of the value.
    kind: int
    #: The attribute of the call.
    name: str


def kind_name(kind: int) -> str:
    return str(Kind.AttributeType.Name(kind))


def read_attributes(
    protos: Iterable[onnx.AttributeProto], where: str, external: ExternalData, problems: Problems
) -> dict[str, Attribute | AttributeReference] | None:
    """Return the attributes by name, or None when one of them has problems (which are noted)."""
    found: dict[str, Attribute | AttributeReference] = {}
    good = True
    for proto in protos:
        name = read_text(proto.name, f"{where}, attribute name", problems)
        label = f"{where}, attribute '{name}'"
        attribute = read_attribute(proto, label, external, problems)
        if name in found:
            problems.add(label, "each attribute once", "two attributes of this name")
        elif not name:
            problems.add(f"{where}, attribute", "a name", "an empty one")
        elif attribute is not None:
            found[name] = attribute
            continue
        good = False
    return found if good else None


def read_attribute(
    proto: onnx.AttributeProto, where: str, external: ExternalData, problems: Problems
) -> Attribute | AttributeReference | None:
    """Return one attribute, or None when it has problems (which are noted)."""
    kind: int = proto.type
    if kind in SUBGRAPHS:
        problems.add(where, "a number, text or tensor", "a subgraph", NO_CONTROL_FLOW)
        return None
    if proto.ref_attr_name:
        return AttributeReference(kind, read_text(proto.ref_attr_name, f"{where}, ref_attr_name", problems))
    value = _value(proto, where, external, problems)
    return None if value is None else Attribute(kind, value)


def _value(proto: onnx.AttributeProto, where: str, external: ExternalData, problems: Problems) -> AttributeValue | None:
    match proto.type:
        case Kind.INT:
            return int(proto.i)
        case Kind.FLOAT:
            return float(proto.f)
        case Kind.STRING:
            return _text(proto.s, where, problems)
        case Kind.TENSOR:
            return read_tensor(proto.t, where, external, problems)
        case Kind.INTS:
            return tuple(int(item) for item in proto.ints)
        case Kind.FLOATS:
            return tuple(float(item) for item in proto.floats)
        case Kind.STRINGS:
            return _texts(proto.strings, where, problems)
        case _:
            problems.add(
                where,
                "a number, text or tensor, or several numbers or texts",
                f"attribute type {kind_name(proto.type)}",
            )
            return None


def _text(value: bytes, where: str, problems: Problems) -> str | None:
    texts = _texts((value,), where, problems)
    return None if texts is None else texts[0]


def _texts(values: Iterable[bytes], where: str, problems: Problems) -> tuple[str, ...] | None:
    before = problems.count
    texts = tuple(read_text(_decoded(value), where, problems) for value in values)
    return texts if problems.count == before else None


def _decoded(value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value
