"""Inputs of ST Edge AI's `*_val_io.npz`: the device's side, its layout and its codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError
from qdqnp.inputs.files import read_feeds

Array = np.ndarray[Any, Any]
SHAPE = [2, 3, 4, 5]


def model(shape: list[int], kind: type = np.int8, real: bool = True) -> qdqnp.Model:
    """A model that gives its input as codes; one that takes codes adds nothing to them."""
    zero = np.array(3, kind)
    given = [numpy_helper.from_array(np.float32(0.5), "s"), numpy_helper.from_array(zero, "z")]
    codes = helper.np_dtype_to_tensor_dtype(zero.dtype)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
        if real
        else helper.make_node("Reshape", ["x", "shape"], ["y"])
    ]
    given += [] if real else [numpy_helper.from_array(np.array(shape, np.int64), "shape")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT if real else codes, shape)
    y = helper.make_tensor_value_info("y", codes, shape)
    graph = helper.make_graph(nodes, "g", [x], [y], given)
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))


def outputs(of: qdqnp.Model, path: Path, **arrays: Array) -> list[Array]:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return [of.run(feeds)["y"] for feeds in read_feeds(path, of.program())]


@pytest.fixture
def codes(rng: np.random.Generator) -> Array:
    return rng.integers(-128, 128, (6, *SHAPE[1:]), np.int8)


def device(codes: Array) -> Array:
    return np.moveaxis(codes, 1, -1)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("given", [np.int8, np.uint8])
def test_codes_of_either_sign(kind: type, real: bool, given: type, codes: Array, tmp_path: Path) -> None:
    """They stand for the same real values under a zero point that is shifted likewise."""
    signed = device(codes)
    held = signed if given is np.int8 else (signed.astype(np.int16) + 128).astype(np.uint8)
    wanted = codes if kind is np.int8 else (codes.astype(np.int16) + 128).astype(np.uint8)
    found = outputs(model(SHAPE, kind, real), tmp_path / "net_val_io.npz", c_inputs_1=held, c_outputs_1=held)
    assert len(found) == 3 and np.array_equal(np.concatenate(found), wanted)


def test_the_devices_side_counts(codes: Array, tmp_path: Path) -> None:
    x = codes.astype(np.float32)
    path = tmp_path / "net_val_io.npz"
    found = outputs(model(SHAPE), path, m_inputs_1=x * 0.5, c_inputs_1=device(codes), m_outputs_1=x)
    assert np.array_equal(np.concatenate(found), codes)
    found = outputs(model(SHAPE), path, m_inputs_1=(x - 3) * 0.5, m_outputs_1=x)  # the original model's own order
    assert np.array_equal(np.concatenate(found), codes)
    found = outputs(model(SHAPE), path, m_inputs_1=device((x - 3) * 0.5), m_outputs_1=x)
    assert np.array_equal(np.concatenate(found), codes)


def test_where_both_orders_fit(tmp_path: Path, rng: np.random.Generator) -> None:
    codes = rng.integers(-128, 128, (1, 4, 4, 4), np.int8)
    (found,) = outputs(model([1, 4, 4, 4]), tmp_path / "net_val_io.npz", c_inputs_1=codes)
    assert np.array_equal(found, np.moveaxis(codes, -1, 1))
    (found,) = outputs(model([1, 4, 4, 4]), tmp_path / "net_val_io.npz", m_inputs_1=codes, c_outputs_1=codes)
    assert np.array_equal(found, codes)


def test_rows_have_rank_four(tmp_path: Path, rng: np.random.Generator) -> None:
    codes = rng.integers(-128, 128, (10, 1, 1, 7), np.int8)
    found = outputs(model([1, 7]), tmp_path / "net_val_io.npz", c_inputs_1=codes, m_inputs_1=codes[:, 0, 0])
    assert len(found) == 10 and np.array_equal(np.concatenate(found), codes[:, 0, 0])


def test_another_size_is_refused(codes: Array, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the shape \[2, 3, 4, 5\], got int8\[6, 4, 5, 2\]"):
        outputs(model(SHAPE), tmp_path / "net_val_io.npz", c_inputs_1=device(codes)[..., :2], c_outputs_1=codes)


def test_outputs_alone_are_no_inputs(codes: Array, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"arrays for the inputs \['x'\]"):
        outputs(model(SHAPE), tmp_path / "net_val_io.npz", c_outputs_1=codes, m_outputs_1=codes)
