"""`ort-avx2`: sums of uint8 x int8 products that saturate in pairs, against tests/oracles/saturating.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.errors import QdqnpError
from tests.ops import draw
from tests.ops.case import MS, Array, Case, assert_same, one_node
from tests.ops.cases.conv import window
from tests.oracles import saturating
from tests.oracles.node import attributes, operands

F = np.float32
SEEDS = st.integers(0, 2**32 - 1)


def codes(rng: draw.Rng, dtype: type, shape: tuple[int, ...]) -> Array:
    """Mostly large codes of one sign, so that pairs saturate often; now and then anything."""
    info = np.iinfo(dtype)
    if draw.chance(rng, 0.3):
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    sign = rng.choice([1, 1, 1, -1], shape) if info.min else 1
    return (rng.integers(info.max * 3 // 4, info.max, shape, endpoint=True) * sign).astype(dtype)


def parameters(rng: draw.Rng, channels: int, terms: int) -> dict[str, Array]:
    zero = rng.integers(-9, 10, channels).astype(np.int8) if draw.chance(rng, 0.3) else np.int8(0)
    return {
        "xs": F(0.02),
        "xz": np.uint8(rng.integers(0, 256)),
        "ws": rng.uniform(0.001, 0.02, channels).astype(F),
        "wz": np.asarray(zero),
        "ys": F(terms * rng.uniform(0.001, 0.01)),
        "yz": np.uint8(rng.integers(0, 256)),
    }


def conv(rng: draw.Rng) -> Case:
    """Dense and grouped, never depthwise."""
    sizes = tuple(draw.size(rng, 7) for _ in range(draw.pick(rng, (1, 2, 3))))
    kernel, more = window(rng, sizes)
    groups, per_group, filters = draw.pick(rng, (1, 1, 2)), draw.pick(rng, (1, 2, 3, 8, 21)), draw.pick(rng, (2, 3, 5))
    p = parameters(rng, groups * filters, per_group * int(np.prod(kernel)))
    bias = ("b", rng.integers(-9999, 9999, groups * filters).astype(np.int32)) if draw.chance(rng, 0.5) else None
    arguments = [
        ("x", codes(rng, np.uint8, (draw.size(rng, 2), groups * per_group, *sizes))),
        ("xs", p["xs"]),
        ("xz", p["xz"]),
        ("w", codes(rng, np.int8, (groups * filters, per_group, *kernel))),
        ("ws", p["ws"]),
        ("wz", p["wz"]),
        ("ys", p["ys"]),
        ("yz", p["yz"]),
        bias,
    ]
    feeds = draw.pick(rng, (["x"], ["x"], ["x", "w"]))
    return one_node("QLinearConv", arguments, feeds, group=groups, **more)


def matmul(rng: draw.Rng) -> Case:
    rows, terms, columns = draw.size(rng, 9), draw.size(rng, 60), draw.size(rng, 9)
    p = parameters(rng, columns, terms)
    shape = (*draw.pick(rng, ((), (2,))), rows, terms)
    arguments = [
        ("x", codes(rng, np.uint8, shape)),
        ("xs", p["xs"]),
        ("xz", p["xz"]),
        ("w", codes(rng, np.int8, (terms, columns))),
        ("ws", p["ws"]),
        ("wz", p["wz"]),
        ("ys", p["ys"]),
        ("yz", p["yz"]),
    ]
    return one_node("QLinearMatMul", arguments, draw.pick(rng, (["x"], ["x", "w"])))


Model = Callable[..., Array]


def both(case: Case, model: Model) -> tuple[Array, Array, Array]:
    """Codes under ort-avx2, under ort, and the model's."""
    loaded = qdqnp.load(case.model)
    found = [loaded.run(case.inputs, profile=name)["y"] for name in ("ort-avx2", "ort")]
    return found[0], found[1], model(operands(case.model, case.inputs), attributes(case.model))


@pytest.mark.parametrize(("make", "model"), [(conv, saturating.conv), (matmul, saturating.matmul)])
@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_specifications_model(make: Callable[[draw.Rng], Case], model: Model, seed: int) -> None:
    case = make(np.random.default_rng(seed))
    found, _, wanted = both(case, model)
    assert_same(found, wanted, "the saturating model", case)


