"""RotaryEmbedding turns pairs of elements by angles that go by position: (x, cosines, sines, positions).

Source: ONNX Runtime 1.32, core/mlas/lib/rotary_embedding_kernel_avx2.cpp, core/providers/cpu/llm/rotary_embedding.cc;
which products are rounded by themselves was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics.float32 import fma32
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, Float32

#: Elements that the kernel of interleaved pairs takes at once, each product and its sum rounded once.
AT_ONCE = 16


@dataclass(frozen=True)
class RotaryEmbeddingAttributes:
    #: Whether a pair are neighbours, and not an element of each half.
    interleaved: int = 0
    num_heads: int = 0
    #: How many elements of a head are turned; 0 stands for all.
    rotary_embedding_dim: int = 0


class RotaryEmbedding(Operator):
    """x is (batch, heads, position, element), or (batch, position, element of all heads)."""

    op = "RotaryEmbedding"
    arity = (3, 4)
    Attributes = RotaryEmbeddingAttributes
    example = {"num_heads": 1}  # noqa: RUF012 - is not changed
    example_shapes = ((1, 1, 2), (1, 1), (1, 1), (1, 1))
    bytes_per_element = 64

    def infer(self, check: NodeCheck, attributes: RotaryEmbeddingAttributes) -> Inferred:
        rank = check.rank_in(0, (3, 4), "x")
        for index, what in enumerate(("x", "cos_cache", "sin_cache")):
            check.dtype_in(index, (np.float32,), what)
        for name in ("num_heads", "rotary_embedding_dim"):
            if getattr(attributes, name) < 0:
                check.refuse(f"attribute '{name}'", "at least 0", getattr(attributes, name))
        if rank == 3 and not attributes.num_heads:
            check.refuse("attribute 'num_heads'", "at least 1, as x has rank 3", 0)
        if check.given(3):
            check.dtype_in(3, (np.int64,), "position_ids")
        given = (check.value(index).shape if check.given(index) else None for index in range(4))
        return ((FLOAT32, self.shapes(attributes, *given)[0]),)

    def shapes(self, attributes: RotaryEmbeddingAttributes, *inputs: Any, **_: Any) -> tuple[Shape, ...]:
        x, cosines, sines, positions = _four(inputs)
        batch, sequence, size = x[0], x[-2], x[-1]
        if len(x) == 3 and isinstance(size, int):
            if size % attributes.num_heads:
                raise ShapeError(f"columns for {attributes.num_heads} heads", str(size))
            size //= attributes.num_heads
        turned = attributes.rotary_embedding_dim or size
        if isinstance(turned, int) and (turned % 2 or (isinstance(size, int) and turned > size)):
            raise ShapeError(f"an even number of at most {size} elements to turn", str(turned))
        half = turned // 2 if isinstance(turned, int) else None
        wanted = (batch, sequence, half) if positions is None else (None, half)
        for shape, what in ((cosines, "cos_cache"), (sines, "sin_cache")):
            if not may_equal(shape, wanted):
                raise ShapeError(f"{what} of sizes {list(wanted)}", str(list(shape)))
        if not may_equal(cosines, sines):
            raise ShapeError(f"sin_cache of sizes {list(cosines)}", str(list(sines)))
        if positions is not None and not may_equal(positions, (batch, sequence)):
            raise ShapeError(f"position_ids of sizes {[batch, sequence]}", str(list(positions)))
        return (x,)

    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        attributes: RotaryEmbeddingAttributes = binding.step.attributes
        x, cosines, sines, positions = _four(inputs)
        if positions is not None:
            wrong = (positions < 0) | (positions >= len(cosines))
            if wrong.any():
                where = f"step {binding.step.label}, position_ids"
                problem = Problem(where, f"in [0, {len(cosines) - 1}]", str(positions[wrong][0]))
                raise ProfileError("a position is beyond the cache", [problem])
            cosines, sines = cosines[positions], sines[positions]
        out = _by_heads(x, attributes).copy()  # (batch, position, head, element)
        turned = attributes.rotary_embedding_dim or out.shape[-1]
        first, second = _pairs(turned, attributes)
        with np.errstate(all="ignore"):
            out[..., first], out[..., second] = _turned(
                out[..., first], out[..., second], cosines[:, :, None], sines[:, :, None], attributes
            )
        return (np.ascontiguousarray(out.transpose(0, 2, 1, 3) if x.ndim == 4 else out.reshape(x.shape)),)

    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        attributes: RotaryEmbeddingAttributes = step.attributes
        x, cosines, sines, positions = _four(inputs)
        by_heads = _by_heads(x, attributes)
        size = by_heads.shape[-1]
        batch, position, head, element = (
            (index[0], index[2], index[1], index[3])
            if x.ndim == 4
            else (index[0], index[1], index[2] // size, index[2] % size)
        )
        row = by_heads[batch, position, head]
        turned = attributes.rotary_embedding_dim or size
        if element >= turned:
            return row[element]
        first, second = (np.arange(size)[part] for part in _pairs(turned, attributes))
        (pair,) = np.flatnonzero((first == element) | (second == element))
        found = [row[first[pair]], row[second[pair]]]
        if positions is None:
            return [*found, cosines[batch, position, pair], sines[batch, position, pair]]
        return [*found, *cosines[:, pair], *sines[:, pair], positions[batch, position]]


def _four(inputs: Sequence[Any]) -> list[Any]:
    """Return all inputs that there may be; None for those that are absent."""
    return [*inputs, *[None] * (4 - len(inputs))]


def _by_heads(x: Array, attributes: RotaryEmbeddingAttributes) -> Array:
    """Return a view as (batch, position, head, element)."""
    if x.ndim == 4:
        return x.transpose(0, 2, 1, 3)
    return x.reshape(*x.shape[:2], attributes.num_heads, -1)


def _pairs(turned: int, attributes: RotaryEmbeddingAttributes) -> tuple[slice, slice]:
    """Return where the first and where the second elements of the pairs are."""
    if attributes.interleaved == 1:
        return slice(0, turned, 2), slice(1, turned, 2)
    return slice(0, turned // 2), slice(turned // 2, turned)


def _turned(
    first: Float32, second: Float32, cosines: Float32, sines: Float32, attributes: RotaryEmbeddingAttributes
) -> tuple[Float32, Float32]:
    """Return the pairs turned. Of interleaved pairs that are left over, those behind the first round every product."""
    shape = first.shape
    cosines, sines = np.broadcast_to(cosines, shape), np.broadcast_to(sines, shape)
    real = fma32(first, cosines, -(second * sines))
    imaginary = fma32(first, sines, second * cosines)
    if attributes.interleaved == 1:
        rest = slice(2 * shape[-1] // AT_ONCE * (AT_ONCE // 2) + 1, None)
        a, b, c, s = (array[..., rest] for array in (first, second, cosines, sines))
        real[..., rest], imaginary[..., rest] = a * c - b * s, a * s + b * c
    return real, imaginary
