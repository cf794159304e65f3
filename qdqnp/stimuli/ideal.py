"""The exact real result of operators that requantize no sums, in units of the output's scale.

Add, Mul, Concat, the lookups and the windowed average have no stages to look into. What they are asked here is whether
the *real* value is an exact half or beyond the codes: a property of scales and codes that no profile changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.rational import RationalSum, fraction
from qdqnp.numerics.rules.lookup import Identity, RealFunction
from qdqnp.ops.geometry.taps import AverageAttributes, taps_of
from qdqnp.ops.integer.lookup import QLinearUnary
from qdqnp.quant import Array, Int64, Quant, Signs

# (sign of each value that is an exact half, the value rounded half to even), in the output's shape; no zero point
# added.
Ideal = tuple[Signs, Int64]


def ideal(bound: BoundStep, arrays: Sequence[Array | None]) -> Ideal | None:
    """None for operators that have none here."""
    maker = _MAKERS.get(bound.step.op)
    return maker(bound, [array for array in arrays if array is not None]) if maker is not None else None


def _quants(bound: BoundStep) -> tuple[list[Quant], Quant]:
    y = bound.step.outputs[0].quant
    assert y is not None
    return [operand.quant for operand in bound.step.inputs if operand is not None and operand.quant is not None], y


def _centered(codes: Array, quant: Quant) -> Int64:
    return codes.astype(np.int64) - int(quant.zero_point)


def _both(total: RationalSum) -> Ideal:
    return total.ties(), total.rounded()


def _add(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    quants, y = _quants(bound)
    values = [_centered(array, quant) for array, quant in zip(arrays, quants, strict=True)]
    return _both(RationalSum(values, [[fraction(quant.scale) / fraction(y.scale)] for quant in quants]))


def _mul(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (a, b), y = _quants(bound)
    product = _centered(arrays[0], a) * _centered(arrays[1], b)
    return _both(RationalSum([product], [[fraction(a.scale) * fraction(b.scale) / fraction(y.scale)]]))


def _concat(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    quants, y = _quants(bound)
    parts = [_table(codes, quant, y, Identity()) for codes, quant in zip(arrays, quants, strict=True)]
    axis = bound.step.attributes.axis
    ties, rounded = (np.concatenate([part[index] for part in parts], axis=axis) for index in (0, 1))
    return ties, rounded


def _unary(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (x,), y = _quants(bound)
    assert isinstance(bound.operator, QLinearUnary)
    return _table(arrays[0], x, y, bound.operator.function(bound.step.attributes))


def _table(codes: Array, x: Quant, y: Quant, function: RealFunction) -> Ideal:
    ties, rounded = _all_codes(x, y, function)  # type: ignore[arg-type] # all are frozen dataclasses
    index = codes.astype(np.int64) - x.range[0]
    return ties[index], rounded[index]


@lru_cache(maxsize=64)  # a layer is asked again for each of its inputs
def _all_codes(x: Quant, y: Quant, function: RealFunction) -> Ideal:
    """Of the 256 values of the real function."""
    low, high = x.range
    zero = int(x.zero_point)
    reals = [function.exact((code - zero) * fraction(x.scale)) / fraction(y.scale) for code in range(low, high + 1)]
    ties = np.array([(real > 0) - (real < 0) if real.denominator == 2 else 0 for real in reals], np.int8)
    return ties, np.array([_limited(real) for real in reals], np.int64)


def _limited(real: Fraction) -> int:
    return round(max(min(real, Fraction(2**40)), Fraction(-(2**40))))


def _average(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (x,), y = _quants(bound)
    attributes: AverageAttributes = bound.step.attributes
    codes = arrays[0]
    (output,) = bound.operator.shapes(attributes, [codes.shape])
    taps = taps_of(attributes, codes, int(output[2] or 0) if codes.ndim == 4 else 1, int(output[-1] or 0))
    inside = taps.inside[:, None, None]
    sums = np.where(inside, _centered(taps.values, x), 0).sum(axis=0)
    count = np.full(sums.shape[2:], len(taps.values)) if attributes.count_include_pad else taps.inside.sum(axis=0)
    ties, rounded = np.zeros(sums.shape, np.int8), np.zeros(sums.shape, np.int64)
    for n in np.unique(count):
        factor = fraction(x.scale) / fraction(y.scale) / max(int(n), 1)
        of_n = _both(RationalSum([sums], [[factor]]))
        where = np.broadcast_to(count == n, sums.shape)
        np.copyto(ties, of_n[0], where=where)
        np.copyto(rounded, of_n[1], where=where)
    shape = tuple(int(size or 0) for size in output)
    return ties.reshape(shape), rounded.reshape(shape)


_MAKERS: Mapping[str, Callable[[BoundStep, Sequence[Array]], Ideal]] = {
    "QLinearAdd": _add,
    "QLinearMul": _mul,
    "QLinearConcat": _concat,
    "QLinearLeakyRelu": _unary,
    "QLinearSigmoid": _unary,
    "QLinearAveragePool": _average,
}
