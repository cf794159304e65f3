"""Gather and Scatter at indices: those that are computed, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ModelError, ProfileError
from qdqnp.ops.origin import origin_of
from tests.ops.case import Case, assert_same, computed, one_node
from tests.ops.cases.indexed import INDEXED, with_indices_fed
from tests.oracles import ort

OPERATORS = ("GatherElements", "GatherND", "ScatterElements", "ScatterND")
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("op", OPERATORS)
def test_computed_indices(op: str, rng: np.random.Generator) -> None:
    for _ in range(50):
        case = with_indices_fed(INDEXED[op])(rng)
        found = computed(case)
        assert qdqnp.load(case.model).program().tensors["y"].shape == found.shape
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


@pytest.mark.parametrize("op", OPERATORS)
def test_an_index_outside_is_refused_when_it_is_known(op: str, rng: np.random.Generator) -> None:
    for value in (np.iinfo(np.int64).min, 100):
        case = with_indices_fed(INDEXED[op])(rng)
        wrong = np.full(case.inputs["i"].shape, value, np.int64).astype(case.inputs["i"].dtype)
        wrong = wrong if wrong.flat[0] else np.full_like(wrong, 100)
        with pytest.raises(ProfileError, match="beyond what it counts"):
            qdqnp.load(case.model).run({**case.inputs, "i": wrong})


@pytest.mark.parametrize("op", OPERATORS)
def test_computed_indices_come_from_all_that_may_be_meant(op: str, rng: np.random.Generator) -> None:
    """Each output element is among what is named, and so is an index."""
    for _ in range(20):
        case = with_indices_fed(INDEXED[op])(rng)
        (bound,) = qdqnp.load(case.model).plan("ort-unfused").steps
        arrays = bound.arrays(case.inputs)
        (made,) = bound.operator.compute(bound.binding, *arrays)
        for at in np.ndindex(*made.shape):
            origin = origin_of(bound.operator, bound.step, arrays, 0, at)
            named = [origin.element(number) for number in origin.elements.tolist()]
            assert any(element.operand == 1 for element in named)
            if bound.operator.monotone:
                assert made[at] in [arrays[0][element.index] for element in named if element.operand == 0]


def given(op: str, indices: Any, updates: Any = None, x: Any = X, opset: int = 18, **attributes: Any) -> Case:
    more = [] if updates is None else [("u", np.asarray(updates, np.float32))]
    return one_node(op, [("x", x), ("i", np.asarray(indices)), *more], opset=opset, **attributes)


REFUSED = {
    "GatherElements: index": (given("GatherElements", [[0, 2, 1]]), r"indices in \[-2, 1\], got 2"),
    "GatherElements: rank": (given("GatherElements", [0]), "indices of the data's rank"),
    "GatherElements: larger": (given("GatherElements", [[0, 0, 0, 0]]), "inside it but for axis 0"),
    "GatherElements: floats": (given("GatherElements", [[0.5]]), "int64 or int32"),
    "GatherND: depth": (given("GatherND", [[0, 0, 0]]), "rows of 1 to 2 indices"),
    "GatherND: batch": (given("GatherND", [[0]], batch_dims=2), "'batch_dims'"),
    "GatherND: other batch": (given("GatherND", [[0]], batch_dims=1), "the same 1 leading sizes"),
    "ScatterElements: updates": (given("ScatterElements", [[0, 1, 1]], [[1.0]]), "as many updates as indices"),
    "ScatterElements: reduction": (given("ScatterElements", [[0]], [[1.0]], reduction="sub"), "'reduction'"),
    "ScatterND: updates": (given("ScatterND", [[0]], [[1.0]]), r"updates of shape \[1, 3\]"),
    "Trilu: a row": (one_node("Trilu", [("x", X[0])], opset=14), "a matrix"),
    "ReverseSequence: axes": (
        one_node("ReverseSequence", [("x", X), ("n", np.array([1, 1, 1]))], batch_axis=0, time_axis=0),
        "0 and 1",
    ),
    "ReverseSequence: number": (one_node("ReverseSequence", [("x", X), ("n", np.array([1]))]), "3 lengths"),
    "ReverseSequence: lengths": (one_node("ReverseSequence", [("x", X), ("n", np.array([1, 3, 1]))]), r"in \[0, 2\]"),
    "CenterCropPad: sizes": (one_node("CenterCropPad", [("x", X), ("s", np.array([1]))], opset=18), "2 sizes >= 0"),
    "CenterCropPad: large": (
        one_node("CenterCropPad", [("x", X), ("s", np.array([2**30, 2**30]))], opset=18),
        "at most 4.0 GiB",
    ),
    "OneHot: depth": (
        one_node("OneHot", [("x", np.array([0])), ("d", np.array([0])), ("v", X[0, :2])], opset=11),
        "one number in",
    ),
    "OneHot: values": (
        one_node("OneHot", [("x", np.array([0])), ("d", np.array([1])), ("v", X[0])], opset=11),
        "off and on",
    ),
    "MaxUnpool: output": (
        one_node(
            "MaxUnpool",
            [("x", X[None]), ("i", np.zeros((1, 2, 3), np.int64)), ("s", np.array([1, 2, 2]))],
            kernel_shape=[2],
        ),
        "an output_shape of at least",
    ),
    "Dropout: training": (
        one_node("Dropout", [("x", X), ("r", np.float32(0.5)), ("t", np.array(True))], opset=13),
        "training_mode",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    case, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        qdqnp.load(case.model)


@pytest.mark.parametrize("op", ["ScatterElements", "ScatterND"])
@pytest.mark.parametrize("reduction", ["max", "min"])
def test_updates_with_zeros_of_both_signs_and_nan(op: str, reduction: str, rng: np.random.Generator) -> None:
    rare = np.array([0.0, -0.0, np.nan, 1.0, -1.0, np.inf], np.float32)
    for _ in range(40):
        indices = rng.integers(0, 4, 12)
        arguments = [
            ("x", rng.choice(rare, 4)),
            ("i", indices[:, None] if op == "ScatterND" else indices),
            ("u", rng.choice(rare, 12)),
        ]
        case = one_node(op, arguments, ["x", "u"], opset=18, reduction=reduction)
        assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
