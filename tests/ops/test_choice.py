"""Slice, Gather, Pad, blocks, Expand, Tile, Resize, the extrema: what is refused, and sizes that are not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ModelError, ProfileError
from tests.ops.case import assert_same, computed, one_node
from tests.oracles import ort

X = np.arange(48, dtype=np.int8).reshape(1, 4, 3, 4)
BIG = 2**40


def model(
    op: str,
    *constants: Any,
    shape: Sequence[int | str] = X.shape,
    opset: int = 18,
    dtype: Any = np.int8,
    **attributes: Any,
) -> onnx.ModelProto:
    """One node of x and constants, None where one is left out."""
    names = ["x", *(f"c{at}" if const is not None else "" for at, const in enumerate(constants))]
    given = {f"c{at}": np.asarray(const) for at, const in enumerate(constants) if const is not None}
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], "node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def scales(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


REFUSED = {
    "Slice: no ends": (model("Slice", [0]), "input 2: expected a tensor, got nothing"),
    "Slice: unequal": (model("Slice", [0], [1, 2]), "as many numbers each, got 1, 2, 0 and 0"),
    "Slice: unequal axes": (model("Slice", [0], [1], [1, 2]), "got 1, 1, 2 and 0"),
    "Slice: step 0": (model("Slice", [0], [1], [1], [0]), "no step of 0"),
    "Slice: axis": (model("Slice", [0], [1], [4]), r"an axis in \[-4, 3\], got 4"),
    "Slice: one axis twice": (model("Slice", [0, 0], [1, 1], [1, -3]), "each axis once"),
    "Slice: floats": (model("Slice", [0.5], [1]), "int64 of rank 1"),
    "Slice: attributes": (model("Slice", [0], [1], starts=[0]), "no attribute"),
    "Gather: outside": (model("Gather", [0, 4], axis=1), r"indices in \[-4, 3\], got 0 to 4"),
    "Gather: outside, negative": (model("Gather", [-5], axis=1), r"got -5 to -5"),
    "Gather: axis": (model("Gather", [0], axis=-5), r"an axis in \[-4, 3\]"),
    "Gather: float indices": (model("Gather", [0.0]), "int32 or int64"),
    "Gather: large": (model("Gather", np.zeros(2**20, np.int64), axis=1, shape=(1, 1, 2**13, 1)), "at most 4.0 GiB"),
    "Pad: mode": (model("Pad", [0] * 8, mode="mirror"), "'mode': expected constant or edge"),
    "Pad: mirrored beyond": (model("Pad", [0] * 7 + [4], mode="reflect"), "at most 3 elements to add in mode reflect"),
    "Pad: the edge of nothing": (
        model("Pad", [0] * 7 + [4], mode="edge", shape=(1, 1, 1, 0)),
        "at most 0 elements to add in mode edge",
    ),
    "Pad: number": (model("Pad", [0] * 6), "8 pads for different axes"),
    "Pad: axes twice": (model("Pad", [1] * 4, None, [1, -3]), "4 pads for different axes"),
    "Pad: too much cut off": (model("Pad", [0, 0, -2, 0, 0, 0, -2, 0]), "at most 3 elements cut off"),
    "Pad: cut off before it is added": (model("Pad", [0, 0, -4, 0, 0, 0, 4, 0]), "at most 3 elements cut off"),
    "Pad: value": (model("Pad", [0] * 8, np.float32(1)), "one int8"),
    "Pad: large": (model("Pad", [0, 0, 0, BIG, 0, 0, 0, 0]), "at most 4.0 GiB"),
    "Pad: attributes": (model("Pad", [0] * 8, pads=[0] * 8), "inputs since opset 11"),
    "Pad: opset 10": (model("Pad", opset=10), "'pads': expected sizes"),
    "Pad: axes, opset 13": (model("Pad", [1, 1], None, [1], opset=13), "no such input before opset 18"),
    "DepthToSpace: block": (model("DepthToSpace", blocksize=0), "'blocksize'"),
    "DepthToSpace: large": (model("DepthToSpace", blocksize=2**40), "'blocksize'"),
    "DepthToSpace: channels": (model("DepthToSpace", blocksize=3), "channels that 9 divides, got 4"),
    "DepthToSpace: mode": (model("DepthToSpace", blocksize=2, mode="RCD"), "DCR or CRD"),
    "DepthToSpace: rank": (model("DepthToSpace", blocksize=2, shape=(4, 4)), "rank 4"),
    "SpaceToDepth: height": (model("SpaceToDepth", blocksize=2), "a height that 2 divides, got 3"),
    "SpaceToDepth: width": (model("SpaceToDepth", blocksize=3), "a width that 3 divides, got 4"),
    "Expand: shape": (model("Expand", [5, 4]), "shapes that broadcast together"),
    "Expand: negative": (model("Expand", [-1]), "sizes >= 0"),
    "Expand: large": (model("Expand", [BIG, 1, 1, 1, 1]), "at most 4.0 GiB"),
    "Tile: number": (model("Tile", [1, 2]), "4 repeats"),
    "Tile: negative": (model("Tile", [1, 1, 1, -1]), "numbers >= 0"),
    "Tile: large": (model("Tile", [1, BIG, BIG, 1]), "at most 4.0 GiB"),
    "Resize: mode": (model("Resize", None, scales(1, 1, 2, 2), mode="bilinear"), "'mode': expected nearest"),
    "Resize: coordinates": (
        model("Resize", None, scales(1, 1, 2, 2), coordinate_transformation_mode="middle"),
        "'coordinate_transformation_mode'",
    ),
    "Resize: batch": (model("Resize", None, scales(2, 1, 2, 2), mode="linear"), "or the last of 4 or 5 resized"),
    "Resize: cubic codes": (model("Resize", None, scales(1, 1, 2, 2), mode="cubic"), "expected float32, got int8"),
    "Resize: codes without aliasing": (
        model("Resize", None, scales(1, 1, 2, 2), mode="linear", antialias=1),
        "expected float32, got int8",
    ),
    "Resize: nearest without aliasing": (model("Resize", None, scales(1, 1, 2, 2), antialias=1), "'antialias'"),
    "Resize: outside": (model("Resize", None, scales(1, 1, 2, 2), exclude_outside=1), "'exclude_outside'"),
    "Resize: region": (
        model(
            "Resize",
            scales(0, 1),
            scales(1, 1, 2, 2),
            mode="linear",
            coordinate_transformation_mode="tf_crop_and_resize",
        ),
        "8 numbers for the region",
    ),
    "Resize: axes from the end": (
        model("Resize", None, None, [6], axes=[-1], keep_aspect_ratio_policy="not_larger"),
        "axes from the front",
    ),
    "Resize: nearest": (model("Resize", None, scales(1, 1, 2, 2), nearest_mode="simple"), "'nearest_mode'"),
    "Resize: policy": (
        model("Resize", None, None, [1, 4, 6, 8], keep_aspect_ratio_policy="larger"),
        "'keep_aspect_ratio_policy'",
    ),
    "Resize: neither": (model("Resize"), "one of them, got neither"),
    "Resize: both": (model("Resize", None, scales(1, 1, 2, 2), [1, 4, 6, 8]), "one of them, got both"),
    "Resize: number": (model("Resize", None, scales(2, 2)), "4 scales or sizes"),
    "Resize: one axis twice": (model("Resize", None, scales(2, 2), axes=[2, -2]), "for different axes"),
    "Resize: zero": (model("Resize", None, scales(1, 1, 0, 1)), "finite float32 > 0"),
    "Resize: not a number": (model("Resize", None, scales(1, 1, np.nan, 1)), "finite float32 > 0"),
    "Resize: to nothing": (model("Resize", None, scales(1, 1, 0.1, 1)), "an output axis of 1"),
    "Resize: size 0": (model("Resize", None, None, [1, 4, 0, 4]), r"sizes in \[1, "),
    "Resize: of nothing": (model("Resize", None, None, [1, 4, 1, 4], shape=(1, 4, 0, 4)), "elements to repeat"),
    "Resize: large": (model("Resize", None, None, [1, 2**30, 2**30, 4]), "at most 4.0 GiB"),
    "Resize: infinite": (model("Resize", None, scales(1, 1, 3e38, 1)), "an output axis of 1"),
    "Resize: attribute": (model("Resize", None, scales(1, 1, 2, 2), cubic=1), "attribute 'cubic'"),
    "ReduceMax: axis": (model("ReduceMax", [4]), r"an axis in \[-4, 3\]"),
    "ReduceMax: of nothing": (model("ReduceMax", [2], shape=(1, 4, 0, 4)), "something to choose from"),
    "ReduceMin: type": (model("ReduceMin", [2], dtype=np.int16), "float32 or float64 or int8 or uint8"),
    "ReduceMin: attribute": (model("ReduceMin", [2], axes=[2]), "an input since opset 18"),
    "ArgMax: axis": (model("ArgMax", axis=4), r"an axis in \[-4, 3\]"),
    "ArgMax: of nothing": (model("ArgMax", axis=2, shape=(1, 4, 0, 4)), "something to choose from"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    wrong, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        qdqnp.load(wrong)


UNKNOWN = {
    "Slice whole": (model("Slice", [0], [2**63 - 1], [0], shape=("N", 4)), ("N", 4)),
    "Slice part": (model("Slice", [1], [2**63 - 1], [0], shape=("N", 4)), (None, 4)),
    "Slice backwards": (model("Slice", [0], [2**63 - 1], [0], [-1], shape=("N", 4)), (None, 4)),
    "Gather along": (model("Gather", [[9, 9]], shape=("N", 4)), (1, 2, 4)),
    "Gather across": (model("Gather", 3, axis=1, shape=("N", 4)), ("N",)),
    "Pad": (model("Pad", [0, 1, 0, 1], shape=("N", 4)), ("N", 6)),
    "Pad along": (model("Pad", [1, 0, 0, 0], shape=("N", 4)), (None, 4)),
    "DepthToSpace": (model("DepthToSpace", blocksize=2, shape=("N", 4, "H", 4)), ("N", 1, None, 8)),
    "SpaceToDepth": (model("SpaceToDepth", blocksize=2, shape=("N", "C", 4, "W")), ("N", None, 2, None)),
    "Expand": (model("Expand", [3, 1, 4], shape=("N", 4)), (3, "N", 4)),
    "Tile": (model("Tile", [1, 2], shape=("N", 4)), ("N", 8)),
    "Tile along": (model("Tile", [2, 1], shape=("N", 4)), (None, 4)),
    "Resize": (model("Resize", None, scales(1, 1, 2, 2), shape=("N", 4, "H", 3)), ("N", 4, None, 6)),
    "Resize to sizes": (model("Resize", None, None, [7, 6], axes=[2, 3], shape=("N", 4, "H", 3)), ("N", 4, 7, 6)),
    "ReduceMax": (model("ReduceMax", [1], shape=("N", 4)), ("N", 1)),
    "ArgMax": (model("ArgMax", axis=0, keepdims=0, shape=("N", "M")), ("M",)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_sizes_that_are_not_known_yet(name: str) -> None:
    found = qdqnp.load(UNKNOWN[name][0]).program().tensors["y"]
    assert found.shape == UNKNOWN[name][1]


@pytest.mark.parametrize(
    ("late", "shape", "message"),
    [
        (model("Tile", [1, 2**20], shape=("N", 2**10)), (2**5, 2**10), "too much memory"),
        (model("Gather", [5], shape=("N", 4)), (3, 4), r"indices in \[-3, 2\]"),
        (model("Pad", [-3, 0, 0, 0], shape=("N", 4)), (2, 4), "at most 2 elements cut off"),
        (model("DepthToSpace", blocksize=2, shape=(1, "C", 1, 1)), (1, 6, 1, 1), "channels that 4 divides"),
        (model("ReduceMax", [0], shape=("N", 4)), (0, 4), "something to choose from"),
        (model("Resize", None, scales(0.1, 1), shape=("N", 4)), (3, 4), "an output axis of 1"),
    ],
)
def test_what_only_a_run_knows_is_checked_then(late: onnx.ModelProto, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        qdqnp.load(late).run({"x": np.zeros(shape, np.int8)})


def test_pad_of_opset_10_has_attributes() -> None:
    x = np.array([[1.5, -2.0]], np.float32)
    case = one_node("Pad", [("x", x)], opset=10, pads=[1, 0, 0, 2], value=0.1)
    assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    assert computed(case)[0, 0] == np.float32(0.1)


def test_pad_with_a_large_integer() -> None:
    """2^62 + 1 is no float64."""
    large = np.array(2**62 + 1, np.int64)
    case = one_node("Pad", [("x", np.zeros(1, np.int64)), ("pads", np.array([0, 1])), ("value", large)], opset=13)
    assert computed(case).tolist() == [0, 2**62 + 1]


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ArgMax"])
def test_floats(op: str) -> None:
    x = np.array([[[1.5, np.inf], [-0.5, 2.0]], [[-np.inf, 1e-45], [3.0, 3.0]]], np.float32)
    for axis in range(3):
        attributes = {"axis": axis} if op == "ArgMax" else {"axes": [axis]}
        case = one_node(op, [("x", x)], opset=13, output=np.int64 if op == "ArgMax" else None, **attributes)
        assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


@pytest.mark.parametrize("noop", [0, 1])
def test_an_empty_list_of_axes(noop: int) -> None:
    case = one_node("ReduceMax", [("x", X), ("axes", np.zeros(0, np.int64))], opset=18, noop_with_empty_axes=noop)
    assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    assert computed(case).size == (48 if noop else 1)


def test_fractions_near_a_half_are_halves() -> None:
    """4 / f32(8 / 7) is 3.4999998 in float32; ONNX Runtime 1.32 takes it for 3.5."""
    x = np.arange(7, dtype=np.uint8).reshape(1, 1, 1, 7)
    for mode, wanted in (("round_prefer_ceil", 4), ("round_prefer_floor", 3)):
        case = one_node(
            "Resize",
            [("x", x), None, None, ("sizes", np.array([1, 1, 1, 8]))],
            opset=13,
            mode="nearest",
            nearest_mode=mode,
            coordinate_transformation_mode="asymmetric",
        )
        found = computed(case)
        assert found[0, 0, 0, 4] == wanted
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


def test_scales_just_above_1_that_change_no_size() -> None:
    above = np.nextafter(np.float32(1), np.float32(2))
    for heights in (1, 2):
        case = one_node(
            "Resize",
            [("x", X), None, ("scales", scales(1, 1, heights, above))],
            opset=13,
            mode="nearest",
            nearest_mode="ceil",
            coordinate_transformation_mode="tf_half_pixel_for_nn",
        )
        assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
        assert (computed(case)[..., :1, :] == X[..., :1, :]).all() == (heights == 1)


def test_types_of_inputs() -> None:
    """Movement moves any type."""
    for dtype in (np.int16, np.uint16, np.int32, np.int64, np.float32):
        found = qdqnp.load(model("Tile", [2], shape=(3,), dtype=dtype)).run({"x": np.arange(3, dtype=dtype)})["y"]
        assert found.dtype == dtype
        assert found.tolist() == [0, 1, 2, 0, 1, 2]


def test_an_argmax_of_codes_is_the_models_output() -> None:
    found = qdqnp.load(model("ArgMax", axis=1, keepdims=0)).run({"x": X}, codes=True)["y"]
    assert found.dtype == np.int64
    assert found.tolist() == np.full((1, 3, 4), 3).tolist()


def cropped(region: tuple[float, float], excluded: int, size: int = 3) -> onnx.ModelProto:
    """7 rows cropped to a region of the height, in lengths of it, without aliasing."""
    node = helper.make_node(
        "Resize",
        ["x", "roi", "", "sizes"],
        ["y"],
        mode="linear",
        antialias=1,
        exclude_outside=excluded,
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=9.0,
    )
    roi = np.array([0, 0, region[0], 0, 1, 1, region[1], 1], np.float32)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 1, 7, 2))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(roi, "roi"), numpy_helper.from_array(np.array([1, 1, size, 2]), "sizes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("excluded", [0, 1])
@pytest.mark.parametrize("region", [(250, 260), (-9, -8), (-2, 0.5), (0.4, 1.3)])
def test_a_filter_that_reaches_no_element_is_filled_in(region: tuple[float, float], excluded: int) -> None:
    feeds = {"x": np.random.default_rng(0).normal(0, 1, (1, 1, 7, 2)).astype(np.float32)}
    model = cropped(region, excluded)
    found = qdqnp.load(model).run(feeds, profile="ort-unfused")["y"]
    assert (found == 9).any()
    if region != (250, 260):  # ONNX Runtime writes far in front of its memory
        assert found.tobytes() == ort.run(model, feeds)["y"].tobytes()


def test_a_filter_that_spoils_another_one() -> None:
    """ONNX Runtime adds the weights of the last filters to those of filters before, in memory."""
    feeds = {"x": np.ones((1, 1, 7, 2), np.float32)}
    model = qdqnp.load(cropped((-6, 1.5), 0, 12))
    with pytest.raises(ProfileError, match=r"axis 2: expected filters that reach an element.* got place \d"):
        model.run(feeds, profile="ort-unfused")
    assert (qdqnp.load(cropped((-6, 1.5), 1, 12)).run(feeds, profile="ort-unfused")["y"] == 9).any()
