"""Turns a ValueInfoProto into a Declared: the element type and shape that the file states for a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from qdqnp.element_types import DTYPES
from qdqnp.errors import Problems
from qdqnp.graph import Dim, Shape, Value
from qdqnp.limits import MAX_RANK, MAX_TENSOR_BYTES, bytes_needed, readable_bytes
from qdqnp.ops.known import value_known
from qdqnp.reader.tensors import SUPPORTED, type_name
from qdqnp.reader.text import read_text


@dataclass(frozen=True)
class Declared:
    """What the file says about one tensor; what it does not say is None."""

    name: str
    #: The part of the file that says so.
    source: str
    #: 'tensor', 'sequence', 'optional' ...
    kind: str | None
    #: An ONNX element type.
    element: int | None
    shape: Shape | None

    @property
    def where(self) -> str:
        return f"{self.source} '{self.name}'"


def read_declared(info: onnx.ValueInfoProto, source: str, problems: Problems) -> Declared:
    """Return what one input, output or value_info entry states. Whether that is enough depends on the use."""
    name = read_text(info.name, f"{source}, name", problems)
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        return Declared(name, source, kind and kind.removesuffix("_type"), None, None)
    tensor = info.type.tensor_type
    where = f"{source} '{name}'"
    shape = tuple(_dim(dim, where, problems) for dim in tensor.shape.dim) if tensor.HasField("shape") else None
    return Declared(name, source, "tensor", tensor.elem_type or None, shape)


def _dim(dim: onnx.TensorShapeProto.Dimension, where: str, problems: Problems) -> Dim:
    match dim.WhichOneof("value"):
        case "dim_value":
            return int(dim.dim_value) if dim.dim_value >= 0 else None  # exporters write -1 for a size that varies
        case "dim_param":
            return read_text(dim.dim_param, f"{where}, shape", problems) or None
        case _:
            return None


def is_tensor(declared: Declared, problems: Problems) -> bool:
    """Tell whether a graph input or output is a tensor; the file may also state no type at all."""
    if declared.kind in (None, "tensor"):
        return True
    problems.add(declared.where, "a tensor", f"a value of type {declared.kind}")
    return False


def input_value(declared: Declared, problems: Problems) -> Value | None:
    """Return the graph input as a Value, or None when its declaration is incomplete or unsupported (noted)."""
    if not is_tensor(declared, problems):
        return None
    if declared.element is None or declared.kind is None:
        problems.add(declared.where, "an element type and a shape", "no type")
        return None
    dtype = DTYPES.get(declared.element)
    if dtype is None:
        problems.add(declared.where, f"one of the element types {SUPPORTED}", type_name(declared.element))
        return None
    if declared.shape is None:
        problems.add(declared.where, "a shape (its sizes may vary, its rank not)", "no shape")
        return None
    value = value_known(Value(declared.name, dtype, declared.shape))
    return value if fits_limits(value, declared.where, problems) else None


def fits_limits(value: Value, where: str, problems: Problems) -> bool:
    """Check that a tensor does not have more axes or bytes than qdqnp computes with; note it otherwise."""
    if len(value.shape) > MAX_RANK:
        problems.add(where, f"at most {MAX_RANK} axes", f"{len(value.shape)} axes")
        return False
    needed = bytes_needed(value.dtype, value.shape)
    if needed > MAX_TENSOR_BYTES:
        problems.add(
            where,
            f"at most {readable_bytes(MAX_TENSOR_BYTES)}",
            f"{describe(value)}, which needs {readable_bytes(needed)}",
        )
        return False
    return True


def describe(value: Value) -> str:
    """Write type and shape for messages, for example 'float32 [1, N, ?]'."""
    return f"{value.dtype} {_shape_text(value.shape)}"


def _shape_text(shape: Shape) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"


def check_declared(declared: Declared, value: Value, origin: str, problems: Problems) -> None:
    """Note a declaration that contradicts the real tensor.

    origin: where the real one comes from.
    """
    if declared.kind is None:
        return
    wrong_type = declared.kind != "tensor" or (
        declared.element is not None and DTYPES.get(declared.element) != value.dtype
    )
    if not wrong_type and not _contradicts(declared.shape, value.shape):
        return
    element = type_name(declared.element or 0).lower() if declared.kind == "tensor" else declared.kind
    shape = "" if declared.shape is None else f" {_shape_text(declared.shape)}"
    problems.add(
        declared.where,
        f"{describe(value)} ({origin})",
        f"{element}{shape} declared",
        "Remove the stale declaration, or repair the node.",
    )


def _contradicts(declared: Shape | None, real: Shape) -> bool:
    if declared is None:
        return False
    if len(declared) != len(real):
        return True
    pairs = zip(declared, real, strict=True)
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)
