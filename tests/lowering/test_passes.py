"""Each pass on a small graph of its own, without ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.ort.passes.clip_quant import clip_quant
from qdqnp.lowering.ort.passes.conv_constants import conv_constants
from qdqnp.lowering.ort.passes.cse import cse
from qdqnp.lowering.ort.passes.double_qdq import common_range, double_qdq
from qdqnp.lowering.ort.passes.eliminate import eliminate
from qdqnp.lowering.ort.passes.final_cleanup import final_cleanup
from qdqnp.lowering.ort.passes.fold_constants import fold_constants
from qdqnp.lowering.ort.passes.fuse import fusion
from qdqnp.lowering.ort.passes.matmul_add import matmul_add
from qdqnp.lowering.ort.passes.pad_fusion import pad_fusion
from qdqnp.lowering.ort.passes.propagate import propagate
from qdqnp.lowering.ort.passes.relu_clip import relu_clip
from qdqnp.lowering.ort.passes.relu_quant import relu_quant
from qdqnp.lowering.ort.passes.share_constants import share_constants
from qdqnp.lowering.ort.passes.unique_dq import unique_dq
from qdqnp.lowering.ort.passes.weight_bias import bias_codes, weight_bias, weight_parameters
from qdqnp.lowering.ort.passes.where_dummy import dummy, where_dummy
from qdqnp.lowering.ort.transposes.optimize import transposes
from tests.lowering.convert import to_graph
from tests.lowering.models import F, Net

SHAPE = (1, 4, 8, 8)
fuse = fusion(int8_allowed=True)


def run(function: PassFunction, net: Net) -> Graph:
    return function(to_graph(net.model()), Log())


def why(function: PassFunction, net: Net) -> str:
    """The reasons a pass gives, as one text."""
    log = Log()
    function(to_graph(net.model()), log)
    return "; ".join(refusal.reason for refusal in log.refusals)


def ops(graph: Graph) -> list[str]:
    short = {"QuantizeLinear": "Q", "DequantizeLinear": "DQ"}
    return [short.get(node.op, node.op) for node in graph.nodes]


def only(graph: Graph, op: str) -> Node:
    (found,) = [node for node in graph.nodes if node.op == op]
    return found


def after_q(op: str, *constants: float, zero: int = -128, dtype: Any = np.int8, scale: float = 0.1) -> Net:
    """input -> op -> Q"""
    net = Net()
    x = net.node(op, net.input(SHAPE), *(net.const(F(value)) for value in constants))
    net.output(net.q(x, scale, zero, dtype))
    return net


class TestUniqueDq:
    def test_each_use_gets_its_own(self) -> None:
        net = Net()
        x = net.qdq(net.input(SHAPE))
        net.output(net.node("Add", x, x), net.node("Tanh", x))
        graph = run(unique_dq, net)
        assert sorted(ops(graph)) == ["Add", "DQ", "DQ", "DQ", "Q", "Tanh"]
        assert all(graph.use_count(node.outputs[0]) == 1 for node in graph.nodes if node.op == "DequantizeLinear")

    def test_the_original_keeps_the_graph_output(self) -> None:
        net = Net()
        x = net.qdq(net.input(SHAPE))
        net.output(x, net.node("Tanh", x))
        graph = run(unique_dq, net)
        assert not graph.uses(x)
        assert ops(graph).count("DQ") == 2


class TestEliminate:
    @pytest.mark.parametrize("op", ["Identity", "Dropout"])
    def test_in_the_middle(self, op: str) -> None:
        net = Net()
        net.output(net.node("Tanh", net.node(op, net.node("Relu", net.input(SHAPE)))))
        assert ops(run(eliminate, net)) == ["Relu", "Tanh"]

    def test_an_identity_hands_the_output_over(self) -> None:
        net = Net()
        y = net.node("Identity", net.node("Relu", net.input(SHAPE)))
        net.output(y)
        graph = run(eliminate, net)
        assert ops(graph) == ["Relu"]
        assert graph.nodes[0].outputs == (y,)

    @pytest.mark.parametrize(("op", "value", "gone"), [("Add", 0, True), ("Mul", 1, True), ("Mul", 0, False)])
    def test_neutral_constants(self, op: str, value: float, gone: bool) -> None:
        net = Net()
        net.output(net.node("Tanh", net.node(op, net.node("Relu", net.input(SHAPE)), net.const(F(value)))))
        assert ops(run(eliminate, net)) == (["Relu", "Tanh"] if gone else ["Relu", op, "Tanh"])

    def test_neutral_constants_at_the_input_stay(self) -> None:
        net = Net()
        net.output(net.node("Tanh", net.node("Add", net.input(SHAPE), net.const(F(0)))))
        assert ops(run(eliminate, net)) == ["Add", "Tanh"]

    @pytest.mark.parametrize(("end", "gone"), [(2**63 - 1, True), (4, False)])
    def test_a_slice_of_everything_in_so_many_words(self, end: int, gone: bool) -> None:
        net = Net()
        bounds = [net.const(np.array([number])) for number in (0, end, 1)]
        net.output(net.node("Tanh", net.node("Slice", net.node("Relu", net.input(SHAPE)), *bounds)))
        assert ops(run(eliminate, net)) == (["Relu", "Tanh"] if gone else ["Relu", "Slice", "Tanh"])

    @pytest.mark.parametrize(("shape", "gone"), [((4, 1, 8), True), ((1, 4, 8, 8), True), ((2, 4, 8, 8), False)])
    def test_an_expand_to_no_more(self, shape: tuple[int, ...], gone: bool) -> None:
        net = Net()
        net.output(net.node("Tanh", net.node("Expand", net.node("Relu", net.input(SHAPE)), net.const(np.array(shape)))))
        assert ops(run(eliminate, net)) == (["Relu", "Tanh"] if gone else ["Relu", "Expand", "Tanh"])


class TestConvConstants:
    def test_add_and_mul_go_into_the_weights(self) -> None:
        net = Net()
        y = net.node("Conv", net.input(SHAPE), net.floats(4, 4, 1, 1))
        y = net.node("Mul", y, net.floats(4, 1, 1))
        net.output(net.node("Add", y, net.floats(1, 4, 1, 1)))
        graph = run(conv_constants, net)
        assert ops(graph) == ["Conv", "Add"]  # one per round
        graph = conv_constants(graph, Log())
        assert ops(graph) == ["Conv"]
        assert len(graph.nodes[0].inputs) == 3

    def test_quantized_weights_stay(self) -> None:
        net = Net()
        y = net.node("Conv", net.input(SHAPE), net.weight(4, 4, 1, 1))
        net.output(net.node("Add", y, net.floats(1, 4, 1, 1)))
        assert "Add" in ops(run(conv_constants, net))


class TestPadFusion:
    def pad(self, op: str, sizes: list[int], value: float | None = None, **attributes: Any) -> Net:
        net = Net()
        given = [] if value is None else [net.const(F(value))]
        x = net.node("Pad", net.input(SHAPE), net.const(np.array(sizes, np.int64)), *given)
        net.output(net.node(op, x, *([net.floats(4, 4, 3, 3)] if op == "Conv" else []), **attributes))
        return net

    def test_conv_takes_the_padding(self) -> None:
        graph = run(pad_fusion, self.pad("Conv", [0, 0, 1, 0, 0, 0, 2, 0], pads=[1, 1, 1, 1]))
        assert only(graph, "Conv").attributes["pads"] == (2, 1, 3, 1)

    def test_average_pool_counts_it(self) -> None:
        graph = run(pad_fusion, self.pad("AveragePool", [0, 0, 1, 1, 0, 0, 1, 1], kernel_shape=[2, 2]))
        assert only(graph, "AveragePool").attributes["count_include_pad"] == 1

    @pytest.mark.parametrize(
        ("sizes", "value", "attributes"),
        [
            ([0, 1, 0, 0, 0, 0, 0, 0], None, {}),
            ([0, 0, 1, 1, 0, 0, 1, 1], 2.0, {}),
            ([0, 0, 1, 1, 0, 0, 1, 1], None, {"auto_pad": "SAME_UPPER"}),
        ],
    )
    def test_left_alone(self, sizes: list[int], value: float | None, attributes: dict[str, Any]) -> None:
        net = self.pad("Conv", sizes, value, **attributes)
        assert ops(run(pad_fusion, net)) == ["Pad", "Conv"]
        assert why(pad_fusion, net)


class TestDoubleQdq:
    def test_the_middle_goes_and_the_rest_gets_the_common_range(self) -> None:
        net = Net()
        net.output(net.qdq(net.qdq(net.input(SHAPE), 0.5, -128), 1, 0))
        graph = run(double_qdq, net)
        assert ops(graph) == ["Q", "DQ"]
        for node in graph.nodes:
            assert graph.constant(node.inputs[1]) == F(127) / F(255)
            assert graph.constant(node.inputs[2]) == -128

    def test_not_if_the_middle_is_seen(self) -> None:
        net = Net()
        middle = net.qdq(net.input(SHAPE), 0.1, 0)
        net.output(net.qdq(middle, 0.2, 30), net.node("Tanh", middle))
        assert ops(run(double_qdq, net)).count("Q") == 2

    def test_common_range_of_equal_parameters_is_none(self) -> None:
        assert common_range((F(0.1), np.int8(3)), (F(0.1), np.int8(3))) is None  # type: ignore[arg-type]

    def test_common_range(self) -> None:
        found = common_range((F(0.1), np.uint8(0)), (F(0.1), np.uint8(255)))  # type: ignore[arg-type]
        assert found is not None
        assert found[0] == 0  # the ranges meet in zero only

    def test_halves_go_away_from_zero(self) -> None:
        # [-64, 63.5] of [-128, 127] in [-64.5, 63]: scale 127 / 255, zero point -128 + 64 / scale = 0.503...
        found = common_range((F(0.5), np.int8(0)), (F(0.5), np.int8(1)))  # type: ignore[arg-type]
        assert found is not None
        assert found == (F(127) / F(255), 1)


class TestCse:
    def test_equal_nodes_become_one_once_their_constants_are_shared(self) -> None:
        net = Net()
        x = net.node("Relu", net.input(SHAPE))
        parts = [net.node("Tanh", net.node("Mul", x, net.const(F(2)))) for _ in range(2)]
        net.output(net.node("Add", *parts))
        assert ops(run(cse, net)).count("Tanh") == 2
        assert ops(cse(run(share_constants, net), Log())) == ["Relu", "Mul", "Tanh", "Add"]

    def test_not_behind_two_dqs(self) -> None:
        net = Net()
        codes = net.q(net.input(SHAPE))
        net.output(net.node("Add", *(net.node("Tanh", net.dq(codes)) for _ in range(2))))
        assert ops(run(cse, net)).count("Tanh") == 2

    def test_own_zero_points_keep_equal_qs_apart(self) -> None:
        net = Net()
        x = net.node("Relu", net.input(SHAPE))
        net.output(net.dq(net.q(x)), net.dq(net.q(x)))
        assert ops(run(cse, net)).count("Q") == 2

    def test_a_graph_output_stays(self) -> None:
        net = Net()
        x = net.input(SHAPE)
        net.output(net.node("Relu", x), net.node("Relu", x))
        assert ops(run(cse, net)) == ["Relu", "Relu"]


class TestFoldConstants:
    def test_q_of_a_constant_but_not_its_dq(self) -> None:
        net = Net()
        constant = net.const(np.array([-7, -0.5, 0.5, 1.5, np.nan, 9e9], F))
        net.output(net.node("Add", net.input((6,)), net.dq(net.q(constant, 1, 3), 1, 3)))
        graph = run(fold_constants, net)
        assert ops(graph) == ["DQ", "Add"]
        codes = graph.constant(only(graph, "DequantizeLinear").inputs[0])
        assert codes is not None and codes.tolist() == [-4, 3, 3, 5, -128, 127]

    def test_per_channel(self) -> None:
        net = Net()
        scale, zero = net.const(np.array([1, 2], F)), net.const(np.array([0, 1], np.int8))
        codes = net.node("QuantizeLinear", net.const(np.array([[4, 6], [4, 6]], F)), scale, zero, axis=0)
        net.output(net.node("DequantizeLinear", net.node("Identity", codes), scale, zero, axis=0))
        graph = run(fold_constants, net)
        codes = graph.constant(graph.nodes[0].inputs[0])
        assert codes is not None and codes.tolist() == [[4, 6], [3, 4]]

    @pytest.mark.parametrize(
        ("op", "extra", "attributes", "shape"),
        [
            ("Transpose", None, {"perm": [1, 0]}, (3, 2)),
            ("Reshape", [3, 2], {}, (3, 2)),
            ("Unsqueeze", [0], {}, (1, 2, 3)),
            ("Flatten", None, {"axis": 0}, (1, 6)),
        ],
    )
    def test_movement(self, op: str, extra: list[int] | None, attributes: Any, shape: tuple[int, ...]) -> None:
        net = Net()
        more = [] if extra is None else [net.const(np.array(extra, np.int64))]
        folded = net.node(op, net.codes(2, 3), *more, **attributes)
        net.output(net.dq(folded))
        graph = run(fold_constants, net)
        assert ops(graph) == ["DQ"]
        assert graph.values[folded].shape == shape


class TestMatmulAdd:
    def build(self, bias: tuple[int, ...], left: tuple[int, ...] = (4, 8)) -> Net:
        net = Net()
        net.output(net.node("Add", net.floats(*bias), net.node("MatMul", net.input(left), net.floats(8, 5))))
        return net

    @pytest.mark.parametrize("bias", [(5,), (1, 5), (4, 5), (4, 1)])
    def test_gemm(self, bias: tuple[int, ...]) -> None:
        assert ops(run(matmul_add, self.build(bias))) == ["Gemm"]

    def test_stacked_rows(self) -> None:
        graph = run(matmul_add, self.build((5,), (2, 4, 8)))
        assert ops(graph) == ["Reshape", "Gemm", "Reshape"]
        assert graph.constant(graph.nodes[2].inputs[1]).tolist() == [2, 4, 5]  # type: ignore[union-attr]

    def test_left_alone(self) -> None:
        net = self.build((2, 4, 5))
        assert ops(run(matmul_add, net)) == ["MatMul", "Add"]
        assert "broadcast" in why(matmul_add, net)


class TestPropagate:
    def pool(self, net: Net, x: str) -> str:
        return str(net.node("MaxPool", x, kernel_shape=[2, 2]))

    def test_q_moves_back_to_the_maker(self) -> None:
        net = Net()
        net.output(net.q(self.pool(net, net.node("Tanh", net.input(SHAPE)))))
        assert ops(run(propagate, net)) == ["Tanh", "Q", "DQ", "MaxPool", "Q"]

    def test_dq_moves_forward_over_branches(self) -> None:
        net = Net()
        y = self.pool(net, net.qdq(net.input(SHAPE)))
        net.output(y, net.node("Tanh", y))
        graph = run(propagate, net)
        assert sorted(ops(graph)) == ["DQ", "DQ", "DQ", "MaxPool", "Q", "Q", "Tanh"]
        assert only(graph, "MaxPool").outputs != (y,)

    def test_not_onto_a_q(self) -> None:
        net = Net()
        y = self.pool(net, net.qdq(net.input(SHAPE)))
        net.output(net.q(y, 0.3), net.node("Tanh", y))
        assert ops(run(propagate, net)).count("Q") == 2

    def test_not_from_a_constant(self) -> None:
        net = Net()
        net.output(net.node("Add", net.input(SHAPE), self.pool(net, net.weight(1, 4, 9, 9))))
        assert "Q" not in ops(run(propagate, net))

    def test_not_through_an_old_max_pool(self) -> None:
        net = Net(opset=11)
        net.output(net.q(self.pool(net, net.node("Tanh", net.input(SHAPE)))))
        assert ops(run(propagate, net)).count("Q") == 1


class TestWeightBias:
    def conv(self, *, weight: bool, bias: bool, q: bool = True) -> Net:
        net = Net()
        inputs = [net.floats(4, 4, 1, 1) if weight else net.weight(4, 4, 1, 1), *([net.floats(4)] if bias else [])]
        y = net.node("Relu", net.node("Conv", net.qdq(net.input(SHAPE)), *inputs))
        net.output(net.q(y) if q else y)
        return net

    @pytest.mark.parametrize(("weight", "bias"), [(True, True), (True, False), (False, True)])
    def test_float_constants_become_integers(self, weight: bool, bias: bool) -> None:
        graph = run(weight_bias, self.conv(weight=weight, bias=bias))
        conv = only(graph, "Conv")
        makers = [graph.producer(name) for name in conv.inputs]
        assert all(maker is not None and maker.op == "DequantizeLinear" for maker in makers)
        kinds = [str(graph.values[maker.inputs[0]].dtype) for maker in makers if maker is not None]
        assert kinds == ["int8", "int8", "int32"][: len(conv.inputs)]

    def test_not_without_q(self) -> None:
        net = self.conv(weight=True, bias=True, q=False)
        assert ops(run(weight_bias, net)).count("DQ") == 1

    def test_weight_parameters_cover_zero(self) -> None:
        assert weight_parameters(np.array([1, 2.55], F)) == (F(F(2.55) / F(255)), -128)
        assert weight_parameters(np.zeros(3, F)) == (1, -128)

    def test_bias_codes(self) -> None:
        codes = bias_codes(np.array([0.5, 1.5, -2.5, 3e9, -3e9], F), np.asarray(F(1)))
        assert codes.tolist() == [0, 2, -2, -(2**31), -(2**31)]


class TestWhereDummy:
    def test_a_constant_branch_gets_a_dq(self) -> None:
        net = Net()
        condition = net.node("Equal", net.input(SHAPE), net.input(SHAPE))
        net.output(net.q(net.node("Where", condition, net.qdq(net.input(SHAPE)), net.const(F(-2)))))
        assert ops(run(where_dummy, net)).count("DQ") == 2

    @pytest.mark.parametrize("value", [0.0, 1.5, -3.0])
    @pytest.mark.parametrize("dtype", [np.int8, np.uint8])
    def test_the_dq_gives_the_value_back(self, value: float, dtype: Any) -> None:
        code, scale, zero = dummy(np.asarray(F(value)), np.dtype(dtype))
        assert F(int(code) - int(zero)) * scale == F(value)


class TestTransposeConstant:
    def test_the_codes_are_transposed(self) -> None:
        net = Net()
        scale = np.arange(1, 6, dtype=F)
        weight = net.node("Transpose", net.weight(5, 8, scale=scale, zero=np.zeros(5), axis=0), perm=[1, 0])
        net.output(net.node("MatMul", net.input((4, 8)), weight))
        graph = run(transposes(extended=False), net)
        assert ops(graph) == ["DQ", "Transpose", "Q", "DQ", "MatMul"]
        graph = fold_constants(graph, Log())
        dq = only(graph, "DequantizeLinear")
        assert ops(graph) == ["DQ", "MatMul"]
        assert graph.values[dq.inputs[0]].shape == (8, 5)
        assert dq.attributes.get("axis", 1) == 1


class TestActivations:
    @pytest.mark.parametrize(("zero", "gone"), [(-128, True), (0, False)])
    def test_relu_before_q(self, zero: int, gone: bool) -> None:
        net = after_q("Relu", zero=zero)
        assert ops(run(relu_quant, net)) == (["Q"] if gone else ["Relu", "Q"])
        assert bool(why(relu_quant, net)) is not gone

    @pytest.mark.parametrize(("bounds", "gone"), [((0, 25.6), True), ((0, 25), False), ((1, 30), False)])
    def test_clip_before_q(self, bounds: tuple[float, float], gone: bool) -> None:
        net = Net()
        clip = net.node("Clip", net.node("Tanh", net.input(SHAPE)), *(net.const(F(bound)) for bound in bounds))
        net.output(net.q(clip, 0.1, -128))
        assert ops(run(clip_quant, net)) == (["Tanh", "Q"] if gone else ["Tanh", "Clip", "Q"])
        assert bool(why(clip_quant, net)) is not gone

    def test_clip_of_the_input_stays(self) -> None:
        assert "the graph's input" in why(clip_quant, after_q("Clip", 0, 25.6))

    @pytest.mark.parametrize(("lower", "expected"), [(-1, 0), (2, 2)])
    def test_relu_before_clip(self, lower: float, expected: float) -> None:
        net = Net()
        x = net.node("Relu", net.input(SHAPE))
        net.output(net.node("Clip", x, net.const(F(lower)), net.const(F(6))))
        graph = run(relu_clip, net)
        assert ops(graph) == ["Clip"]
        assert graph.constant(graph.nodes[0].inputs[1]) == expected


class TestFinalCleanup:
    def test_dq_q_of_equal_parameters_goes(self) -> None:
        net = Net()
        net.output(net.dq(net.q(net.qdq(net.input(SHAPE)))))
        assert ops(run(final_cleanup, net)) == ["Q", "DQ"]

    def test_not_of_other_parameters(self) -> None:
        net = Net()
        net.output(net.dq(net.q(net.qdq(net.input(SHAPE)), 0.3)))
        assert ops(run(final_cleanup, net)) == ["Q", "DQ", "Q", "DQ"]

    def test_the_maker_takes_the_graph_output_over(self) -> None:
        net = Net()
        codes = net.q(net.qdq(net.input(SHAPE)))
        net.output(codes)
        graph = run(final_cleanup, net)
        assert ops(graph) == ["Q"]
        assert graph.nodes[0].outputs == (codes,)

    def test_a_graph_input_passes_through_an_identity(self) -> None:
        net = Net()
        net.output(net.q(net.dq(net.input(SHAPE, 3))))
        assert ops(run(final_cleanup, net)) == ["Identity"]


def conv(net: Net, x: str, bias_scale: float = 0.05 * 0.01, dtype: Any = np.int8) -> str:
    bias = net.dq(net.const(np.arange(4, dtype=np.int32)), bias_scale, None, np.int32)
    return str(net.node("Conv", x, net.weight(4, 4, 1, 1, dtype=dtype), bias))


class TestFuse:
    def one(self, make: Callable[[Net, str], str], **parameters: Any) -> Net:
        """input -> Q -> DQ -> what `make` makes -> Q -> DQ -> output"""
        net = Net()
        net.output(net.qdq(make(net, net.qdq(net.input(SHAPE))), **{"scale": 0.1, **parameters}))
        return net

    def test_conv(self) -> None:
        net = self.one(conv)
        graph = run(fuse, net)
        node = only(graph, "QLinearConv")
        assert ops(graph) == ["Q", "QLinearConv", "DQ"]
        assert len(node.inputs) == 9
        assert node.outputs == (net.nodes[-2].output[0],)  # the name of Q's codes
        assert node.origins[0].startswith("n_conv")
        assert len(node.origins) == 5

    @pytest.mark.parametrize(
        ("op", "integer_op", "attributes"),
        [
            ("AveragePool", "QLinearAveragePool", {"kernel_shape": [2, 2]}),
            ("GlobalAveragePool", "QLinearGlobalAveragePool", {}),
            ("Sigmoid", "QLinearSigmoid", {}),
            ("LeakyRelu", "QLinearLeakyRelu", {"alpha": 0.2}),
            ("Softmax", "QLinearSoftmax", {}),
        ],
    )
    def test_unary(self, op: str, integer_op: str, attributes: Any) -> None:
        graph = run(fuse, self.one(lambda net, x: net.node(op, x, **attributes)))
        assert len(only(graph, integer_op).inputs) == 5

    def test_concat_has_the_output_parameters_first(self) -> None:
        net = self.one(lambda net, x: net.node("Concat", x, net.qdq(net.input(SHAPE), 0.07), axis=1))
        graph = run(fuse, net)
        node = only(graph, "QLinearConcat")
        assert len(node.inputs) == 8
        assert graph.constant(node.inputs[0]) == F(0.1)

    @pytest.mark.parametrize(("scale", "integer"), [(0.05, True), (0.1, False)])
    def test_max_pool_needs_equal_parameters(self, scale: float, integer: bool) -> None:
        graph = run(fuse, self.one(lambda net, x: net.node("MaxPool", x, kernel_shape=[2, 2]), scale=scale))
        assert (only(graph, "MaxPool").inputs[0] == graph.nodes[0].outputs[0]) is integer

    def test_gemm_may_stay_float_at_its_output(self) -> None:
        net = Net()
        net.output(net.node("Gemm", net.qdq(net.input((4, 8))), net.weight(8, 5), alpha=0.5, beta=0.5))
        graph = run(fuse, net)
        node = only(graph, "QGemm")
        assert len(node.inputs) == 6
        assert dict(node.attributes) == {"alpha": 0.5}

    def test_matmul_to_float_keeps_onnx_runtimes_form(self) -> None:
        net = Net()
        net.output(net.node("MatMul", net.qdq(net.input((4, 8))), net.weight(8, 5)))
        assert ops(run(fuse, net)) == ["Q", "MatMulIntegerToFloat"]

    def test_weight_only_matmul_is_not_passed_off_as_float(self) -> None:
        net = Net()
        net.output(net.node("MatMul", net.input((4, 8)), net.weight(8, 5)))
        assert ops(run(fuse, net)) == ["MatMulNBits"]

    def test_absent_zero_points_are_made_explicit(self) -> None:
        net = Net()
        x = net.qdq(net.input(SHAPE), 0.1, None)
        net.output(net.q(net.node("Sigmoid", x), 0.1, None))
        graph = run(fuse, net)
        node = only(graph, "QLinearSigmoid")
        assert all(graph.values[node.inputs[at]].dtype == np.uint8 for at in (2, 4))

    @pytest.mark.parametrize(("zero", "fused"), [(-128, True), (0, False)])
    def test_relu_between(self, zero: int, fused: bool) -> None:
        graph = run(fuse, self.one(lambda net, x: net.node("Relu", conv(net, x)), zero=zero))
        assert ("QLinearConv" in ops(graph)) is fused

    def test_a_clip_is_judged_on_rounded_codes(self) -> None:
        # 6 / 255, a little more: the highest code means more than 6, but 6 rounds to it
        scale = F(F(6) / F(255) * F(1.001))
        net = self.one(
            lambda net, x: net.node("Clip", conv(net, x), net.const(F(0)), net.const(F(6))), scale=scale, zero=-128
        )
        assert ops(run(clip_quant, net)) == ops(to_graph(net.model()))
        assert "QLinearConv" in ops(run(fuse, net))

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda n, x: conv(n, x, bias_scale=0.0006), "bias scale"),
            (lambda n, x: conv(n, x, dtype=np.uint8), "int8 weights"),
            (lambda n, x: n.node("Conv", x, n.floats(4, 4, 1, 1)), "2 of its inputs must be dequantized"),
            (lambda n, x: n.node("Add", x, n.qdq(n.input(SHAPE), dtype=np.uint8)), "differ in type"),
            (lambda n, x: n.node("Mul", x, x), "has another use"),
            (lambda n, x: n.node("MaxPool", x, kernel_shape=[2, 2]), "different"),
        ],
    )
    def test_reasons(self, make: Callable[[Net, str], str], reason: str) -> None:
        assert reason in why(fuse, self.one(make))

    def test_other_uses_of_the_output(self) -> None:
        for seen in (True, False):
            net = Net()
            y = conv(net, net.qdq(net.input(SHAPE)))
            net.output(net.q(y), y if seen else net.node("Tanh", y))
            assert ("graph output" if seen else "another use") in why(fuse, net)

    def test_16_bit_moves_but_does_not_compute(self) -> None:
        for op, integer in (("Flatten", True), ("Sigmoid", False)):
            net = Net(opset=21)
            x = net.node(op, net.qdq(net.input(SHAPE), dtype=np.int16))
            net.output(net.q(x, dtype=np.int16))
            assert len(run(fuse, net).nodes) == (2 if integer else 4)

    def test_signed_activations_need_permission(self) -> None:
        forbidden = fusion(int8_allowed=False)
        assert "QLinearConv" not in ops(run(forbidden, self.one(conv)))
        assert "no int8 activations" in why(forbidden, self.one(conv))
