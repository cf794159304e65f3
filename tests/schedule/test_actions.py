"""The rows of one picture, divided among threads, against the steps one after the other."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.executor.walk import walk
from qdqnp.feeds import feeds_for
from qdqnp.schedule import actions, depthwise, pointwise, rows, winograd
from qdqnp.schedule import compile as compiling
from qdqnp.schedule import schedule as scheduling
from qdqnp.schedule.actions import Shared
from qdqnp.schedule.chain import FormChain
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.schedule import Schedule
from tests.networks import Builder, dla
from tests.schedule.compiled import chain


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small, images are between the forms of a chain, and rows are divided; memory is NaN at first."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    monkeypatch.setattr(actions, "FEWEST_PRODUCTS", 1)
    monkeypatch.setattr(scheduling, "aligned", lambda floats: np.full(floats, np.nan, np.float32))


@pytest.mark.parametrize("profile", ["ort", "tflite", "neural-art"])
def test_every_number_of_threads_gives_the_codes_of_the_steps(
    profile: str, divided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of random convolutions, alone and in chains, every tensor, in bands of few rows and of all: the number of shares
    is that of rows at most."""
    shares: dict[str, int] = {}
    for seed in range(25):
        for room, size in ((rows, "BAND"), (winograd, "BAND"), (depthwise, "BAND"), (pointwise, "TILE")):
            monkeypatch.setattr(room, size, (2_000, 20_000, 10**9)[seed % 3])
        made, x = chain(seed, profile)
        try:
            model = qdqnp.load(made)
            plan = model.plan(profile)
            feeds = feeds_for(plan, x)
            expected = walk(plan, feeds, None)
        except qdqnp.QdqnpError:
            continue
        for wanted in (plan.program.outputs, [name for name in expected if name not in feeds]):
            shapes = plan.shapes({plan.program.inputs[0]: x.shape})
            schedule = compile_plan(plan, plan.steps, shapes, feeds, wanted, {}, always=True)
            assert schedule is not None
            for threads in (2, 3, 100):
                for action in schedule.shared(threads):
                    if isinstance(action, Shared):
                        assert len(action.shares) <= min(threads, action.form.output.height)
                        kind = type(action.form).__name__
                        shares[kind] = max(shares.get(kind, 0), len(action.shares))
                found = schedule.run(feeds, threads)
                for name in wanted:
                    np.testing.assert_array_equal(found[name], expected[name], strict=True, err_msg=f"{seed} {name}")
    assert min(shares[kind] for kind in ("Pointwise", "KernelRows", "FormChain")) > 3, shares


@pytest.mark.parametrize("kernel", [1, 3])
def test_rows_whose_windows_lie_in_the_padding_alone(kernel: int, divided: None) -> None:
    """They read no row of the image between two forms, whichever thread has them."""
    net = Builder(3)
    y = net.conv(net.conv(net.conv(net.quantized("input", 8, 1.0), 16, 3), 16, kernel), 8, 3)
    last = next(node for node in reversed(net.nodes) if node.op_type == "Conv")
    pads = next(attribute for attribute in last.attribute if attribute.name == "pads")
    pads.ints[:] = [5, 1, 5, 1]
    model = qdqnp.load(net.model(y, [1, 8, 4, 5]))
    x = np.random.default_rng(1).normal(0, 1, (1, 8, 4, 5)).astype(np.float32)
    plan = model.plan()
    expected = walk(plan, feeds_for(plan, x), plan.program.outputs)
    for threads in range(1, 13):
        for found in model.run(x, threads=threads).values():
            np.testing.assert_array_equal(found, *expected.values(), strict=True, err_msg=f"{threads}")


def test_threads_of_a_run_do_not_outlive_it(divided: None) -> None:
    model, x = qdqnp.load(dla(2, size=32)), np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    (want,) = model.run(x).values()
    before = threading.active_count()
    for threads in (2, 5, None):
        (found,) = model.run(x, threads=threads).values()
        np.testing.assert_array_equal(found, want, strict=True)
        assert threading.active_count() == before


