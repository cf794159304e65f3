"""What may share memory: networks run in the memory that is planned for them, and the outputs are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.executor.plan import Plan
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.inspection.lifetimes import lifetimes
from qdqnp.model_card.card import SHARING
from qdqnp.model_card.placement import place
from qdqnp.model_card.sharing import shared
from qdqnp.quant import Array
from tests.networks import dla
from tools.models.zoo_nets import NETWORKS

ASSUMED = [(in_place, joins) for _, in_place, joins in SHARING]


def run_in_memory(plan: Plan, feeds: dict[str, Array], in_place: bool, joins: bool) -> tuple[dict[str, Array], int]:
    """Run a plan with every tensor in one block of bytes, at the planned offsets; also return how large the block is.

    Unwritten bytes are not 0, and each step reads its inputs from the block.
    """
    found = lifetimes(plan)
    assert found is not None
    memory = shared(found, in_place, joins)
    made = place(memory.pieces, len(found.steps))
    assert made is not None
    block = np.full(made.nbytes, 0xA5, np.uint8)

    def where(name: str) -> slice:
        piece, begins = memory.places[name]
        at = made.offsets[piece] + begins
        return slice(at, at + plan.program.tensors[name].dtype.itemsize * int(np.prod(found.shapes[name])))

    def read(name: str) -> Array:
        data = block[where(name)].tobytes()
        return np.frombuffer(data, plan.program.tensors[name].dtype).reshape(found.shapes[name])

    def write(name: str, array: Array) -> None:
        block[where(name)] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)

    for name, array in feeds.items():
        write(name, array)
    for bound in found.steps:
        for name, array in bound.evaluate(
            {name: read(name) for name in bound.step.input_names if name in memory.places}
        ).items():
            write(name, array)
    return {name: read(name) for name in plan.program.outputs}, made.nbytes


def differs(plan: Plan, in_place: bool, joins: bool, seed: int) -> list[str]:
    (feeds,) = random_feeds(plan.program, 1, seed)
    got, _ = run_in_memory(plan, feeds, in_place, joins)
    right = zip(plan.program.outputs, _right(plan, feeds), strict=True)
    return [name for name, array in right if not np.array_equal(array, got[name])]


def _right(plan: Plan, feeds: dict[str, Array]) -> list[Array]:
    arrays = dict(feeds)
    for bound in plan.steps:
        arrays |= bound.evaluate({name: arrays[name] for name in bound.step.input_names if name in arrays})
    return [arrays[name] for name in plan.program.outputs]


@pytest.mark.parametrize(("in_place", "joins"), ASSUMED)
@pytest.mark.parametrize("model", ["int8", "grouped", "residual", "shuffle", "mlp"])
def test_a_run_in_shared_memory_gives_the_same_outputs(model: str, in_place: bool, joins: bool) -> None:
    source = {"int8": dla(seed=2), "grouped": dla(seed=3, group=4, dtype=np.uint8)}
    plan = qdqnp.load(source[model] if model in source else NETWORKS[model](0)).plan()
    assert differs(plan, in_place, joins, seed=1) == []


NODES = {
    "Relu": (1, {}),
    "Add": (2, {}),
    "Mul": (2, {}),
    "Concat": (2, {"axis": 1}),
    "Identity": (1, {}),
    "Neg": (1, {}),
}


def random_graph(rng: np.random.Generator) -> onnx.ModelProto:
    """Elementwise operators, joins and views at random: tensors (1, C, 2), some read again and again."""
    names, channels = ["x", "z"], {"x": 2, "z": 2}
    nodes = []
    for index in range(int(rng.integers(3, 14))):
        op = str(rng.choice(list(NODES)))
        count, attributes = NODES[op]
        first = str(rng.choice(names[-4:]))
        like = [name for name in names if channels[name] == channels[first]] if op != "Concat" else names
        inputs = [first, *(str(rng.choice(like)) for _ in range(count - 1))]
        made = f"t{index}"
        nodes.append(helper.make_node(op, inputs, [made], made, **attributes))
        channels[made] = sum(channels[name] for name in inputs) if op == "Concat" else channels[first]
        names.append(made)
        if channels[made] > 64:
            break
    outputs = sorted({names[-1], str(rng.choice(names[2:]))})
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels[name], 2]) for name in ("x", "z", *outputs)
    ]
    graph = helper.make_graph(nodes, "random", ends[:2], ends[2:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_random_graphs_run_in_shared_memory(rng: np.random.Generator) -> None:
    smaller = 0
    for seed in range(150):
        plan = qdqnp.load(random_graph(rng)).plan()
        (feeds,) = random_feeds(plan.program, 1, seed)
        right = _right(plan, feeds)
        sizes = []
        for in_place, joins in ASSUMED:
            found = lifetimes(plan)
            assert found is not None
            got, size = run_in_memory(plan, feeds, in_place, joins)
            sizes.append(size)
            for name, array in zip(plan.program.outputs, right, strict=True):
                assert np.array_equal(array, got[name]), (seed, in_place, joins, name)
        smaller += sizes[1] < sizes[0] or sizes[2] < sizes[0]
    assert smaller > 30


def test_what_shares(tmp_path: Path) -> None:
    """x -> Relu a -> Neg b (in place of a); a is read no more. Concat(b, c) -> y holds b and c."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Abs", ["x"], ["c"]),
        helper.make_node("Concat", ["b", "c"], ["y"], axis=1),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c]) for n, c in (("x", 3), ("y", 6))]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    found = lifetimes(qdqnp.load(model).plan())
    assert found is not None
    places = dict(shared(found, True, True).places)
    assert places == {"x": ("x", 0), "a": ("y", 0), "b": ("y", 0), "c": ("y", 12), "y": ("y", 0)}
    assert shared(found, True, False).places["b"] == ("a", 0)
    assert shared(found, False, True).places["a"] == ("a", 0)
    assert all(place == (name, 0) for name, place in shared(found, False, False).places.items())


