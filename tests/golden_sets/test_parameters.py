"""The numbers of every kind of layer, recomputed from the scales with Python's integers and fractions."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import GoldenError, InputError
from qdqnp.golden_sets import GoldenSet, Options, read, write
from qdqnp.golden_sets.inner import _exactly
from qdqnp.numerics.rules.requantize.float_scale import FloatScaled
from qdqnp.numerics.values import StageValue
from tests.golden_sets.nets import code_feeds

MS = "com.microsoft"


def one(op: str, shapes: list[tuple[int, ...]], inputs: list[Any], domain: str = MS, **attributes: Any) -> Any:
    """A model of one node. inputs: names of int8 graph inputs x0, x1 ... or values of constants, in order."""
    constants, names = [], []
    for value in inputs:
        if isinstance(value, str):
            names.append(value)
            continue
        names.append(f"c{len(constants)}")
        constants.append(numpy_helper.from_array(np.asarray(value), names[-1]))
    node = helper.make_node(op, names, ["y"], "layer", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(f"x{i}", TensorProto.INT8, s) for i, s in enumerate(shapes)],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def captured(model: onnx.ModelProto, folder: Path, profile: str, **options: Any) -> tuple[GoldenSet, dict[str, Any]]:
    """The set, and the parameters of its layer by name."""
    folder.mkdir(exist_ok=True)
    feeds = [code_feeds(model, seed) for seed in range(2)]
    write(folder / "set", model, feeds, 2, profile=profile, options=Options(**options))
    found = read(folder / "set")
    return found, {t.stage: found.array(t) for t in found.tensors if t.role == "parameter"}


def q(scale: float, zero: int) -> list[Any]:
    return [np.float32(scale), np.int8(zero)]


def fixed(real: Fraction) -> tuple[int, int]:
    """TFLite's multiplier and its total shift to the right: real = multiplier / 2^shift, 2^30 <= multiplier < 2^31."""
    shift = 0
    while real * 2**shift < 2**30:
        shift += 1
    while real * Fraction(2) ** shift >= 2**31:
        shift -= 1
    return int(real * Fraction(2) ** shift + Fraction(1, 2)), shift


def ratio(*scales: float) -> Fraction:
    """First over second, as float64 has it."""
    return Fraction(float(np.float32(scales[0])) / float(np.float32(scales[1])))


def test_concat_has_a_multiplier_for_each_input(tmp_path: Path) -> None:
    scales = (0.02, 0.5, 0.05)
    inputs = [*q(0.05, 4), "x0", *q(scales[0], -3), "x1", *q(scales[1], 0), "x2", *q(scales[2], 4)]
    model = one("QLinearConcat", [(1, 2), (1, 3), (1, 1)], inputs, axis=1)
    found, numbers = captured(model, tmp_path, "tflite", cmsis_nn=True)
    wanted = [fixed(ratio(scale, 0.05)) for scale in scales]
    assert list(zip(numbers["multiplier"], numbers["shift"], strict=True)) == wanted
    assert wanted[2] == (2**30, 30)  # the same scale: times one
    assert numbers["output_shift"].tolist() == [31 - shift for _, shift in wanted]
    assert (numbers["input_1_offset"], numbers["input_2_offset"], numbers["input_3_offset"]) == (3, 0, -4)
    assert numbers["output_offset"] == 4 and "filter_offset" not in numbers
    _, numbers = captured(model, tmp_path / "n", "neural-art")
    assert set(numbers) == {"A", "BC", "S", "activation_min", "activation_max"}
    x = found.array(found.find("x0", "input")).astype(int)
    y = (x * numbers["A"][0] + numbers["BC"][0] + (1 << numbers["S"][0] >> 1)) >> numbers["S"][0]
    got = read(tmp_path / "n" / "set")
    np.testing.assert_array_equal(np.clip(y, -128, 127), got.array(got.find("y"))[:, :2])


def test_add_has_three_multipliers_and_its_left_shift(tmp_path: Path) -> None:
    model = one("QLinearAdd", [(1, 4), (1, 4)], ["x0", *q(0.02, -3), "x1", *q(0.3, 7), *q(0.05, 4)])
    _, numbers = captured(model, tmp_path, "cmsis-nn", cmsis_nn=True)
    a, b, y = (float(np.float32(scale)) for scale in (0.02, 0.3, 0.05))
    wanted = [fixed(Fraction(real)) for real in (a / (2 * b), b / (2 * b), 2 * b / (2**20 * y))]
    assert list(zip(numbers["multipliers"], numbers["shifts"], strict=True)) == wanted
    assert numbers["left_shift"] == 20 and numbers["output_shifts"].tolist() == [31 - shift for _, shift in wanted]
    assert (numbers["input_1_offset"], numbers["input_2_offset"], numbers["output_offset"]) == (3, -7, 4)
    assert numbers["multipliers"].dtype == np.int32 and (numbers["activation_min"], numbers["activation_max"]) == (
        -128,
        127,
    )


def average(x: list[Any], y: list[Any], size: int = 5, **attributes: Any) -> onnx.ModelProto:
    return one("QLinearAveragePool", [(1, 2, size, size)], ["x0", *x, *y], **attributes)


