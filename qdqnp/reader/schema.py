"""Check a node against its operator's schema, as ONNX Runtime does when it loads the model: how many inputs and outputs
it may list, empty names included, and the type of each attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from qdqnp.errors import Problems
from qdqnp.graph import MICROSOFT, ONNX
from qdqnp.ops import registry
from qdqnp.reader.attributes import Attribute, kind_name
from qdqnp.reader.calls import Call, trimmed

#: Domains whose operators are ONNX Runtime's own: a model-local function of one of their names is not called.
BUILT_IN = (ONNX, MICROSOFT)


def check_schema(call: Call, attributes: Mapping[str, Attribute], opset: int, where: str, problems: Problems) -> bool:
    """Check that a node fits its operator's schema, and note what does not. opset: of the node's domain."""
    before = problems.count
    schema = _schema(call, opset)
    if schema is not None:
        _check_count(call.inputs, schema.max_input, f"{where}, inputs", problems)
        if "" in call.inputs and len(call.inputs) >= len(schema.inputs) and _is_variadic(schema):
            at = call.inputs.index("")
            problems.add(f"{where}, input {at}", "a tensor", "nothing", "This input is not optional.")
        _check_count(call.outputs, schema.max_output, f"{where}, outputs", problems)
        for name, item in attributes.items():
            wanted = _kind(schema, name, item.kind)
            if item.kind != wanted:
                problems.add(f"{where}, attribute '{name}'", kind_name(wanted), kind_name(item.kind))
        return problems.count == before
    operator = registry.lookup(call.domain, call.op)
    if operator is not None:
        _check_count(call.inputs, operator.arity[1], f"{where}, inputs", problems)
    return problems.count == before


def _schema(call: Call, opset: int) -> onnx.defs.OpSchema | None:
    """Return ONNX's schema of the operator at that opset; None where it has none."""
    if call.domain != ONNX or not onnx.defs.has(call.op, ONNX):
        return None
    try:
        return onnx.defs.get_schema(call.op, opset, ONNX)
    except (onnx.defs.SchemaError, TypeError):  # younger than the opset, or an opset that is no int32
        return None


def _kind(schema: onnx.defs.OpSchema, name: str, usual: int) -> int:
    """Return the type of an attribute; `usual` where the schema has none of that name, which its operator refuses."""
    wanted: Any = schema.attributes[name].type if name in schema.attributes else None
    return usual if wanted is None else int(wanted.value)


def _is_variadic(schema: onnx.defs.OpSchema) -> bool:
    """Tell whether the schema's last input stands for any number of them."""
    return bool(schema.inputs) and schema.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic


def _check_count(names: tuple[str, ...], most: int, where: str, problems: Problems) -> None:
    if len(names) > most >= len(trimmed(names)):  # without the empty ones it is noted where the operator is checked
        problems.add(where, f"at most {most}, empty names included", len(names))
