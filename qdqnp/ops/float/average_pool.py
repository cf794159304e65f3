"""AveragePool in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import FloatSumRule
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.pool import check_mlas, check_pool, pool_origin, pool_shape, pool_work
from qdqnp.ops.geometry.taps import AverageAttributes, Taps, taps_of
from qdqnp.ops.geometry.windows import axes_for
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array

ZERO = np.float32(0)


@dataclass(frozen=True)
class FloatAverageAttributes(AverageAttributes):
    """The attributes of AveragePool, and the opset that chooses ONNX Runtime's kernel."""

    #: The node's opset: ONNX Runtime has another kernel since 19.
    _opset: int = 0


class AveragePool(Operator):
    op = "AveragePool"
    reads = ("float_sum",)
    Attributes = FloatAverageAttributes

    def attributes(self, check: NodeCheck) -> Any:
        return replace(super().attributes(check), _opset=check.opset)

    def infer(self, check: NodeCheck, attributes: AverageAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        check_pool(check, attributes)
        return ((FLOAT32, pool_shape(attributes, check.value(0).shape)),)

    def shapes(self, attributes: AverageAttributes, x: Shape) -> tuple[Shape, ...]:
        return (pool_shape(attributes, x),)

    def work(self, attributes: AverageAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return pool_work(attributes, inputs[0], output, math.prod(attributes.kernel_shape))

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: FloatAverageAttributes = binding.step.attributes
        if not _beyond_mlas(attributes):
            check_mlas(binding.step.label, _pads(attributes, x.shape))
        values, taps, shape = _window_taps(attributes, x)
        total = _total(binding.profile.float_sum, attributes, values, x.shape)
        return ((total / taps.count.astype(np.float32)).reshape(shape),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return pool_origin(step.attributes, index, x)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(True)

    def error(self, binding: Binding, x: Array) -> Array:
        values, taps, shape = _window_taps(binding.step.attributes, np.abs(x).astype(np.float64))
        return sums_apart((values.sum(axis=0) / taps.count).reshape(shape), values.shape[0] + 1)


def _window_taps(attributes: AverageAttributes, x: Array) -> tuple[Array, Taps, Sizes]:
    """Return the taps, those outside the image as -0.0, which adds nothing; all about them; and the output's shape."""
    shape = concrete(pool_shape(attributes, x.shape))
    taps = taps_of(attributes, x, shape[2:])
    return np.where(taps.inside[:, None, None], taps.values, x.dtype.type(-0.0)), taps, shape


def _pads(attributes: AverageAttributes, x: Sizes) -> list[int]:
    """Return the padding of every side."""
    return [pad for axis in axes_for(attributes, attributes.kernel_shape, x[2:]) for pad in axis[2:]]


def _whole(attributes: AverageAttributes, x: Sizes) -> bool:
    """Tell whether the one window is the whole image."""
    strides = [axis[0] for axis in axes_for(attributes, attributes.kernel_shape, x[2:])]
    same = tuple(attributes.kernel_shape) == x[2:]
    return same and not any(_pads(attributes, x)) and all(stride == 1 for stride in strides)


def _beyond_mlas(attributes: FloatAverageAttributes) -> bool:
    """Tell whether ONNX Runtime computes it without MLAS."""
    return attributes._opset >= 19 or bool(attributes.ceil_mode and attributes.count_include_pad)


def _total(rule: FloatSumRule, attributes: FloatAverageAttributes, values: Array, x: tuple[int, ...]) -> Array:
    """Add up each window as ONNX Runtime does.

    Since opset 19, and where a window may reach beyond the counted padding, ONNX Runtime adds up row by row; else MLAS
    has a kernel for one window that is the whole image, and one for narrow strides. Sums that start at 0, or meet a
    padded column, are never -0.0.
    """
    if not _beyond_mlas(attributes) and _whole(attributes, x):
        return rule.global_sums(values.reshape(values.shape[0], -1).T).reshape(values.shape[1:])
    kernel = attributes.kernel_shape
    stride, _, before, _ = axes_for(attributes, kernel, x[2:])[-1]
    vector = not _beyond_mlas(attributes) and len(x) > 3 and stride <= 2 and max(kernel) <= 32
    sums = rule.window_sums(values, (values.shape[0] // kernel[-1], kernel[-1]), vector)
    if not vector:
        return sums + ZERO
    first = np.arange(values.shape[-1]) * stride - before
    padded = (first < 0) | (first + kernel[-1] > x[-1])
    return np.where(padded, sums + ZERO, sums)
