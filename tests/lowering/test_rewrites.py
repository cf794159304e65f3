"""Rewrites of ONNX Runtime that change numbers: the session's bits, or a promise that is cancelled by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.lowering.base import Log
from qdqnp.lowering.ort.levels import optimized
from qdqnp.lowering.ort.passes import fold_constants
from qdqnp.peers.ort.session import KINDS, open_session, run_session
from qdqnp.program import Promise
from tests.lowering.convert import to_graph
from tests.lowering.models import F, Net

PROFILES = ("ort", "ort-x64", "ort-unfused")


def outcome(net: Net, profile: str, without: tuple[str, ...] = ()) -> tuple[int, Promise]:
    """How many elements of the outputs differ from the profile's session, over three inputs, and the worst promise."""
    model = net.model()
    kind, rng, differing = KINDS[profile], np.random.default_rng(5), 0
    session = open_session(model.SerializeToString(), kind.level, kind.config)
    ours = qdqnp.load(model)
    lowering = optimized(profile, profile == "ort", without) if without else None
    plan = ours.plan(profile, lowering)
    for spread in (0.5, 2.0, 5.0):
        feeds = {
            entry.name: (rng.standard_normal([dim.dim_value for dim in entry.type.tensor_type.shape.dim]) * spread)
            for entry in model.graph.input
        }
        feeds = {name: array.astype(F) for name, array in feeds.items()}
        found = ours.run(feeds, profile=profile, lowering=lowering)
        for name, wanted in zip(net.outputs, run_session(session, net.outputs, feeds), strict=True):
            assert found[name].shape == wanted.shape
            differing += int((found[name].view(np.uint32) != wanted.view(np.uint32)).sum())
    promises = [plan.promises[name] for name in net.outputs]
    return differing, next((promise for promise in promises if not promise.exact), promises[0])


def matrix(rows: int, columns: int, seed: int = 3) -> Any:
    return (np.random.default_rng(seed).standard_normal((rows, columns)) / 3).astype(F)


# -- constants computed from constants -------------------------------------------------------------------------------
COMPUTED: dict[str, Callable[[Net, Any], str]] = {
    "Mul": lambda net, w: net.node("Mul", net.const(w), net.const(F(1.37))),
    "Div": lambda net, w: net.node("Div", net.const(w), net.const(F(3))),
    "Sub": lambda net, w: net.node("Sub", net.const(w), net.const(F(0.11))),
    "Neg": lambda net, w: net.node("Neg", net.const(w)),
    "Clip": lambda net, w: net.node("Clip", net.const(w), net.const(F(-0.2)), net.const(F(0.3))),
    "Sqrt": lambda net, w: net.node("Sqrt", net.const(np.abs(w))),
    "Expand": lambda net, w: net.node("Expand", net.const(w[:1]), net.const(np.array(w.shape))),
    "MatMul": lambda net, w: net.node("MatMul", net.const(w), net.const(matrix(w.shape[-1], w.shape[-1]))),
    "two in a row": lambda net, w: net.node("Add", net.node("Neg", net.const(w)), net.const(F(0.05))),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("way", COMPUTED)
@pytest.mark.parametrize("which", ["weight", "bias"])
def test_weights_and_biases_computed_from_constants(way: str, which: str, profile: str) -> None:
    net = Net()
    x = net.qdq(net.input((1, 8, 6, 6)))
    weight = np.random.default_rng(1).standard_normal((4, 8, 1, 1)).astype(F)
    if which == "weight":
        made = COMPUTED[way](net, weight if way != "MatMul" else weight.reshape(4, 8))
        made = net.node("Reshape", made, net.const(np.array([4, 8, 1, 1])))
        y = net.node("Conv", x, made, net.floats(4))
    else:
        made = COMPUTED[way](net, weight.reshape(-1)[:4].reshape(1, 4))
        made = net.node("Reshape", made, net.const(np.array([4])))
        y = net.node("Conv", x, net.weight(4, 8, 1, 1), made)
    net.output(net.qdq(y, 0.1))
    differing, promise = outcome(net, profile)
    assert promise.exact
    assert differing == 0


def test_the_constants_matter() -> None:
    """Left to run, such a weight stays float, and the promise of the conversion is false."""
    net = Net()
    weight = net.node("Mul", net.floats(4, 8, 1, 1), net.const(F(1.37)))
    net.output(net.qdq(net.node("Conv", net.qdq(net.input((1, 8, 6, 6))), weight), 0.02))
    assert outcome(net, "ort", ("fold-constants",))[0] > 0


def test_an_integer_operator_of_constants_loses_its_promise() -> None:
    net = Net()
    scale, zero = net.const(F(0.05)), net.const(np.int8(0))
    codes = net.node("QLinearMatMul", net.codes(4, 4), scale, zero, net.codes(4, 4), scale, zero, scale, zero)
    net.output(net.node("Add", net.input((4, 4)), net.dq(codes)))
    differing, promise = outcome(net, "ort")
    assert differing == 0
    assert "each profile has its own arithmetic" in promise.reason


def test_a_large_product_of_constants_loses_its_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_constants, "MAX_PRODUCTS", 100)
    net = Net()
    net.output(net.node("Add", net.input((8, 8)), net.node("MatMul", net.floats(8, 8), net.floats(8, 8))))
    assert "too much work" in outcome(net, "ort")[1].reason


