"""Check a node against its operator's schema, as ONNX Runtime does when it loads the model: how many inputs and outputs
it may list, empty names included, and the type of each attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from qdqnp.element_types import DTYPES
from qdqnp.errors import Problems
from qdqnp.graph import DEVICES, MICROSOFT, ONNX, Node, Value
from qdqnp.limits import OLDEST_OPSET
from qdqnp.ops import registry
from qdqnp.reader.attributes import Attribute, kind_name
from qdqnp.reader.calls import Call, trimmed

#: Operators of ONNX that ONNX Runtime had before ONNX did, in ONNX's domain and with the same kernel, at any opset: its
#: transformer tools write them (core/graph/contrib_ops/contrib_defs.cc).
EARLIER = ("LayerNormalization",)
#: Domains whose operators are built in: a model-local function of one of their names is not called.
BUILT_IN = (ONNX, MICROSOFT, DEVICES)


def check_schema(call: Call, attributes: Mapping[str, Attribute], opset: int, where: str, problems: Problems) -> bool:
    """Check that a node fits its operator's schema, and note what does not. opset: of the node's domain."""
    before = problems.count
    schema = _schema(call.op, opset) if call.domain == ONNX else None
    if schema is not None:
        _check_count(call.inputs, schema.max_input, f"{where}, inputs", problems)
        if "" in call.inputs and len(call.inputs) >= len(schema.inputs) and _is_variadic(schema):
            at = call.inputs.index("")
            problems.add(f"{where}, input {at}", "a tensor", "nothing", "This input is not optional.")
        _check_count(call.outputs, schema.max_output, f"{where}, outputs", problems)
        if len(call.outputs) < schema.min_output:
            problems.add(f"{where}, outputs", f"at least {schema.min_output}", len(call.outputs))
        for at, (output, formal) in enumerate(zip(call.outputs, schema.outputs, strict=False)):
            if not output and formal.option == onnx.defs.OpSchema.FormalParameterOption.Single:
                problems.add(f"{where}, output {at}", "a name", "none", "This output is not optional.")
        for name, item in attributes.items():
            _check_attribute(schema, name, item, f"{where}, attribute '{name}'", problems)
        return problems.count == before
    first = _first_versions().get(call.op) if call.domain == ONNX else None
    if first is not None and OLDEST_OPSET <= opset < first and call.op not in EARLIER:
        problems.add(f"{where}, operator {call.op}", f"opset {first} or later, which has it", opset)
        return False
    operator = registry.lookup(call.domain, call.op)
    if operator is not None:
        _check_count(call.inputs, operator.arity[1], f"{where}, inputs", problems)
    return problems.count == before


def check_version(node: Node, inputs: Sequence[Value | None], opset: int, problems: Problems) -> None:
    """Note attributes, and types of inputs, that the node's operator does not have at that opset."""
    schema = _schema(node.op, opset) if node.domain == ONNX else None
    for name in sorted(set(node.attributes) - set(schema.attributes)) if schema is not None else ():
        expected = f"one of {sorted(schema.attributes)}" if schema is not None and schema.attributes else "no attribute"
        hint = f"{node.op} of opset {opset} has no such attribute; a later opset may have."
        problems.add(f"node {node.label}, attribute '{name}'", expected, "this one", hint)
    allowed = input_types(node.op, opset) if node.domain == ONNX else ()
    for at, value in enumerate(inputs):
        kinds = allowed[min(at, len(allowed) - 1)] if allowed else frozenset()
        if value is not None and kinds and value.dtype not in kinds:
            problems.add(
                f"node {node.label}, input {at} '{value.name}'",
                " or ".join(sorted(str(kind) for kind in kinds if kind.kind != "O")),
                value.dtype,
                f"{node.op} of opset {opset} has no other types; a later opset may have.",
            )


@lru_cache(maxsize=1024)  # the same few operators again in every model
def input_types(op: str, opset: int) -> tuple[frozenset[np.dtype[Any]], ...]:
    """Return the types of each input; () where ONNX has no such operator at that opset."""
    schema = _schema(op, opset)
    return () if schema is None else tuple(frozenset(map(_dtype, item.types)) for item in schema.inputs)


def _dtype(text: str) -> np.dtype[Any]:
    """Return the dtype of a type as schemas write it: 'tensor(float)'; what qdqnp has no dtype for is object."""
    number = TensorProto.DataType.Value(text[len("tensor(") : -1].upper()) if text.startswith("tensor(") else 0
    return DTYPES.get(number, np.dtype(object))


def _schema(op: str, opset: int) -> onnx.defs.OpSchema | None:
    """Return ONNX's schema of the operator at that opset; None where it has none."""
    if not onnx.defs.has(op, ONNX):
        return None
    try:
        return onnx.defs.get_schema(op, opset, ONNX)
    except (onnx.defs.SchemaError, TypeError):  # younger than the opset, or an opset that is no int32
        return None


@cache
def _first_versions() -> Mapping[str, int]:
    """Return the opset since which ONNX has each of its operators, by name."""
    found: dict[str, int] = {}
    for item in onnx.defs.get_all_schemas_with_history():
        if item.domain == ONNX:
            found[item.name] = min(item.since_version, found.get(item.name, item.since_version))
    return found


def _check_attribute(schema: onnx.defs.OpSchema, name: str, item: Attribute, where: str, problems: Problems) -> None:
    """Note an attribute of another type; a name that the schema does not have is left to `check_version`."""
    wanted: Any = schema.attributes[name].type if name in schema.attributes else None
    if wanted is not None and item.kind != int(wanted.value):
        problems.add(where, kind_name(int(wanted.value)), kind_name(item.kind))


def _is_variadic(schema: onnx.defs.OpSchema) -> bool:
    """Tell whether the schema's last input stands for any number of them."""
    return bool(schema.inputs) and schema.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic


def _check_count(names: tuple[str, ...], most: int, where: str, problems: Problems) -> None:
    if len(names) > most >= len(trimmed(names)):  # without the empty ones it is noted where the operator is checked
        problems.add(where, f"at most {most}, empty names included", len(names))
