"""Where an output element comes from, of every operator that moves elements: exhaustively, by values that are all
different."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from tests.ops.case import Array, Case
from tests.ops.cases import CASES

MOVING = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Tile", "Slice", "Gather", "Pad")
MOVING += ("DepthToSpace", "SpaceToDepth", "Resize")


def all_different(case: Case) -> dict[str, Array] | None:
    """Inputs of a case whose elements are all different, and none of them what a Pad fills with; None where its dtype
    has too few values."""
    made, first = {}, 1
    for name, array in case.inputs.items():
        if array.dtype.kind in "iu" and first + array.size > np.iinfo(array.dtype).max:
            return None
        made[name] = (first + np.arange(array.size)).astype(array.dtype).reshape(array.shape)
        first += array.size
    return made


@pytest.mark.parametrize("name", MOVING)
def test_sources(name: str, rng: np.random.Generator) -> None:
    checked = 0
    for _ in range(40):
        case = CASES[name](rng)
        inputs = all_different(case)
        if inputs is None:
            continue
        model = qdqnp.load(case.model)
        (bound,) = [bound for bound in model.plan().steps if bound.step.op == name][:1] or [None]
        if bound is None:  # the lowering left it out
            continue
        trace = model.trace(inputs)
        arrays = [trace[operand] for operand in bound.step.input_names]
        found = bound.operator.sources(bound.binding, *arrays)
        flat = np.concatenate([[0], *(array.reshape(-1) for array in arrays)])
        output = trace[bound.step.output_names[0]]
        assert found is not None and found.shape == output.shape
        np.testing.assert_array_equal(np.where(found > 0, flat[found], output), output)
        # whatever is not moved is a filling: no value of the input
        assert not np.isin(output[found == 0], flat[1:]).any() or name == "Pad"
        checked += found.size
    assert checked