def test_a_constant_that_grows_far_beyond_what_it_is_made_of_is_left_to_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    grown = net.node("Expand", net.floats(1, 8), net.const(np.array([8, 8])))
    net.output(net.node("Add", net.input((8, 8)), grown))
    assert outcome(net, "ort")[1].reason == ""
    monkeypatch.setattr(fold_constants, "MAX_GROWTH_BYTES", 100)
    monkeypatch.setattr(fold_constants, "MAX_GROWTH", 4)
    differing, promise = outcome(net, "ort")
    assert differing == 0
    assert "too much work" in promise.reason


def test_what_reads_a_doubtful_constant_inherits_the_doubt() -> None:
    net = Net()
    weight = net.node("Softplus", net.floats(4, 8))
    net.output(net.node("Gemm", net.qdq(net.input((2, 8))), weight, transB=1))
    promise = outcome(net, "ort")[1]
    assert promise.reason.startswith("float32 Softplus")


def test_a_whole_unit_of_constants_becomes_codes() -> None:
    net = Net()
    net.output(net.dq(net.q(net.node("Relu", net.weight(3, 4)), 0.02, 5)))
    graph = fold_constants.fold_constants(to_graph(net.model()), Log())
    (dq,) = graph.nodes
    assert graph.constant(dq.inputs[0]) is not None


# -- transposes --------------------------------------------------------------------------------------------------------
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def nhwc_sandwich(zero: int = 3) -> Net:
    net = Net()
    x = net.qdq(net.input((1, 4, 6, 6)), 0.05, zero)
    x = net.qdq(net.node("Transpose", x, perm=TO_LAST), 0.03, zero)
    net.output(net.qdq(net.node("Transpose", x, perm=TO_FIRST), 0.04, zero))
    return net


def nhwc_residual() -> Net:
    """Convolutions in a channels-last network: what a residual is read by decides whether its codes become uint8."""
    net = Net()

    def conv(x: str) -> str:
        y = net.qdq(net.node("Transpose", x, perm=TO_FIRST), 0.05, 1)
        y = net.qdq(net.node("Conv", y, net.weight(4, 4, 1, 1, scale=0.01)), 0.05, 1)
        return net.qdq(net.node("Transpose", y, perm=TO_LAST), 0.05, 1)

    first = conv(net.qdq(net.input((1, 6, 6, 4)), 0.05, 1))
    total = net.qdq(net.node("Add", first, conv(first)), 0.1, -3)
    net.output(net.node("Add", total, conv(total)))
    return net


def through_everything() -> Net:
    """A Transpose that is pushed through operators of every kind until its inverse stops it."""
    net = Net(opset=18)
    x = net.node("Transpose", net.qdq(net.input((1, 4, 6, 6))), perm=TO_LAST)
    x = net.node("Add", x, net.floats(4))
    x = net.node("LeakyRelu", net.node("Mul", net.floats(1, 6, 1, 4), x), alpha=0.1)
    x = net.node("Pad", x, net.const(np.array([0, 1, 0, 0, 0, 0, 2, 0])))
    x = net.node("Slice", x, *(net.const(np.array([number])) for number in (1, 7, 1)))
    x = net.node("Concat", x, x, axis=3)
    left, right = net.node("Split", x, net.const(np.array([3, 5])), outputs=2, axis=3)
    left = net.node("Clip", left, net.const(F(-1)), net.const(F(1)))
    net.output(net.node("Transpose", net.qdq(left), perm=TO_FIRST), net.node("Transpose", right, perm=TO_FIRST))
    return net


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("build", [nhwc_sandwich, nhwc_residual, through_everything])
def test_transposes(build: Callable[[], Net], profile: str) -> None:
    differing, promise = outcome(build(), profile)
    assert promise.exact
    assert differing == 0


@pytest.mark.parametrize("profile", ["ort", "ort-x64"])
def test_the_transposes_matter(profile: str) -> None:
    assert outcome(nhwc_sandwich(), profile, ("transposes",))[0] > 0


