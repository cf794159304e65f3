"""A golden set compared with its own folder of any format, in any layout, of any number of inputs, equals itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.golden_sets.options import ROLES
from qdqnp.inputs.random_inputs import random_feeds

TENSORS = ("network_input", "output", "network_output")
FORMATS = ("npz", "npy", "bin", "hex", "ihex", "c")


def cube() -> onnx.ModelProto:
    """A convolution, a depthwise one, an addition, a pooling and a Gemm; its tensors are 4 x 4 x 4, of which no shape
    tells the order of the axes."""
    rng = np.random.default_rng(5)
    nodes, constants = [], []

    def constant(name: str, array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(array, name))
        return name

    def quantized(real: str, codes: str, scale: float) -> str:
        pair = [constant(f"{codes}_s", np.float32(scale)), constant(f"{codes}_z", np.int8(-3))]
        nodes.append(helper.make_node("QuantizeLinear", [real, *pair], [codes], f"{codes}_quantize"))
        nodes.append(helper.make_node("DequantizeLinear", [codes, *pair], [f"{codes}_real"], f"{codes}_dequantize"))
        return f"{codes}_real"

    def weights(name: str, shape: tuple[int, ...]) -> str:
        pair = [constant(f"{name}_s", np.float32(0.02)), constant(f"{name}_z", np.int8(0))]
        codes = constant(name, rng.integers(-90, 90, shape, dtype=np.int8))
        nodes.append(helper.make_node("DequantizeLinear", [codes, *pair], [f"{name}_real"], f"{name}_dequantize"))
        return f"{name}_real"

    x = quantized("x", "x_q", 0.03)
    bias = [constant("bias_s", np.float32(0.02 * np.float32(0.03))), constant("bias_z", np.int32(0))]
    codes = constant("bias", rng.integers(-500, 500, 4, dtype=np.int32))
    nodes.append(helper.make_node("DequantizeLinear", [codes, *bias], ["bias_real"], "bias_dequantize"))
    nodes.append(helper.make_node("Conv", [x, weights("w", (4, 4, 3, 3)), "bias_real"], ["a"], "conv", pads=[1] * 4))
    a = quantized("a", "a_q", 0.05)
    nodes.append(helper.make_node("Conv", [a, weights("v", (4, 1, 3, 3))], ["b"], "depthwise", group=4, pads=[1] * 4))
    b = quantized("b", "b_q", 0.04)
    nodes.append(helper.make_node("Add", [a, b], ["c"], "add"))
    c = quantized("c", "c_q", 0.06)
    nodes.append(helper.make_node("Flatten", [c], ["d"], "flatten"))
    nodes.append(helper.make_node("Gemm", [quantized("d", "d_q", 0.06), weights("u", (64, 5))], ["e"], "fc"))
    quantized("e", "e_q", 0.2)
    ends = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 4, 4, 4]), ("e_q_real", [1, 5]))
    )
    graph = helper.make_graph(nodes, "cube", [next(ends)], [next(ends)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write(path: Path, model: onnx.ModelProto, count: int, **options: object) -> Path:
    feeds = random_feeds(qdqnp.load(model).program(), count, 1)
    chosen = golden_sets.Options(**options)  # type: ignore[arg-type]
    golden_sets.write(path, model, feeds, count, profile="cmsis-nn", options=chosen)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("activations", ["NCHW", "NHWC"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_format(tmp_path: Path, activations: str, count: int) -> None:
    """Cubes, float outputs and all roles included."""
    found = write(
        tmp_path / "set",
        cube(),
        count,
        formats=FORMATS,
        activations=activations,
        weights="OHWI" if activations == "NHWC" else "OIHW",
        depthwise="1HWC" if activations == "NHWC" else "",
    )
    for kind in FORMATS:
        result = run(found, found / kind)
        assert result.exit_code == 0, (kind, result.output)
        assert any(line.startswith("equal: 0 of ") for line in result.output.splitlines()), (kind, result.output)


@pytest.mark.parametrize("only", FORMATS)
def test_a_set_of_one_format_and_the_set_itself_as_a_dump(tmp_path: Path, only: str) -> None:
    """What Python reads back of one format alone is what was written: the reference reads it too."""
    found = write(tmp_path / "set", cube(), 2, formats=(only,), activations="NHWC")
    for dump in (found, found / only):
        result = run(found, dump)
        assert result.exit_code == 0, (dump.name, result.output)


@pytest.mark.parametrize("role", ROLES)
def test_every_role(tmp_path: Path, role: str) -> None:
    found = write(
        tmp_path / "set", cube(), 2, formats=("npy", "bin"), roles=("network_input", role), activations="NHWC"
    )
    for kind in ("npy", "bin"):
        result = run(found, found / kind)
        if role == "network_input":  # nothing that a layer computes
            assert result.exit_code == 2 and "no verdict" in result.output
        else:
            assert result.exit_code == 0, (kind, result.output)


def test_layers_of_which_the_set_holds_nothing_are_not_asked_for(tmp_path: Path) -> None:
    found = write(tmp_path / "set", cube(), 2, layers=("conv",))
    assert run(found, found / "npz").exit_code == 0


@pytest.mark.parametrize(("activations", "kind"), list(itertools.product(["NCHW", "NHWC"], ["npy", "bin", "hex", "c"])))
def test_a_wrong_value_is_found_in_every_format(tmp_path: Path, activations: str, kind: str) -> None:
    """That no reading is chosen that hides it."""
    found = write(tmp_path / "set", cube(), 2, activations=activations, formats=(kind,))
    other = cube()
    bias = next(t for t in other.graph.initializer if t.name == "v_s")
    bias.CopyFrom(numpy_helper.from_array(np.float32(0.021), "v_s"))
    wrong = write(tmp_path / "other", other, 2, activations=activations, formats=(kind,))
    result = run(found, wrong / kind)
    assert result.exit_code == 1 and "layer depthwise" in result.output, result.output


def test_another_array_of_the_set_with_another_value_is_a_difference(tmp_path: Path) -> None:
    found = write(tmp_path / "set", cube(), 1, formats=("npy",))
    (path,) = (found / "npy").glob("*conv_weight.npy")
    weights = np.load(path)
    copy = tmp_path / "dump"
    copy.mkdir()
    for file in (found / "npy").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights.reshape(-1)[7] ^= 1
    np.save(copy / path.name, weights)
    result = run(found, copy)
    assert result.exit_code == 1 and "weight" in result.output and "1 of 144 elements differ" in result.output
