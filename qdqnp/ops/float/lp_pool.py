"""LpPool and GlobalLpPool in float32: the p-th root of the sum of p-th powers of the magnitudes in a window.

Powers are taken in float64 and rounded, sums begin with 0 and go on row by row, and the root is the C library's powf.
Source: ONNX Runtime 1.32, core/providers/cpu/nn/pool_functors.h and pool_base.h.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.pool import window_taps
from qdqnp.numerics import libm
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.pool import PoolAttributes, check_pool, global_shape, pool_origin, pool_shape, pool_work
from qdqnp.ops.geometry.windows import axes_for
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array, Float32

F = np.float32


@dataclass(frozen=True)
class LpPoolAttributes(PoolAttributes):
    #: Which powers.
    p: int = 2


@dataclass(frozen=True)
class GlobalLpPoolAttributes:
    p: int = 2


class LpPool(Operator):
    op = "LpPool"
    reads = ("float_sum",)
    Attributes = LpPoolAttributes

    def infer(self, check: NodeCheck, attributes: LpPoolAttributes) -> Inferred:
        check.dtype_in(0, (F,), "x")
        check_pool(check, attributes)
        _check_power(check, attributes.p)
        return ((FLOAT32, pool_shape(attributes, check.value(0).shape)),)

    def shapes(self, attributes: LpPoolAttributes, x: Shape) -> tuple[Shape, ...]:
        return (pool_shape(attributes, x),)

    def work(self, attributes: LpPoolAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return pool_work(attributes, inputs[0], output, math.prod(attributes.kernel_shape))

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: LpPoolAttributes = binding.step.attributes
        kernel, out = attributes.kernel_shape, concrete(pool_shape(attributes, x.shape))
        axes = axes_for(attributes, kernel, x.shape[2:])
        return (root_of_sums(window_taps(powers(x, attributes.p), axes, kernel, out[2:], 0), attributes.p, out),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return pool_origin(step.attributes, index, x)

    def doubt(self, binding: Binding) -> str:
        return power_doubt(binding)


class GlobalLpPool(Operator):
    op = "GlobalLpPool"
    reads = ("float_sum",)
    Attributes = GlobalLpPoolAttributes

    def infer(self, check: NodeCheck, attributes: GlobalLpPoolAttributes) -> Inferred:
        check.dtype_in(0, (F,), "x")
        check.rank_in(0, (3, 4, 5), "x")
        _check_power(check, attributes.p)
        return ((FLOAT32, global_shape(check.value(0).shape)),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (global_shape(x),)

    def work(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(inputs[0][2:]) * max(40, math.prod(output))

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        p, out = binding.step.attributes.p, concrete(global_shape(x.shape))
        taps = powers(x, p).reshape(*x.shape[:2], math.prod(x.shape[2:]))
        return (root_of_sums(np.moveaxis(taps, -1, 0), p, x.shape[:2]).reshape(out),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index[:2]].reshape(-1)

    def doubt(self, binding: Binding) -> str:
        return power_doubt(binding)


def _check_power(check: NodeCheck, p: int) -> None:
    if not 1 <= p <= 64:
        check.refuse("attribute 'p'", "a whole number in [1, 64]", p)


def powers(x: Float32, p: int) -> Float32:
    """Return the p-th powers of the magnitudes."""
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(x).astype(np.float64) ** p, F)


def root_of_sums(taps: Iterable[Float32], p: int, shape: Sizes) -> Float32:
    """Add up arrays of a shape, one after the other from 0 on, and take the p-th root."""
    total = np.zeros(shape, F)
    with np.errstate(all="ignore"):
        for tap in taps:
            total = total + tap
    return libm.power(total, np.asarray(F(1) / F(p)))


def power_doubt(binding: Binding) -> str:
    """Return why powers are not promised; '' for those that are exact in float64."""
    if binding.step.attributes.p > 2:
        return "the C library takes integer powers in float64, whose last bits are not known"
    return binding.profile.float_sum.doubt(False)
