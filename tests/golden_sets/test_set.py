"""What a set holds, against traces of the model; what it says of itself; and that it is the same each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import GoldenError, InputError
from qdqnp.golden_sets import ROLES, Options, read, write
from qdqnp.golden_sets.formats import formats
from qdqnp.numerics.profile import rule_names
from qdqnp.numerics.profile_writer import to_document
from qdqnp.numerics.profiles import PROFILES
from tests.golden_sets.conftest import CASES, Made, make
from tests.networks import dla
from tests.ops.case import one_node


def test_every_tensor_is_that_of_a_trace(made: Made) -> None:
    found = made.found
    for case in range(CASES):
        trace = made.model.trace(found.feeds(case), profile="tflite", accumulators=True)
        seen = set()
        for tensor in found.tensors:
            array = found.array(tensor, case)
            assert array.dtype == tensor.dtype and array.shape == tensor.shape and not array.flags.writeable
            if tensor.role in ("input", "output", "network_input", "network_output"):
                np.testing.assert_array_equal(array, trace[tensor.name], strict=True)
                seen.add(tensor.name)
            elif tensor.role == "accumulator":
                np.testing.assert_array_equal(array, trace.accumulators[tensor.name], strict=True)
            elif tensor.role in ("weight", "bias"):
                constant = made.model.program("tflite").tensors[tensor.name].const
                np.testing.assert_array_equal(array, constant, strict=True)
            elif tensor.role == "parameter" and tensor.stage in trace.parameters.get(tensor.name, {}):
                np.testing.assert_array_equal(array, trace.parameters[tensor.name][tensor.stage])
        assert seen == set(trace)  # all layers' inputs and outputs


def test_each_convolution_has_everything_its_arithmetic_uses(made: Made) -> None:
    for layer in made.found.manifest["layers"]:
        if layer["op"] != "QLinearConv":
            continue
        parts = {(t.role, t.stage) for t in made.found.tensors if t.index == layer["index"]}
        assert parts == {
            ("input", ""),
            ("weight", ""),
            ("bias", ""),
            ("parameter", "multiplier"),
            ("parameter", "shift"),
            ("parameter", "activation_min"),
            ("parameter", "activation_max"),
            ("sum", "sum"),
            ("accumulator", "acc"),
            ("stage", "ShiftLeft"),
            ("stage", "MultiplyHigh"),
            ("stage", "ShiftRight"),
            ("output", ""),
        }


def test_the_sum_plus_bias_is_the_accumulator_and_the_last_stage_becomes_the_output(made: Made) -> None:
    found = made.found
    convs = [t for t in found.tensors if t.role == "sum" and t.op == "QLinearConv"]
    assert convs
    for tensor in convs:
        bias = next(t for t in found.tensors if t.index == tensor.index and t.role == "bias")
        wide = found.array(tensor).astype(np.int64) + found.array(bias).reshape(1, -1, 1, 1)
        np.testing.assert_array_equal(found.array(found.find(tensor.name, "accumulator")), wide)
        output = found.find(tensor.name, "output")
        last = found.array(found.find(tensor.name, "stage", "ShiftRight"))
        np.testing.assert_array_equal(np.clip(last + output.zero_point, -128, 127), found.array(output))


def test_neural_arts_inner_stages_and_coefficients(net: Path, tmp_path: Path) -> None:
    found = make(tmp_path / "set", net, "neural-art", 1, layers=("QLinearConv",)).found
    for tensor in found.tensors:
        if tensor.stage != "x16":
            continue
        numbers = {
            t.stage: found.array(t).astype(np.int64)
            for t in found.tensors
            if t.index == tensor.index and t.role == "parameter"
        }
        assert set(numbers) == {"A", "BC", "S1", "S2", "activation_min", "activation_max"}
        x16 = found.array(tensor)
        assert x16.dtype == np.int16
        a, bc = (numbers[name].reshape(1, -1, 1, 1) for name in ("A", "BC"))
        affine = a * x16 + bc
        np.testing.assert_array_equal(affine, found.array(found.find(tensor.name, "stage", "affine")))
        codes = np.clip((affine + (1 << int(numbers["S2"]) >> 1)) >> numbers["S2"], -128, 127)
        np.testing.assert_array_equal(codes, found.array(found.find(tensor.name, "output")))


def test_onnx_runtimes_scale_is_float32(net: Path, tmp_path: Path) -> None:
    found = make(tmp_path / "set", net, "ort", 1, layers=("QLinearConv",)).found
    scales = [t for t in found.tensors if t.stage == "multiplier"]
    assert scales and all(t.dtype == "float32" for t in scales)


def test_a_tensor_of_two_layers_is_stored_once(made: Made) -> None:
    places: dict[str, set[str]] = {}
    for tensor in made.found.tensors:
        if tensor.role in ("input", "output"):
            places.setdefault(tensor.name, set()).add(json.dumps(tensor.files))
    assert places and all(len(files) == 1 for files in places.values())
    assert sum(t.role == "input" for t in made.found.tensors) > 10


def test_the_manifest_says_how_the_set_was_made(made: Made, net: Path) -> None:
    manifest = made.found.manifest
    assert manifest["model"] == {
        "name": "model.onnx",
        "file": "model.onnx",
        "sha256": hashlib.sha256(net.read_bytes()).hexdigest(),
    }
    assert manifest["seed"] == 4 and manifest["inputs"] == CASES == made.found.inputs
    profile = manifest["profile"]
    assert made.found.profile == profile["name"] == "tflite" and profile["status"] == "established"
    assert profile["parameters"] == json.loads(json.dumps(to_document(PROFILES["tflite"])))
    assert set(profile["rules"]) == set(rule_names()) and profile["rules"]["float_sum"] == "unknown"
    for name, listed in manifest["files"].items():
        data = (made.folder / name).read_bytes()
        assert listed == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    on_disk = {p.relative_to(made.folder).as_posix() for p in made.folder.rglob("*") if p.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    conv = next(layer for layer in manifest["layers"] if layer["op"] == "QLinearConv")
    assert conv["attributes"]["pads"] == [3, 3, 3, 3] and conv["attributes"]["group"] == 1


def test_quantization_of_each_use(made: Made) -> None:
    program = made.model.program("tflite")
    for step in program.steps:
        for operand in step.outputs:
            if operand.quant is not None:
                tensor = made.found.find(operand.name, "output")
                assert np.float32(tensor.scale) == operand.quant.scale
                assert tensor.zero_point == operand.quant.zero_point and tensor.axis is None
    weight = next(t for t in made.found.tensors if t.role == "weight")
    assert weight.axis == 0 and isinstance(weight.scale, list) and len(weight.scale) == weight.shape[0]


def test_the_same_call_twice_gives_the_same_bytes(net: Path, tmp_path: Path) -> None:
    formats = ("npz", "npy", "bin", "c", "hex", "ihex", "c-crc")
    first, second = (
        make(tmp_path / name, net, cases=2, formats=formats, layers=("QLinearAdd",)).folder for name in ("a", "b")
    )
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


@pytest.mark.parametrize("form", ["npz", "npy", "bin"])
def test_other_orders_of_axes_come_back_as_onnx_has_them(made: Made, net: Path, tmp_path: Path, form: str) -> None:
    other = make(tmp_path / "set", net, formats=(form,), activations="NHWC", weights="OHWI").found
    assert [t.key for t in other.tensors] == [t.key for t in made.found.tensors]
    layouts = set()
    for tensor, plain in zip(other.tensors, made.found.tensors, strict=True):
        np.testing.assert_array_equal(other.array(tensor, 2), made.found.array(plain, 2), strict=True)
        layouts.add(tensor.layout)
    assert {"NHWC", "OHWI", "ONNX"} <= layouts and not layouts & {"NCHW", "OIHW"}


def test_the_stored_model_and_inputs_make_the_set_again(made: Made, tmp_path: Path) -> None:
    model = made.found.model()
    assert model is not None
    feeds = [made.found.feeds(case) for case in range(CASES)]
    write(
        tmp_path / "again",
        model,
        feeds,
        CASES,
        profile=made.found.profile,
        options=Options(formats=("npz", "npy", "bin")),
        seed=4,
    )
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (made.folder / "manifest.json").read_bytes()


def test_codes_in_place_of_real_inputs(made: Made, net: Path, tmp_path: Path) -> None:
    quantized = made.model.program("tflite").steps[0].output_names[0]
    codes = made.found.array(made.found.find(quantized))
    write(tmp_path / "set", net, [{"input": codes}], 1, profile="tflite")
    found = read(tmp_path / "set")
    feed = found.find("input", "network_input")
    assert feed.dtype == "int8" and feed.zero_point == made.found.find(quantized).zero_point
    np.testing.assert_array_equal(found.feeds()["input"], codes, strict=True)
    output = made.model.program("tflite").outputs[0]
    np.testing.assert_array_equal(found.array(found.find(output)), made.found.array(made.found.find(output)))


def test_roles_layers_and_no_model(net: Path, tmp_path: Path) -> None:
    label = "Conv_conv_7"
    found = make(
        tmp_path / "set",
        net,
        cases=1,
        roles=("output", "weight"),
        layers=("QLinearAdd", "Conv_conv_1*"),
        store_model=False,
    ).found
    assert {t.role for t in found.tensors} == {"output", "weight"} and found.model() is None
    assert {t.op for t in found.tensors} == {"QLinearAdd", "QLinearConv"}
    assert all(t.layer.startswith("Conv_conv_1") for t in found.tensors if t.op == "QLinearConv")
    assert label not in {t.layer for t in found.tensors}
    with pytest.raises(InputError, match="no network inputs"):
        found.feeds()


def test_layers_that_do_not_exist_are_listed_together(net: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        make(tmp_path / "set", net, layers=("nothing", "no*", "QLinearAdd"))
    assert [p.where for p in error.value.problems] == ["layer 'nothing'", "layer 'no*'"]
    assert "QLinearConv" in str(error.value) or "Conv_" in str(error.value)


def test_options_without_meaning_are_listed_together(net: Path, tmp_path: Path) -> None:
    with pytest.raises(GoldenError) as error:
        make(
            tmp_path / "set",
            net,
            formats=("npz", "csv"),
            roles=("weights",),
            hex_width=12,
            alignment=3,
            section='a"b',
            limit_bytes=0,
            activations="NWHC",
        )
    assert len(error.value.problems) == 7
    assert not list(tmp_path.iterdir())


def test_find_prefers_the_tensor_itself(made: Made) -> None:
    tensor = next(t for t in made.found.tensors if t.role == "accumulator")
    assert made.found.find(tensor.name).role == "output"
    assert made.found.find(tensor.name, "stage", "MultiplyHigh").stage == "MultiplyHigh"
    with pytest.raises(InputError, match="no such tensor"):
        made.found.find("nothing")
    with pytest.raises(InputError, match="role bias"):
        made.found.find(tensor.name, "bias")
    with pytest.raises(InputError, match="no such input"):
        made.found.array(tensor, CASES)


def test_inputs_of_other_shapes_need_a_set_of_their_own(tmp_path: Path) -> None:
    model = dla(batch="N")
    feeds = [{"input": np.zeros((size, 3, 16, 16), np.float32)} for size in (1, 2)]
    with pytest.raises(GoldenError, match="must be alike"):
        write(tmp_path / "set", model, feeds, 2, profile="tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [1, 3])
def test_as_many_inputs_as_announced(net: Path, tmp_path: Path, given: int) -> None:
    feeds = [{"input": np.zeros((1, 3, 16, 16), np.float32)}] * given
    with pytest.raises(InputError, match="as were announced"):
        write(tmp_path / "set", net, feeds, 2)
    assert not list(tmp_path.iterdir())


def test_coverage_goes_into_the_manifest(net: Path, tmp_path: Path) -> None:
    feeds = [{"input": np.zeros((1, 3, 16, 16), np.float32)}]
    coverage = {"cases": [{"name": "zero point", "ties": 3}], "note": "measured"}
    write(tmp_path / "set", net, feeds, 1, coverage=coverage, options=Options(roles=("network_input",)))
    assert read(tmp_path / "set").manifest["coverage"] == coverage


def test_every_role_occurs(made: Made) -> None:
    assert {t.role for t in made.found.tensors} == set(ROLES)


@pytest.mark.parametrize("value", [np.array(7, np.uint8), None])
@pytest.mark.parametrize(
    "indices", [np.int64(1), np.array([1]), np.zeros((2, 2), np.int32), np.zeros((0, 2), np.int64)]
)
def test_constants_of_every_rank_are_attributes(tmp_path: Path, indices: np.ndarray, value: np.ndarray | None) -> None:
    """Of one element without axes, the element itself."""
    x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    gather = one_node("Gather", [("x", x), ("indices", np.asarray(indices))], axis=1)
    filling = ("value", value) if value is not None else None
    pad = one_node("Pad", [("x", x), ("pads", np.array([1, 0, 0, 1])), filling])
    for case, key, wanted in ((gather, "indices", indices.tolist()), (pad, "filling", value and 7)):
        model = case.model.SerializeToString()
        out = tmp_path / key
        write(out, model, [case.inputs], 1, options=Options(formats=formats()))
        found = read(out)
        (layer,) = found.manifest["layers"]
        assert layer["attributes"].get(key) == wanted
        (y,) = (tensor for tensor in found.tensors if tensor.role == "output")
        assert np.array_equal(found.array(y, 0), qdqnp.load(model).run(case.inputs)["y"])


@pytest.mark.parametrize("op", ["ConvInteger", "MatMulInteger"])
@pytest.mark.parametrize("zeros", [(), ("x_zero",), ("x_zero", "w_zero")])
def test_each_constant_of_a_layer_has_a_file(tmp_path: Path, op: str, zeros: tuple[str, ...]) -> None:
    shape = (2, 3, 1, 1) if op == "ConvInteger" else (3, 2)
    x = np.arange(6, dtype=np.uint8).reshape((1, 3, 2, 1) if op == "ConvInteger" else (2, 3))
    constants = [(name, np.array(7, np.uint8)) for name in zeros]
    case = one_node(op, [("x", x), ("w", np.ones(shape, np.uint8)), *constants], output=np.int32)
    write(tmp_path / "out", case.model.SerializeToString(), [case.inputs], 1, options=Options(formats=formats()))
    kept = [tensor.key.rpartition("_")[2] for tensor in read(tmp_path / "out").tensors if tensor.role == "weight"]
    assert kept == ["weight", *[["constant"], ["constant0", "constant1"]][len(zeros) - 1][: len(zeros)]]
