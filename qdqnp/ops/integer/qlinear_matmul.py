"""QLinearMatMul: y = requantize(sum over k of (a - z_a)(b - z_b)), with NumPy's matmul broadcasting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site, broadcast_shapes
from qdqnp.ops.integer.linear import Linear, centered_weights, linear_bound, make_layer
from qdqnp.ops.integer.matrix import exact_sums, product, saturating_pairs
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Codes, Int64


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """NumPy's matmul shape; raises ShapeError."""
    if not a or not b:
        raise ShapeError("operands of rank 1 or more", f"{list(a)} and {list(b)}")
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    inner, other = left[-1], right[-2]
    if isinstance(inner, int) and isinstance(other, int) and inner != other:
        raise ShapeError("equal inner sizes", f"{list(a)} and {list(b)}")
    batch = broadcast_shapes([left[:-2], right[:-2]])
    rows = () if len(a) == 1 else (left[-2],)
    cols = () if len(b) == 1 else (right[-1],)
    return (*batch, *rows, *cols)


class QLinearMatMul(Operator):
    op = "QLinearMatMul"
    arity = (8, 8)

    def infer(self, site: Site, attributes: Any) -> Inferred:
        a_dtype = site.dtype_in(0, EIGHT_BIT, "a")
        site.dtype_in(3, (np.int8,) if a_dtype == np.int8 else EIGHT_BIT, "b")
        shape = matmul_shape(site.value(0).shape, site.value(3).shape)
        a, b, y = self._quants(site)
        if not (a.per_tensor and y.per_tensor):
            site.refuse("scales of a and y", "one value each", f"{a.scale.size} and {y.scale.size}")
        if not b.per_tensor and b.scale.size != site.value(3).shape[-1]:
            site.refuse("input 4 (b_scale)", f"1 or {site.value(3).shape[-1]} values", b.scale.size)
        return ((y.dtype, shape),)

    def _quants(self, site: Site) -> tuple[Any, Any, Any]:
        a_dtype, b = site.value(0).dtype, site.value(3)
        return (
            site.quant(1, 2, a_dtype),
            site.quant(4, 5, b.dtype, axis=len(b.shape) - 1),
            site.quant(6, 7, a_dtype),
        )

    def step(self, site: Site, attributes: Any) -> Step:
        names = site.node.inputs
        a, b, y = self._quants(site)
        operands = (Operand(names[0], a), Operand(names[3], b))
        return self.make_step(site, attributes, operands, (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None and inputs[1] is not None
        return (matmul_shape(inputs[0], inputs[1]),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None
        size = int(np.prod([int(d or 0) for d in outputs[0]], dtype=np.int64))
        return size * int(inputs[0][-1] or 0)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        """Each matrix of a batch is a layer of its own where its weights may be computed: a few milliseconds."""
        return 2000 * math.prod(concrete(outputs[0])[:-2]) + sum(
            math.prod(concrete(shape)) for shape in inputs if shape
        )

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        a_operand, b_operand = step.inputs
        assert a_operand is not None and b_operand is not None
        a, b, y = a_operand.quant, b_operand.quant, step.outputs[0].quant
        assert a is not None and b is not None and y is not None

        def layer_of(matrix: Codes) -> Linear:
            """matrix: (K, N) centered weights as int64."""
            rows = np.ascontiguousarray(matrix.T)
            requantizer = profile.matmul.bind(SumContext(a, b, y, weights=rows, label=step.label))
            return make_layer(rows[None], a, requantizer, 1, strategy, saturating_pairs(profile, a, b, rows))

        fixed: Linear | None = None
        if b_operand.name in consts and consts[b_operand.name].ndim == 2:
            fixed = layer_of(centered_weights(consts[b_operand.name], b))

        def over_batch(arrays: Sequence[Array | None], dtype: Any, one: Any) -> Array:
            """Apply one(a (rows, K), layer, out (rows, N)) to each matrix of the broadcast batch."""
            codes, weights = arrays
            assert codes is not None and weights is not None
            out = np.empty(concrete(matmul_shape(codes.shape, weights.shape)), dtype)
            if fixed is not None:
                rows = math.prod(codes.shape[:-1])  # -1 would not do where K or N is 0
                one(codes.reshape(rows, codes.shape[-1]), fixed, out.reshape(rows, weights.shape[-1]))
                return out
            centered = centered_weights(weights, b)
            left = codes[None] if codes.ndim == 1 else codes
            right = centered[:, None] if centered.ndim == 1 else centered
            batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
            left = np.broadcast_to(left, (*batch, *left.shape[-2:]))
            right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
            target = out.reshape(*batch, left.shape[-2], right.shape[-1])
            for index in np.ndindex(*batch):
                one(left[index], layer_of(right[index]), target[index])
            return out

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            return (over_batch(arrays, y.dtype, lambda left, layer, out: product(left, layer, out, scratch)),)

        def sums(arrays: Sequence[Array | None]) -> Int64:
            return over_batch(arrays, np.int64, lambda left, layer, out: np.copyto(out, exact_sums(left, layer)))

        def given(arrays: Sequence[Array | None]) -> Linear:
            """The layer; where weights are computed, that of the first matrix: its scales are those of all."""
            weights = arrays[1]
            assert weights is not None
            centered = centered_weights(weights, b)
            if centered.ndim == 1:
                centered = centered[:, None]
            batch = centered.shape[:-2]
            first = centered[(0,) * len(batch)] if 0 not in batch else np.zeros(centered.shape[-2:], np.int64)
            return fixed or layer_of(first)

        return linear_bound(evaluate, fixed, given, sums, sums, -1)
