"""The fast form of every integer operator against its definition, which is its questions answered by the profile."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ProfileError
from qdqnp.executor.plan import BoundStep
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.quant import Array
from tests.ops.cases import CASES

PROFILES = ("ort", "ort-avx2", "exact", "tflite", "tflite-single", "cmsis-nn", "neural-art", "nvdla")
ASKING = [name for name in CASES if name.startswith("Q") and name != "QuantizeLinear"]


def asked(case: object, profile: str) -> tuple[BoundStep, dict[str, Array]]:
    """The one integer step of a case, and its inputs."""
    model = qdqnp.load(case.model)
    plan, trace = model.plan(profile, lowering="ort"), model.trace(case.inputs, profile=profile, lowering="ort")
    bound = next(bound for bound in plan.steps if isinstance(bound.operator, IntegerOperator))
    return bound, {name: trace[name] for name in bound.step.input_names if name in trace}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ASKING)
def test_the_fast_form_is_the_definition(name: str, profile: str, rng: np.random.Generator) -> None:
    compared = 0
    for _ in range(12):
        try:
            bound, values = asked(CASES[name](rng), profile)
        except ProfileError:  # outside the profile's domain, or not defined by it
            continue
        (fast,) = bound.evaluate(values).values()
        with np.errstate(all="ignore"):
            (slow,) = bound.operator.compute(bound.binding, *bound.arrays(values))
        np.testing.assert_array_equal(fast, slow, strict=True)
        compared += fast.size
        for part in bound.questions(values):
            rule = getattr(bound.profile, part.question.rule)
            with np.errstate(all="ignore"):
                answers, stages = part.question.codes(rule), part.question.stages(rule)
            np.testing.assert_array_equal(part.answers(fast), answers)
            if not getattr(part.question, "copied", False):
                np.testing.assert_array_equal(np.broadcast_to(stages[-1].array, part.question.shape), answers)
    if profile == "ort":
        assert compared


@pytest.mark.parametrize("name", ["QLinearConv", "QGemm", "QLinearMatMul"])
def test_sums_are_the_products_of_the_terms(name: str, rng: np.random.Generator) -> None:
    """The sums that the fast form hands on, the definition's, and the terms one by one."""
    checked = 0
    for _ in range(12):
        bound, values = asked(CASES[name](rng), "ort")
        arrays = bound.arrays(values)
        parts = zip(bound.questions(values), bound.operator.questions(bound.step, *arrays), strict=True)
        for fast, slow in parts:
            question = slow.question
            np.testing.assert_array_equal(fast.question.sums, question.sums)
            if not question.sums.size:
                continue
            position, channel = (int(rng.integers(size)) for size in question.shape)
            x, w = arrays[0], arrays[1]
            z_x, zeros = int(question.products.x.zero_point), question.products.w
            total = 0
            for at, to in question.products.terms(position, channel):
                code = z_x if at is None else int(x[at])
                z_w = int(zeros.zero_point if zeros.zero_point.ndim == 0 else zeros.zero_point[to[zeros.axis]])
                total += (code - z_x) * (int(w[to]) - z_w)
            assert total == question.sums[position, channel]
            checked += 1
    assert checked
