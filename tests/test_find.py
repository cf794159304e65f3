"""Layers by name: every way to name one, what is meant where a name fits several, and what is said where none does."""

from __future__ import annotations

import pytest

import qdqnp
from qdqnp.errors import InputError
from qdqnp.find import find_step, find_steps
from qdqnp.program import Operand, Program, Step
from tests.networks import dla


def step(op: str, made: str, *origin: str) -> Step:
    return Step(op, "", None, (), (Operand(made),), origin)


def program(*steps: Step) -> Program:
    return Program("none", steps, {}, (), ())


NET = program(
    step("QLinearConv", "a_q", "conv[1]", "conv[1]_dq"),
    step("QLinearConv", "b_q", "conv1", "relu"),
    step("MaxPool", "conv1_pooled", "pool"),
    step("DequantizeLinear", "relu", "7"),
)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("conv1", 1),  # label
        ("conv[1]_dq", 0),  # another node that the step stands for
        ("a_q", 0),  # tensor
        ("2", 2),  # number
        ("7", 3),  # a label that looks like a number
        ("pool*", 2),  # glob
        ("conv[1]", 0),  # a name that looks like a glob: it would fit conv1
        ("relu", 1),  # the first of two
    ],
)
def test_one_layer(text: str, index: int) -> None:
    assert find_step(NET, text) == index
    assert index in find_steps(NET, [text])


def test_a_name_of_several_means_the_one_that_fits() -> None:
    assert find_step(NET, "relu", lambda found: found.op == "DequantizeLinear") == 3
    assert find_step(NET, "relu", lambda found: found.op == "Concat") == 1


@pytest.mark.parametrize(
    ("texts", "indices"),
    [
        ([], (0, 1, 2, 3)),
        (["QLinearConv"], (0, 1)),
        (["relu"], (1, 3)),
        (["*pool*", "QLinear*", "1"], (0, 1, 2)),
        (["conv[1]"], (0, 1)),
    ],
)
def test_several_layers(texts: list[str], indices: tuple[int, ...]) -> None:
    assert find_steps(NET, texts) == indices


def test_a_glob_of_several_is_no_layer_and_an_operator_type_neither() -> None:
    with pytest.raises(InputError, match=r"a glob of one layer, got 'conv\[1\]', 'conv1', 'pool'"):
        find_step(NET, "conv*")
    with pytest.raises(InputError, match="no such layer"):
        find_step(NET, "QLinearConv")


@pytest.mark.parametrize("text", ["4", "-1", "\u0661", "99999999999999999999", "no*", ""])
def test_what_no_layer_is_called(text: str) -> None:
    with pytest.raises(InputError, match="Layers have the numbers 0 to 3"):
        find_step(NET, text)


def test_near_names_are_said_and_every_fault_is_listed() -> None:
    with pytest.raises(InputError, match=r"Did you mean .*'conv1_pooled'"):
        find_step(NET, "conv1_poled")
    with pytest.raises(InputError) as error:
        find_steps(NET, ["conv2", "QLinearConv", "nothing at all like it"])
    assert [problem.where for problem in error.value.problems] == ["layer 'conv2'", "layer 'nothing at all like it'"]


def test_every_name_of_a_network_finds_its_layer() -> None:
    found = qdqnp.load(dla()).program()
    for index, one in enumerate(found.steps):
        assert find_step(found, one.label) == find_step(found, one.output_names[0]) == index
        assert find_step(found, str(index)) == index
