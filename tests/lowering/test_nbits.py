"""Products of which only the weights are quantized: MatMulNBits, its packing, and the session's bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import qdqnp
from qdqnp.peers.ort.session import KINDS, open_session, run_session
from tests.lowering.models import F, Net
from tests.ops import draw
from tests.ops.cases.convert import FOUR
from tests.oracles import ort

PROFILES = ("ort", "ort-x64", "ort-unfused")


def weight(net: Net, terms: int, columns: int, rng: Any) -> str:
    """Of 8 or 4 bits, with one scale, one for each column, or one for each block of a column."""
    dtype, shape, more = draw.pick(rng, (*draw.EIGHT, *FOUR)), draw.pick(rng, ((), (columns,))), {"axis": 1}
    if draw.chance(rng, 0.4):
        block = int(draw.pick(rng, (16, 32, 64, 128)))
        shape, more = (-(-terms // block), columns), {"axis": 0, "block_size": block}
    zero = [net.const(draw.zero_point(rng, dtype, shape))] if draw.chance(rng, 0.7) else []
    codes, scale = (
        net.const(draw.codes(rng, dtype, (terms, columns))),
        net.const(rng.uniform(0.01, 0.1, shape).astype(F)),
    )
    return str(net.node("DequantizeLinear", codes, scale, *zero, **more))


def product(rng: Any) -> tuple[Net, dict[str, Any]]:
    """A MatMul or Gemm, and what may be added behind it."""
    net, terms, columns = Net(21), draw.size(rng, 150), draw.size(rng, 9)
    shape = draw.pick(rng, ((draw.size(rng, 5), terms), (2, draw.size(rng, 3), terms)))
    x = net.input(shape)
    bias = [net.const(rng.normal(0, 1, columns).astype(F))] if len(shape) == 2 and draw.chance(rng, 0.5) else []
    made = net.node("Gemm" if bias else "MatMul", x, weight(net, terms, columns, rng), *bias)
    if draw.chance(rng, 0.5):
        added = net.const(rng.normal(0, 1, draw.pick(rng, ((columns,), (1, columns), (1,)))).astype(F))
        made = net.node("Add", *((made, added) if draw.chance(rng, 0.5) else (added, made)))
    net.output(made)
    return net, {x: rng.normal(0, 1, shape).astype(F)}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sessions_bits(profile: str, rng: np.random.Generator) -> None:
    fused = 0
    for _ in range(40):
        net, feeds = product(rng)
        model, kind = net.model(), KINDS[profile]
        ours = qdqnp.load(model)
        plan = ours.plan(profile)
        fused += any(step.op == "MatMulNBits" for step in plan.program.steps)
        (name,) = net.outputs
        assert plan.promises[name].exact
        if ort.has_avx512_vnni():
            session = open_session(model.SerializeToString(), kind.level, kind.config)
            (wanted,) = run_session(session, [name], feeds)
            assert ours.run(feeds, profile=profile)[name].tobytes() == wanted.tobytes()
    assert fused == 0 if profile == "ort-unfused" else fused >= 36  # but for constants that are shared


def test_a_bias_behind_a_stack_of_rows_is_taken_in(rng: np.random.Generator) -> None:
    """Where no Gemm is made of it, as the number of stacks is open."""
    net = Net(21)
    x = net.input((2, 3, 40))
    net.output(net.node("Add", net.node("MatMul", x, weight(net, 40, 5, rng)), net.floats(5)))
    model = net.model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    (step,) = qdqnp.load(model).program().steps
    assert step.op == "MatMulNBits" and len(step.inputs) == 6 and step.inputs[5] is not None


def test_without_avx512_nothing_is_promised(rng: np.random.Generator) -> None:
    net, _ = product(rng)
    (name,) = net.outputs
    promise = qdqnp.load(net.model()).plan("ort-avx2").promises[name]
    assert "without AVX512-VNNI" in str(promise)


def test_the_packing() -> None:
    """Columns of int8 as rows of uint8, filled up with the code of 0."""
    net = Net(21)
    x = net.input((1, 34))
    codes = np.arange(-34, 34, dtype=np.int8).reshape(34, 2)
    weights = net.dq(net.const(codes), np.array([0.5, 2], F), np.array([1, -1]), np.int8, axis=1)
    net.output(net.node("MatMul", x, weights))
    program = qdqnp.load(net.model()).program()
    (step,) = program.steps
    b, scales, zeros = (program.tensors[operand.name].const for operand in step.inputs[1:4])
    assert b.shape == (2, 2, 32) and b.reshape(2, 64)[:, :34].tolist() == (codes.T.astype(int) + 128).tolist()
    assert (b.reshape(2, 64)[:, 34:] == 128).all()
    assert scales.tolist() == [0.5, 0.5, 2, 2] and zeros.tolist() == [129, 129, 127, 127]
    assert b.dtype == zeros.dtype == np.uint8


def test_the_packing_of_four_bits() -> None:
    """Two codes a byte, the first in the low bits; int4 8 higher; zero points in pairs of blocks."""
    net = Net(21)
    x = net.input((1, 34))
    codes = (np.arange(68) % 16 - 8).reshape(34, 2).astype(ml_dtypes.int4)
    zeros = np.array([[1, -1], [7, -8]]).astype(ml_dtypes.int4)
    scales = np.array([[0.5, 2], [1, 4]], F)
    given = [net.const(value) for value in (codes, scales, zeros)]
    weights = net.node("DequantizeLinear", *given, axis=0, block_size=32)
    net.output(net.node("MatMul", x, weights))
    program = qdqnp.load(net.model()).program()
    (step,) = program.steps
    b, each, packed = (program.tensors[operand.name].const for operand in step.inputs[1:4])
    flat = b.reshape(2, 32)
    low_high = np.stack([flat & 15, flat >> 4], axis=-1).reshape(2, 64)
    assert low_high[:, :34].tolist() == (codes.T.astype(int) + 8).tolist() and (low_high[:, 34:] == 8).all()
    assert each.tolist() == [0.5, 1, 2, 4] and packed.tolist() == [9 | 15 << 4, 7]
    assert step.attributes.bits == 4 and step.attributes.block_size == 32
