"""Scales at the ends of float32: a rule refuses what it cannot express, and warns of nothing."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from qdqnp.errors import ProfileError
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.questions import Means, Pairs, Question, Rows, Singles, Sums, Windows
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.lookup import HardSwishFunction, IdentityFunction, LeakyReluFunction, SigmoidFunction
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.softmax import TableSoftmax
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.quant import Quant, all_codes

INT8 = np.dtype(np.int8)
FUNCTIONS = (LeakyReluFunction(0.1), SigmoidFunction(), HardSwishFunction())
FIELDS = ("conv", "gemm", "add", "mul", "concat", "lookup", "average_pool", "global_average_pool", "softmax")


def quant(scale: float, zero_point: int = 0) -> Quant:
    return Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(zero_point, np.int8))


@pytest.mark.parametrize(("s_x", "s_y"), [(1e-30, 1e30), (1e9, 0.1)])
def test_a_mean_whose_shift_no_register_has_is_refused(s_x: float, s_y: float) -> None:
    sums = np.array([4])
    rule = NarrowMean(tie="half-up")
    assert rule.bind(quant(0.1, 3), quant(0.1), 4)(sums).dtype == np.int8
    with pytest.raises(ProfileError, match="outside the profile's domain"):
        rule.bind(quant(s_x), quant(s_y, 100), 4)(sums)


@pytest.mark.parametrize("s_y", [1e-37, 1e-45, 1e20])
@pytest.mark.parametrize("name", ["neural-art-1.1.1", "neural-art-1.1.3"])
def test_a_narrowing_whose_shift_no_register_has_is_refused(s_y: float, name: str) -> None:
    context = SumContext(quant(1), quant(1), quant(s_y), weights=np.ones((1, 1), np.int64))
    rule = PROFILES[name].conv
    assert rule.bind(replace(context, y=quant(1)))(np.array([[5]])) == 5
    with np.errstate(all="ignore"), pytest.raises(ProfileError, match="outside the profile's domain"):
        rule.bind(context)


@pytest.mark.parametrize("scale", [1e-38, 1e-3, 1e3, 3e38])
def test_the_stages_of_a_softmax_do_not_warn(scale: float) -> None:
    bound = TableSoftmax().bind(quant(1e-3), quant(scale), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bound.stages(np.array([[-128, 0, 127]], np.int8))[-1].array.shape == (1, 3)


def far(rng: np.random.Generator, channels: int | None = None) -> Quant:
    """Scales from the smallest to the largest of float32, and any zero point; of channels, 0."""
    powers = rng.uniform(-45, 38.5, channels)
    scales = np.clip(10.0**powers, np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max)
    zeros = rng.integers(-128, 128) if channels is None else np.zeros(channels)
    return Quant(INT8, np.asarray(scales, np.float32), np.asarray(zeros, np.int8), None if channels is None else 0)


def asked(field: str, rng: np.random.Generator) -> Question:
    """Ask about the ends of what a layer with such scales can meet."""
    x, y, codes = far(rng), far(rng), all_codes(INT8)
    match field:
        case "add" | "mul":
            return Pairs(field, "", (x, far(rng), y), rng.choice(codes, 9), rng.choice(codes, 9))
        case "concat":
            return Singles(field, "", x, y, IdentityFunction(), codes)
        case "lookup":
            return Singles(field, "", x, y, FUNCTIONS[rng.integers(len(FUNCTIONS))], codes)
        case "average_pool":
            return Windows("", x, y, rng.choice(codes, (4, 5)), np.ones((4, 1), np.bool_), np.full(5, 4))
        case "global_average_pool":
            return Means("", x, y, 49, 49 * rng.integers(-255, 256, 5))
        case "softmax":
            return Rows("", x, y, rng.choice(codes, (2, 4)))
    bias = rng.choice([-(2**31), 2**31 - 1, 0, 5], 3).astype(np.int32)
    context = SumContext(x, far(rng, 3), y, bias, weights=rng.integers(-127, 128, (3, 4)))
    return Sums(field, context, known=rng.integers(-129540, 129541, (4, 3)))


@pytest.mark.parametrize("field", FIELDS)
def test_every_rule_gives_codes_or_refuses(field: str, rng: np.random.Generator) -> None:
    rules = dict.fromkeys(getattr(profile, field) for profile in PROFILES.values())
    ends = {"codes": 0, "refused": 0}
    for rule in rules:
        for _ in range(0 if isinstance(rule, Undefined) else 60):
            question = asked(field, rng)
            try:
                with np.errstate(all="ignore"):  # as the executor has it
                    codes = question.codes(rule)
                    question.parameters(rule)
            except ProfileError:
                ends["refused"] += 1
            else:
                ends["codes"] += 1
                assert codes.dtype == np.int8
    assert ends["codes"]


@pytest.mark.parametrize(("s_a", "s_b", "s_y", "zero"), [(1e-30, 1e-30, 1e30, 5), (1, 1e-30, 1, 0), (1e5, 1, 1, 0)])
def test_an_addition_whose_shifts_no_register_has_is_refused(s_a: float, s_b: float, s_y: float, zero: int) -> None:
    rule, codes = AlignedAdd(tie="half-up"), np.array([1], np.int8)
    assert rule.bind(quant(1), quant(1), quant(1))(codes, codes) == 2
    with pytest.raises(ProfileError, match="outside the profile's domain"):
        rule.bind(quant(s_a), quant(s_b), quant(s_y, zero))


def test_a_mean_whose_offset_is_outside_32_bits_is_refused() -> None:
    rule = PROFILES["tflite-ruy"].global_average_pool
    assert rule.bind(quant(1, 3), quant(1), 4)(np.array([4])) == 1
    with np.errstate(all="ignore"), pytest.raises(ProfileError, match="a finite number"):
        rule.bind(quant(1e38, 100), quant(1e-38), 4)
    with pytest.raises(ProfileError, match="outside 32 bits"):
        rule.bind(quant(1e9, 100), quant(10), 4)
