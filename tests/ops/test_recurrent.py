"""DynamicQuantizeLSTM and QAttention beside what tests/ops/test_floats.py draws: lengths, absent outputs, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import qdqnp
from tests.ops.case import MS, Case, assert_same, computed, one_node
from tests.oracles import ort

F = np.float32


def lstm(rng: np.random.Generator, lengths: Any = None, direction: str = "forward", **changes: Any) -> Case:
    """Four steps of three rows of five values; three units. changes: other arguments by name."""
    count = 2 if direction == "bidirectional" else 1
    codes = {name: rng.integers(-128, 128, (count, terms, 12)).astype(np.int8) for name, terms in (("w", 5), ("r", 3))}
    arguments = [
        ("x", rng.normal(0, 1, (4, 3, 5)).astype(F)),
        *codes.items(),
        ("b", rng.normal(0, 0.3, (count, 24)).astype(F)),
        None if lengths is None else ("n", np.array(lengths, np.int32)),
        None,
        None,
        None,
        *[
            (f"{name}{kind}", np.full(count, value))
            for name in "wr"
            for kind, value in (("s", F(0.01)), ("z", np.int8(1)))
        ],
    ]
    arguments = [item if item is None else (item[0], changes.get(item[0], item[1])) for item in arguments]
    return one_node(
        "DynamicQuantizeLSTM", arguments, domain=MS, others=("yh", "yc"), hidden_size=3, direction=direction
    )


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [[4, 2, 1], [0, 3, 3], [1, 1, 1], [0, 0, 0]])
def test_lengths(direction: str, lengths: list[int], rng: np.random.Generator) -> None:
    case = lstm(rng, lengths, direction)
    found = computed(case)
    if ort.comparable(case.model):
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    for row, length in enumerate(lengths):
        assert not found[length:, :, row].any()


@pytest.mark.parametrize("kept", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_outputs_that_are_left_out(kept: tuple[int, ...], rng: np.random.Generator) -> None:
    case = lstm(rng)
    names = ("y", "yh", "yc")
    graph = case.model.graph
    del graph.node[0].output[:]
    graph.node[0].output.extend(name if at in kept else "" for at, name in enumerate(names) if at <= max(kept))
    del graph.output[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(names[at], 1, None) for at in kept)
    model = qdqnp.load(case.model)
    found = model.run(case.inputs)
    wanted = ort.run(case.model, case.inputs) if ort.comparable(case.model) else found
    for name, tensor in ((names[at], model.program().tensors[names[at]]) for at in kept):
        assert_same(found[name], wanted[name], "ONNX Runtime", case)
        assert tensor.shape == found[name].shape


def test_without_y_and_with_lengths_nothing_is_promised(rng: np.random.Generator) -> None:
    case = lstm(rng, [4, 2, 1])
    del case.model.graph.node[0].output[:]
    case.model.graph.node[0].output.extend(["", "y"])
    (promise,) = {str(qdqnp.load(case.model).plan().promises["y"])}
    assert "where Y is not made" in promise


@pytest.mark.parametrize("lengths", [[5, 1, 1], [-1, 1, 1]])
def test_lengths_that_x_does_not_have(lengths: list[int], rng: np.random.Generator) -> None:
    case = lstm(rng, lengths)
    with pytest.raises(qdqnp.InputError, match="sequence_lens: expected 0 to 4"):
        computed(case)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ws": np.ones(3, F)}, r"input 8 \(W_scale\): expected shape \[1\] or \[1, 12\]"),
        ({"r": np.ones((1, 3, 12), np.uint8)}, "input 2 R"),
        ({"b": np.ones((1, 12), F)}, r"input 3 \(B\): expected shape \[1, 24\]"),
    ],
)
def test_what_does_not_fit(changes: dict[str, Any], message: str, rng: np.random.Generator) -> None:
    with pytest.raises(qdqnp.ModelError, match=message):
        qdqnp.load(lstm(rng, **changes).model)


def test_a_batch_that_only_a_run_knows_has_to_fit_the_state(rng: np.random.Generator) -> None:
    """The state is a constant of three rows, and the declared batch is open."""
    case = lstm(rng)
    del case.model.graph.node[0].input[5]
    case.model.graph.node[0].input.insert(5, "h")
    case.model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 3, 3), F), "h"))
    case.model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "batch"
    model = qdqnp.load(case.model)
    assert model.run(case.inputs)["y"].shape[2] == 3
    with pytest.raises(qdqnp.InputError, match="initial_h of shape"):
        model.run({**case.inputs, "x": np.ones((4, 5, 5), F)})


def test_a_device_without_float_refuses(rng: np.random.Generator) -> None:
    with pytest.raises(qdqnp.ProfileError, match="DynamicQuantizeLSTM"):
        qdqnp.load(lstm(rng).model).plan("tflite")


def test_heads_that_do_not_divide_the_columns() -> None:
    arguments = [("x", np.zeros((1, 2, 3), np.uint8)), ("w", np.zeros((3, 12), np.int8)), ("b", np.zeros(12, F))]
    arguments += [("xs", F(1)), ("ws", F(1))]
    with pytest.raises(qdqnp.ModelError, match="columns for Q, K and V of 3 heads"):
        qdqnp.load(one_node("QAttention", arguments, domain=MS, output=F, num_heads=3).model)
