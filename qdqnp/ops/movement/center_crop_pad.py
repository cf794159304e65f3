"""CenterCropPad cuts off or pads zeros, as evenly on both sides as can be, to a constant size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class CenterCropPadAttributes:
    #: The axes that are cut or padded; () means all.
    axes: tuple[int, ...] = ()
    #: The sizes that these axes get.
    _sizes: tuple[int, ...] = ()


class CenterCropPad(Movement):
    op = "CenterCropPad"
    arity = (2, 2)
    Attributes = CenterCropPadAttributes
    views = False

    def attributes(self, check: NodeCheck) -> Any:
        return replace(super().attributes(check), _sizes=int_list(check, 1, "shape"))

    def shape(self, attributes: CenterCropPadAttributes, x: Shape) -> Shape:
        axes = [axis_of(axis, len(x)) for axis in attributes.axes] or list(range(len(x)))
        sizes = attributes._sizes
        if len(sizes) != len(axes) or len(set(axes)) != len(axes) or min(sizes, default=0) < 0:
            raise ShapeError(f"{len(axes)} sizes >= 0 for different axes", f"{list(sizes)} for axes {axes}")
        result = list(x)
        for axis, size in zip(axes, sizes, strict=True):
            result[axis] = size
        return tuple(result)

    def move(self, attributes: CenterCropPadAttributes, x: Array) -> Array:
        out = np.zeros(concrete(self.shape(attributes, x.shape)), x.dtype)
        source, target = [], []
        for before, after in zip(x.shape, out.shape, strict=True):
            count = min(before, after)
            source.append(slice((before - count) // 2, (before - count) // 2 + count))
            target.append(slice((after - count) // 2, (after - count) // 2 + count))
        out[tuple(target)] = x[tuple(source)]
        return out
