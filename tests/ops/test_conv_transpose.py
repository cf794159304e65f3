"""ConvTranspose: what is refused, and sizes that are not known yet. Its sums are in tests/ops/test_floats.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ModelError
from tests.ops.case import assert_same, one_node
from tests.oracles import ort

F = np.float32


def model(shape: tuple[Any, ...] = (1, 2, 3, 3), w: tuple[int, ...] = (2, 3, 2, 2), **attributes: Any) -> Any:
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], "node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(w, F), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


REFUSED = {
    "group": (model(group=0), "'group'"),
    "channels": (model((1, 3, 3, 3)), "2 input channels, in 1 groups"),
    "groups": (model(group=3), "2 input channels, in 3 groups"),
    "rank": (model((1, 2, 3)), "expected rank 3"),
    "pads": (model(pads=[4, 0, 4, 0]), "something left of axis 2"),
    "sizes": (model(output_shape=[1]), "'output_shape': expected 2 integers"),
    "no size": (model(output_shape=[0, 1]), "'output_shape': expected 2 integers"),
    "added": (model(output_padding=[-1, 0]), "'output_padding'"),
    "more than is there": (model(output_shape=[9, 9]), "an output whose axis 2 is made of 3 columns"),
    "added beyond the stride": (model(output_padding=[1, 0]), "an output whose axis 2 is made of 3 columns"),
    "large": (model(strides=[2**18, 2**18]), "at most 4.0 GiB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    wrong, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        qdqnp.load(wrong)


def test_sizes_that_are_not_known_yet() -> None:
    tensors = qdqnp.load(model(("N", 2, "H", 3), strides=[2, 2])).program().tensors
    assert tensors["y"].shape == ("N", 3, None, 6)


def test_what_only_a_run_knows_is_checked_then() -> None:
    late = qdqnp.load(model((1, 2, "H", "W"), strides=[2**14, 2**14]))
    with pytest.raises(InputError, match="too much memory"):
        late.run({"x": np.zeros((1, 2, 9, 9), F)})


def test_of_integers_every_sum_is_right(rng: np.random.Generator) -> None:
    """By a definition of its own: each input element spreads over the output."""
    x, w = (rng.integers(-8, 9, shape).astype(F) for shape in ((2, 4, 3, 5), (4, 3, 2, 3)))
    case = one_node("ConvTranspose", [("x", x), ("w", w)], group=2, strides=[2, 3], pads=[1, 0, 0, 2], dilations=[1, 2])
    whole = np.zeros((2, 6, 2 * 2 + 2, 4 * 3 + 5))
    for image, channel, row, column in np.ndindex(*x.shape):
        for filter_, down, along in np.ndindex(*w.shape[1:]):
            place = (image, channel // 2 * 3 + filter_, row * 2 + down, column * 3 + along * 2)
            whole[place] += x[image, channel, row, column] * w[channel, filter_, down, along]
    found = qdqnp.load(case.model).run(case.inputs)["y"]
    assert np.array_equal(found, whole[:, :, 1:, :-2])


def test_under_another_order_of_sums_it_is_close_and_not_promised() -> None:
    case = one_node("ConvTranspose", [("x", np.full((1, 5, 4, 4), 0.1, F)), ("w", np.full((5, 2, 3, 3), 0.7, F))])
    plan = qdqnp.load(case.model).plan("ort-arm64")
    assert not plan.promises["y"].exact
    exact = qdqnp.load(case.model).run(case.inputs)["y"]
    (bound,) = plan.steps
    arrays = bound.arrays(case.inputs)
    error = bound.operator.error(bound.binding, *arrays)
    assert error is not None and error.shape == exact.shape and (error > 0).all()
    other = qdqnp.load(case.model).run(case.inputs, profile="ort-arm64")["y"]
    assert (np.abs(other.astype(float) - exact) <= error).all()
    assert_same(exact, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


def col2im(image: list[int], block: list[int], shape: tuple[int, ...] = (1, 4, 4), **attributes: Any) -> Any:
    arguments = [("x", np.zeros(shape, F)), ("i", np.array(image)), ("b", np.array(block))]
    return one_node("Col2Im", arguments, opset=18, **attributes).model


COL2IM_REFUSED = {
    "rows": (col2im([3, 3], [2, 2], (1, 5, 4)), "blocks of 4 elements, got 5 rows"),
    "columns": (col2im([3, 3], [2, 2], (1, 4, 5)), "2 x 2 blocks, at least one, got 5"),
    "too small": (col2im([1, 3], [2, 2]), "0 x 2 blocks, at least one"),
    "sizes": (col2im([3, 3], [2]), r"input 2 \(block_shape\): expected 2 integers"),
    "no sizes": (col2im([], []), r"input 1 \(image_shape\)"),
    "dilations": (col2im([5], [2], (1, 4, 3), dilations=[2]), "1, or two axes"),
    "pads": (col2im([3, 3], [2, 2], pads=[1]), "'pads': expected 4 integers"),
    "large": (col2im([2**20, 2**20], [2, 2]), "2 x 2 blocks|1048575 x 1048575 blocks"),
}


@pytest.mark.parametrize("name", COL2IM_REFUSED)
def test_col2im_refused(name: str) -> None:
    wrong, message = COL2IM_REFUSED[name]
    with pytest.raises(ModelError, match=message):
        qdqnp.load(wrong)