@pytest.mark.parametrize("readers", [1, 2])
def test_a_transpose_passes_several_readers_only_to_be_cancelled(readers: int) -> None:
    """With two readers of what is behind it, it stays where no inverse is ahead: Q and DQ remain two pairs."""
    net = Net()
    x = net.node("Transpose", net.qdq(net.input((2, 3, 8)), 0.1), perm=[1, 0, 2])
    x = net.node("LeakyRelu", net.qdq(x, 0.03))
    net.output(net.node("Transpose", x, perm=[0, 2, 1]))
    if readers == 2:
        net.output(net.node("Sigmoid", x))
    assert outcome(net, "ort") == (0, Promise())


def reciprocal() -> Net:
    net = Net()
    x, y = net.input((64, 64)), net.node("Add", net.node("Relu", net.input((64, 64))), net.const(F(0.3)))
    net.output(net.node("Mul", net.node("Div", net.const(F(1)), y), x))
    return net


def gemm_transposed() -> Net:
    net = Net()
    left = net.node("Transpose", net.input((300, 5)), perm=[1, 0])
    net.output(net.node("Transpose", net.node("Gemm", left, net.const(matrix(300, 7))), perm=[1, 0]))
    return net


def scaled_matrices() -> Net:
    net = Net()
    left = net.node("Div", net.input((6, 40)), net.const(F(7)))
    product = net.node("MatMul", left, net.node("Mul", net.const(F(0.3)), net.input((40, 5))))
    net.output(net.node("Mul", product, net.const(F(1.1))))
    return net


def transposed_matrices() -> Net:
    net = Net()
    left = net.node("Transpose", net.input((300, 6)), perm=[1, 0])
    net.output(net.node("MatMul", left, net.node("Transpose", net.input((5, 300)), perm=[1, 0])))
    return net


def normalized_product() -> Net:
    net = Net()
    parts = [net.const(np.abs(matrix(1, 6, seed)[0]) + F(0.5)) for seed in range(4)]
    y = net.node("MatMul", net.input((4, 8)), net.const(matrix(8, 6)))
    net.output(net.node("Neg", net.node("BatchNormalization", y, *parts)))
    return net


