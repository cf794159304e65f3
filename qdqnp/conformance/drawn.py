"""Parameters of the layers under test: scales, zero points and weights, chosen so that what is rare is common."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from qdqnp.quant import Array, code_range

S = TypeVar("S")
T = TypeVar("T")
F = np.float32
SIGNED, UNSIGNED = np.dtype(np.int8), np.dtype(np.uint8)
LOW, MIDDLE, HIGH = "low", "mid", "high"


@dataclass(frozen=True)
class ParameterKind:
    """One choice of scales and zero points."""

    #: For names of cases: 'pow2' (a power of two between accumulator and output, so that exact halves occur), 'third'
    #: (three times one) or 'odd' (scales as calibration makes them).
    name: str
    #: Where the zero points of inputs, weights and output lie in their range.
    x: str
    w: str
    y: str
    #: The bias: '', 'sums' (as large as the sums) or 'wide' (past 2^24, where float32 has gaps).
    bias: str = ""


KINDS = (
    ParameterKind("pow2", LOW, MIDDLE, HIGH, "sums"),
    ParameterKind("odd", MIDDLE, HIGH, MIDDLE, ""),
    ParameterKind("third", HIGH, LOW, LOW, "wide"),
)


def generator(*parts: object) -> np.random.Generator:
    """Return the generator of random numbers that belongs to a name: the same in every run, on every machine."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, parts)).encode()))


def zero_point(dtype: np.dtype[Any], where: str) -> Array:
    """Return the zero point at an end of the codes, or the middle: 0 of int8, 128 of uint8."""
    low, high = code_range(dtype)
    return np.asarray({LOW: low, MIDDLE: (low + high + 1) // 2, HIGH: high}[where], dtype)


def codes(rng: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Return random codes, the first two of them the ends of the range where there are as many."""
    low, high = code_range(dtype)
    made = rng.integers(low, high, size=tuple(shape), dtype=dtype, endpoint=True)
    ends = np.array([high, low], dtype)
    made.reshape(-1)[: ends.size] = ends[: made.size]
    return made


def between(kind: ParameterKind, reach: float) -> Array:
    """Return scale of the output over that of the accumulator, under which sums of size `reach` go beyond the codes."""
    power = F(2.0 ** max(0, int(np.floor(np.log2(max(reach, 1) / 400)))))
    return np.asarray(power * F(0.7310586) if kind.name == "odd" else power, F)


def input_scale(kind: ParameterKind, rng: np.random.Generator) -> Array:
    """Return the scale of an input: a power of two, three times one, or any."""
    return np.asarray({"pow2": F(1 / 16), "third": F(3 / 32), "odd": F(rng.uniform(0.01, 0.1))}[kind.name], F)


def weight_scale(kind: ParameterKind, rng: np.random.Generator, count: int) -> Array:
    """Return the scales of weights: one for each of `count` channels; one value where `count` is 0."""
    shape = (count,) if count else ()
    if kind.name == "odd":
        return np.asarray(rng.uniform(0.001, 0.01, shape), F)
    return np.asarray(np.full(shape, 2.0**-7) * 2.0 ** (np.arange(max(count, 1)) % 2).reshape(shape or ()), F)


def bias(kind: ParameterKind, rng: np.random.Generator, count: int, reach: float) -> Array | None:
    """Return int32 biases, one for each channel; None for a kind without."""
    if not kind.bias:
        return None
    most = int(reach / 4) + 1 if kind.bias == "sums" else 2**25
    return rng.integers(-most, most, size=count, endpoint=True).astype(np.int32)


@dataclass(frozen=True)
class Drawn(Generic[S, T]):
    """One shape, one type and one kind of parameters, with the random numbers that belong to them."""

    number: int
    shape: S
    type: T
    kind: ParameterKind
    rng: np.random.Generator


def choices(op: str, shapes: Sequence[S], types: Sequence[T]) -> Iterator[Drawn[S, T]]:
    """Yield every shape with every type; the kinds take turns, so that each type and each shape meets several."""
    for number, shape in enumerate(shapes):
        for index, kind_of_type in enumerate(types):
            kind = KINDS[(number + index) % len(KINDS)]
            yield Drawn(number, shape, kind_of_type, kind, generator(op, number, index, kind.name))
