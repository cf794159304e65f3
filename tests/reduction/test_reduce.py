"""Reduction: what is left fails as the whole did, is the same each time, and an interrupted run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import InputError, ModelError
from qdqnp.reduction import reduce
from qdqnp.reduction.ddmin import ddmin
from qdqnp.reduction.parts import part_of, types_of
from qdqnp.reduction.sizes import resized

#: A compiler that is quick to say that it takes no Add beside a Conv.
QUICK = """
import sys
data = open(sys.argv[1], "rb").read()
print("boom")
sys.exit(4 if b"Conv" in data and b"Add" in data else 0)
"""
VENDOR = """
import sys, onnx
model = onnx.load(sys.argv[1])
made = {name: node for node in model.graph.node for name in node.output}
for node in model.graph.node:
    if node.op_type == "Add" and any(name in made and made[name].op_type == "Conv" for name in node.input):
        print("boom: unsupported fusion")
        sys.exit(4)
"""


def chain(length: int = 12) -> onnx.ModelProto:
    """Convolutions, each added to its input, with a Relu behind."""
    rng = np.random.default_rng(0)
    nodes, constants, last = [], [], "image"
    for number in range(length):
        weight = f"very.long.name.of.layer{number}.weight"
        constants.append(numpy_helper.from_array(rng.normal(0, 1, (8, 8, 3, 3)).astype(np.float32), weight))
        nodes.append(helper.make_node("Conv", [last, weight], [f"c{number}"], f"conv {number}", pads=[1, 1, 1, 1]))
        op = "Add" if number == length // 2 else "Mul"
        nodes.append(helper.make_node(op, [f"c{number}", last], [f"a{number}"], f"join {number}", doc_string="text"))
        nodes.append(helper.make_node("Relu", [f"a{number}"], [f"r{number}"], f"relu {number}"))
        last = f"r{number}"
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 6, 6]) for name in ("image", last)]
    graph = helper.make_graph(nodes, "network", info[:1], info[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="me")


@pytest.fixture
def vendor(tmp_path: Path) -> str:
    (tmp_path / "vendor.py").write_text(VENDOR)
    return f"{sys.executable} {tmp_path / 'vendor.py'}"


def test_nodes_sizes_constants_and_names_become_small(vendor: str) -> None:
    made = reduce(chain(), vendor)
    left = onnx.load_from_string(made.model)
    onnx.checker.check_model(left, full_check=True)
    assert [node.op_type for node in left.graph.node] == ["Conv", "Add"]
    assert made.before["nodes"] == 36 and made.after["nodes"] == 2 and made.code == 4
    assert made.after["elements"] == 1 and made.after["bytes"] < 400
    shapes = [[dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in left.graph.input]
    assert shapes[0] == [1, 1, 1, 1] and len(shapes) <= 2
    assert not any(numpy_helper.to_array(tensor).any() for tensor in left.graph.initializer)
    names = {name for node in left.graph.node for name in (*node.input, *node.output)}
    assert all(len(name) == 2 for name in names) and not left.producer_name
    assert not any(node.doc_string for node in left.graph.node)


def test_the_same_call_gives_the_same_model_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    vendor = f"{sys.executable} -S {tmp_path / 'quick.py'}"
    results, model = tmp_path / "results", chain(4)
    runs: list[int] = []

    def stop(count: int, nodes: int, counts: bool) -> None:
        runs.append(count)
        if len(runs) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce(model, vendor, results=results, notify=stop)
    tried = json.loads((results / "tried.json").read_text())["tried"]
    assert len(tried) == 4
    whole, resumed = reduce(model, vendor), reduce(model, vendor, results=results)
    assert resumed.model == whole.model
    assert resumed.runs == whole.runs - 4 and resumed.kept >= whole.kept + 4
    assert reduce(model, vendor, results=results).runs == 0
    assert (results / "best.onnx").exists()
    (results / "tried.json").write_text('{"about": "another", "tried": []}')
    assert reduce(model, vendor, results=results).model == whole.model


def test_what_counts(tmp_path: Path) -> None:
    """The exit code of the whole model, a text, a time; and a command that does not fail is refused."""
    model = chain(2)
    python = f"{sys.executable} -c"
    with pytest.raises(InputError, match="nothing to reduce"):
        reduce(model, f"{python} 0")
    with pytest.raises(InputError, match="nothing to reduce"):
        reduce(model, "/no/such/program")
    with pytest.raises(InputError, match="too long"):
        reduce(model, f"{python} 'import time; time.sleep(60)'", timeout=0.5)
    with pytest.raises(InputError, match="nothing to reduce"):
        reduce(model, f"{python} 'import sys; sys.exit(3)'", code=4)
    with pytest.raises(InputError, match="nothing to reduce"):
        reduce(model, f"{python} 'import sys; sys.exit(3)'", says="boom")
    with pytest.raises(InputError, match="no command"):
        reduce(model, "")
    with pytest.raises(ModelError):
        reduce(b"no model", f"{python} 1/0")
    # exit code 3 is the fault, 5 is another one: what gives 5 does not count
    text = "import sys; data = open(sys.argv[1], 'rb').read(); sys.exit(3 if data.count(b'Relu') > 1 else 5)"
    made = reduce(model, f'{python} "{text}" {{model}}')
    assert [node.op_type for node in onnx.load_from_string(made.model).graph.node] == ["Relu", "Relu"]
    succeeding = reduce(model, f"{python} 'import sys'", code=0)
    assert succeeding.after["nodes"] == 1


@given(st.sets(st.integers(0, 40), min_size=1, max_size=5), st.integers(0, 9))
def test_ddmin_finds_what_is_needed(needed: set[int], more: int) -> None:
    """Against its definition: the result holds, and nothing of it can be left out."""
    tried: list[list[int]] = []

    def holds(kept: list[int]) -> bool:
        tried.append(kept)
        return needed <= set(kept)

    assert ddmin(range(41 + more), holds) == sorted(needed)
    assert len(tried) < 400


def test_ddmin_of_pairs_that_need_each_other() -> None:
    """Where leaving out one of two breaks it, but leaving out both does not, the result is still 1-minimal."""
    holds = lambda kept: 5 in kept and ((2 in kept) == (7 in kept))  # noqa: E731
    found = ddmin(range(10), holds)
    assert holds(found) and not any(holds([one for one in found if one != left]) for left in found)


def test_a_part_reads_what_it_does_not_make() -> None:
    model = chain(3)
    part = part_of(model, [1, 2], types_of(model))
    assert part is not None
    assert [info.name for info in part.graph.input] == ["image", "c0"]
    assert [info.name for info in part.graph.output] == ["r0"]
    assert not part.graph.initializer
    onnx.checker.check_model(part, full_check=True)
    assert part_of(model, [], types_of(model)) is None


def test_sizes_change_where_they_stand() -> None:
    made = resized(chain(2), 8, 2)
    onnx.checker.check_model(made, full_check=True)
    assert {tuple(tensor.dims) for tensor in made.graph.initializer} == {(2, 2, 3, 3)}
    assert [dim.dim_value for dim in made.graph.output[0].type.tensor_type.shape.dim] == [1, 2, 6, 6]
