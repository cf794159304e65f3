"""com.microsoft.QAttention: self-attention whose first product is of codes; scores and Softmax are float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.geometry.matrix import integer_matmul
from qdqnp.ops.integer.matmul_integer_to_float import by_column, check_bias, scaled
from qdqnp.ops.integer.zero_points import as_zero, check_one, check_zero_point, numbers_of
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import EIGHT_BIT, Array, Float32

F = np.float32
#: What is added to the score of a later position: the lowest number.
LATER = np.finfo(F).min


@dataclass(frozen=True)
class QAttentionAttributes:
    num_heads: int = 0
    unidirectional: int = 0
    #: The factor of scores; 0 stands for 1 / sqrt(head size).
    scale: float = 0.0
    #: What is added to the score of a position that is masked.
    mask_filter_value: float = -10000.0
    do_rotary: int = 0
    past_present_share_buffer: int = 0


class QAttention(Operator):
    """Its inputs: x, weights of Q, K and V side by side, bias, x's scale, the weights' scale, mask, both zero points.

    A mask is 0 or 1 for each position, (batch, sequence), or the length of each sequence, (batch,), or its ends and its
    starts, (2 batch,). Scale and zero point of the weights may go by column.
    """

    op = "QAttention"
    domain = MICROSOFT
    only = "no past"
    example = {"num_heads": 1}  # noqa: RUF012 - is not changed
    example_shapes = ((1, 1, 1), (1, 3), (3,), (1,), (1,), (1, 1), (1,), (1,))
    arity = (5, 8)
    Attributes = QAttentionAttributes
    reads = ("accumulate", "float_sum")
    bytes_per_element = 64

    def attributes(self, check: NodeCheck) -> QAttentionAttributes:
        found: QAttentionAttributes = super().attributes(check)
        if found.num_heads < 1:
            check.refuse("attribute 'num_heads'", "at least 1", found.num_heads)
        for name in ("do_rotary", "past_present_share_buffer"):
            if getattr(found, name):
                check.refuse(f"attribute '{name}'", "0", getattr(found, name))
        return found

    def infer(self, check: NodeCheck, attributes: QAttentionAttributes) -> Inferred:
        check.dtype_in(0, (np.uint8,), "x")
        check.dtype_in(1, EIGHT_BIT, "weights")
        check.rank_in(0, (3,), "x")
        check.rank_in(1, (2,), "weights")
        for index, what in ((2, "bias"), (3, "scale"), (4, "scale")):
            check.dtype_in(index, (np.float32,), what)
        check_bias(check, 2)
        check_one(check, 3, "input_scale")
        by_column(check, 4, "weight_scale")
        if check.given(5):
            check.dtype_in(5, (np.int32,), "mask")
            check.rank_in(5, (1, 2), "mask")
        check_zero_point(check, 6, 0)
        check_one(check, 6, "input_zero_point")
        check_zero_point(check, 7, 1)
        by_column(check, 7, "weight_zero_point")
        mask = check.value(5).shape if check.given(5) else None
        shapes = (check.value(0).shape, check.value(1).shape)
        return ((FLOAT32, self.shapes(attributes, *shapes, None, None, None, mask)[0]),)

    def shapes(
        self,
        attributes: QAttentionAttributes,
        x: Shape,
        weights: Shape,
        bias: Any = None,
        x_scale: Any = None,
        w_scale: Any = None,
        mask: Shape | None = None,
        *others: Any,
    ) -> tuple[Shape, ...]:
        batch, sequence, inner = x
        terms, columns = weights
        if isinstance(inner, int) and isinstance(terms, int) and inner != terms:
            raise ShapeError("equal inner sizes", f"{list(x)} and {list(weights)}")
        if not isinstance(columns, int) or columns % (3 * attributes.num_heads):
            raise ShapeError(f"columns for Q, K and V of {attributes.num_heads} heads", str(list(weights)))
        known = isinstance(batch, int) and isinstance(sequence, int) and mask is not None
        if known and mask not in ((batch,), (2 * batch,), (batch, sequence)):  # type: ignore[operator]
            raise ShapeError(
                f"a mask of shape [{batch}], [2 * {batch}] or [{batch}, {sequence}]", str(list(mask or ()))
            )
        return ((batch, sequence, columns // 3),)

    def macs(self, attributes: QAttentionAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        batch, sequence, hidden = output
        return batch * sequence * hidden * (3 * inputs[0][2] + 2 * sequence)

    def work(self, attributes: QAttentionAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count Q, K and V, the scores, and a thousand elements for each head, which is set up by itself."""
        batch, sequence, _ = output
        heads = batch * attributes.num_heads
        return 3 * math.prod(output) + heads * (sequence * sequence + 1000)

    def compute(
        self,
        binding: Binding,
        x: Array,
        weights: Array,
        bias: Float32,
        x_scale: Float32,
        w_scale: Float32,
        mask: Array | None = None,
        x_zero: Array | None = None,
        w_zero: Array | None = None,
    ) -> tuple[Array, ...]:
        attributes: QAttentionAttributes = binding.step.attributes
        rule = binding.profile.float_sum
        sums = integer_matmul(x, weights, as_zero(x_zero), as_zero(w_zero), binding.profile.accumulate)
        batch, sequence, columns = sums.shape
        heads, size = attributes.num_heads, columns // 3 // attributes.num_heads
        # (Q, K or V, batch, head, position, element)
        parts = scaled(sums, x_scale, w_scale, bias).reshape(batch, sequence, 3, heads, size).transpose(2, 0, 3, 1, 4)
        added = _masked(attributes, mask, batch, sequence)
        factor = attributes.scale or float(F(1) / np.sqrt(F(size)))
        product = GemmCall(False, factor, transposed=(False, True))
        out = np.empty((batch, sequence, heads, size), F)
        for at in np.ndindex(batch, heads):
            q, k, v = (np.ascontiguousarray(part[at]) for part in parts)
            scores = rule.gemm(q, k.T, None, product)
            chances = rule.softmax(scores if added is None else scores + added[at[0]], False)
            out[at[0], :, at[1]] = rule.gemm(chances, v, None, GemmCall(False))
        return (out.reshape(batch, sequence, columns // 3),)

    def origin(
        self,
        step: Step,
        output: int,
        index: Index,
        x: Array,
        weights: Array,
        bias: Array,
        x_scale: Array,
        w_scale: Array,
        mask: Array | None = None,
        x_zero: Array | None = None,
        w_zero: Array | None = None,
    ) -> Any:
        """Return the sequence up to where the position looks, and the columns of the head."""
        batch, position, element = index
        hidden = weights.shape[1] // 3
        size = hidden // step.attributes.num_heads
        head = element // size * size
        columns = [*range(head, head + size), *range(hidden + head, hidden + head + size), 2 * hidden + element]
        by_columns = [a if a is None or a.size == 1 else a.reshape(-1)[columns] for a in (bias, w_scale, w_zero)]
        seen = x[batch, : position + 1] if step.attributes.unidirectional else x[batch]
        lengths = None if mask is None else mask[batch :: len(x)] if mask.ndim == 1 else mask[batch]
        return numbers_of(seen, weights[:, columns], x_scale, x_zero, lengths, *by_columns)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


def _masked(attributes: QAttentionAttributes, mask: Array | None, batch: int, sequence: int) -> Float32 | None:
    """Return what is added to the scores, (batch, position, position); None where nothing is."""
    if mask is None and not attributes.unidirectional:
        return None
    places, seen = np.arange(sequence), np.ones((batch, sequence), bool)
    if mask is not None and mask.ndim == 2:
        seen = mask > 0
    elif mask is not None:
        ends, starts = mask[:batch], mask[batch:] if len(mask) > batch else np.zeros(batch, mask.dtype)
        seen = (places < ends[:, None]) & (places >= starts[:, None])
    added = np.where(seen[:, None], F(0), F(attributes.mask_filter_value))
    later = places > places[:, None] if attributes.unidirectional else np.zeros((sequence, sequence), bool)
    return np.where(later, LATER, np.broadcast_to(added, (batch, sequence, sequence)))
