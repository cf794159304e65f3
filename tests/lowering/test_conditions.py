"""Casts to the same type, and Wheres behind Not: as ONNX Runtime's optimizer changes them, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.lowering import LOWERINGS
from tests.lowering.peer import SESSIONS, optimized
from tests.ops import draw
from tests.ops.case import Case, assert_same
from tests.oracles import ort

F = np.float32


class Chosen:
    """A model that compares codes or floats and chooses by what it found."""

    def __init__(self, rng: draw.Rng) -> None:
        self.rng, self.nodes, self.constants = rng, list[onnx.NodeProto](), list[onnx.TensorProto]()

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{name}", **attributes))
        return name

    def constant(self, value: Any, dtype: Any = F) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def qdq(self, x: str) -> str:
        scale, zero = self.constant(0.05), self.constant(3, np.int8)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, scale, zero), scale, zero)

    def build(self) -> Case:
        rng, x = self.rng, "x"
        if draw.chance(rng, 0.5):
            x = self.qdq(x)
        if draw.chance(rng, 0.5):
            x = self.node("Cast", x, to=1)
        condition = self.node("Greater", x, self.constant(rng.normal()))
        for _ in range(int(rng.integers(0, 3))):
            condition = self.node("Not", condition)
        zero = -0.0 if draw.chance(rng, 0.3) else 1.5
        other = self.constant(zero) if draw.chance(rng, 0.5) else self.node("Mul", x, self.constant(zero))
        pair = (x, other) if draw.chance(rng, 0.5) else (other, x)
        outputs = [self.node("Where", condition, *pair)]
        if draw.chance(rng, 0.3):
            outputs.append(self.node("Where", condition, pair[1], self.constant(-0.0)))
        if draw.chance(rng, 0.2):
            outputs.append(condition)
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        given = [helper.make_tensor_value_info("x", 1, ["N", 6])]
        graph = helper.make_graph(self.nodes, "g", given, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        values = np.where(rng.random((3, 6)) < 0.4, F(-0.0), rng.normal(0, 2, (3, 6)))
        return Case(model, {"x": values.astype(F)})


@pytest.mark.parametrize("lowering", SESSIONS)
def test_choices_under_every_session(lowering: str) -> None:
    for seed in range(25):
        case = Chosen(np.random.default_rng(seed)).build()
        wanted = ort.run(optimized(case.model, *SESSIONS[lowering]), case.inputs)
        found = qdqnp.load(case.model).run(case.inputs, profile=lowering)
        for name, array in wanted.items():
            assert_same(found[name], array, f"ONNX Runtime's session of {lowering}", case)


def test_a_cast_to_the_same_type_goes_and_a_not_turns_its_where() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["same"], to=1),
        helper.make_node("Greater", ["same", "zero"], ["above"]),
        helper.make_node("Not", ["above"], ["below"]),
        helper.make_node("Where", ["below", "same", "zero"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info(name, 1, [3]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [numpy_helper.from_array(np.zeros((), F), "zero")])
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    # the Cast of a graph input stays nowhere: its readers read the input
    ops = {name: [step.op for step in model.program(lowering=name).steps] for name in LOWERINGS}
    assert ops["ort"] == ops["ort-x64"] == ["Greater", "Where"]
    assert ops["ort-unfused"] == ["Cast", "Greater", "Not", "Where"]
