"""A fault that is defined here alone is named by `compare` and by `explain --got`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qdqnp.diagnosis.explain.explain import explain
from qdqnp.diagnosis.faults import all_kinds
from qdqnp.diagnosis.faults.fault import FAULTS, Changed, Computed, Layer, Variant, fault_of_layer, fault_of_question
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.questions import Sums
from tests.diagnosis import small
from tests.diagnosis.small import Array, report, tensors

EVEN = "sums lose their last bit"
MIRRORED = "mirrored rows"


@pytest.fixture(autouse=True)
def mine() -> Iterator[None]:
    """The list with two faults more, for as long as a test runs."""
    known = list(FAULTS)

    @fault_of_question(EVEN, Sums)
    def even(question: Sums, rule: Any) -> Iterator[Changed]:
        for bits in (12, 6):
            yield Changed(question.with_sums(question.sums >> bits << bits), f"the last {bits}")

    @fault_of_layer(MIRRORED)
    def mirrored(layer: Layer) -> Iterator[Variant]:
        name = layer.bound.step.output_names[0]
        yield Computed("", lambda: layer.bound.evaluate(layer.values)[name][..., ::-1])

    yield
    FAULTS[:] = known


def named(name: str, wrong: list[Array]) -> set[str]:
    """What `compare` and `explain` call it, where both say the same of the tensor and of an element of it."""
    found = report({**tensors(), name: wrong}).first
    assert found is not None and found.name == name
    at = tuple(int(i) for i in np.argwhere(wrong[0] != tensors()[name][0])[0])
    got = int(wrong[0][at])
    account = explain(small.model(), small.feeds()[0], name, at, [PROFILES["ort"]], got).accounts[0]
    return {str(finding) for finding in found.findings} & {str(cause) for cause in account.causes}


def test_a_change_of_a_question() -> None:
    assert EVEN in all_kinds()
    bound = next(b for b in small.reference().plan.steps if b.step.op == "QLinearConv")
    name, wrong = bound.step.output_names[0], []
    for case in small.reference().cases:
        (part,) = bound.questions(case)
        assert isinstance(part.question, Sums)
        codes = np.empty_like(case[name])
        part.put(codes, part.question.with_sums(part.question.sums // 64 * 64).codes(bound.profile.conv))
        wrong.append(codes)
    assert f"{EVEN} (the last 6)" in named(name, wrong)


def test_a_change_of_a_layer() -> None:
    name = small.outputs("MaxPool")[0]
    assert MIRRORED in named(name, [array[..., ::-1] for array in tensors()[name]])


def test_a_question_of_another_kind_is_not_changed() -> None:
    for bound in small.reference().plan.steps:
        layer = Layer(bound, small.reference().cases[0])
        even = next(fault for fault in FAULTS if fault.kind == EVEN)
        assert bool(list(even.variants(layer))) == any(isinstance(part.question, Sums) for part in layer.parts)
