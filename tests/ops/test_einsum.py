"""Equations of Einsum: what they mean, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.errors import ModelError
from qdqnp.ops.geometry.equation import Equation, parse
from tests.ops.case import Case, assert_same, computed, one_node
from tests.oracles import ort

F = np.float32


def einsum(equation: str, *shapes: tuple[int, ...]) -> Case:
    arguments = [(f"x{number}", np.ones(shape, F)) for number, shape in enumerate(shapes)]
    return one_node("Einsum", arguments, [name for name, _ in arguments], equation=equation)


def test_labels_and_ellipses() -> None:
    assert parse("b...,...b->...", (3, 3)) == Equation(("b01", "01b"), "01")
    assert parse("...i,i", (1, 1)) == Equation(("i", "i"), "")
    assert parse("...i,i...->...", (1, 3)) == Equation(("i", "i01"), "01")
    assert parse("ij,ki", (2, 2)).output == "jk"
    assert parse("ba,...a", (2, 2)).labels == "0ba"


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("ij->k", [(2, 3)], "labels of the inputs"),
        ("ij->ii", [(2, 2)], "each once"),
        ("ij,jk->ik", [(2, 3)], "an equation of 1 inputs"),
        ("ijk->i", [(2, 3)], "labels for 2 axes"),
        ("i->i", [(2, 3)], "labels for 2 axes"),
        ("ij,jk->ik", [(2, 3), (4, 5)], "a size of 3 for 'j'"),
        ("ii->i", [(2, 1)], "one size for both axes 'i'"),
        ("i..j->i", [(2, 3)], "letters and an ellipsis"),
        ("i1->i", [(2, 3)], "letters and an ellipsis"),
        ("...i->i", [(2, 3)], "an ellipsis in the output"),
        ("...i,...j->...ij", [(2, 3), (1, 2, 3)], "ellipses for 1 axes"),
        ("Ij", [(2, 3)], "capital letters"),
        ("->", [()], "labels for each input"),
    ],
)
def test_refused(equation: str, shapes: list[tuple[int, ...]], expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        computed(einsum(equation, *shapes))


@pytest.mark.parametrize("equation", ["ij,jk->ik", "ij,jk->"])
def test_nothing_to_multiply(equation: str) -> None:
    found = computed(einsum(equation, (2, 0), (0, 3)))
    assert not found.any()
    assert found.shape == ((2, 3) if equation.endswith("ik") else ())


def test_unknown_sizes_stay_unknown() -> None:
    equation = parse("bij,bjk->bik", (3, 3))
    assert equation.sizes([("N", 2, 3), ("N", 3, None)]) == {"b": "N", "i": 2, "j": 3, "k": None}


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("jim->i", (40, 1, 40)),
        ("jim->i", (1, 40, 40)),
        ("jim->i", (3, 2, 40)),
        ("ji->i", (17, 300)),
        ("ji->i", (9, 300)),
    ],
)
def test_sums_choose_their_order_by_sizes_of_their_own(
    equation: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Not by those by which ReduceSum does: of the first case half of the sums have other bits there."""
    for _ in range(20):
        case = one_node("Einsum", [("x", rng.standard_normal(shape, dtype=F))], ["x"], equation=equation)
        assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
