"""Kernels that make codes of one scale, and the QUANTIZE behind them where a network asks for other codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

import qdqnp
from qdqnp.inspection.layers import rule_status
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.status import ESTABLISHED, INFERRED
from qdqnp.quant import Quant
from tests.lowering.models import F, Net
from tests.numerics.profiles.test_tflite_kernels import EQUAL, needs
from tests.numerics.profiles.tflite_cases import MAKE, empty, output_scale, zero_point
from tests.numerics.profiles.tflite_operators import COMPUTE, LOGISTIC, QUANTIZE, SOFTMAX, TANH
from tests.oracles.tflite import DEFAULT, OPTIMIZED, REFERENCE, Operator, Tensor
from tests.oracles.tflite_kernels import MICRO, options, run


def chained(op: Operator, kernels: str, output: Tensor) -> np.ndarray:
    """What the kernels make of the operator, and then a QUANTIZE of that."""
    made = Tensor(run(op, kernels), op.output.scale, op.output.zero_point, 0)
    return run(Operator(QUANTIZE, (made,), output, options(QUANTIZE)), kernels)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("kernels", "kind"),
    [
        (REFERENCE, SOFTMAX),
        (OPTIMIZED, SOFTMAX),
        (DEFAULT, SOFTMAX),
        (MICRO, SOFTMAX),
        (MICRO, LOGISTIC),
        (MICRO, TANH),
    ],
)
def test_other_codes_are_those_of_the_kernel_and_a_quantize(kernels: str, kind: str, rng: np.random.Generator) -> None:
    needs(kernels)
    profile, seen, differing_own = PROFILES[EQUAL[kernels][kind]], 0, 0
    while seen < 20_000:
        op = MAKE[kind](rng)
        # what is left over of a multiple of 16 takes another path in LiteRT's optimized QUANTIZE
        if kernels == OPTIMIZED and op.output.values.size % 16:
            continue
        output = empty(op.output.values.shape, output_scale(rng, 1 / 256, -2, 3), zero_point(rng))
        want = chained(op, kernels, output)
        got = COMPUTE[kind](replace(op, output=output), profile)
        assert np.array_equal(got.reshape(want.shape), want)
        seen += want.size
        differing_own += int((want != run(op, kernels)).sum())
    assert differing_own > seen / 10


@pytest.mark.parametrize(
    "name", ["tflite", "tflm", "cmsis-nn", "tosa-single", "tosa-double", "ethos-u", "xnnpack-fp32"]
)
def test_uint8_codes_are_the_int8_ones_and_128(name: str, rng: np.random.Generator) -> None:
    rows = rng.integers(-128, 128, (8, 10)).astype(np.int8)
    for scale, zero in ((1 / 256, -128), (1 / 255, -128), (1 / 127, 0)):
        made = []
        for moved, kind in ((0, np.int8), (128, np.uint8)):
            x, y = (
                Quant(np.dtype(kind), np.asarray(s, F), np.asarray(z + moved, kind))
                for s, z in ((0.1, 3), (scale, zero))
            )
            codes = (rows.astype(np.int64) + moved).astype(kind)
            made.append(PROFILES[name].softmax.bind(x, y, 10)(codes).astype(np.int64) - moved)
        assert np.array_equal(made[0], made[1])


def test_only_the_kernel_s_own_codes_are_established() -> None:
    net = Net()
    x = net.qdq(net.input((2, 9)))
    for op, scale, zero in (("Softmax", 1 / 256, -128), ("Softmax", 1 / 255, -128), ("Sigmoid", 1 / 128, -128)):
        net.output(net.q(net.node(op, x), scale, zero))
    plan = qdqnp.load(net.model()).plan("tflite")
    found = [
        rule_status(plan.profile, bound.step)
        for bound in plan.steps
        if bound.step.op in ("QLinearSoftmax", "QLinearSigmoid")
    ]
    assert found == [ESTABLISHED, INFERRED, INFERRED]


def test_esp_dl_makes_floats_of_a_softmax() -> None:
    net = Net()
    net.output(net.q(net.node("Softmax", net.qdq(net.input((2, 9)))), 1 / 128, 0))
    with pytest.raises(qdqnp.ProfileError, match="ESP-DL's Softmax makes float32") as raised:
        qdqnp.load(net.model()).plan("pow2-even")
    assert "--host-float" in str(raised.value)


@pytest.mark.oracle
@pytest.mark.parametrize(("kernels", "name"), [(REFERENCE, "tflite"), (OPTIMIZED, "tflite-ruy")])
@pytest.mark.parametrize("back", [False, True])
def test_a_rescale_from_one_type_to_the_other(kernels: str, name: str, back: bool, rng: np.random.Generator) -> None:
    """A network DQ -> Q, against LiteRT's QUANTIZE."""
    needs(kernels)
    kinds = (np.int8, np.uint8) if back else (np.uint8, np.int8)
    for _ in range(20):
        scale = F(rng.uniform(0.01, 0.2))
        zeros = [int(rng.integers(0, 256)) + np.iinfo(kind).min for kind in kinds]
        to = F(float(scale) * 2.0 ** float(rng.integers(-2, 3)))
        net = Net()
        x = net.dq(net.input((256,), helper.np_dtype_to_tensor_dtype(np.dtype(kinds[0]))), scale, zeros[0], kinds[0])
        net.output(net.q(x, to, zeros[1], kinds[1]))
        model = qdqnp.load(net.model())
        assert [step.op for step in model.program(name).steps] == ["QLinearRequantize"]
        given = (np.arange(256) + np.iinfo(kinds[0]).min).astype(kinds[0])
        (found,) = model.run(given, profile=name).values()
        sides = [
            Tensor(array, np.array([s], F), np.array([z]), 0)
            for array, s, z in ((given, scale, zeros[0]), (np.zeros(256, kinds[1]), to, zeros[1]))
        ]
        assert np.array_equal(found, run(Operator(QUANTIZE, (sides[0],), sides[1], options(QUANTIZE)), kernels))