REWRITTEN = {
    "div-mul": reciprocal,
    "gemm-transpose": gemm_transposed,
    "matmul-scale": scaled_matrices,
    "matmul-transpose": transposed_matrices,
    "matmul-bn": normalized_product,
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", REWRITTEN)
def test_reproduced(name: str, profile: str) -> None:
    assert outcome(REWRITTEN[name](), profile) == (0, Promise())


@pytest.mark.parametrize("name", REWRITTEN)
def test_each_of_them_matters(name: str) -> None:
    assert outcome(REWRITTEN[name](), "ort", (name,))[0] > 0


@pytest.mark.parametrize("way", ["scale", "transpose", "batch"])
def test_products_of_stacks_lose_their_promise_by_name(way: str) -> None:
    net = Net()
    left, right = net.input((2, 6, 40)), net.input((2, 40, 6) if way == "scale" else (2, 6, 40))
    if way == "scale":
        left = net.node("Mul", left, net.const(F(0.125)))
    elif way == "transpose":
        right = net.node("Transpose", right, perm=[0, 2, 1])
    else:
        left, right = (net.node("Transpose", name, perm=[1, 0, 2]) for name in (net.input((6, 2, 40)), left))
        right = net.input((2, 40, 5))
    net.output(net.node("MatMul", left, right))
    for profile in ("ort", "ort-x64"):
        promise = outcome(net, profile)[1]
        assert "FusedMatMul" in promise.reason
    assert outcome(net, "ort-unfused") == (0, Promise())


def test_reshapes_in_a_row_fuse_with_q_and_dq() -> None:
    net = Net()
    x = net.node("Reshape", net.qdq(net.input((2, 3, 4))), net.const(np.array([6, 4])))
    x = net.node("Unsqueeze", x, net.const(np.array([0])))
    net.output(net.qdq(x))
    assert outcome(net, "ort") == (0, Promise())


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3)])
def test_four_phases_become_space_to_depth(order: tuple[int, ...]) -> None:
    net = Net()
    x = net.input((1, 3, 6, 8))
    numbers = [net.const(np.array(pair)) for pair in ((6, 8), (2, 3), (2, 2))]
    parts = [net.node("Slice", x, net.const(np.array([at // 2, at % 2])), *numbers) for at in order]
    net.output(net.qdq(net.node("Concat", *parts, axis=1)))
    assert outcome(net, "ort") == (0, Promise())
    ops = [step.op for step in qdqnp.load(net.model()).plan().program.steps]
    assert ops.count("SpaceToDepth") == 1 and "Slice" not in ops


# -- what is left out ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("without", ["x", "w", "y", "xw"])
@pytest.mark.parametrize("quantized", [True, False])
def test_gemm_without_a_zero_point(without: str, quantized: bool, profile: str) -> None:
    """A Gemm one of whose sides has no zero point stays float; its bias then counts in its own scale."""
    net = Net()
    zeros = {side: () if side in without else (net.const(np.uint8(0)),) for side in "xwy"}
    scale, codes = net.const(F(0.02)), net.const((np.arange(30).reshape(6, 5) * 7 % 200).astype(np.uint8))
    x = net.node("QuantizeLinear", net.input((4, 6)), scale, *zeros["x"])
    a, b = net.node("DequantizeLinear", x, scale, *zeros["x"]), net.node("DequantizeLinear", codes, scale, *zeros["w"])
    bias = net.node("DequantizeLinear", net.const(np.arange(-900, 900, 400, dtype=np.int32)), net.const(F(0.0012)))
    y = net.node("Gemm", a, b, bias)
    if quantized:
        y = net.node("QuantizeLinear", y, net.const(F(0.25)), *zeros["y"])
    net.output(y)
    model = net.model()
    plan = qdqnp.load(model).plan(profile)
    integer = any(step.op == "QGemm" for step in plan.program.steps)
    assert integer == (profile != "ort-unfused" and without == "y")
    feeds = {model.graph.input[0].name: np.random.default_rng(1).standard_normal((4, 6)).astype(F) * 2}
    kind = KINDS[profile]
    wanted = run_session(open_session(model.SerializeToString(), kind.level, kind.config), [y], feeds)[0]
    assert plan.promises[y].exact
    assert qdqnp.load(model).run(feeds, profile=profile)[y].tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("zero", "moved"), [(0, True), (5, False)])
def test_codes_become_unsigned_where_dq_has_no_zero_point(zero: int, moved: bool) -> None:
    """A DQ without a zero point has 0."""
    net = Net()
    scale, point = net.const(F(0.05)), net.const(np.int8(zero))
    codes = net.node("QuantizeLinear", net.input((1, 4, 4, 4)), scale, point)
    x = net.node("DequantizeLinear", codes, scale)
    y = net.q(net.node("AveragePool", x, kernel_shape=[2, 2]))
    net.output(net.dq(y))
    differing, promise = outcome(net, "ort-x64")
    assert differing == 0
    program = qdqnp.load(net.model()).plan("ort-x64").program
    assert program.tensors[codes].dtype == (np.uint8 if moved else np.int8)
    assert any(step.op == "QLinearAveragePool" for step in program.steps) == moved == promise.exact


# -- graphs whose inputs are outputs ---------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", PROFILES)
def test_an_input_that_is_an_output_stays_the_output(profile: str) -> None:
    """Q moves back before the Transpose, onto the input."""
    net = Net()
    x = net.input((2, 3, 4))
    net.output(net.qdq(net.node("Transpose", x, perm=[2, 0, 1])), x)
    assert outcome(net, profile)[0] == 0


# -- level ALL -------------------------------------------------------------------------------------------------------
def residual(bias: bool, other: tuple[int, ...] = (1, 4, 6, 6)) -> Net:
    """A Conv whose weights are no constants of the file's, and a sum."""
    net = Net()
    x, weight = net.input((1, 4, 6, 6)), net.weight(4, 4, 3, 3)
    y = net.node("Conv", x, weight, *([net.floats(4)] if bias else []), pads=[1, 1, 1, 1])
    net.output(net.node("Add", net.input(other), y))
    return net


@pytest.mark.parametrize("profile", ["ort", "ort-x64"])
def test_a_sum_with_a_conv_loses_its_promise_by_name(profile: str) -> None:
    net = residual(bias=True)
    model, kind = net.model(), KINDS[profile]
    rng = np.random.default_rng(7)
    feeds = {entry.name: rng.standard_normal((1, 4, 6, 6)).astype(F) for entry in model.graph.input}
    users = run_session(open_session(model.SerializeToString(), kind.users, kind.config), net.outputs, feeds)[0]
    assert np.any(users != qdqnp.load(model).run(feeds, profile=profile)[net.outputs[0]])  # why there is no promise
    differing, promise = outcome(net, profile)
    assert differing == 0 and "FusedConv" in str(promise)


@pytest.mark.parametrize("net", [residual(bias=False), residual(bias=True, other=(1, 1, 1, 6))])
def test_other_sums_with_a_conv_keep_their_promise(net: Net) -> None:
    assert outcome(net, "ort")[1].exact


def test_a_stack_of_one_matrix_is_one_product_of_all_rows() -> None:
    rng = np.random.default_rng(11)
    for columns in (1, 3):
        net = Net()
        right = net.const(rng.standard_normal((1, 37, columns)).astype(F))
        net.output(net.node("MatMul", net.input((2, 5, 37)), right))
        for profile in PROFILES:
            differing, promise = outcome(net, profile)
            assert differing == 0 and promise.exact
