"""The exact real result of operators that requantize no sums, by the rules of the profile 'exact'.

What Add, Mul, Concat, the lookups and the windowed average are asked here is whether the *real* value is an exact half
or beyond the codes: a property of scales and codes that no profile changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.profiles.exact import EXACT
from qdqnp.numerics.rules.lookup import Identity, RealFunction, UnaryFunction
from qdqnp.numerics.values import named
from qdqnp.ops.geometry.taps import AverageAttributes, taps_of
from qdqnp.ops.integer.lookup import QLinearUnary
from qdqnp.quant import Array, Int64, Quant, Signs

# (sign of each value that is an exact half, the code before its clip), in the output's shape.
Ideal = tuple[Signs, Int64]


def ideal(bound: BoundStep, arrays: Sequence[Array | None]) -> Ideal | None:
    """None for operators that have none here."""
    maker = _MAKERS.get(bound.step.op)
    return maker(bound, [array for array in arrays if array is not None]) if maker is not None else None


def _quants(bound: BoundStep) -> tuple[list[Quant], Quant]:
    y = bound.step.outputs[0].quant
    assert y is not None
    return [operand.quant for operand in bound.step.inputs if operand is not None and operand.quant is not None], y


def _of(rule: Any, *question: Array) -> Ideal:
    return rule.ties(*question), named(rule.stages(*question), "unclipped")


def _add(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (a, b), y = _quants(bound)
    return _of(EXACT.add.bind(a, b, y), *arrays)


def _mul(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (a, b), y = _quants(bound)
    return _of(EXACT.mul.bind(a, b, y), *arrays)


def _concat(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    quants, y = _quants(bound)
    parts = [_of(EXACT.concat.bind(quant, y, Identity()), codes) for codes, quant in zip(arrays, quants, strict=True)]
    axis = bound.step.attributes.axis
    ties, unclipped = (np.concatenate([part[index] for part in parts], axis=axis) for index in (0, 1))
    return ties, unclipped


def _unary(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (x,), y = _quants(bound)
    assert isinstance(bound.operator, QLinearUnary)
    function: Any = bound.operator.function(bound.step.attributes)  # all are frozen dataclasses
    return _of(_lookup(x, y, function), arrays[0])


@lru_cache(maxsize=64)  # a layer is asked again for each of its inputs
def _lookup(x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
    return EXACT.lookup.bind(x, y, function)


def _average(bound: BoundStep, arrays: Sequence[Array]) -> Ideal:
    (x,), y = _quants(bound)
    attributes: AverageAttributes = bound.step.attributes
    codes = arrays[0]
    (output,) = bound.operator.shapes(attributes, [codes.shape])
    taps = taps_of(attributes, codes, int(output[2] or 0) if codes.ndim == 4 else 1, int(output[-1] or 0))
    count = np.full_like(taps.count, len(taps.values)) if attributes.count_include_pad else taps.count
    ties, unclipped = _of(EXACT.average_pool.bind(x, y), taps.values, taps.inside[:, None, None], count)
    shape = tuple(int(size or 0) for size in output)
    return ties.reshape(shape), unclipped.reshape(shape)


_MAKERS: Mapping[str, Callable[[BoundStep, Sequence[Array]], Ideal]] = {
    "QLinearAdd": _add,
    "QLinearMul": _mul,
    "QLinearConcat": _concat,
    "QLinearLeakyRelu": _unary,
    "QLinearSigmoid": _unary,
    "QLinearAveragePool": _average,
}
