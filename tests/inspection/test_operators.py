"""The lists of operators: complete, in the docs, and true of models that are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from qdqnp.cli import cli
from qdqnp.element_types import DTYPES
from qdqnp.errors import ModelError
from qdqnp.inspection.operators import _opsets, markdown, missing, rows
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Operator
from qdqnp.ops.registry import operators, supported
from qdqnp.ops.unsupported import GROUPS, STRANGE, why_not
from qdqnp.reader import read
from qdqnp.reader.constants import CONSTANT
from tests.reader.builders import info, model, node, refused_once, tensor

PAGE = (Path(__file__).parents[2] / "docs" / "operators.md").read_text(encoding="utf-8")
OPSET = int(re.findall(r"\(opset (\d+)\)", PAGE)[0])
BY_NAME = {row.name: row for row in rows()}


@pytest.mark.skipif(onnx.defs.onnx_opset_version() < OPSET, reason="the page knows opsets that this onnx does not")
def test_the_page_is_what_the_command_writes() -> None:
    """Of a newer onnx, without the operators that the page cannot know."""
    assert markdown(OPSET) in PAGE


def test_the_command_prints_the_lists() -> None:
    result = CliRunner().invoke(cli, ["operators", "--markdown"])
    assert result.exit_code == 0 and result.output == markdown() + "\n"
    plain = CliRunner().invoke(cli, ["operators"]).output
    assert "QLinearConv" in plain and "If, Loop, Scan are control flow" in plain
    assert '"reason": "are control flow' in CliRunner().invoke(cli, ["operators", "--json"]).output
    assert CliRunner().invoke(cli, ["operators", "--json", "--markdown"]).exit_code == 2


# -- complete ----------------------------------------------------------------------------------------------------------
def test_every_operator_is_there_or_has_its_reason() -> None:
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    listed = [op for group, names in missing() if group.domain == "" for op in names]
    assert len(listed) == len(set(listed))
    assert {*listed, *(op for domain, op in operators() if domain == "")} == known - {CONSTANT}
    assert list(BY_NAME) and sorted(BY_NAME) == supported()


def test_each_name_stands_in_one_group_and_is_an_operator_s() -> None:
    named = [(group.domain, op) for group in GROUPS for op in group.operators]
    assert len(named) == len(set(named))
    assert not set(named) & operators().keys()
    known = {(s.domain, s.name) for s in get_all_operator_schema()}
    known |= {("", s.name) for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    assert set(named) <= known
    assert all(group.help for group in GROUPS)


def test_operators_of_other_domains() -> None:
    assert why_not("ai.onnx.ml", "Scaler") is STRANGE
    assert "not there yet" in why_not("", "OfNextYear").reason


# -- true --------------------------------------------------------------------------------------------------------------
def kinds(row: str) -> set[str]:
    """The types of the first input, as the list says; any are those that ONNX has at its newest opset."""
    text = BY_NAME[row].inputs.split(";")[0].split(": ")[1]
    if text != "any":
        return set(text.split(", "))
    schema = onnx.defs.get_schema(row)
    (types,) = (c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == schema.inputs[0].type_str)
    names = {name.removeprefix("tensor(").removesuffix(")") for name in types}
    return {str(kind) for number, kind in DTYPES.items() if onnx.TensorProto.DataType.Name(number).lower() in names}


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Relu", {}),
        ("Neg", {}),
        ("Clip", {}),
        ("ArgMax", {"axis": 0}),
        ("ReduceMax", {}),
        ("Transpose", {}),
        ("Softmax", {}),
        ("MaxPool", {"kernel_shape": [2, 2]}),
        ("AveragePool", {"kernel_shape": [2, 2]}),
        ("Add", {}),
        ("Concat", {"axis": 0}),
        ("MatMul", {}),
    ],
)
@pytest.mark.parametrize("kind", DTYPES)
def test_a_model_loads_for_the_listed_types_and_for_no_others(op: str, attributes: dict[str, Any], kind: int) -> None:
    inputs = ["x", "x"] if "; b" in BY_NAME[op].inputs else ["x"]
    made = model(
        [node(op, inputs, ["y"], **attributes)],
        [info("x", [1, 1, 2, 2], kind)],
        [info("y", None, 0)],
        opsets={"": onnx.defs.onnx_opset_version()},
    )
    half = DTYPES[kind] == np.float16 and "float32" in kinds(op)  # which is taken where float32 is listed
    if half or str(DTYPES[kind]) in kinds(op):
        output = BY_NAME[op].outputs
        same = output.startswith("as ") or (half and output == "float32")
        assert str(read(made).values["y"].dtype) == (str(DTYPES[kind]) if same else output)
    else:
        refused_once(made, "input 0")


@pytest.mark.parametrize("op", ["HardSwish", "LeakyRelu", "Identity"])
def test_the_first_opset_is_the_listed_one(op: str) -> None:
    first = int(BY_NAME[op].opsets.split()[0])
    assert read(model([node(op, ["x"], ["y"])], opsets={"": first}))
    assert first == max(7, min(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op))


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "said"),
    [
        ("BatchNormalization", ["x", *"bbbb"], {"training_mode": 1}, "for inference"),
    ],
)
def test_what_is_not_the_whole_operator_is_said(
    op: str, inputs: list[str], attributes: dict[str, Any], said: str
) -> None:
    assert said in BY_NAME[op].only
    constants = [tensor("s", [1, 1, 2, 2]), tensor("p", [0] * 8, np.int64), tensor("b", [1.0])]
    made = model(
        [node(op, inputs, ["y"], **attributes)],
        [info("x", [1, 1, 2, 2])],
        [info("y", None, 0)],
        constants,
        opsets={"": 21},
    )
    with pytest.raises(ModelError, match=f"attribute '{next(iter(attributes))}'"):
        read(made)


def test_inputs_and_outputs_are_told() -> None:
    told = {name: (row.inputs, row.outputs) for name, row in BY_NAME.items()}
    parameters = "constant scales and zero points"
    assert told["QLinearConv"] == (f"x: int8, uint8; w: int8, uint8; bias: int32; {parameters}", "as x")
    assert told["com.microsoft.QLinearConcat"] == (f"x: int8, uint8, int16, uint16; {parameters}", "as x")
    codes = "int8, uint8, int16, uint16, int4, uint4"
    assert told["com.microsoft.QuantizeLinear"] == (f"x: float32, float16; {parameters}", codes)
    assert told["QuantizeLinear"][0] == f"x: float32, float16, bfloat16; {parameters}"
    assert told["QuantizeLinear"][1].startswith(f"{codes}, int2, uint2, float8_e4m3fn, ")
    assert told["BatchNormalization"][0] == "x: float32; scale, b, input_mean, input_var: as x"
    assert told["Resize"] == ("x: any; constant scales, sizes", "as x")
    assert told["ArgMax"] == ("x: float32, float64, int8, uint8, int32, int64", "int64")
    assert told["Where"] == ("condition: bool; x: any; y: as x", "as x")
    assert told["Cast"] == ("x: any", "any")


@pytest.mark.parametrize(
    ("refused", "told"), [((), "7 and later"), ((7,), "13 and later"), ((13,), "7 and later, not 13")]
)
def test_opsets_at_which_an_operator_refuses_are_told(
    refused: tuple[int, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neg changed at opset 13."""
    operator = operators()["", "Neg"]
    infer = type(operator).infer

    def picky(self: Operator, check: NodeCheck, attributes: Any) -> Any:
        if check.opset in refused:
            check.refuse("opset", "another", check.opset)
        return infer(self, check, attributes)

    monkeypatch.setattr(type(operator), "infer", picky)
    assert _opsets(operator) == told


def test_promises_are_told() -> None:
    told = {name: row.computed for name, row in BY_NAME.items()}
    assert told["Softplus"].startswith("float32, no promise: ")
    assert told["Conv"] == "float32 sums, exact, but not under `ort` with constant weights"
    assert told["Gemm"] == "float32 sums, exact" and told["Sqrt"] == "float32, exact"
    assert told["QLinearConv"] == "integers: `conv`" and told["Reshape"] == told["MaxPool"] == "movement"
