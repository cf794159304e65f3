"""Random ingredients of cases, chosen so that what is rare in nature is common here: ties, extremes, saturation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rng = np.random.Generator
F = np.float32
EIGHT = (np.int8, np.uint8)
DECIMAL = (0.1, 0.05, 0.02, 0.3, 0.7, 1.0, 0.01)


def pick(rng: Rng, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


def chance(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)


def size(rng: Rng, most: int = 6) -> int:
    return int(rng.integers(1, most + 1))


def shape(rng: Rng, rank: int | None = None, most: int = 5) -> tuple[int, ...]:
    rank = int(rng.integers(1, 5)) if rank is None else rank
    return tuple(size(rng, most) for _ in range(rank))


def ends(dtype: Any) -> tuple[int, int]:
    """The lowest and the highest code of a type."""
    info = ml_dtypes.iinfo(dtype)
    return int(info.min), int(info.max)


def codes(rng: Rng, dtype: Any, dims: Sequence[int]) -> Array:
    """Any codes; sometimes only the extremes, or one code everywhere, so that sums get as large as they can. Of float8
    any bits."""
    if str(np.dtype(dtype)).startswith("float8"):
        return rng.integers(0, 256, size=tuple(dims), dtype=np.uint8).view(dtype)
    low, high = ends(dtype)
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(np.array([low, high], np.int64), size=tuple(dims)).astype(dtype)
    if kind < 0.25:
        return np.full(tuple(dims), pick(rng, (low, high)), dtype)
    return _any(rng, dtype, dims)


def _any(rng: Rng, dtype: Any, dims: Sequence[int]) -> Array:
    low, high = ends(dtype)
    drawn = np.dtype(dtype) if np.dtype(dtype).kind in "iu" else np.dtype(np.int8)
    return rng.integers(low, high, size=tuple(dims), dtype=drawn, endpoint=True).astype(dtype)


def zero_point(rng: Rng, dtype: Any, dims: Sequence[int] = ()) -> Array:
    low, high = ends(dtype)
    kind = rng.random()
    if kind < 0.3:
        return np.full(tuple(dims), pick(rng, (low, high, 0, (low + high + 1) // 2)), dtype)
    return _any(rng, dtype, dims)


def scale(rng: Rng, dims: Sequence[int] = ()) -> Array:
    """Powers of two, decimals and arbitrary float32 of every usual magnitude; now and then an absurd one."""
    kind = rng.random()
    if kind < 0.3:
        return np.exp2(rng.integers(-8, 4, size=tuple(dims)).astype(F)).astype(F)
    if kind < 0.5:
        return np.asarray(rng.choice(np.array(DECIMAL, F), size=tuple(dims)), F)
    low, high = (-40.0, 36.0) if kind > 0.95 else (-4.0, 1.0)
    return np.asarray(np.maximum(10 ** rng.uniform(low, high, size=tuple(dims)), 1e-44), F)


def output_scale(rng: Rng, typical: float) -> Array:
    """A scale under which results of that size fill the codes; or a power of two, so that exact halves occur; or one
    that saturates or flattens everything."""
    kind = rng.random()
    typical = min(max(abs(typical), 1e-30), 1e30)
    if kind < 0.35:
        return F(np.exp2(np.round(np.log2(typical / 64)) + rng.integers(-1, 2)))
    if kind < 0.9:
        return F(typical / 10 ** rng.uniform(0.5, 2.5))
    return F(min(max(typical * 10 ** rng.uniform(-12, 12), 1e-38), 1e38))


def bias(rng: Rng, dims: Sequence[int], typical: float) -> Array:
    """int32 biases: as large as the sums; or past 2^24, where float32 has gaps; or near the ends, so that they wrap."""
    kind = rng.random()
    if kind < 0.5:
        reach = max(int(min(typical, 2**30)), 2)
        return rng.integers(-reach, reach, size=tuple(dims), dtype=np.int32)
    if kind < 0.75:
        return rng.integers(-(2**27), 2**27, size=tuple(dims), dtype=np.int32)
    near = rng.integers(0, 2000, size=tuple(dims))
    return np.where(rng.random(tuple(dims)) < 0.5, 2**31 - 1 - near, -(2**31) + near).astype(np.int32)


def sums_dtypes(rng: Rng) -> tuple[Any, Any]:
    """Types of activations and weights that ONNX Runtime has kernels of."""
    return pick(rng, ((np.uint8, np.int8), (np.int8, np.int8), (np.uint8, np.uint8)))


def typical_sum(terms: int) -> float:
    return 70.0 * 70.0 * float(np.sqrt(terms))
