"""GridSample in float32: an image at the places that a grid names, which lie between its elements and beyond them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.grid import CUBIC, MODES, GridAxis
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32
#: The names of the modes before opset 20, and those that they have since.
OLD_NAMES = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
NEW_NAMES = {name: name for name in MODES}
RENAMED = 20
PADDINGS = ("zeros", "border", "reflection")


@dataclass(frozen=True)
class GridSampleAttributes:
    mode: str = ""
    padding_mode: str = "zeros"
    align_corners: int = 0


class GridSample(Operator):
    """x (N, C, ...) at grid (N, ..., axes), whose coordinates are from -1 to 1 and name the last axis first."""

    op = "GridSample"
    only = "cubic with rank 4 alone"
    arity = (2, 2)
    Attributes = GridSampleAttributes
    example_shapes = ((1, 2, 3, 3), (1, 2, 2, 2))
    bytes_per_element = 96

    def attributes(self, check: NodeCheck) -> Any:
        given: GridSampleAttributes = super().attributes(check)
        names = OLD_NAMES if check.opset < RENAMED else NEW_NAMES
        mode = given.mode or next(iter(names))
        if mode not in names:
            check.refuse("attribute 'mode'", " or ".join(names), repr(mode))
        return replace(given, mode=names[mode])

    def infer(self, check: NodeCheck, attributes: GridSampleAttributes) -> Inferred:
        for index, what in enumerate(("x", "grid")):
            check.dtype_in(index, (F,), what)
        check.rank_in(0, (4,) if attributes.mode == "cubic" or check.opset < RENAMED else (4, 5), "x")
        if attributes.padding_mode not in PADDINGS:
            check.refuse("attribute 'padding_mode'", " or ".join(PADDINGS), repr(attributes.padding_mode))
        return ((FLOAT32, self.shapes(attributes, check.value(0).shape, check.value(1).shape)[0]),)

    def shapes(self, attributes: GridSampleAttributes, x: Shape, grid: Shape) -> tuple[Shape, ...]:
        wanted = (x[0], *(None for _ in x[2:]), len(x) - 2)
        if not may_equal(grid, wanted):
            raise ShapeError(f"a grid of shape {list(wanted)}", str(list(grid)))
        if 0 in x[2:]:
            raise ShapeError("an image of at least one element", str(list(x)))
        return ((*x[:2], *grid[1:-1]),)

    def work(self, attributes: GridSampleAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        rank = len(output) - 2
        taps = {"nearest": 1, "linear": 1 << rank, "cubic": CUBIC * (CUBIC + 1)}[attributes.mode]
        return taps * (math.prod(output[1:]) + 4 * math.prod(output[2:])) + 1000 * output[0]

    def compute(self, binding: Binding, x: Array, grid: Array) -> tuple[Array, ...]:
        attributes: GridSampleAttributes = binding.step.attributes
        out = np.empty(concrete(self.shapes(attributes, x.shape, grid.shape)[0]), F)
        with np.errstate(all="ignore"):
            for image, points, found in zip(x, grid, out, strict=True):
                each = points.reshape(-1, points.shape[-1]).T[::-1]
                axes = [
                    GridAxis.of(at, size, bool(attributes.align_corners), attributes.padding_mode)
                    for at, size in zip(each, image.shape[1:], strict=True)
                ]
                found[...] = MODES[attributes.mode](image, axes).reshape(found.shape)
        return (out,)

    def origin(self, step: Step, output: int, index: Index, x: Array, grid: Array) -> Any:
        return np.concatenate([x[index[:2]].reshape(-1), grid[(index[0], *index[2:])]])
