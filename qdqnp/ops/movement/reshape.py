"""Reshape to a shape with 0 (copy the input's size) and -1 (whatever is left)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.ops.geometry.axes import dim_list
from qdqnp.ops.movement.flatten import product
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class ReshapeAttributes:
    allowzero: int = 0
    _shape: tuple[Dim, ...] = ()


class Reshape(Movement):
    op = "Reshape"
    arranges = True
    takes_unknown = True
    arity = (2, 2)
    Attributes = ReshapeAttributes

    def attributes(self, check: NodeCheck) -> Any:
        target = dim_list(check, 1, "shape")
        if any(isinstance(size, int) and size < -1 for size in target) or target.count(-1) > 1:
            check.refuse("input 1 (shape)", "sizes >= 0 and at most one -1", list(target))
        given: ReshapeAttributes = super().attributes(check)
        if given.allowzero not in (0, 1) and 0 in target:  # ONNX's shapes take it for 1, ONNX Runtime's kernel for 0
            check.refuse("attribute 'allowzero'", "0 or 1", given.allowzero)
        return replace(given, _shape=target)

    def shape(self, attributes: ReshapeAttributes, x: Shape) -> Shape:
        copies = attributes.allowzero != 1
        result: list[Dim] = []
        for axis, size in enumerate(attributes._shape):
            if size == 0 and copies:
                if axis >= len(x):
                    raise ShapeError(f"no 0 beyond axis {len(x) - 1}", str(list(attributes._shape)))
                result.append(x[axis])
            else:
                result.append(size)
        total = product(x)
        if -1 in attributes._shape:
            result[attributes._shape.index(-1)] = self._rest(attributes, x, result)
        elif isinstance(total, int) and isinstance(product(tuple(result)), int) and product(tuple(result)) != total:
            raise ShapeError(f"{total} elements", f"shape {result}")
        return tuple(result)

    def _rest(self, attributes: ReshapeAttributes, x: Shape, result: list[Dim]) -> Dim:
        """Return the size that -1 stands for. Sizes copied from the input cancel, so one of them may be unknown."""
        zero_copies = attributes.allowzero != 1
        copied = {axis for axis, size in enumerate(attributes._shape) if size == 0 and zero_copies}
        left = [size for axis, size in enumerate(x) if axis not in copied]
        given = [size for size in attributes._shape if size != -1 and not (size == 0 and zero_copies)]
        for name in [size for size in given if isinstance(size, str) and size in left]:  # named sizes cancel too
            if name in left:
                left.pop(left.index(name))
                given.pop(given.index(name))
        have, fixed = product(tuple(left)), product(tuple(given))
        if not isinstance(have, int) or not isinstance(fixed, int):
            return None
        if fixed == 0 or have % fixed or any(x[axis] == 0 for axis in copied):
            raise ShapeError(f"a shape that divides {have} elements", str(result))
        return have // fixed

    def move(self, attributes: ReshapeAttributes, x: Array) -> Array:
        return x.reshape(concrete(self.shape(attributes, x.shape)))
