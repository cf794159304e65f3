"""Which output holds the scores, and what a row of them says."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import InputError
from qdqnp.evaluation.scores import best, ranks, scores_of
from tests.evaluation.kit import network


def test_ranks_and_best_classes_against_a_stable_sort() -> None:
    """Scores with many equal ones: the order is that of a stable sort from the largest."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.int8, np.uint8):
        scores = rng.integers(0, 4, (500, 9)).astype(dtype)
        order = np.argsort(-scores.astype(float), axis=1, kind="stable")
        classes = rng.integers(0, 9, 500)
        wanted = [list(row).index(label) for row, label in zip(order, classes, strict=True)]
        assert ranks(scores, classes).tolist() == wanted
        assert best(scores) == order[:, 0].tolist() == scores.argmax(axis=1).tolist()


def test_a_row_that_is_no_number_is_never_right() -> None:
    scores = np.float32([[np.nan, 1, 2], [0, np.inf, 1]])
    assert best(scores) == [None, 1]
    assert ranks(scores, np.array([2, 1])).tolist() == [3, 0]


def test_the_only_output_of_scores_is_found() -> None:
    program = qdqnp.load(network(batch="N")).program()
    assert scores_of(program) == scores_of(program, "y")
    assert scores_of(program).classes == 3
    with pytest.raises(InputError, match="an output 'x'"):
        scores_of(program, "x")


def test_two_outputs_of_scores_are_not_guessed_between() -> None:
    model = network()
    model.graph.output.add().CopyFrom(model.graph.output[0])
    model.graph.output[1].name = "other"
    model.graph.node.add(op_type="Relu", input=["y"], output=["other"])
    program = qdqnp.load(model).program()
    with pytest.raises(InputError, match="--scores"):
        scores_of(program)
    assert scores_of(program, "other").name == "other"
