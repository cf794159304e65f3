"""What `inspect --plan` shows."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import InputError
from qdqnp.executor.walk import walk
from qdqnp.inspection.scheduled import scheduled
from qdqnp.model import feeds_for
from qdqnp.schedule.schedules import Schedules
from tests.networks import dla


def test_every_layer_is_listed_with_its_form() -> None:
    plan = qdqnp.load(dla(1, size=32)).plan()
    found = scheduled(plan)
    listed = [step for action in found["actions"] for step in action["step"].split(", ")]
    forms = {action["form"] for action in found["actions"]}
    assert (
        found["bytes"] > 0
        and {"1x1 in place", "kernel rows by F(2, 3)", "on codes", "another shape", "rows of taps, from real values"}
        <= forms
    )
    fused = [bound.step.label for bound in plan.steps if bound.step.label not in listed]
    assert all(label.startswith("Add") for label in fused)


def test_a_batch_of_unknown_size_is_one_picture_and_other_sizes_must_be_known() -> None:
    assert scheduled(qdqnp.load(dla(1, size=32, batch="N")).plan())["bytes"] > 0
    proto = dla(1, size=32)
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    with pytest.raises(InputError, match="sizes"):
        scheduled(qdqnp.load(proto).plan())


def test_schedules_are_kept_by_shape_and_few_of_them() -> None:
    proto = dla(1, size=32, batch="N")
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"S{axis}"
    plan = qdqnp.load(proto).plan()
    schedules = Schedules(plan)
    shape = {"input": (1, 3, 32, 32)}
    assert schedules.schedule(shape, plan.program.outputs) is schedules.schedule(shape, plan.program.outputs)
    for size in range(24, 72, 8):
        x = np.random.default_rng(size).normal(0, 1, (1, 3, size, size + 8)).astype(np.float32)
        model = qdqnp.load(proto)
        expected = walk(model.plan(), feeds_for(model.plan(), x), None)[plan.program.outputs[0]]
        np.testing.assert_array_equal(model.run(x)[plan.program.outputs[0]], expected)
        schedules.schedule({"input": x.shape}, plan.program.outputs)
        assert len(schedules._kept) <= 4
    small = schedules.schedule({"input": (2, 3, 8, 8)}, plan.program.outputs)
    assert small is None  # pictures that are computed sooner together


def test_a_batch_of_known_size_shows_what_is_done_for_each_picture() -> None:
    one, four = (scheduled(qdqnp.load(dla(1, size=64, batch=batch)).plan()) for batch in (1, 4))
    assert four["bytes"] == one["bytes"]
    assert [action["form"] for action in four["actions"]] == [action["form"] for action in one["actions"]]
