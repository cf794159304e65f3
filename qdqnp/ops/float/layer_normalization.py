"""LayerNormalization and RMSNormalization in float32, and com.microsoft's, which add a skip connection before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, concrete
from qdqnp.numerics import normalize
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32
#: The stash_type of float32, the only one that ONNX Runtime's kernels know.
FLOAT = 1


@dataclass(frozen=True)
class LayerNormalizationAttributes:
    axis: int = -1
    epsilon: float = 1e-5
    stash_type: int = FLOAT
    #: Which of the possible outputs the node has.
    _kept: tuple[int, ...] = (0,)


class Normalization(Operator):
    """Rows over the axes from `axis` on, each less its mean, over its deviation: (x, scale, bias)."""

    reads = ("float_sum",)
    bytes_per_element = 64
    Attributes: ClassVar[type] = LayerNormalizationAttributes
    #: What the inputs are called.
    named: ClassVar[tuple[str, ...]] = ("x", "scale", "bias")
    #: What the inputs may be.
    dtypes: ClassVar[tuple[type, ...]] = (np.float32,)
    #: How many outputs there may be: the result; the mean and the reciprocal of the deviation of each row.
    most_outputs: ClassVar[int] = 3

    def attributes(self, check: NodeCheck) -> Any:
        kept = tuple(number for number, name in enumerate(check.node.outputs) if name)
        return replace(super().attributes(check), _kept=kept)

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        for index, what in enumerate(self.named):
            if index < self.arity[0] or check.given(index):
                check.dtype_in(index, self.dtypes if index == 0 else (check.value(0).dtype,), what)
        if attributes.stash_type != FLOAT:
            check.refuse("attribute 'stash_type'", f"{FLOAT} (float32)", attributes.stash_type)
        x, count = check.value(0).shape, len(self.named)
        self._check_shapes(
            attributes, x, *(check.value(index).shape if check.given(index) else None for index in range(1, count))
        )
        result, *others = self._all_shapes(attributes, x)
        return ((check.value(0).dtype, result), *((FLOAT32, shape) for shape in others))

    def _check_shapes(self, attributes: Any, x: Shape, *others: Shape | None) -> None:
        self._check_rows(x[axis_of(attributes.axis, len(x)) :], others, self.named[1:])

    def _check_rows(self, row: Shape, others: Sequence[Shape | None], named: Sequence[str]) -> None:
        """Check that operands have the shape of a row. Raises ShapeError."""
        for shape, what in zip(others, named, strict=False):
            if shape is not None and not may_equal(shape, row):
                raise ShapeError(f"{what} of shape {list(row)}", str(list(shape)))

    def _all_shapes(self, attributes: LayerNormalizationAttributes, x: Shape) -> tuple[Shape, ...]:
        first = axis_of(attributes.axis, len(x))
        each = (*x[:first], *(1 for _ in x[first:]))
        return (x, each, each)[: self.most_outputs]

    def shapes(self, attributes: LayerNormalizationAttributes, x: Shape, *others: Any) -> tuple[Shape, ...]:
        self._check_shapes(attributes, x, *others)
        return tuple(self._all_shapes(attributes, x)[number] for number in attributes._kept)

    def compute(self, binding: Binding, x: Array, *others: Any) -> tuple[Array, ...]:
        attributes: LayerNormalizationAttributes = binding.step.attributes
        shapes = self._all_shapes(attributes, x.shape)
        if x.size == 0:
            made = (x.dtype, np.float32, np.float32)
            return tuple(np.zeros(concrete(shapes[number]), made[number]) for number in attributes._kept)
        rows = x.reshape(-1, math.prod(x.shape[axis_of(attributes.axis, x.ndim) :]))
        with np.errstate(all="ignore"):
            found = self.normal(rows, attributes.epsilon, *others)
        return tuple(found[number].reshape(concrete(shapes[number])) for number in attributes._kept)

    def normal(
        self, rows: Array, epsilon: float, scale: Array, bias: Array | None = None, **_: Any
    ) -> tuple[Array, ...]:
        """Normalize rows, (R, n); one array for each output that there may be."""
        bias = None if bias is None else bias.reshape(-1).astype(F, copy=False)
        halves = rows.dtype == np.float16
        result, *others = normalize.layer_norm(
            rows.astype(F, copy=False), scale.reshape(-1).astype(F, copy=False), bias, epsilon, halves
        )
        return (result.astype(rows.dtype, copy=False), *others)

    def origin(self, step: Step, output: int, index: Index, x: Array, *others: Any) -> Any:
        first = axis_of(step.attributes.axis, x.ndim)
        row = x[index[:first]].reshape(-1)
        if step.attributes._kept[output] > 0:
            return row
        return [*row, *(array[index[first:]] for array in others if array is not None)]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


class LayerNormalization(Normalization):
    """Of float16 ONNX Runtime has a kernel of its own, which rounds the result once; the other outputs are float32."""

    op = "LayerNormalization"
    only = "with a scale and a bias of the shape of what is normalized"
    arity = (2, 3)
    dtypes = (np.float32, np.float16)


class RMSNormalization(Normalization):
    """Rows over their root mean square: (x, scale)."""

    op = "RMSNormalization"
    only = "with a scale of the shape of what is normalized"
    arity = (2, 2)
    named = ("x", "scale")
    most_outputs = 1

    def normal(
        self, rows: Array, epsilon: float, scale: Array, bias: Array | None = None, **_: Any
    ) -> tuple[Array, ...]:
        return (normalize.root_norm(rows, scale.reshape(-1), epsilon),)


@dataclass(frozen=True)
class SkipLayerNormalizationAttributes:
    epsilon: float = 1e-12
    axis: ClassVar[int] = -1
    stash_type: ClassVar[int] = FLOAT
    _kept: tuple[int, ...] = (0,)


class SkipLayerNormalization(Normalization):
    """LayerNormalization of x + skip + bias over the last axis: (x, skip, gamma, beta, bias); and that sum."""

    op = "SkipLayerNormalization"
    domain = MICROSOFT
    arity = (3, 5)
    Attributes = SkipLayerNormalizationAttributes
    named: ClassVar[tuple[str, ...]] = ("x", "skip", "gamma", "beta", "bias")
    most_outputs = 4

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        if set(attributes._kept) - {0, 3}:
            check.refuse("outputs", "the result, and output 3 (the sum)", f"outputs {list(attributes._kept)}")
        check.rank_in(0, (2, 3), "x")
        return super().infer(check, attributes)

    def _check_shapes(self, attributes: Any, x: Shape, *others: Shape | None) -> None:
        skip, *vectors = others
        assert skip is not None
        if not any(may_equal(skip, shape) for shape in (x, (1, *x[1:]), x[1:])):
            raise ShapeError(f"skip of shape {list(x)}, or without its first axis", str(list(skip)))
        self._check_rows(x[-1:], vectors, self.named[2:])

    def _all_shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,) * self.most_outputs

    def compute(self, binding: Binding, x: Array, *others: Any) -> tuple[Array, ...]:
        skip, gamma, *more = others
        beta, bias = self._addends(*more)
        with np.errstate(all="ignore"):
            total = x + skip if bias is None else x + skip + bias
            rows = total.reshape(-1, x.shape[-1])
            made = {0: self._normal(rows, gamma, beta, binding.step.attributes.epsilon).reshape(x.shape), 3: total}
        return tuple(made[number] for number in binding.step.attributes._kept)

    def _addends(self, beta: Array | None = None, bias: Array | None = None) -> tuple[Array | None, Array | None]:
        return beta, bias

    def _normal(self, rows: Array, gamma: Array, beta: Array | None, epsilon: float) -> Array:
        return normalize.layer_norm_one_by_one(rows, gamma, beta, epsilon)[0]

    def origin(self, step: Step, output: int, index: Index, x: Array, *others: Any) -> Any:
        skip, gamma, *more = others
        beta, bias = self._addends(*more)
        whole = step.attributes._kept[output] == 3
        where = index if whole else index[:-1]
        skipped = np.broadcast_to(skip, x.shape)[where]
        summed = [] if bias is None else [bias[index[-1]]] if whole else [*bias]
        scaled = [array[index[-1]] for array in (gamma, beta) if array is not None and not whole]
        return [*np.atleast_1d(x[where]), *np.atleast_1d(skipped), *summed, *scaled]


class SkipSimplifiedLayerNormalization(SkipLayerNormalization):
    """RMSNormalization of x + skip + bias over the last axis: (x, skip, gamma, bias); and that sum."""

    op = "SkipSimplifiedLayerNormalization"
    arity = (3, 4)
    named = ("x", "skip", "gamma", "bias")

    def _addends(self, beta: Array | None = None, bias: Array | None = None) -> tuple[Array | None, Array | None]:
        return None, beta

    def _normal(self, rows: Array, gamma: Array, beta: Array | None, epsilon: float) -> Array:
        return normalize.root_norm_one_by_one(rows, gamma, epsilon)