def test_an_average_has_its_numbers_for_every_divisor_it_meets(tmp_path: Path) -> None:
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    found, numbers = captured(average(q(0.02, 3), q(0.05, -9), **window), tmp_path, "tflite")
    assert numbers["count"].tolist() == [4, 6, 9]
    value, shift = fixed(ratio(0.02, 0.05))
    for index, count in enumerate((4, 6, 9)):
        k = min(count.bit_length() - 1, 62 - shift)
        assert (numbers["multiplier"][index], numbers["shift"][index]) == ((value << k) // count, shift + k)
    _, numbers = captured(average(q(0.02, 3), q(0.02, 3), **window), tmp_path / "same", "tflite")
    assert numbers["count"].tolist() == [4, 6, 9] and "multiplier" not in numbers
    _, numbers = captured(average(q(0.02, 3), q(0.02, 3), **window), tmp_path / "n", "neural-art")
    assert numbers["R"].tolist() == [2**14, round(Fraction(2**17, 6)), round(Fraction(2**18, 9))]
    assert numbers["shift"].tolist() == [16, 17, 18]
    _, numbers = captured(average(q(0.02, 3), q(0.05, -9), **window), tmp_path / "ort", "ort")
    assert numbers["count"].tolist() == [4, 6, 9] and set(numbers) == {"count", "activation_min", "activation_max"}
    assert found.find("y").shape == (1, 2, 3, 3)


def test_an_average_of_everything_is_the_global_one(tmp_path: Path) -> None:
    _, numbers = captured(average(q(0.02, 3), q(0.05, -9), 3, kernel_shape=[3, 3]), tmp_path, "ort")
    wanted = np.float32(0.02) / (np.float32(0.05) * np.float32(9))
    assert numbers["count"] == 9 and numbers["multiplier"] == wanted and numbers["multiplier"].dtype == np.float32


def test_a_lookup_is_its_table(tmp_path: Path) -> None:
    model = one("QLinearLeakyRelu", [(1, 256)], ["x0", *q(0.02, 3), *q(0.05, -9)], alpha=0.1)
    found, numbers = captured(model, tmp_path, "ort")
    x = found.array(found.find("x0", "input"))
    np.testing.assert_array_equal(numbers["table"][x.view(np.uint8)], found.array(found.find("y")), strict=True)


def test_parameters_of_computed_weights_are_those_of_each_input(tmp_path: Path) -> None:
    """Neural-ART's S1 depends on the weights; here they come with the input."""
    model = one("QLinearConv", [(1, 2, 4, 4), (3, 2, 1, 1)], ["x0", *q(0.02, 3), "x1", *q(0.01, 0), *q(0.05, 1)], "")
    with pytest.raises(InputError):  # a set without such a layer
        captured(model, tmp_path / "none", "neural-art", layers=("QLinearAdd",))
    feeds = [{**code_feeds(model, 0), "x1": np.full((3, 2, 1, 1), value, np.int8)} for value in (1, 127)]
    write(tmp_path / "set", model, feeds, 2, profile="neural-art", options=Options(formats=("npz", "c")))
    found = read(tmp_path / "set")
    tensor = next(t for t in found.tensors if t.stage == "S1")
    assert tensor.varies and tensor.dtype == "int64"
    assert [int(found.array(tensor, case)) for case in range(2)] == [0, 1]
    header = (tmp_path / "set" / "c" / "golden.h").read_text(encoding="ascii")
    assert "_S1_SIZE 1\n" in header and "_S1 " not in header  # no macro for what differs


def test_values_that_do_not_fit_are_refused() -> None:
    assert _exactly(np.array([2**31 - 1, -(2**31)]), np.int32, "here").dtype == np.int32
    for value in (2**31, -(2**31) - 1):
        with pytest.raises(GoldenError, match="does not fit"):
            _exactly(np.array([value]), np.int32, "here")


def test_a_wide_accumulator_is_stored_wide(tmp_path: Path) -> None:
    weights = np.full((2, 2, 1, 1), 127, np.int8)
    model = one("QLinearConv", [(1, 2, 4, 4)], ["x0", *q(0.02, 3), weights, *q(0.01, 0), *q(0.05, 1)], "")
    found, numbers = captured(model, tmp_path, "tflite-16x8")
    kinds = {t.role: t.dtype for t in found.tensors if t.role in ("sum", "accumulator", "stage")}
    assert kinds == {"sum": "int64", "accumulator": "int64", "stage": "int32"}
    assert numbers["multiplier"] < 2**15


@pytest.mark.parametrize("profile", ["ort", "tflite", "neural-art-1.1.3", "exact"])
def test_every_other_accumulator_is_stored_in_32_bits(profile: str, tmp_path: Path) -> None:
    """Whatever the profile calls its accumulator: Neural-ART's is named by how it ends, not by a number of bits."""
    weights = np.full((2, 2, 1, 1), 127, np.int8)
    model = one("QLinearConv", [(1, 2, 4, 4)], ["x0", *q(0.02, 3), weights, *q(0.01, 0), *q(0.05, 1)], "")
    found, _ = captured(model, tmp_path, profile)
    kinds = {t.role: t.dtype for t in found.tensors if t.role in ("sum", "accumulator")}
    assert kinds == {"sum": "int32", "accumulator": "int32"}


def test_a_layer_whose_stages_end_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written was computed twice: by the layer's kernel, one float32 expression here, and by its stages."""
    weights = np.full((2, 2, 1, 1), 127, np.int8)
    model = one("QLinearConv", [(1, 2, 4, 4)], ["x0", *q(0.02, 3), weights, *q(0.01, 0), *q(0.05, 1)], "")
    captured(model, tmp_path / "right", "ort")
    real = FloatScaled.stages
    monkeypatch.setattr(
        FloatScaled,
        "stages",
        lambda self, sums: [*real(self, sums)[:-1], StageValue("y", real(self, sums)[-1].array + 1)],
    )
    with pytest.raises(GoldenError, match="contradicts itself"):
        captured(model, tmp_path / "wrong", "ort")
