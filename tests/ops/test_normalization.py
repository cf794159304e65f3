"""What the norms and normalizations refuse, as ONNX Runtime does, and where their promise ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ModelError
from tests.ops.case import Case, computed, one_node
from tests.oracles import ort

F = np.float32


def of(op: str, shape: tuple[int, ...], *more: tuple[int, ...], opset: int = 21, **attributes: Any) -> Case:
    arguments = [(f"x{number}", np.ones(dims, F)) for number, dims in enumerate((shape, *more))]
    return one_node(op, arguments, [name for name, _ in arguments], opset=opset, **attributes)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (of("LRN", (1, 2, 3, 3), size=2), "an odd number"),
        (of("LRN", (1, 2, 3, 3), size=3, beta=0.0), "a positive number"),
        (of("LRN", (1, 2, 3), size=3), "rank 4"),
        (of("MeanVarianceNormalization", (2, 3)), r"an axis in \[-2, 1\]"),
        (of("GroupNormalization", (1, 4, 3), (4,), (4,), num_groups=3), "channels in 3 groups"),
        (of("GroupNormalization", (1, 4, 3), (2,), (2,), num_groups=2), r"a scale of shape \[4\]"),
        (of("GroupNormalization", (1, 4, 3), (4,), (4,), num_groups=2, opset=18), r"a scale of shape \[2\]"),
        (of("LpPool", (1, 2, 3), kernel_shape=[2], p=0), "a whole number"),
        (of("TensorScatter", (2, 3, 4), (2, 4, 4), opset=24), "at most 3 elements"),
        (of("TensorScatter", (2, 3, 4), (2, 3, 4), opset=24, axis=0), "an axis behind the batches"),
    ],
)
def test_refused(case: Case, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        computed(case)


@pytest.mark.parametrize(("p", "promised"), [(1, True), (2, True), (3, False), (5, False)])
@pytest.mark.parametrize("op", ["LpPool", "GlobalLpPool"])
def test_powers_beyond_squares_have_no_promise(op: str, p: int, promised: bool, rng: np.random.Generator) -> None:
    x = rng.normal(0, 1, (1, 2, 5, 5)).astype(F)
    window = {"kernel_shape": [2, 2]} if op == "LpPool" else {}
    case = one_node(op, [("x", x)], p=p, **window)
    assert qdqnp.load(case.model).plan("ort-unfused").promises["y"].exact == promised
    wanted = ort.run(case.model, case.inputs)["y"]
    np.testing.assert_allclose(computed(case), wanted, rtol=1e-6)
    assert not promised or computed(case).tobytes() == wanted.tobytes()


def test_an_update_that_does_not_fit_is_refused_when_it_is_known() -> None:
    arguments = [("x", np.zeros((2, 3, 1), F)), ("u", np.ones((2, 2, 1), F)), ("i", np.array([0, 2]))]
    case = one_node("TensorScatter", arguments, ["x", "u", "i"], opset=24)
    with pytest.raises(qdqnp.QdqnpError, match="so that the update fits"):
        computed(case)
    around = one_node("TensorScatter", arguments, ["x", "u", "i"], opset=24, mode="circular")
    assert computed(around)[..., 0].tolist() == [[1, 1, 0], [1, 0, 1]]
