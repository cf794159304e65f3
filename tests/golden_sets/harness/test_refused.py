"""What no kernel computes: every layer is named, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qdqnp.errors import GoldenError
from qdqnp.golden_sets.harness.layer import wrapped
from qdqnp.golden_sets.harness.text import quoted
from tests.golden_sets.harness.building import harness
from tests.golden_sets.nets import Layers, code_feeds


class Odd(Layers):
    """Layers without a kernel, each in one way."""

    def convolution(self, name: str, weight_zero: int = 0, dtype: Any = np.int8) -> None:
        inputs = [self.input(f"{name}_x", 1, 2, 4, 4), *self.quant(), self.const(np.ones((3, 2, 1, 1)), dtype)]
        inputs += [self.const(0.1, np.float32), self.const(weight_zero, dtype), *self.quant()]
        self.node("QLinearConv", name, inputs, "")

    def unary(self, name: str, op: str) -> None:
        self.node(op, name, [self.input(f"{name}_x", 1, 2, 4, 4), *self.quant(), *self.quant()])

    def volume(self, name: str) -> None:
        self.node("MaxPool", name, [self.input(f"{name}_x", 1, 2, 4, 4, 4)], "", kernel_shape=[2, 2, 2])

    def dilated(self, name: str) -> None:
        x = self.input(f"{name}_x", 1, 2, 6, 6)
        self.node("MaxPool", name, [x], "", kernel_shape=[2, 2], dilations=[2, 2])

    def broadcast(self, name: str) -> None:
        a, b = self.input(f"{name}_a", 1, 2, 4, 4), self.input(f"{name}_b", 1, 2, 1, 1)
        self.node("QLinearAdd", name, [a, *self.quant(), b, *self.quant(), *self.quant()])

    def scaled_average(self, name: str) -> None:
        inputs = [self.input(f"{name}_x", 1, 2, 4, 4), *self.quant(0.1), *self.quant(0.2)]
        self.node("QLinearAveragePool", name, inputs, kernel_shape=[2, 2])

    def padded_average(self, name: str) -> None:
        quant = self.quant()
        inputs = [self.input(f"{name}_x", 1, 2, 4, 4), *quant, *quant]
        window = {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1}
        self.node("QLinearAveragePool", name, inputs, **window)

    def moving_matrix(self, name: str) -> None:
        a, b = self.input(f"{name}_a", 3, 4), self.input(f"{name}_b", 4, 5)
        self.node("QLinearMatMul", name, [a, *self.quant(), b, *self.quant(), *self.quant()], "")

    def reflected(self, name: str) -> None:
        pads = self.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
        self.node("Pad", name, [self.input(f"{name}_x", 1, 2, 4, 4), pads], "", mode="reflect")

    def other_softmax(self, name: str) -> None:
        self.node(
            "QLinearSoftmax", name, [self.input(f"{name}_x", 1, 5), *self.quant(), *self.quant(0.01, 0)], opset=13
        )


WAYS = {
    "weights": ("weights whose zero point is 0", lambda net: net.convolution("weights", weight_zero=3)),
    "sigmoid": ("a kernel for QLinearSigmoid, got none", lambda net: net.unary("sigmoid", "QLinearSigmoid")),
    "volume": ("windows in one or two axes, got 3", lambda net: net.volume("volume")),
    "dilated": ("windows without dilation, got [2, 2]", lambda net: net.dilated("dilated")),
    "broadcast": ("two tensors of one shape, got [1, 2, 1, 1]", lambda net: net.broadcast("broadcast")),
    "scaled": ("one scale and zero point", lambda net: net.scaled_average("scaled")),
    "padded": ("averages of what lies inside", lambda net: net.padded_average("padded")),
    "moving": ("constant weights, got 'moving_b'", lambda net: net.moving_matrix("moving")),
    "reflected": ("a border of one code", lambda net: net.reflected("reflected")),
    "softmax": ("codes of scale 1/256", lambda net: net.other_softmax("softmax")),
}


def test_every_layer_without_a_kernel_is_named_at_once(tmp_path: Path) -> None:
    net = Odd(3)
    net.conv("right", 0, depthwise=False)
    for _, add in WAYS.values():
        add(net)
    model = net.model()
    with pytest.raises(GoldenError) as error:
        harness(tmp_path / "set", model, [code_feeds(model, 1)])
    assert error.value.title == "the network cannot run on CMSIS-NN alone"
    assert [problem.where for problem in error.value.problems] == [f"layer '{name}'" for name in WAYS]
    for (text, _), problem in zip(WAYS.values(), error.value.problems, strict=True):
        assert text in str(problem)
    assert "QLinearConv" in error.value.advice[0]
    assert not list(tmp_path.iterdir())


def test_real_values_inside_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        "real",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(Exception, match="relu"):
        harness(tmp_path / "set", model, [{"x": np.zeros((1, 2, 3, 3), np.float32)}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"profile": "tflite-ruy"}, "profile: expected cmsis-nn or cmsis-nn-single, got tflite-ruy"),
        ({"layers": ("right",)}, "option layers: expected all layers, for a harness"),
        ({"prefix": "1st"}, "option prefix: expected a letter"),
        ({"prefix": "a-b"}, "option prefix: expected a letter"),
    ],
)
def test_what_a_harness_does_not_go_with(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    net = Odd(3)
    net.conv("right", 0, depthwise=False)
    model: onnx.ModelProto = net.model()
    with pytest.raises(GoldenError) as error:
        harness(tmp_path / "set", model, [code_feeds(model, 1)], **options)
    assert text in str(error.value)


def test_names_of_a_model_are_text_in_c() -> None:
    assert quoted('a"b\\c?\né') == '"a\\042b\\134c\\077\\012\\303\\251"'


def test_long_calls_are_wrapped() -> None:
    text = wrapped("f(", ["argument"] * 30, ");")
    assert max(map(len, text.splitlines())) <= 116 and text.replace("\n", "").replace(" ", "").count("argument") == 30
