"""The layers: every integer operator of the registry has some, or a reason; each form is a model that loads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.conformance.layer import FLOAT_OPERATORS, INTEGER, QDQ, model_of
from qdqnp.conformance.moves import MOVES
from qdqnp.conformance.table import LAYERS, LEFT_OUT, integer_operators, layers_of
from qdqnp.lowering.ort.fusions import FUSIONS
from qdqnp.ops.registry import operators
from qdqnp.quant import EIGHT_BIT


def test_every_integer_operator_of_the_registry_has_layers_or_a_reason() -> None:
    assert set(integer_operators()) == (set(LAYERS) - set(MOVES)) | set(LEFT_OUT)
    assert {op for _, op in operators()} >= set(LAYERS)


def test_every_moved_operator_that_a_session_fuses_has_layers() -> None:
    moved = {row.op for row in FUSIONS if row.integer_op == row.op}
    assert moved - set(MOVES) == {"GatherElements", "Split"}  # of an index's and an output's kind that others show


@pytest.mark.parametrize("op", LAYERS)
def test_each_form_is_a_valid_model_of_its_operator(op: str) -> None:
    for layer in layers_of(op):
        assert layer.forms
        for form in layer.forms:
            data = model_of(layer, form)
            made = onnx.load_from_string(data)
            kinds = Counter(node.op_type for node in made.graph.node)
            if form == INTEGER:
                assert kinds == {op: 1}
                onnx.checker.check_model(made) if not layer.domain else None
            else:
                assert kinds["DequantizeLinear"] and kinds.get(FLOAT_OPERATORS[op], 1)
                onnx.checker.check_model(made, full_check=True)
            assert qdqnp.load(data).program("ort-unfused").steps
            assert model_of(layer, form) == data


def test_the_layers_of_an_operator_have_all_types_and_zero_points_at_both_ends() -> None:
    for op in ("QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearLeakyRelu"):
        layers = layers_of(op)
        assert {layer.arrays["x"].dtype for layer in layers} == set(EIGHT_BIT)
        for key in ("xz", "yz"):
            places = {int(layer.arrays[key]) - np.iinfo(layer.arrays[key].dtype).min for layer in layers}
            assert {0, 255} <= places, (op, key)
        assert {layer.note for layer in layers} == {"pow2", "third", "odd"}
        assert all(QDQ in layer.forms for layer in layers)
