"""Commands on tensors of every element type: files hold the values of those that NumPy cannot name in another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper

from qdqnp.cli import cli
from qdqnp.element_types import DTYPES, NUMBERS, PACKED, Dtype, is_float, is_integer, plain, plain_dtype

TYPES = list(DTYPES.values())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def reshaped(dtype: Dtype, folder: Path) -> Path:
    """A model file: x, of one type, in another shape."""
    kind = NUMBERS[dtype]
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, [2, 3])],
        [helper.make_tensor_value_info("y", kind, [3, 2])],
        [onnx.numpy_helper.from_array(np.array([3, 2]), "shape")],
    )
    opsets = [helper.make_opsetid("", 25)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=11), folder / "net.onnx")
    return folder / "net.onnx"


def drawn(dtype: Dtype, rng: np.random.Generator) -> np.ndarray:
    """Numbers of which every type has several."""
    low = -2 if is_float(dtype) or str(dtype).startswith("int") else 0
    return rng.integers(low, 2, (2, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_what_is_written_is_read(dtype: Dtype, tmp_path: Path, rng: np.random.Generator) -> None:
    model, x = reshaped(dtype, tmp_path), drawn(dtype, rng)
    np.save(tmp_path / "bytes.npy", x)  # of types that it cannot name np.save writes the bytes
    np.save(tmp_path / "values.npy", plain(x))
    for name in ("bytes", "values") if str(dtype) != "float8_e5m2" else ("values",):  # of which np.load reads no bytes
        done = run("run", model, "--input", tmp_path / f"{name}.npy", "--output", tmp_path / f"{name}.npz")
        assert done.exit_code == 0, done.output
        with np.load(tmp_path / f"{name}.npz") as made:
            assert made["y"].dtype == plain_dtype(dtype)
            assert np.array_equal(made["y"], plain(x).reshape(3, 2))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_golden_set_is_compared(dtype: Dtype, tmp_path: Path, rng: np.random.Generator) -> None:
    model, x = reshaped(dtype, tmp_path), drawn(dtype, rng)
    np.save(tmp_path / "x.npy", plain(x))
    done = run("golden", model, "--input", tmp_path / "x.npy", "--out", tmp_path / "set")
    assert done.exit_code == 0, done.output
    same, other = plain(x).reshape(3, 2), plain(x).reshape(3, 2).copy()
    other[1, 1] = other[1, 1] == 0
    (tmp_path / "dump").mkdir()
    for array, code in ((same, 0), (other, 1)):
        np.savez(tmp_path / "dump.npz", y=array)
        stored = array if is_integer(dtype) or dtype == np.bool_ else array.astype(dtype)
        (tmp_path / "dump" / "y.bin").write_bytes(stored.tobytes())
        for dump in ("dump.npz", "dump"):
            done = run("compare", tmp_path / "set", tmp_path / dump)
            assert done.exit_code == code, (dump, array, done.output, done.exc_info)


@pytest.mark.parametrize("dtype", [dtype for dtype in TYPES if dtype != plain_dtype(dtype)], ids=str)
def test_values_that_the_type_does_not_have_are_refused(dtype: Dtype, tmp_path: Path) -> None:
    model = reshaped(dtype, tmp_path)
    np.save(tmp_path / "x.npy", np.full((2, 3), 100.125 if is_float(dtype) else 100, plain_dtype(dtype)))
    done = run("run", model, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz")
    assert done.exit_code == 2 and f"expected {dtype}, got {plain_dtype(dtype)}" in done.output


@pytest.mark.parametrize("dtype", [dtype for dtype in PACKED if is_integer(dtype)], ids=str)
@pytest.mark.parametrize("form", ["npz", "bin"])
def test_a_dump_holds_no_code_that_the_type_does_not_have(dtype: Dtype, form: str, tmp_path: Path) -> None:
    """Not the low bits of such a code are read."""
    model = reshaped(dtype, tmp_path)
    assert run("golden", model, "--out", tmp_path / "set").exit_code == 0
    array = np.full((3, 2), 100, plain_dtype(dtype))
    (tmp_path / "dump").mkdir()
    if form == "npz":
        np.savez(tmp_path / "dump" / "y.npz", y=array)
    else:
        (tmp_path / "dump" / "y.bin").write_bytes(array.tobytes())
    done = run("compare", tmp_path / "set", tmp_path / "dump" / "y.npz" if form == "npz" else tmp_path / "dump")
    assert done.exit_code == 2 and f"{dtype}, or wider integers within its range" in done.output.replace("\n", " ")
