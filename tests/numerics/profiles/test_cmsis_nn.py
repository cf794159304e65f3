"""`cmsis-nn` and `cmsis-nn-single` equal CMSIS-NN's own C, where QDQNP_CMSIS_NN names a checkout of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.status import ESTABLISHED
from tests.numerics.profiles.test_tflite_kernels import Count
from tests.numerics.profiles.tflite_cases import MAKE, Rng
from tests.numerics.profiles.tflite_operators import COMPUTE, FIELD, MEAN, QUANTIZE
from tests.oracles.cmsis_nn import Kernels
from tests.oracles.tflite import Operator

VARIABLE = "QDQNP_CMSIS_NN"
KINDS = [kind for kind in MAKE if kind != QUANTIZE]  # it has no kernel that rescales codes
# build -> operator -> the profile that it equals
EQUAL: Mapping[str, Mapping[str, str]] = {
    "default": dict.fromkeys(KINDS, "cmsis-nn"),
    "single rounding": dict.fromkeys(KINDS, "cmsis-nn-single"),
}


def drawn(kind: str, rng: Rng) -> Operator:
    """A case of the operator; a mean between equal scales, because there is no kernel for others."""
    op = MAKE[kind](rng)
    x = op.inputs[0]
    assert x is not None
    return replace(op, output=replace(x, values=op.output.values)) if kind == MEAN else op


def compare(checkout: Path, build: str, kind: str, name: str, seed: int, codes: int) -> Count:
    """At least that many codes under the profile of that name against CMSIS-NN."""
    rng, total, kernels = np.random.default_rng(seed), Count(), Kernels(checkout, build)
    while total.codes < codes:
        op = drawn(kind, rng)
        want = kernels(op)
        got = COMPUTE[kind](op, PROFILES[name]).reshape(want.shape)
        total += Count(1, want.size, int((got != want).sum()))
    return total


@pytest.fixture(scope="module")
def checkout() -> Path:
    if VARIABLE not in os.environ:
        pytest.skip(f"needs {VARIABLE}, the path of a checkout of CMSIS-NN, and a C compiler")
    return Path(os.environ[VARIABLE])


@pytest.mark.parametrize("build", EQUAL)
@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_equals_cmsis_nn(checkout: Path, build: str, kind: str, seed: int) -> None:
    name = EQUAL[build][kind]
    assert getattr(PROFILES[name], FIELD[kind]).status == ESTABLISHED
    found = compare(checkout, build, kind, name, seed, 10_000 if kind == MEAN else 40_000)
    assert found.codes >= 10_000 and found.differing == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_rounding_differs_but_in_averages(checkout: Path, kind: str) -> None:
    found = compare(checkout, "default", kind, "cmsis-nn-single", 1, 60_000)
    assert (found.differing > 0) == (FIELD[kind] not in ("average_pool", "global_average_pool"))


def test_a_mean_of_tflite_differs(checkout: Path) -> None:
    """Centred and rescaled sums are not what CMSIS-NN averages."""
    assert compare(checkout, "default", MEAN, "tflm", 1, 60_000).differing > 0
