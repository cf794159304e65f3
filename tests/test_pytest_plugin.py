"""The pytest plugin, run by pytest itself in folders of its own (pytester)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError
from qdqnp.golden_sets import Options, read, write
from qdqnp.pytest_plugin import assert_bit_exact, golden_layers

pytest_plugins = ["pytester"]


def network(scale: float = 0.5) -> onnx.ModelProto:
    """x -> Q -> Conv -> Relu as codes -> DQ -> y."""
    weights = np.random.default_rng(1).integers(-128, 128, (3, 2, 3, 3)).astype(np.int8)
    given = {
        "s": np.float32(0.1),
        "z": np.int8(3),
        "w": weights,
        "ws": np.float32(0.02),
        "wz": np.int8(0),
        "ys": np.float32(scale),
        "yz": np.int8(-5),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"], "quantize"),
        helper.make_node("QLinearConv", ["codes", "s", "z", "w", "ws", "wz", "ys", "yz"], ["made"], "conv"),
        helper.make_node("DequantizeLinear", ["made", "ys", "yz"], ["y"], "dequantize"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 2, 6, 6]), ("y", None)))
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in given.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def inputs(count: int = 2) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"x": rng.normal(0, 5, (1, 2, 6, 6)).astype(np.float32)} for _ in range(count)]


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    write(tmp_path / "vectors", network(), inputs(), 2, profile="tflite")
    return tmp_path / "vectors"


# -- the assertion -----------------------------------------------------------------------------------------------------
def test_equal_arrays_pass_by_name_label_and_all_at_once(vectors: Path) -> None:
    traces = [qdqnp.load(network()).trace(given, profile="tflite") for given in inputs()]
    golden = read(vectors)
    for case, trace in enumerate(traces):
        assert_bit_exact(trace["made"], golden, tensor="made", case=case)
        assert_bit_exact(trace["made"], vectors, tensor="conv", case=case)
        assert_bit_exact({"made": trace["made"], "y": trace["y"]}, str(vectors), case=case)


def test_a_difference_is_counted_and_its_fault_named(vectors: Path) -> None:
    made = qdqnp.load(network()).trace(inputs()[0], profile="tflite")["made"]
    with pytest.raises(AssertionError) as raised:
        assert_bit_exact(np.zeros_like(made), vectors, tensor="conv")
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("'conv': ") and "of 48 elements differ, the first at (0, 0, 0, " in lines[0]
    assert lines[1].startswith("first divergence: layer conv (QLinearConv)") and lines[1].endswith(
        "all zero (0 everywhere)"
    )
    assert len(lines) == 2
    with pytest.raises(AssertionError, match=r"zero point off by one \(\+1, of the output\)"):
        assert_bit_exact(np.clip(made.astype(int) + 1, -128, 127).astype(np.int8), vectors, tensor="conv")
    one = made.copy()
    one[0, 1, 2, 3] ^= 1
    with pytest.raises(AssertionError) as raised:
        assert_bit_exact(one, vectors, tensor="made")
    assert (
        f"1 of 48 elements differ, the first at (0, 1, 2, 3): got {one[0, 1, 2, 3]}, expected {made[0, 1, 2, 3]}"
        in str(raised.value)
    )
    assert "1 LSB" in str(raised.value)


def test_another_profile_is_told(vectors: Path) -> None:
    made = qdqnp.load(network()).trace(inputs()[0], profile="ort")["made"]
    with pytest.raises(AssertionError, match="elements differ"):
        assert_bit_exact(np.roll(made, 1, -1), vectors, tensor="made")


def test_dtype_and_shape_count(vectors: Path) -> None:
    made = qdqnp.load(network()).trace(inputs()[0], profile="tflite")["made"]
    with pytest.raises(AssertionError, match=r"expected int8 of shape \(1, 3, 4, 4\), got int32 of shape"):
        assert_bit_exact(made.astype(np.int32), vectors, tensor="made")
    with pytest.raises(AssertionError, match=r"got int8 of shape \(3, 4, 4\)"):
        assert_bit_exact(made[0], vectors, tensor="made")


def test_every_bit_counts(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"], "neg")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    write(tmp_path / "set", model, [{"x": np.float32([0, np.nan, 1])}], 1)
    assert_bit_exact(-np.float32([0, np.nan, 1]), tmp_path / "set", tensor="y")
    with pytest.raises(AssertionError, match="1 of 3 elements differ"):
        assert_bit_exact(np.float32([0.0, -np.nan, -1]), tmp_path / "set", tensor="y")


def test_a_set_without_its_model_still_says_what_differs(tmp_path: Path) -> None:
    write(tmp_path / "bare", network(), inputs(), 2, options=Options(store_model=False))
    with pytest.raises(AssertionError, match=r"(?s)elements differ.*no verdict: the golden set has no model"):
        assert_bit_exact(np.zeros((1, 3, 4, 4), np.int8), tmp_path / "bare", tensor="conv")


def test_names_are_suggested(vectors: Path) -> None:
    with pytest.raises(InputError, match=r"got 'con'\. Near it: 'conv'"):
        assert_bit_exact(np.int8([1]), vectors, tensor="con")
    with pytest.raises(InputError, match="case: expected 0 to 1, got 2"):
        assert_bit_exact(np.int8([1]), vectors, tensor="conv", case=2)
    with pytest.raises(TypeError, match="`tensor`"):
        assert_bit_exact(np.int8([1]), vectors)
    with pytest.raises(TypeError, match="`tensor`"):
        assert_bit_exact({"conv": np.int8([1])}, vectors, tensor="conv")


# -- layers ------------------------------------------------------------------------------------------------------------
def test_layers_have_what_a_test_of_their_kernel_needs(vectors: Path) -> None:
    (layer,) = golden_layers(vectors, "QLinearConv")
    assert (layer.label, layer.op) == ("conv", "QLinearConv")
    for case, given in enumerate(inputs()):
        trace = qdqnp.load(network()).trace(given, profile="tflite")
        assert [array.tolist() for array in layer.inputs(case)] == [trace["codes"].tolist()]
        (output,) = layer.outputs(case)
        assert np.array_equal(output, trace["made"])
        layer.assert_bit_exact(trace["made"], case)
    parameters = layer.parameters()
    assert parameters["weight"].shape == (3, 2, 3, 3) and {"multiplier", "shift"} <= set(parameters)
    assert [layer.label for layer in golden_layers(vectors)] == ["quantize", "conv", "dequantize"]
    assert [layer.label for layer in golden_layers(vectors, "*quantize")] == ["quantize", "dequantize"]
    with pytest.raises(InputError, match="no such layer"):
        golden_layers(vectors, "pool")


# -- in pytest ---------------------------------------------------------------------------------------------------------
TESTS = """
import numpy as np
import pytest
import qdqnp
from qdqnp.pytest_plugin import assert_bit_exact

