"""The TOSA rows equal the TOSA reference model, single and double round: RESCALE of int32 to int8, one operator at a
time, and every tensor of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdqnp import load
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.values import shifted
from qdqnp.quant import Quant
from tests.numerics.profiles.cases import draw, expected
from tests.numerics.profiles.test_tflite_kernels import Count
from tests.numerics.profiles.tflite_cases import MAKE
from tests.numerics.profiles.tflite_operators import ADD, AVERAGE, COMPUTE, CONV, MEAN, MUL, QUANTIZE, SOFTMAX
from tests.oracles import tosa, tosa_network, tosa_operators

DATA = Path(__file__).parents[3] / "qdqnp" / "data"

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(bool(tosa.missing()), reason=tosa.missing())]


def compare(name: str, seed: int, count: int) -> tuple[int, int]:
    """(compared, differing) codes: cases of the row in its domain, one channel each, and several zero points."""
    rng = np.random.default_rng(seed)
    rule = PROFILES[name].conv
    assert isinstance(rule, Rescale)
    acc, m, shift = draw(rng, name, count)
    # the model calls values outside [-2^(shift-1), 2^(shift-1)) unpredictable in both modes
    inside = expected(name, acc, m, shift)[1] & (np.abs(acc + 0.5) < np.ldexp(1.0, shift - 1))
    acc, m, shift = acc[inside], m[inside], shift[inside]
    compared = differing = 0
    for zero, part in zip((-128, 0, 3, 127), np.array_split(np.arange(acc.size), 4), strict=True):
        found = tosa.rescale(acc[part][None], m[part], shift[part], zero, double=not name.endswith("single"))[0]
        y = Quant(np.dtype(np.int8), np.float32(1), np.asarray(zero, np.int8))  # type: ignore[arg-type]
        ours: Any = shifted(rule.apply(acc[part], Fixed(m[part], shift[part])), y)[-1].array
        compared, differing = compared + part.size, differing + int((ours != found).sum())
    return compared, differing


OPERATORS = (CONV, ADD, MUL, AVERAGE, MEAN, QUANTIZE, SOFTMAX)
MODES = ("tosa-single", "tosa-double")


def compare_operators(kind: str, name: str, seed: int, codes: int) -> Count:
    """At least that many codes of one operator of a profile against the reference model's graph for it."""
    rng, total = np.random.default_rng(seed), Count()
    while total.codes < codes:
        op = MAKE[kind](rng)
        want = tosa_operators.run(op, name.endswith("double"))
        got = COMPUTE[kind](op, PROFILES[name]).reshape(want.shape)
        total += Count(1, want.size, int((got != want).sum()))
    return total


def compare_network(path: Path, name: str, seed: int) -> Count:
    """Every tensor of a network of pictures, on one random input, against the reference model."""
    model = load(path)
    program = model.program(name)
    (entry,) = program.inputs
    shape = [size if isinstance(size, int) else 1 for size in program.tensors[entry].shape]
    image = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    trace = model.trace(image, profile=name)
    host = [step.outputs[0].name for step in program.steps if step.op == "QuantizeLinear"]
    found = tosa_network.tensors(program, {each: trace[each] for each in host}, name.endswith("double"))
    differing = sum(int((trace[each] != codes).sum()) for each, codes in found.items())
    return Count(len(found), sum(codes.size for codes in found.values()), differing)


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("kind", OPERATORS)
def test_operators(kind: str, name: str, seed: int) -> None:
    found = compare_operators(kind, name, seed, 20_000)
    assert found.codes >= 20_000 and found.differing == 0


@pytest.mark.parametrize("kind", [CONV, ADD, MUL, MEAN, QUANTIZE])
def test_the_cases_separate_the_modes(kind: str) -> None:
    """AVG_POOL2D rounds once in both, and Softmax shifts by itself."""
    rng, differing = np.random.default_rng(1), 0
    for _ in range(40 if kind not in (MEAN, QUANTIZE) else 200):
        op = MAKE[kind](rng)
        one, two = (COMPUTE[kind](op, PROFILES[name]) for name in MODES)
        differing += int((one != two).sum())
    assert differing > 0


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("network", ["dla46_c_int8", "dla46x_c_int8"])
def test_every_tensor_of_a_network(network: str, name: str) -> None:
    found = compare_network(DATA / f"{network}.onnx", name, 1)
    assert found.operators == 73 and found.codes >= 128_148 and found.differing == 0


@pytest.mark.parametrize("name", ["tosa-single", "tosa-double", "ethos-u"])
def test_rescale(name: str) -> None:
    compared, differing = compare(name, 1, 20_000)
    assert compared > 10_000
    assert differing == 0


def test_the_modes_differ() -> None:
    """The comparison can fail: -3 * 0.25 is -1 rounded twice and -1 once, 1 * 0.25 is 1 rounded twice and 0 once."""
    acc, m, shift = np.array([[1, -3]]), np.array([2**30] * 2), np.array([32] * 2)
    assert tosa.rescale(acc, m, shift, 0, double=True).tolist() == [[1, -1]]
    assert tosa.rescale(acc, m, shift, 0, double=False).tolist() == [[0, -1]]


@pytest.mark.parametrize("shift", [2, 20, 31])
def test_the_domain_of_single_round(shift: int) -> None:
    """The model refuses the same accumulators as the profile: test_rows has the profile's side."""
    edge = 2 ** (shift - 1)
    for acc, fine in ((edge - 1, True), (edge, False), (-edge, True), (-edge - 1, False)):
        arguments = np.array([[acc]]), np.array([2**30]), np.array([shift])
        if fine:
            assert tosa.rescale(*arguments, 0, double=False).shape == (1, 1)
        else:
            with pytest.raises(ValueError, match="UNPREDICTABLE"):
                tosa.rescale(*arguments, 0, double=False)
