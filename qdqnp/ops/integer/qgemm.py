"""com.microsoft.QGemm: y = requantize(alpha * sum of (a - z_a)(b - z_b), + C); real output without y_scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, ShapeError, Site, broadcast_shapes
from qdqnp.ops.integer.linear import Linear, centered_weights, linear_bound, make_layer
from qdqnp.ops.integer.matrix import exact_sums, product, saturating_pairs
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Codes, Int64


@dataclass(frozen=True)
class QGemmAttributes:
    alpha: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX spelling
    transB: int = 0  # noqa: N815


def gemm_shape(transposed: tuple[int, int], a: Shape, b: Shape, c: Shape | None) -> Shape:
    """(M, N) of a Gemm; raises ShapeError where the operands or the bias do not fit."""
    if len(a) != 2 or len(b) != 2:
        raise ShapeError("matrices", f"{list(a)} and {list(b)}")
    rows, inner = (a[1], a[0]) if transposed[0] else (a[0], a[1])
    other, cols = (b[1], b[0]) if transposed[1] else (b[0], b[1])
    if isinstance(inner, int) and isinstance(other, int) and inner != other:
        raise ShapeError("equal inner sizes", f"{list(a)} and {list(b)} (transposed: {transposed})")
    if c is not None and (len(c) > 2 or broadcast_shapes([(rows, cols), c]) != (rows, cols)):
        raise ShapeError(f"a bias that broadcasts to {[rows, cols]}", str(list(c)))
    return (rows, cols)


class QGemm(Operator):
    op = "QGemm"
    domain = MICROSOFT
    arity = (6, 9)
    Attributes = QGemmAttributes

    def infer(self, site: Site, attributes: QGemmAttributes) -> Inferred:
        a_dtype = site.dtype_in(0, EIGHT_BIT, "a")
        site.dtype_in(3, (np.int8,) if a_dtype == np.int8 else EIGHT_BIT, "b")
        if site.given(6):
            site.dtype_in(6, (np.int32,), "C")
        shape = gemm_shape(
            (attributes.transA, attributes.transB),
            site.value(0).shape,
            site.value(3).shape,
            site.value(6).shape if site.given(6) else None,
        )
        a, b, y = self._quants(site, attributes)
        if not a.per_tensor or (y is not None and not y.per_tensor):
            site.refuse("scales of a and y", "one value each", "several")
        if not b.per_tensor and b.scale.size != shape[1]:
            site.refuse("input 4 (b_scale)", f"1 or {shape[1]} values", b.scale.size)
        return ((FLOAT32 if y is None else y.dtype, shape),)

    def _quants(self, site: Site, attributes: QGemmAttributes) -> tuple[Any, Any, Any]:
        a_dtype = site.value(0).dtype
        y = site.quant(7, 8, a_dtype) if site.given(7) else None
        b_axis = 0 if attributes.transB else 1
        return site.quant(1, 2, a_dtype), site.quant(4, 5, site.value(3).dtype, axis=b_axis), y

    def step(self, site: Site, attributes: QGemmAttributes) -> Step:
        names = site.node.inputs
        a, b, y = self._quants(site, attributes)
        bias = Operand(names[6]) if site.given(6) else None
        operands = (Operand(names[0], a), Operand(names[3], b), bias)
        return self.make_step(site, attributes, operands, (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: QGemmAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        a, b, c = inputs
        assert a is not None and b is not None
        return (gemm_shape((attributes.transA, attributes.transB), a, b, c),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None
        inner = inputs[0][0 if step.attributes.transA else 1]
        return int(outputs[0][0] or 0) * int(outputs[0][1] or 0) * int(inner or 0)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: QGemmAttributes = step.attributes
        a_operand, b_operand, c_operand = step.inputs
        assert a_operand is not None and b_operand is not None
        a, b, y = a_operand.quant, b_operand.quant, step.outputs[0].quant
        assert a is not None and b is not None

        def layer_of(weights: Codes, bias: Codes | None) -> Linear:
            centered = centered_weights(weights, b)
            rows = np.ascontiguousarray(centered if attributes.transB else centered.T)
            layer = SumContext(a, b, y, bias, attributes.alpha, rows, step.label)
            pairs = saturating_pairs(profile, a, b, rows)
            return make_layer(rows[None], a, profile.gemm.bind(layer), 1, strategy, pairs)

        fixed: Linear | None = None
        if b_operand.name in consts and (c_operand is None or c_operand.name in consts):
            fixed = layer_of(consts[b_operand.name], consts[c_operand.name] if c_operand else None)

        def prepared(arrays: Sequence[Array | None]) -> tuple[Codes, Linear, Sizes]:
            codes, weights, bias = arrays
            assert codes is not None and weights is not None
            layer = fixed or layer_of(weights, bias)
            left = codes.T if attributes.transA else codes
            return left, layer, (left.shape[0], layer.weights.array.shape[1])

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            left, layer, shape = prepared(arrays)
            out = np.empty(shape, FLOAT32 if y is None else y.dtype)
            product(left, layer, out, scratch)
            return (out,)

        def sums(arrays: Sequence[Array | None]) -> Int64:
            left, layer, _ = prepared(arrays)
            return exact_sums(left, layer)

        def accumulators(arrays: Sequence[Array | None]) -> Int64:
            bias = arrays[2]
            return sums(arrays) if bias is None else sums(arrays) + bias

        return linear_bound(evaluate, fixed, lambda arrays: prepared(arrays)[1], sums, accumulators, 1)