INPUTS = [{"x": np.full((1, 2, 6, 6), value, np.float32)} for value in (1, 2)]

def made(case, wrong=0):
    return qdqnp.load("net.onnx").trace(INPUTS[case])["made"] + np.int8(wrong)

def test_right(golden_set):
    golden = golden_set("golden/net", "net.onnx", INPUTS, layers=("conv",))
    for case in (0, 1):
        assert_bit_exact(made(case), golden, tensor="conv", case=case)

def test_wrong(golden_set):
    assert_bit_exact(made(0, 1), golden_set("golden/net", "net.onnx", INPUTS), tensor="conv")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(qdqnp.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # with the entry point or without
    onnx.save(network(), pytester.path / "net.onnx")
    pytester.makepyfile(test_net=TESTS)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "qdqnp.pytest_plugin", *arguments)


def test_golden_sets_are_written_when_asked_for_and_asserted(project: pytest.Pytester) -> None:
    missing = run(project)
    missing.assert_outcomes(failed=2)
    missing.stdout.fnmatch_lines(["*no golden set *golden*net; pytest --update-golden writes it"])
    run(project, "--update-golden").assert_outcomes(passed=1, failed=1)
    again = run(project, "--junitxml=report.xml")
    again.assert_outcomes(passed=1, failed=1)
    again.stdout.fnmatch_lines(
        ["E *AssertionError: 'conv': 48 of 48 elements differ, the first at (0, 0, 0, 0): got *"]
    )
    cases = ElementTree.parse(project.path / "report.xml").iter("testcase")
    found = {
        case.get("name"): {item.get("name"): item.get("value") for item in case.iter("property")} for case in cases
    }
    assert found["test_right"] == {"qdqnp.conv": "bit-exact"}
    assert found["test_wrong"]["qdqnp.conv"].startswith("48 of 48 elements differ")
    assert "conv" in found["test_wrong"]["qdqnp.verdict"]


def test_a_set_of_another_model_or_profile_is_stale(project: pytest.Pytester) -> None:
    run(project, "--update-golden", "-k", "right").assert_outcomes(passed=1, deselected=1)
    onnx.save(network(scale=0.25), project.path / "net.onnx")
    stale = run(project, "-k", "right")
    stale.assert_outcomes(failed=1, deselected=1)
    stale.stdout.fnmatch_lines(["*was made of another model; pytest --update-golden writes it anew"])
    onnx.save(network(), project.path / "net.onnx")
    text = (project.path / "test_net.py").read_text()
    (project.path / "test_net.py").write_text(text.replace('layers=("conv",)', 'profile="tflite"'))
    run(project, "-k", "right").stdout.fnmatch_lines(["*was made of another profile; *"])


def test_a_test_for_each_layer(project: pytest.Pytester) -> None:
    write(project.path / "vectors", network(), inputs(), 2)
    project.makepyfile(
        test_layers="""
        import pytest

        @pytest.mark.golden_layers("vectors", "conv", "DequantizeLinear")
        def test_layer(golden_layer):
            golden_layer.assert_bit_exact(golden_layer.outputs()[0])

        @pytest.mark.golden_layers()
        def test_nothing(golden_layer):
            pass
        """
    )
    result = run(project, "-v", "test_layers.py", "-k", "layer")
    result.stdout.fnmatch_lines(["*the marker golden_layers needs the folder of a golden set*"])
    text = (project.path / "test_layers.py").read_text()
    (project.path / "test_layers.py").write_text(text.replace("golden_layers()", "parametrize('golden_layer', [1])"))
    result = run(project, "-v", "--strict-markers", "test_layers.py")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_layer?conv? PASSED*", "*test_layer?dequantize? PASSED*"])


def test_without_the_plugin_nothing_is_there_and_the_assertion_works(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_plain="""
        import sys

        def test_no_option(request):
            assert not hasattr(request.config.option, "update_golden")
        """
    )
    project.runpytest_inprocess("test_plain.py").assert_outcomes(passed=1)


def test_the_plugin_imports_nothing_until_it_is_used(pytester: pytest.Pytester) -> None:
    code = "import sys, qdqnp.pytest_plugin; sys.exit('numpy' in sys.modules or 'onnx' in sys.modules)"
    assert pytester.run("python", "-c", code).ret == 0
