"""fold: the one loop that evaluates steps."""

from __future__ import annotations

import ast
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.errors import InputError, Problem, ProfileError
from qdqnp.executor import buffer
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.executor.walk import Notes, fold, made_by, walk
from qdqnp.model import feeds_for
from qdqnp.schedule import actions
from tests.networks import dla

PACKAGE = Path(qdqnp.__file__).parent


@cache
def plan() -> Plan:
    return qdqnp.load(dla(seed=1)).plan()


@cache
def given() -> dict[str, np.ndarray]:
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
    return feeds_for(plan(), {"input": image})


def test_a_fold_makes_what_a_walk_keeps() -> None:
    kept = walk(plan(), given(), None)
    made = made_by(plan().steps, given())
    assert {*kept} == {*given(), *made}
    assert all(np.array_equal(kept[name], array) for name, array in made.items())
    assert [done.index for done in fold(plan().steps, given())] == list(range(len(plan().steps)))


def test_a_step_whose_outputs_are_all_given_is_left_out() -> None:
    kept = walk(plan(), given(), None)
    first = plan().steps[0].step.output_names
    made = made_by(plan().steps, {name: kept[name] for name in (*given(), *first)})
    assert {*made} == {*kept} - {*given()} - {*first}


def test_later_steps_read_what_is_known_and_its_maker_runs_all_the_same() -> None:
    kept = walk(plan(), given(), None)
    (name,) = plan().steps[1].step.output_names
    other = kept[name] ^ 1
    made = made_by(plan().steps, given(), {name: other})
    assert np.array_equal(made[name], kept[name])
    for bound in plan().steps[2:]:
        if name in bound.step.input_names:
            reads = {n: {**made, **given(), name: other}[n] for n in bound.step.input_names if n not in bound.consts}
            for output, array in bound.evaluate(reads).items():
                assert np.array_equal(made[output], array)
                assert not np.array_equal(kept[output], array)
            return
    raise AssertionError("no step reads the tensor")


def test_what_is_known_takes_the_place_of_what_is_given_too() -> None:
    ((name, x),) = given().items()
    other = made_by(plan().steps, {name: x + 1})
    known = made_by(plan().steps, {name: x}, {name: x + 1})
    assert other.keys() == known.keys()
    assert all(np.array_equal(known[one], array) for one, array in other.items())


def moving() -> Plan:
    """A plan of steps that only move what they are given."""
    nodes = [
        helper.make_node("Split", ["x"], ["first", "second"], axis=0),
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Transpose", ["x"], ["turned"]),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    names = [name for node in nodes for name in node.output]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3])
    graph = helper.make_graph(nodes, "moving", [x], values)
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)).plan()


def test_a_step_of_which_one_output_is_not_given_is_evaluated() -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    made = made_by(moving().steps, {"x": x, "first": x[:2]})
    np.testing.assert_array_equal(made["second"], x[2:])


def test_what_a_walk_returns_shares_no_memory() -> None:
    """It is what is kept, and it shares none with the inputs or itself, also where steps give views; rows follow each
    other in it."""
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    kept = walk(moving(), {"x": x}, None)
    assert set(kept) == {"x", "first", "second", "flat", "turned", "same"}
    assert set(walk(moving(), {"x": x}, ["x", "turned"])) == {"x", "turned"}
    arrays = [x, *kept.values()]
    assert all(array.flags.c_contiguous for array in arrays)
    assert not any(np.shares_memory(one, other) for one, other in combinations(arrays, 2))


def test_tensors_are_let_go_after_their_last_use() -> None:
    alive = [set(done.values) for done in fold(plan().steps, given(), last_use=plan().last_use)]
    for index, names in enumerate(alive):
        assert all(plan().last_use.get(name, index) >= index for name in names)
    assert max(map(len, alive)) < len(walk(plan(), given(), None)) / 2


def test_errors_name_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ProfileError("outside the domain", [Problem("multiplier", "below 1", "2", "Use another.")])

    monkeypatch.setattr(BoundStep, "_made", refuse)
    with pytest.raises(ProfileError) as caught:
        made_by(plan().steps, given())
    where = f"step {plan().steps[0].step.label}, multiplier"
    assert caught.value.problems == (Problem(where, "below 1", "2", "Use another."),)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InputError, match=plan().steps[0].step.label):
        made_by(plan().steps, {})


def test_no_other_file_loops_over_steps_and_evaluates() -> None:
    found = [path for path in PACKAGE.rglob("*.py") if _folds(ast.parse(path.read_text(encoding="utf-8")))]
    assert [path.relative_to(PACKAGE).as_posix() for path in found] == ["executor/walk.py"]


def _folds(module: ast.Module) -> bool:
    """Whether a loop over something that is called steps, or holds them, evaluates."""
    loops: list[tuple[ast.AST, ast.AST]] = []
    for node in ast.walk(module):
        if isinstance(node, ast.For):
            loops.append((node.iter, node))
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            loops += [(part.iter, node) for part in node.generators]
    return any("steps" in ast.unparse(over).lower() and _evaluates(loop) for over, loop in loops)


def _evaluates(loop: ast.AST) -> bool:
    calls = (node.func for node in ast.walk(loop) if isinstance(node, ast.Call))
    names = ("evaluate", "compute", "compute_in_run")
    return any(isinstance(called, ast.Attribute) and called.attr in names for called in calls)


def test_the_ufunc_buffer_is_small_during_a_run_and_the_callers_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = np.getbufsize(), []
    compute = BoundStep.compute_in_run

    def watched(*args: Any) -> dict[str, Any]:
        seen.append(np.getbufsize())
        if len(seen) == 4:
            raise ProfileError("outside the domain", [Problem("multiplier", "below 1", "2", "Use another.")])
        return compute(*args)

    monkeypatch.setattr(BoundStep, "compute_in_run", watched)
    for run in (lambda: walk(plan(), given(), None), lambda: made_by(plan().steps, given())):
        seen.clear()
        with pytest.raises(ProfileError):
            run()
        assert seen == [buffer.ELEMENTS] * 4
        assert np.getbufsize() == before


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("threads", [1, 2])
def test_overflow_is_a_value_whatever_the_caller_makes_of_it(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step by step way, and that of a schedule, whose threads have settings of their own."""
    monkeypatch.setattr(actions, "FEWEST_PRODUCTS", 1)
    image = np.full((1, 3, 16, 16), 3e38, np.float32)
    model = qdqnp.load(dla(seed=1))
    with np.errstate(all="raise"):
        kept = walk(model.plan(), {"input": image}, None, Notes({}, {}))
        (made,) = model.run(image, threads=threads).values()
    assert kept["input_q"].min() == 127
    np.testing.assert_array_equal(made, kept[model.plan().program.outputs[0]])
