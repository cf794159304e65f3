"""Many random cases of one profile against its Python-integer oracle, in blocks of one seed each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.quant import Quant
from tests.numerics.profiles.cases import draw, expected, scales
from tests.oracles import fixed_point as oracle

BLOCK = 1000  # cases that share their scales
ART = "neural-art-1.1.3"
NAMES = (*oracle.NAMES, ART)


@dataclass(frozen=True)
class Count:
    """compared: cases in the domain; ties: of them, exact ties of the whole product; differing."""

    compared: int = 0
    ties: int = 0
    differing: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.compared + other.compared, self.ties + other.ties, self.differing + other.differing)


def quant(scale: Any, zero: int = 0, axis: int | None = None) -> Quant:
    return Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(zero, np.int8), axis)


def check(name: str, seed: int, count: int) -> Count:
    """About `count` cases of a profile. Rows of integers by (acc, multiplier, shift), the others from scales."""
    rng = np.random.default_rng(seed)
    if name in oracle.ROWS:
        return stages(name, rng, count)
    one = neural_art if name == ART else whole
    total = Count()
    while total.compared < count:
        total += one(name, rng)
    return total


def stages(name: str, rng: np.random.Generator, count: int) -> Count:
    """Exactly `count` cases in the domain."""
    rule = PROFILES[name].conv
    assert isinstance(rule, Rescale)
    total = Count()
    while total.compared < count:
        acc, m, shift = draw(rng, name, min(100_000, 2 * (count - total.compared)))
        wanted, defined = expected(name, acc, m, shift)
        kept = np.flatnonzero(defined)[: count - total.compared]
        acc, m, shift, wanted = acc[kept], m[kept], shift[kept], wanted[kept]
        got = rule.apply(acc, Fixed(m, shift))
        half = (np.int64(1) << shift) >> 1
        ties = int((((acc * m) & (2 * half - 1) == half) & (shift > 0)).sum())
        total += Count(acc.size, ties, int((got != wanted).sum()))
    return total


def whole(name: str, rng: np.random.Generator) -> Count:
    """A block from one set of scales: sums of the size of codes, halves between codes, any int32, its ends."""
    x, w, y = scales(rng, name)
    zero = int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))
    unit = float(y) / (float(x) * float(w))
    acc = np.concatenate(
        [
            np.rint(rng.uniform(-300, 300, BLOCK // 2) * unit),
            np.rint((rng.integers(-256, 256, BLOCK // 4) + 0.5) * unit),
            rng.integers(-(2**31), 2**31, BLOCK // 4 - 4),
            [-(2**31), 2**31 - 1, 0, -1],
        ]
    )
    acc = np.clip(acc, -(2**31), 2**31 - 1).astype(np.int64)
    bound = PROFILES[name].conv.bind(SumContext(quant(x), quant(w[None], axis=0), quant(y, zero)))
    got = bound(acc[:, None])[:, 0]
    wanted = [oracle.requantize(name, a, (float(x), float(w), float(y)), zero) for a in acc.tolist()]
    return Count(acc.size, int(np.count_nonzero(bound.ties(acc[:, None]))), int((got != wanted).sum()))


def neural_art(name: str, rng: np.random.Generator) -> Count:
    """A block of one convolution of four channels, its parameters compared as well."""
    x, w, y = scales(rng, name)
    zero = int(rng.integers(-128, 128))
    channels = (w * rng.uniform(0.01, 1, 4)).astype(np.float32)
    weights = rng.integers(-128, 128, (4, int(rng.integers(1, 300))))
    bias = rng.integers(-2000, 2000, 4)
    given = (float(x), [float(c) for c in channels], float(y))
    s1, s2, a, bc = oracle.neural_art_parameters(weights.tolist(), given, bias.tolist(), zero)
    layer = SumContext(quant(x), quant(channels, axis=0), quant(y, zero), bias.astype(np.int32), weights=weights)
    bound = PROFILES[name].conv.bind(layer)
    found = bound.parameters
    wrong = (int(found["S1"]), int(found["S2"]), found["A"].tolist(), found["BC"].tolist()) != (s1, s2, a, bc)
    sums = rng.integers(-(2**17), 2**17, (BLOCK // 4, 4))
    sums[:60] = (sums[:60] >> s1 << s1) + (1 << s1 >> 1)
    sums[-2:] = [[2**31 - 1], [-(2**31)]]
    wanted = [[oracle.neural_art(v, s1, s2, a[c], bc[c]) for c, v in enumerate(row)] for row in sums.tolist()]
    return Count(sums.size, int(np.count_nonzero(bound.ties(sums))), int((bound(sums) != wanted).sum()) + wrong)