@pytest.mark.parametrize(
    ("shape", "axis", "joined"), [([1, 2, 3], 1, True), ([1, 2, 3], 2, False), ([2, 2, 3], 1, False)]
)
def test_a_join_along_an_inner_axis_is_copied(shape: list[int], axis: int, joined: bool) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["x"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["y"], axis=axis),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", None))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    plan = qdqnp.load(model).plan()
    found = lifetimes(plan)
    assert found is not None
    assert (shared(found, False, True).places["b"][0] == "y") is joined
    assert differs(plan, False, True, seed=0) == []


@pytest.mark.parametrize(("scale", "again", "moved"), [(0.5, False, True), (0.25, False, True), (0.25, True, False)])
def test_an_input_that_is_rescaled_must_not_be_read_again(scale: float, again: bool, moved: bool) -> None:
    """QLinearConcat of a (scale 0.5 or 0.25) into y (scale 0.5): another scale writes over a's codes."""
    constants = {"s": np.float32(0.5), "t": np.float32(scale), "z": np.int8(0)}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[1, 3], pads=[0, 1, 0, 1]),
        helper.make_node("MaxPool", ["x"], ["b"], kernel_shape=[3, 1], pads=[1, 0, 1, 0]),
        helper.make_node(
            "QLinearConcat", ["s", "z", "a", "t", "z", "b", "s", "z"], ["y"], axis=1, domain="com.microsoft"
        ),
    ]
    outputs = ["y"]
    if again:
        nodes.append(helper.make_node("MaxPool", ["a"], ["r"], kernel_shape=[1, 2]))
        outputs.append("r")
    ends = [
        helper.make_tensor_value_info(n, TensorProto.INT8, [1, 1, 2, 4] if n == "x" else None) for n in ["x", *outputs]
    ]
    listed = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], listed)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    plan = qdqnp.load(helper.make_model(graph, opset_imports=opsets, ir_version=8)).plan()
    found = lifetimes(plan)
    assert found is not None
    assert (shared(found, True, True).places["a"][0] == "y") is moved
    assert differs(plan, True, True, seed=0) == []
