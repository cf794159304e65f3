"""The stages of every family of rules: they end in the codes, and what they say was rounded rounds to what follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qdqnp.errors import ProfileError
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.lookup import IdentityFunction, SigmoidFunction
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.quant import Quant

Question = Callable[[Any, np.random.Generator], tuple[Any, tuple[Any, ...]]]
INT8 = np.dtype(np.int8)


def quant(rng: np.random.Generator, size: tuple[int, ...] = ()) -> Quant:
    """Scales with few bits, so that exact halves occur."""
    scale = (rng.integers(1, 8, size) / 64).astype(np.float32)
    return Quant(INT8, np.asarray(scale), np.int8(rng.integers(-9, 10)), 0 if size else None)


def codes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-128, 128, shape).astype(np.int8)


def of_sums(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    weights = rng.integers(-128, 128, (3, 40))
    w = replace(quant(rng, (3,)), zero_point=np.int8(0))
    y = replace(quant(rng), scale=np.float32(rng.integers(5, 60)))
    context = SumContext(quant(rng), w, y, rng.integers(-900, 900, 3).astype(np.int32), 1.0, weights, "layer")
    return rule.bind(context), (rng.integers(-(2**18), 2**18, (20, 3)),)


def of_mean(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    count = int(rng.integers(1, 50))
    return rule.bind(quant(rng), quant(rng), count), (rng.integers(-128 * count, 128 * count, 60),)


def of_pairs(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    return rule.bind(quant(rng), quant(rng), quant(rng)), (codes(rng, 60), codes(rng, 60))


def of_identity(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    return rule.bind(quant(rng), quant(rng), IdentityFunction()), (codes(rng, 60),)


def unit(rng: np.random.Generator) -> Quant:
    """Any quantization, or that of numbers from 0 to 1, the only one that some kernels make."""
    made = quant(rng)
    return made if rng.random() < 0.5 else replace(made, scale=np.float32(1 / 256), zero_point=np.int8(-128))


def of_function(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    return rule.bind(quant(rng), unit(rng), SigmoidFunction()), (codes(rng, 60),)


def of_windows(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    inside = rng.random((6, 60)) < 0.8
    inside[0] = True
    x = quant(rng)
    y = x if rng.random() < 0.5 else quant(rng)
    return rule.bind(x, y), (codes(rng, 6, 60), inside, inside.sum(axis=0))


def of_rows(rule: Any, rng: np.random.Generator) -> tuple[Any, tuple[Any, ...]]:
    return rule.bind(quant(rng), unit(rng), 12), (codes(rng, 5, 12),)


QUESTIONS: dict[str, Question] = {
    "conv": of_sums,
    "gemm": of_sums,
    "add": of_pairs,
    "mul": of_pairs,
    "concat": of_identity,
    "lookup": of_function,
    "average_pool": of_windows,
    "global_average_pool": of_mean,
    "softmax": of_rows,
}
RULES = {
    f"{profile.name} {field}": (field, getattr(profile, field))
    for profile in PROFILES.values()
    for field in QUESTIONS
    if not isinstance(getattr(profile, field), Undefined)
}


@pytest.mark.parametrize("name", RULES)
def test_the_stages_end_in_the_codes(name: str) -> None:
    field, rule = RULES[name]
    asked = 0
    for seed in range(20):
        try:
            bound, question = QUESTIONS[field](rule, np.random.default_rng(seed))
            stages = bound.stages(*question)
        except ProfileError:  # outside the rule's domain
            continue
        asked += 1
        found = bound(*question)
        assert stages[-1].name == "y" and stages[-2].name == "unclipped"
        assert found.dtype == INT8 and np.array_equal(stages[-1].array, found)
        assert np.array_equal(np.clip(stages[-2].array, -128, 127), found)
        assert bound.ties(*question).shape == found.shape
    # whose multipliers these scales rarely are; one scale of weights only; no zero point of the output
    assert asked or name.startswith(("pow2", "rockchip-rk3588", "ti-tinpu"))


@pytest.mark.parametrize("name", RULES)
def test_what_was_rounded_is_within_one_and_ties_are_halves(name: str) -> None:
    """A rounding of any kind stays within one of the exact value, and one that is exact changes nothing. (TOSA's and
    Vela's DOUBLE_ROUND stay within one too.) The values that `ties` marks are halves of their last rounding."""
    field, rule = RULES[name]
    for seed in range(5):
        try:
            bound, question = QUESTIONS[field](rule, np.random.default_rng(seed))
            stages = bound.stages(*question)
        except ProfileError:
            continue
        ties, shape = bound.ties(*question), stages[-1].array.shape
        rounded = [value for value in stages if value.exact is not None]
        assert rounded
        for index in list(np.ndindex(*shape))[:40]:
            halves = []
            for value in rounded:
                exact, got = value.exact(index), Fraction(float(np.broadcast_to(value.array, shape)[index]))
                if abs(exact) < 2**20:
                    assert abs(exact - got) < 1 and (exact.denominator != 1 or exact == got)
                halves.append(exact - math.floor(exact) == Fraction(1, 2))
            assert not ties[index] or any(halves)
            assert not halves[-1] or ties[index] or rounded[-1].exact(index) == 0
