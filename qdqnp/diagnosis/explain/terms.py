"""The products that one output element of a Conv, Gemm or MatMul sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.ops.geometry.windows import window_for
from qdqnp.program import Step
from qdqnp.quant import Array, Quant

Index = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One product (x - z_x) * (w - z_w). x_index: None where the tap lies in the padding, whose code is z_x."""

    x_index: Index | None
    w_index: Index
    x_code: int
    w_code: int
    x_zero: int
    w_zero: int

    @property
    def product(self) -> int:
        return (self.x_code - self.x_zero) * (self.w_code - self.w_zero)


def terms(bound: BoundStep, arrays: Sequence[Array | None], index: Index) -> list[Term]:
    """The terms of the output element at `index`, in the order of the weights; their products add up to its sum."""
    x, w = arrays[0], arrays[1]
    assert x is not None and w is not None
    places = {"QLinearConv": _conv, "QGemm": _gemm, "QLinearMatMul": _matmul}[bound.step.op]
    x_quant, w_quant = (operand.quant for operand in bound.step.inputs[:2] if operand is not None)
    assert x_quant is not None and w_quant is not None
    z_x = int(x_quant.zero_point)
    return [
        Term(at, to, z_x if at is None else int(x[at]), int(w[to]), z_x, _zero_of(w_quant, to))
        for at, to in places(bound.step, x, w, index)
    ]


def _zero_of(quant: Quant, index: Index) -> int:
    zero = quant.zero_point
    return int(zero) if zero.ndim == 0 else int(zero[index[quant.axis or 0]])


def _conv(step: Step, x: Array, w: Array, index: Index) -> Iterator[tuple[Index | None, Index]]:
    image, channel, *position = index
    window = window_for(step.attributes, w.shape[2:], x.shape[2:])
    rank = len(position)  # a 1-D window is the last row of a 2-D one
    strides, dilations, pads = window.strides[-rank:], window.dilations[-rank:], window.pads[:2][-rank:]
    first = (channel // (w.shape[0] // step.attributes.group)) * w.shape[1]
    starts = [p * s - pad for p, s, pad in zip(position, strides, pads, strict=True)]
    for inner, *tap in product(*(range(size) for size in w.shape[1:])):
        at = [start + t * d for start, t, d in zip(starts, tap, dilations, strict=True)]
        inside = all(0 <= i < size for i, size in zip(at, x.shape[2:], strict=True))
        yield ((image, first + inner, *at) if inside else None), (channel, inner, *tap)


def _gemm(step: Step, x: Array, w: Array, index: Index) -> Iterator[tuple[Index | None, Index]]:
    row, column = index
    for k in range(x.shape[0] if step.attributes.transA else x.shape[1]):
        yield (k, row) if step.attributes.transA else (row, k), (column, k) if step.attributes.transB else (k, column)


def _matmul(step: Step, x: Array, w: Array, index: Index) -> Iterator[tuple[Index | None, Index]]:
    """NumPy's matmul: batch axes broadcast, an operand of rank 1 has no row or column of its own."""
    rest = list(index)
    column = [rest.pop()] if w.ndim > 1 else []
    row = [rest.pop()] if x.ndim > 1 else []
    for k in range(x.shape[-1]):
        yield (*_batch(rest, x.shape[:-2]), *row, k), (*_batch(rest, w.shape[:-2]), k, *column)


def _batch(index: Sequence[int], shape: tuple[int, ...]) -> Index:
    own = index[len(index) - len(shape) :]
    return tuple(0 if size == 1 else int(i) for i, size in zip(own, shape, strict=True))


def largest(found: Sequence[Term], count: int) -> list[Term]:
    """The terms of largest magnitude, largest first."""
    order = np.argsort([-abs(term.product) for term in found], kind="stable")
    return [found[int(i)] for i in order[:count]]
