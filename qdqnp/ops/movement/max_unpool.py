"""MaxUnpool puts each element back to where MaxPool's indices say that it was; all other elements are 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.ops.geometry.axes import int_list
from qdqnp.ops.geometry.windows import LARGEST
from qdqnp.ops.movement.indexed import Indexed, IndexedAttributes
from qdqnp.ops.movement.scatter_elements import scatter
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred, ShapeError
from qdqnp.quant import Array, Int64


@dataclass(frozen=True, eq=False)
class MaxUnpoolAttributes(IndexedAttributes):
    kernel_shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    #: The shape of the output where it is given; else ().
    _shape: tuple[int, ...] = ()
    #: Whether a run alone knows it.
    _late: bool = False


class MaxUnpool(Indexed):
    """Data, and indices that count all elements of the output."""

    op = "MaxUnpool"
    arity = (2, 3)
    index_dtypes = (np.int64,)
    Attributes = MaxUnpoolAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: MaxUnpoolAttributes = super().attributes(check)
        rank = check.rank_in(0, (3, 4, 5), "x") - 2
        for name, count, least in (("kernel_shape", rank, 1), ("strides", rank, 1), ("pads", 2 * rank, 0)):
            values = getattr(given, name)
            if (values or name == "kernel_shape") and (
                len(values) != count or not all(least <= value <= LARGEST for value in values)
            ):
                check.refuse(f"attribute '{name}'", f"{count} integers in [{least}, {LARGEST}]", list(values))
        shape = int_list(check, 2, "output_shape") if check.given(2) else ()
        return replace(given, _shape=shape, _late=2 in check.runtime_sizes)

    def infer(self, check: NodeCheck, attributes: MaxUnpoolAttributes) -> Inferred:
        dtype = check.dtype_in(0, (np.float32,), "x")
        return ((dtype, self.shapes(attributes, check.value(0).shape, check.value(1).shape)[0]),)

    def shape(self, attributes: MaxUnpoolAttributes, x: Shape, indices: Shape, *updates: Shape) -> Shape:
        if len(x) != len(indices) or any(
            a != b for a, b in zip(x, indices, strict=True) if isinstance(a, int) and isinstance(b, int)
        ):
            raise ShapeError("an index for each element", f"{list(x)} and {list(indices)}")
        if attributes._late:
            return (None,) * len(x)
        inferred = tuple(self._size(attributes, axis, size) for axis, size in enumerate(x[2:]))
        given = attributes._shape
        if not given:
            return (*x[:2], *inferred)
        sizes = [size for size in (*x[:2], *inferred) if isinstance(size, int)]
        enough = len(sizes) < len(x) or math.prod(given) >= math.prod(sizes)
        same = all(not isinstance(a, int) or a == b for a, b in zip(x[:2], given[:2], strict=False))
        if len(given) != len(x) or min(given) < 0 or not (enough and same):
            raise ShapeError(f"an output_shape of at least {[*x[:2], *inferred]}", str(list(given)))
        return given

    def _size(self, attributes: MaxUnpoolAttributes, axis: int, size: Dim) -> Dim:
        if not isinstance(size, int):
            return None
        rank = len(attributes.kernel_shape)
        stride = attributes.strides[axis] if attributes.strides else 1
        pads = sum(attributes.pads[axis::rank])
        found = (size - 1) * stride - pads + attributes.kernel_shape[axis]
        if found < 1:
            raise ShapeError("at least one element on each axis of the output", f"{found} on axis {axis + 2}")
        return found

    def limits(self, attributes: MaxUnpoolAttributes, x: tuple[int, ...], indices: tuple[int, ...]) -> Any:
        return np.array(math.prod(concrete(self.shape(attributes, x, indices))))

    def move(self, attributes: MaxUnpoolAttributes, x: Array, indices: Int64, *updates: Array) -> Array:
        out = np.zeros(concrete(self.shape(attributes, x.shape, indices.shape)), x.dtype)
        return scatter(out, indices, x, "none")
