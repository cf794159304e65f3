"""What an STM32N6 computed of a dense network, published by a third party, under both Neural-ART profiles.

The numbers are not part of the project: the test needs a folder beside it, and is skipped without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine

MEASURED = Path(__file__).parents[4] / "shared" / "silicon" / "stm32n6_dense.npz"
ART = PROFILES["neural-art-1.1.3"]
Data = Mapping[str, NDArray[Any]]

pytestmark = pytest.mark.skipif(not MEASURED.is_file(), reason="what the board computed is not here")


@pytest.fixture(scope="module")
def data() -> Data:
    with np.load(MEASURED) as arrays:
        return dict(arrays)


def dense(data: Data, layer: int, x: str) -> qdqnp.Model:
    """Layer K, from float32 to the codes of its output; x names what quantizes its input."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "sx", "zx"], ["known"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["weights"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "sb", "zb"], ["bias"], axis=0),
        helper.make_node("Gemm", ["known", "weights", "bias"], ["sums"], transB=1),
        helper.make_node("QuantizeLinear", ["sums", "sy", "zy"], ["y"]),
    ]
    name = f"dense{layer}"
    channels, inputs = data[f"{name}_weight"].shape
    constants = {
        "sx": data[f"{x}_scale"],
        "zx": data[f"{x}_zero_point"],
        "w": data[f"{name}_weight"],
        "sw": data[f"{name}_weight_scale"],
        "zw": np.zeros(channels, np.int8),
        "b": data[f"{name}_bias"],
        "sb": data[f"{name}_bias_scale"],
        "zb": np.zeros(channels, np.int32),
        "sy": data[f"{name}_output_scale"],
        "zy": data[f"{name}_output_zero_point"],
    }
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, ["N", channels])],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return qdqnp.load(model)


def differing(data: Data, profile: Profile) -> int:
    """Count the outputs of which the board computed another: dense 0 and the float parts ran on its CPU."""
    x = data["input"]
    for layer, source in enumerate(("input", "activation0", "activation1", "activation2")):
        codes = dense(data, layer, source).run(x, profile=profile if layer else "ort")["y"]
        scale, zero = data[f"dense{layer}_output_scale"], data[f"dense{layer}_output_zero_point"]
        y = (codes.astype(np.float32) - np.float32(zero)) * scale
        if layer < 3:
            t = data[f"activation{layer}_threshold"]
            x = (np.floor(np.clip(y / t, 0, 1) * np.float32(4) + np.float32(0.5)) / np.float32(4)) * t
    return int(np.count_nonzero(y != data["board_output"]))


def test_every_output_of_the_board(data: Data) -> None:
    assert data["board_output"].size == 920
    assert differing(data, ART) == 0


@pytest.mark.parametrize(("tie", "wrong"), [("half-away", 0), ("half-even", 4), ("floor", 289), ("truncate", 125)])
def test_what_the_board_says_of_the_first_tie(data: Data, tie: str, wrong: int) -> None:
    assert differing(data, replace(ART, gemm=NarrowThenAffine("half-up", first_tie=tie))) == wrong


def test_it_is_not_the_older_generation_nor_onnx_runtime(data: Data) -> None:
    assert differing(data, PROFILES["neural-art-1.1.1"]) >= 117
    assert differing(data, PROFILES["ort"]) == 297
