"""A convolution as the schedule sees it: what is kept of its weights."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.executor.fast.sums import FastSums
from qdqnp.schedule.choose import Convolved
from qdqnp.schedule.layer import _blocks, narrowest
from qdqnp.schedule.schedule import Schedule
from tests.networks import dla
from tests.schedule.compiled import computed


def convolutions(model: qdqnp.Model, x: np.ndarray) -> list[Convolved]:
    """The convolutions of the schedule of a run under 'ort'."""
    plan = model.plan()
    (name,) = plan.program.inputs
    schedule = model._scheduled(plan).schedule({name: x.shape}, set(plan.program.outputs))
    assert isinstance(schedule, Schedule)
    return [form for form in computed(schedule) if isinstance(form, Convolved)]


def test_a_plan_makes_no_float_weights_for_what_its_schedule_computes() -> None:
    """They are made when the step is computed alone, and kept then."""
    model, x = qdqnp.load(dla(1, size=48)), np.ones((1, 3, 48, 48), np.float32)
    trace = model.trace(x)
    layers = {form.label for form in convolutions(model, x)}
    steps = [bound for bound in model.plan().steps if bound.step.label in layers]
    kernels = [bound.kernel for bound in steps]
    assert len(kernels) > 10
    assert not any("array" in vars(kernel.layer.weights) for kernel in kernels if isinstance(kernel, FastSums))
    for bound, kernel in zip(steps, kernels, strict=True):
        assert isinstance(kernel, FastSums)
        (codes,) = bound.evaluate({name: trace[name] for name in bound.step.input_names if name in trace}).values()
        np.testing.assert_array_equal(codes, trace[bound.step.output_names[0]])
        assert kernel.layer is not None and kernel.layer.weights.array is kernel.layer.weights.array


def test_weights_are_kept_in_narrow_integers() -> None:
    model, x = qdqnp.load(dla(1, size=48)), np.ones((1, 3, 48, 48), np.float32)
    assert {form.layer.weights.dtype for form in convolutions(model, x)} == {np.dtype(np.int8)}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([], "int8"), ([-128, 127], "int8"), ([128], "int16"), ([-129], "int16"), ([2**15], "int32"), ([2**31], "int64")],
)
def test_the_narrowest_integers_that_hold_values(values: list[int], dtype: str) -> None:
    assert narrowest(np.array(values, np.int64)) == dtype


@pytest.mark.parametrize(
    ("groups", "channels", "kernel", "together"),
    [(32, 4, 3, 4), (32, 1, 1, 16), (6, 4, 3, 3), (5, 4, 3, 1), (4, 16, 3, 1), (4, 24, 1, 1), (1, 8, 3, 1)],
)
def test_groups_share_blocks_of_at_most_16_channels(groups: int, channels: int, kernel: int, together: int) -> None:
    """As many as divide all groups: a product of four channels takes about as long as one of sixteen."""
    weights = np.zeros((groups, channels, channels * kernel * kernel), np.int8)
    assert _blocks(weights, (kernel, kernel)).shape[0] == groups // together