def test_an_error_in_a_share_ends_the_run_and_the_next_one_is_right(
    divided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = qdqnp.load(dla(2, size=32)), np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    (want,) = model.run(x, threads=2).values()
    whole = actions._made

    def fails(calls: list[actions.Act], values: dict[str, np.ndarray]) -> None:
        whole(calls, values)
        if threading.current_thread() is not threading.main_thread():
            raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(actions, "_made", fails)
        fresh = qdqnp.load(dla(2, size=32))
        with pytest.raises(ZeroDivisionError):
            fresh.run(x, threads=2)
    np.testing.assert_array_equal(*fresh.run(x, threads=2).values(), want, strict=True)


def compiled(profile: str = "ort") -> Schedule:
    """Return the schedule of a small network, for one picture."""
    plan = qdqnp.load(dla(2, size=32)).plan(profile)
    x = np.zeros((1, 3, 32, 32), np.float32)
    shapes = plan.shapes({plan.program.inputs[0]: x.shape})
    schedule = compile_plan(plan, plan.steps, shapes, feeds_for(plan, x), plan.program.outputs, {}, always=True)
    assert schedule is not None
    return schedule


def test_work_memory_of_all_threads_stays_within_the_limit(divided: None, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = compiled()
    room = 4 * (schedule.floats + 3 * schedule.work)
    monkeypatch.setattr(scheduling, "SCHEDULE_BYTES", room)
    assert schedule._most(10**9) == 3
    monkeypatch.setattr(scheduling, "SCHEDULE_BYTES", room - 4)
    assert schedule._most(10**9) == 2
    monkeypatch.setattr(scheduling, "SCHEDULE_BYTES", 1)
    assert schedule._most(10**9) == 1


def test_outputs_that_no_step_makes() -> None:
    """A constant, and an input, which is a copy."""
    net = dla(2, size=32)
    constant = np.arange(3, dtype=np.float32)
    net.graph.initializer.append(numpy_helper.from_array(constant, "constant"))
    net.graph.output.append(helper.make_tensor_value_info("constant", TensorProto.FLOAT, [3]))
    net.graph.output.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32]))
    x = np.ones((1, 3, 32, 32), np.float32)
    found = qdqnp.load(net).run(x)
    np.testing.assert_array_equal(found["constant"], constant, strict=True)
    np.testing.assert_array_equal(found["input"], x, strict=True)
    assert not np.shares_memory(found["input"], x)


def test_runs_at_a_time_have_arenas_of_their_own_and_later_ones_take_them() -> None:
    schedule = compiled()
    with schedule._lend(1) as one, schedule._lend(1) as other:
        assert one is not other
    with schedule._lend(1) as third, schedule._lend(1) as fourth:
        assert {third, fourth} == {one, other}


def test_tensors_of_codes_are_let_go_of_after_their_last_reader() -> None:
    schedule = compiled("ort-unfused")
    forgotten = schedule.last_reads()
    read = {name for action in schedule.actions for name in action.codes}
    assert len(read) > 3
    made = schedule.run({"input": np.zeros((1, 3, 32, 32), np.float32)})
    for name in read:
        readers = [at for at, action in enumerate(schedule.actions) if name in action.codes]
        wanted = name in made
        assert [at for at, names in enumerate(forgotten) if name in names] == ([] if wanted else readers[-1:]), name


def test_small_layers_and_one_thread_are_not_divided() -> None:
    schedule = compiled()
    assert schedule.shared(4) == schedule.actions
    assert not any(isinstance(action, Shared) for action in schedule.shared(1))


def test_shares_of_a_chain_make_all_rows_once(divided: None) -> None:
    """Rows of the last form, none left out and none twice."""
    schedule = compiled()
    chains = [action.form for action in schedule.shared(3) if isinstance(action, Shared)]
    made = [form for form in chains if isinstance(form, FormChain)]
    assert made
    for form in made:
        rows = [parts[-1] for share in form.shares(3) if isinstance(share, FormChain) for parts in share._bands]
        assert [part.first for part in rows] == [0, *(part.stop for part in rows[:-1])]
        assert rows[-1].stop == form.output.height
