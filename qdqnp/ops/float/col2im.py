"""Col2Im adds up blocks where they overlap in an image: from 0 on, one element of the block after the other.

Source: ONNX Runtime 1.32, core/util/math_cpu.cc (Col2im).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import all_known, dim_list
from qdqnp.ops.geometry.windows import LARGEST
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class Col2ImAttributes:
    """The attributes of Col2Im, and its constant inputs; () stands for the ONNX default."""

    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    #: The sizes of the image, and of a block.
    _image: Shape = ()
    _block: Shape = ()

    @property
    def axes(self) -> list[tuple[int, int, int, int]]:
        """Stride, dilation, padding in front, and how many blocks there are along each axis."""
        rank, image, block = len(self._image), concrete(self._image), concrete(self._block)
        strides, dilations = self.strides or (1,) * rank, self.dilations or (1,) * rank
        pads = self.pads or (0,) * 2 * rank
        return [
            (s, d, pads[at], (size + pads[at] + pads[at + rank] - d * (taps - 1) - 1) // s + 1)
            for at, (s, d, size, taps) in enumerate(zip(strides, dilations, image, block, strict=True))
        ]


class Col2Im(Operator):
    op = "Col2Im"
    arity = (3, 3)
    Attributes = Col2ImAttributes
    takes_unknown = True

    def attributes(self, check: NodeCheck) -> Any:
        image, block = dim_list(check, 1, "image_shape"), dim_list(check, 2, "block_shape")
        given: Col2ImAttributes = super().attributes(check)
        rank = len(image)
        for name, values, count, least in (
            ("input 1 (image_shape)", [1 if size is None else size for size in image], max(rank, 1), 1),
            ("input 2 (block_shape)", [1 if size is None else size for size in block], max(rank, 1), 1),
            ("attribute 'strides'", given.strides or (1,) * rank, rank, 1),
            ("attribute 'dilations'", given.dilations or (1,) * rank, rank, 1),
            ("attribute 'pads'", given.pads or (0,) * 2 * rank, 2 * rank, 0),
        ):
            if len(values) != count or not all(isinstance(v, str) or least <= v <= LARGEST for v in values):
                check.refuse(name, f"{count} integers in [{least}, {LARGEST}]", list(values))
        if rank != 2 and any(dilation != 1 for dilation in given.dilations):
            hint = "ONNX Runtime takes other elements than ONNX says."
            check.refuse("attribute 'dilations'", "1, or two axes", list(given.dilations), hint)
        return replace(given, _image=image, _block=block)

    def infer(self, check: NodeCheck, attributes: Col2ImAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        check.rank_in(0, (3,), "x")
        return ((FLOAT32, self.shapes(attributes, check.value(0).shape)[0]),)

    def step(self, check: NodeCheck, attributes: Col2ImAttributes) -> Step:
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Col2ImAttributes, x: Shape) -> tuple[Shape, ...]:
        if not all_known(attributes._image, attributes._block):
            return ((x[0], None, *attributes._image),)
        taps, counts = math.prod(concrete(attributes._block)), [axis[3] for axis in attributes.axes]
        channels, columns = x[1:]
        if isinstance(channels, int) and channels % taps:
            raise ShapeError(f"blocks of {taps} elements", f"{channels} rows")
        if min(counts) < 1 or (isinstance(columns, int) and columns != math.prod(counts)):
            raise ShapeError(f"{' x '.join(map(str, counts))} blocks, at least one", str(columns))
        return ((x[0], channels // taps if isinstance(channels, int) else None, *attributes._image),)

    def work(self, attributes: Col2ImAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count what takes time: a few elements for each element of a block, and the index of each block."""
        return math.prod(concrete(attributes._block)) * (40 + sum(axis[3] for axis in attributes.axes))

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: Col2ImAttributes = binding.step.attributes
        counts = [axis[3] for axis in attributes.axes]
        image, block = concrete(attributes._image), concrete(attributes._block)
        columns = x.reshape(x.shape[0], -1, *block, *counts)
        out = np.zeros((*columns.shape[:2], *image), x.dtype)
        for tap in product(*map(range, block)):
            inside: list[slice] = []
            place: list[slice] = []
            for at, (stride, dilation, before, count), size in zip(tap, attributes.axes, image, strict=True):
                places = np.arange(count) * stride + at * dilation - before
                kept = np.flatnonzero((places >= 0) & (places < size))
                first, last = (int(kept[0]), int(kept[-1]) + 1) if kept.size else (0, 0)
                inside.append(slice(first, last))
                start = int(places[first]) if kept.size else 0
                place.append(
                    slice(start, start + (last - first - 1) * stride + 1, stride) if kept.size else slice(0, 0)
                )
            source: tuple[Any, ...] = (slice(None), slice(None), *tap, *inside)
            out[(slice(None), slice(None), *place)] += columns[source]
        return (out,)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        attributes: Col2ImAttributes = step.attributes
        counts = [axis[3] for axis in attributes.axes]
        columns = x.reshape(x.shape[0], -1, *concrete(attributes._block), *counts)
        return [columns[(*index[:2], *tap, *block)] for tap, block in _met(attributes, index[2:])]


def _met(attributes: Col2ImAttributes, place: Index) -> Iterator[tuple[Index, Index]]:
    """Yield the elements of blocks that lie at a place of the image: the place in the block, and the block."""
    for tap in product(*map(range, concrete(attributes._block))):
        found = [
            divmod(p + before - at * dilation, stride)
            for p, at, (stride, dilation, before, _) in zip(place, tap, attributes.axes, strict=True)
        ]
        counts = [axis[3] for axis in attributes.axes]
        if all(rest == 0 and 0 <= at < count for (at, rest), count in zip(found, counts, strict=True)):
            yield tap, tuple(at for at, _ in found)