@pytest.mark.parametrize(("make", "model"), [(conv, saturating.conv), (matmul, saturating.matmul)])
def test_it_differs_from_ort_where_pairs_saturate(
    make: Callable[[draw.Rng], Case], model: Model, rng: draw.Rng
) -> None:
    """Else the comparison above would show nothing."""
    differing = sum(not np.array_equal(*both(make(rng), model)[:2]) for _ in range(40))
    assert differing >= 20


@pytest.mark.parametrize("strategy", ["float32", "float32-split", "float64", "int64"])
def test_every_strategy(strategy: str, rng: draw.Rng) -> None:
    compared = 0
    for _ in range(30):
        case = matmul(rng)
        model = qdqnp.load(case.model)
        try:
            found = model.run(case.inputs, profile="ort-avx2", strategy=strategy)["y"]
        except QdqnpError:
            continue  # not provable for this layer
        compared += 1
        np.testing.assert_array_equal(found, model.run(case.inputs, profile="ort-avx2")["y"])
    assert compared > 10


def all_saturate(op: str, x: Array, w: Array, **more: object) -> Case:
    constants = [("ws", F(1)), ("wz", np.zeros((), w.dtype)), ("ys", F(1024)), ("yz", np.zeros((), x.dtype))]
    return one_node(op, [("x", x), ("xs", F(1)), ("xz", np.zeros((), x.dtype)), ("w", w), *constants], **more)


def test_depthwise_and_other_code_types_are_exact() -> None:
    """Each would give another code if its pairs saturated."""
    image = np.full((1, 2, 4, 4), 255, np.uint8)
    cases = [
        all_saturate("QLinearConv", image, np.full((2, 1, 3, 3), 127, np.int8), group=2),
        all_saturate("QLinearConv", image, np.full((2, 2, 3, 3), 255, np.uint8)),
        all_saturate("QLinearConv", np.full((1, 2, 4, 4), -128, np.int8), np.full((2, 2, 3, 3), -128, np.int8)),
        all_saturate("QLinearMatMul", np.full((2, 4), 255, np.uint8), np.full((4, 2), 255, np.uint8)),
    ]
    for case in cases:
        model = qdqnp.load(case.model)
        ours, exact = (model.run(case.inputs, profile=name)["y"] for name in ("ort-avx2", "ort"))
        np.testing.assert_array_equal(ours, exact)
    mixed = all_saturate("QLinearMatMul", np.full((2, 4), 255, np.uint8), np.full((4, 2), 127, np.int8))
    assert qdqnp.load(mixed.model).run(mixed.inputs, profile="ort-avx2")["y"].tolist() == [[64, 64]] * 2  # 65534 / 1024
    assert qdqnp.load(mixed.model).run(mixed.inputs)["y"].tolist() == [[127, 127]] * 2  # 129540 / 1024


def test_the_smallest_weights_of_which_a_pair_saturates() -> None:
    """With codes of 255: 128 * 255 = 32640 fits 16 bits, 129 * 255 = 32895 does not; so with the other sign."""
    w = np.array([[127, 127, -127, -127], [1, 2, -1, -2]], np.int8)
    case = all_saturate("QLinearMatMul", np.full((1, 2), 255, np.uint8), w)
    trace = qdqnp.load(case.model).trace(case.inputs, profile="ort-avx2", accumulators=True)
    assert trace.accumulators["y"].tolist() == [[32640, 32767, -32640, -32768]]


def test_a_gemm_with_its_columns_either_way() -> None:
    x, w = np.full((2, 6), 255, np.uint8), np.full((6, 3), 127, np.int8)
    for transposed in (0, 1):
        weights = np.ascontiguousarray(w.T) if transposed else w
        arguments = [
            ("x", x),
            ("xs", F(1)),
            ("xz", np.uint8(0)),
            ("w", weights),
            ("ws", F(1)),
            ("wz", np.int8(0)),
            None,
            ("ys", F(1024)),
            ("yz", np.uint8(0)),
        ]
        case = one_node("QGemm", arguments, domain=MS, transB=transposed)
        y = qdqnp.load(case.model).run(case.inputs, profile="ort-avx2")["y"]
        assert y.tolist() == [[96] * 3] * 2  # 3 * 32767 / 1024
