"""Chains of dynamically quantized products: the operators and the bits of ONNX Runtime's session, at every level."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.peers.ort.session import KINDS, open_session, run_session
from tests.lowering.models import F, Net
from tests.ops import draw

PROFILES = ("ort", "ort-x64", "ort-unfused")
FUSED = ["DynamicQuantizeMatMul"]


def chain(net: Net, x: str, width: int, columns: int, rng: Any, **odd: bool) -> str:
    """One product: DynamicQuantizeLinear, MatMulInteger, Cast, Mul, and maybe Add; odd: what makes it unusual."""
    dtype = draw.pick(rng, draw.EIGHT)
    several = odd.get("by_column", False)
    scale = net.const(rng.uniform(0.01, 0.1, columns if several else ()).astype(F))
    zero = [net.const(draw.zero_point(rng, dtype, (columns,) if several else ()))] if odd.get("zero", True) else []
    q, s, z = net.node("DynamicQuantizeLinear", x, outputs=3)
    acc = net.node("MatMulInteger", q, net.const(draw.codes(rng, dtype, (width, columns))), z, *zero)
    scales = (scale, s) if odd.get("scales_exchanged") else (s, scale)
    factors = [net.node("Cast", acc, to=1), net.node("Mul", *scales)]
    made = net.node("Mul", *(factors[::-1] if odd.get("factors_exchanged") else factors))
    if odd.get("scale_is_output"):
        net.output(s)
    if odd.get("sum_is_output"):
        net.output(factors[0])
    if odd.get("bias"):
        bias = net.const(rng.normal(0, 1, (columns,) if not odd.get("bias_of_one") else (1,)).astype(F))
        made = net.node("Add", *((bias, made) if odd.get("bias_first") else (made, bias)))
    return str(made)


def compared(net: Net, profile: str, feeds: dict[str, Any]) -> list[str]:
    """The operators that run; every output has the session's bits, and is promised."""
    model = net.model()
    kind = KINDS[profile]
    session = open_session(model.SerializeToString(), kind.level, kind.config)
    ours = qdqnp.load(model)
    found, plan = ours.run(feeds, profile=profile), ours.plan(profile)
    for name, wanted in zip(net.outputs, run_session(session, net.outputs, feeds), strict=True):
        assert found[name].dtype == wanted.dtype and found[name].tobytes() == wanted.tobytes(), name
        assert plan.promises[name].exact
    return [step.op for step in plan.program.steps]


ODD = {
    "as it is": (FUSED, {}),
    "bias": (FUSED, {"bias": True}),
    "bias first": (FUSED, {"bias": True, "bias_first": True}),
    "factors exchanged": (FUSED, {"factors_exchanged": True, "bias": True}),
    "by column": (FUSED, {"by_column": True}),
    "no zero point": (FUSED, {"zero": False}),
    "bias of one": ([*FUSED, "Add"], {"bias": True, "bias_of_one": True}),
    "scales exchanged": (["DynamicQuantizeLinear", "MatMulIntegerToFloat"], {"scales_exchanged": True}),
    "scale is an output": (["DynamicQuantizeLinear", "MatMulIntegerToFloat"], {"scale_is_output": True, "bias": True}),
    "sum is an output": (["DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul"], {"sum_is_output": True}),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 7)])
def test_what_becomes_one_operator(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    wanted, odd = ODD[name]
    net = Net()
    x = net.input(shape)
    net.output(chain(net, x, 7, 5, rng, **odd))
    feeds = {x: rng.normal(0, 2, shape).astype(F)}
    assert sorted(compared(net, "ort", feeds)) == sorted(wanted)
    assert sorted(compared(net, "ort-x64", feeds)) == sorted(wanted)
    unfused = compared(net, "ort-unfused", feeds)
    assert {"DynamicQuantizeLinear", "MatMulInteger", "Cast"} <= set(unfused) and "Mul" in unfused


@pytest.mark.parametrize("profile", PROFILES)
def test_random_chains(profile: str, rng: np.random.Generator) -> None:
    names = sorted({key for _, odd in ODD.values() for key in odd} - {"zero"})
    for _ in range(25):
        net, widths = Net(), [draw.size(rng, 30), *(draw.size(rng, 8) for _ in range(draw.size(rng, 3)))]
        x = at = net.input((draw.size(rng, 4), widths[0]))
        for width, columns in pairwise(widths):
            at = chain(net, at, width, columns, rng, **{name: draw.chance(rng, 0.25) for name in names})
            if draw.chance(rng, 0.5):
                at = str(net.node("Relu", at))
        net.output(at)
        shape = [dim.dim_value for dim in net.inputs[0].type.tensor_type.shape.dim]
        compared(net, profile, {x: rng.normal(0, 3, shape).astype(F)})


def test_codes_of_two_dequantizers_whose_product_stays_real(rng: np.random.Generator) -> None:
    """QDQ without a QuantizeLinear behind the MatMul."""
    for shape, zero in (((3, 16), 0), ((2, 3, 16), 7)):
        net = Net()
        x = net.input(shape)
        net.output(net.node("MatMul", net.qdq(x, 0.05, zero), net.weight(16, 10, zero=3)))
        feeds = {x: rng.normal(0, 2, shape).astype(F)}
        for profile in PROFILES:
            made = compared(net, profile, feeds)
            assert ("MatMulIntegerToFloat" in made) == (profile != "ort-unfused")


def test_a_product_that_two_read(rng: np.random.Generator) -> None:
    """Equal products of the scales become one, which then has two readers: nothing is fused."""
    net = Net()
    x = net.input((3, 7))
    scale = net.const(F(0.1))
    q, s, z = net.node("DynamicQuantizeLinear", x, outputs=3)
    for _ in range(2):
        acc = net.node("MatMulInteger", q, net.codes(7, 5), z)
        net.output(net.node("Mul", net.node("Cast", acc, to=1), net.node("Mul", s, scale)))
    made = compared(net, "ort", {x: rng.normal(0, 2, (3, 7)).astype(F)})
    assert made.count("Mul") == 3 and "MatMulIntegerToFloat" not in made
