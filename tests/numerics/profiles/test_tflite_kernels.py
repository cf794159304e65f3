"""Profiles of the TFLite family equal the libraries' own kernels, one operator at a time, on cases that separate the
candidate arithmetics. `python -m tools.verify.kernel_tier` is the long form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest

from qdqnp.lowering.device.activations import rounded_away
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.tflite import DOUBLE, FC_FLOAT, FLOAT32_PRODUCT, RUY, SINGLE
from qdqnp.numerics.profiles.tflite import WIDE as SIXTEEN
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.numerics.rules.lookup import RescaledLookup
from qdqnp.numerics.rules.mean import RescaleMean
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.raw_mean import RoundedOffsetMean
from qdqnp.numerics.status import ESTABLISHED, INFERRED
from tests.numerics.profiles.tflite_cases import MAKE, MAKE_16X8, WIDE
from tests.numerics.profiles.tflite_operators import (
    ADD,
    AVERAGE,
    COMPUTE,
    CONV,
    DEPTHWISE,
    FIELD,
    FULL,
    MATMUL,
    MEAN,
    MUL,
    QUANTIZE,
    SOFTMAX,
    SUB,
)
from tests.oracles.tflite import DEFAULT, OPTIMIZED, REFERENCE
from tests.oracles.tflite_kernels import MICRO, missing, run

# kernels -> operator -> the profile that it equals
EQUAL: Mapping[str, Mapping[str, str]] = {
    REFERENCE: dict.fromkeys(MAKE, "tflite") | dict.fromkeys(MAKE_16X8, "tflite-16x8"),
    # their Add of int16 codes, with AVX2, is another: 3 of 1,064,960 codes differ
    OPTIMIZED: dict.fromkeys(MAKE, "tflite-ruy")
    | dict.fromkeys((kind for kind in MAKE_16X8 if kind != WIDE + ADD), "tflite-16x8"),
    DEFAULT: dict.fromkeys(MAKE, "xnnpack-fp32"),
    MICRO: dict.fromkeys(MAKE, "tflm"),
}
pytestmark = pytest.mark.oracle
PAIRS = [(kernels, kind, name) for kernels, row in EQUAL.items() for kind, name in row.items()]


@dataclass(frozen=True)
class Count:
    """Codes of one operator, and how many of them differ."""

    operators: int = 0
    codes: int = 0
    differing: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.operators + other.operators, self.codes + other.codes, self.differing + other.differing)


def compare(kernels: str, kind: str, profile: Profile, seed: int, codes: int) -> Count:
    """At least that many codes under the profile against the kernels."""
    rng, total = np.random.default_rng(seed), Count()
    while total.codes < codes:
        op = {**MAKE, **MAKE_16X8}[kind](rng)
        if kernels == OPTIMIZED and kind == MEAN and op.inputs[1].values.size == 1:  # type: ignore[union-attr]
            continue  # the reference kernel's: a question about planes of one dimension is refused
        want = run(op, kernels)
        got = COMPUTE[op.kind](op, profile).reshape(want.shape)
        total += Count(1, want.size, int((got != want).sum()))
    return total


def compare_named(kernels: str, kind: str, name: str, seed: int, codes: int) -> Count:
    """`compare` for the profile of that name."""
    return compare(kernels, kind, PROFILES[name], seed, codes)


def needs(kernels: str) -> None:
    if missing(kernels):
        pytest.skip(missing(kernels))


@pytest.mark.parametrize(("kernels", "kind", "name"), PAIRS)
def test_a_profile_equals_the_kernels(kernels: str, kind: str, name: str, seed: int) -> None:
    needs(kernels)
    # LiteRT's optimized kernels take another path for what is left over of a multiple of 16; these cases leave nothing
    inferred = kernels == OPTIMIZED and kind in (MEAN, QUANTIZE)
    assert getattr(PROFILES[name], FIELD[kind.removeprefix(WIDE)]).status == (INFERRED if inferred else ESTABLISHED)
    short = kind.removeprefix(WIDE) in (MEAN, QUANTIZE)
    found = compare(kernels, kind, PROFILES[name], seed, 10_000 if short else 40_000)
    assert found.codes >= 10_000 and found.differing == 0


# kernels, operator, and what was taken for its arithmetic or could be: each differs on these cases
REJECTED = [
    (REFERENCE, MUL, RescaledMul(DOUBLE)),
    (MICRO, MUL, RescaledMul(replace(DOUBLE, precision="float32"))),
    (REFERENCE, FULL, replace(FC_FLOAT, scale="float32-product")),
    (REFERENCE, FULL, DOUBLE),
    (OPTIMIZED, FULL, RUY),
    (MICRO, FULL, FC_FLOAT),
    (MICRO, FULL, replace(DOUBLE, precision="float32-product")),
    (REFERENCE, MATMUL, DOUBLE),
    (OPTIMIZED, MATMUL, RUY),
    (MICRO, MATMUL, FLOAT32_PRODUCT),
    (REFERENCE, CONV, replace(DOUBLE, precision="float32-product")),
    (REFERENCE, CONV, SINGLE),
    (OPTIMIZED, CONV, DOUBLE),
    (DEFAULT, CONV, SINGLE),
    (DEFAULT, MATMUL, FLOAT32_PRODUCT),
    (DEFAULT, MATMUL, PROFILES["xnnpack-fp32"].conv),
    (DEFAULT, ADD, PROFILES["tflite"].add),
    (DEFAULT, MUL, RescaledMul(SINGLE)),
    (DEFAULT, MEAN, RescaleMean(SINGLE)),
    (DEFAULT, QUANTIZE, RescaledLookup(SINGLE)),
    (OPTIMIZED, MEAN, RoundedOffsetMean(DOUBLE)),
    (OPTIMIZED, MEAN, RescaleMean(RUY)),
    (OPTIMIZED, QUANTIZE, RescaledLookup(DOUBLE)),
    (REFERENCE, WIDE + CONV, DOUBLE),
    (REFERENCE, WIDE + FULL, SIXTEEN),
    (REFERENCE, WIDE + FULL, DOUBLE),
    (REFERENCE, WIDE + MATMUL, SIXTEEN),
    (REFERENCE, WIDE + ADD, ThreeRescaleAdd(DOUBLE)),
    (REFERENCE, WIDE + MUL, RescaledMul(DOUBLE)),
    (REFERENCE, WIDE + MEAN, RescaleMean(SIXTEEN)),
    (REFERENCE, WIDE + QUANTIZE, RescaledLookup(SIXTEEN)),
]


@pytest.mark.parametrize(("kernels", "kind", "rule"), REJECTED)
def test_the_cases_separate_the_candidates(kernels: str, kind: str, rule: object) -> None:
    needs(kernels)
    other = replace(PROFILES["tflite"], name="other", **{FIELD[kind.removeprefix(WIDE)]: rule})
    assert compare(kernels, kind, other, 1, 150_000).differing > 0


@pytest.mark.parametrize(
    ("kernels", "kind"), [(REFERENCE, ADD), (MICRO, MEAN), (MICRO, QUANTIZE), (REFERENCE, AVERAGE)]
)
def test_single_rounding_differs_but_in_averages(kernels: str, kind: str) -> None:
    """An AveragePool divides its raw sum, however the library rounds elsewhere."""
    needs(kernels)
    found = compare(kernels, kind, PROFILES["tflite-single"], 1, 60_000)
    assert (found.differing > 0) == (kind != AVERAGE)


def test_the_softmaxes_of_the_reference_and_the_optimized_kernels_part(rng: np.random.Generator) -> None:
    """A dozen of a million codes differ: the cases are looked for first."""
    needs(REFERENCE)
    for _ in range(1500):
        op = MAKE[SOFTMAX](rng)
        fixed, float_table = (COMPUTE[SOFTMAX](op, PROFILES[name]) for name in ("tflite", "tflite-ruy"))
        if not np.array_equal(fixed, float_table):
            assert np.array_equal(run(op, REFERENCE), fixed)
            assert np.array_equal(run(op, OPTIMIZED), float_table)
            assert np.array_equal(run(op, DEFAULT), float_table)
            break
    else:
        pytest.fail("no case separates them")


# TFLite's numbers of Relu, ReluN1To1 and Relu6, and their bounds
ACTIVATIONS: Mapping[int, tuple[float, float]] = {1: (0, np.inf), 2: (-1, 1), 3: (0, 6)}


@pytest.mark.parametrize("kind", [CONV, DEPTHWISE, FULL, ADD, MUL, SUB, AVERAGE])
def test_a_fused_activation_is_the_limits_that_the_lowering_computes(kind: str, rng: np.random.Generator) -> None:
    """Whatever the zero point is, 0 among them."""
    needs(REFERENCE)
    for activation, bounds in ACTIVATIONS.items():
        for zero in (0, int(rng.integers(-128, 128))):
            op = MAKE[kind](rng)
            op.options.fusedActivationFunction = activation
            if kind != AVERAGE:  # whose input and output have the same parameters
                op = replace(op, output=replace(op.output, zero_point=np.array([zero])))
            want = run(op, REFERENCE)
            scale, offset = np.float32(op.output.scale[0]), int(op.output.zero_point[0])
            low, high = (int(np.clip(rounded_away(np.float32(bound), scale) + offset, -128, 127)) for bound in bounds)
            got = np.clip(COMPUTE[kind](op, PROFILES["tflite"]).reshape(want.shape), low, high)
            assert np.array_equal(got, want)
