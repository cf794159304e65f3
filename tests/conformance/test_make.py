"""A pack: its bytes are the same each time, its cases say what they meet, and their outputs are ONNX Runtime's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.conformance.make import cases_of, make
from qdqnp.conformance.naming import name_of
from qdqnp.conformance.pack import read_case, read_pack
from qdqnp.conformance.shown import rounded_from, shown_to
from qdqnp.conformance.table import LAYERS, layers_of
from qdqnp.errors import InputError
from qdqnp.numerics.profiles import profile_named


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two operators, whole, under two profiles."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    make(out, ["ort", "tflite"], ["QLinearMatMul", "QuantizeLinear"])
    return out


def test_the_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make(tmp_path / name, ["ort"], ["QLinearMatMul", "QLinearLeakyRelu"], 4)
    one, two = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    )
    assert one == two and len(one) == 2 * 4 * 4 + 1


def test_every_case_says_what_it_meets(pack: Path) -> None:
    opened = read_pack(pack)
    assert set(opened.profiles) == {"ort", "tflite"} and len(set(opened.cases)) == len(opened.cases) > 300
    met = dict.fromkeys(("ties_negative", "ties_positive", "saturated_low", "saturated_high"), 0)
    for path in opened.of("ort", ["QLinearMatMul"]):
        case = read_case(opened, path)
        desc = case.desc
        assert path == f"ort/{desc['operator']}/{desc['name']}"
        assert set(desc["goals"]) >= {"tie below zero", "saturated high", "most positive accumulator"}
        for goal in desc["goals"].values():
            reasons = [key for key in ("unreachable", "undecided") if key in goal]
            assert all(goal[f"why {key}"] for key in reasons)
        low, high = desc["accumulator_bound"]
        assert low <= desc["coverage"]["accumulator_min"] <= desc["coverage"]["accumulator_max"] <= high
        for key in met:
            met[key] += desc["coverage"][key] > 0
        if desc["stimulus"]["kind"] == "minimum":
            assert case.inputs["x"].min() == case.inputs["x"].max() == np.iinfo(case.inputs["x"].dtype).min
    assert min(met.values()) >= 5, met


def test_the_bounds_of_the_accumulators_are_reached(pack: Path) -> None:
    """Over the cases of one model, the proven least and greatest accumulators occur."""
    opened = read_pack(pack)
    found: dict[str, list[tuple[int, int]]] = {}
    bounds: dict[str, list[int]] = {}
    for path in opened.of("ort", ["QLinearMatMul"]):
        desc = read_case(opened, path).desc
        model = desc["name"].rpartition("_")[0]
        bounds[model] = desc["accumulator_bound"]
        found.setdefault(model, []).append((desc["coverage"]["accumulator_min"], desc["coverage"]["accumulator_max"]))
    assert len(found) > 15
    found = {model: reached for model, reached in found.items() if model.endswith("integer")}
    for model, reached in found.items():
        assert [min(low for low, _ in reached), max(high for _, high in reached)] == bounds[model]


def test_outputs_differ_between_the_profiles_where_ties_are(pack: Path) -> None:
    opened = read_pack(pack)
    differing = 0
    for path in opened.of("tflite", ["QLinearMatMul"]):
        case = read_case(opened, path)
        model = qdqnp.load((pack / path / "model.onnx").read_bytes())
        assert np.array_equal(model.run(case.inputs, profile="tflite")["y"], case.outputs["y"])
        differing += not np.array_equal(model.run(case.inputs, profile="ort")["y"], case.outputs["y"])
    assert differing > 5


def test_what_a_quotient_meets_is_counted() -> None:
    """Against Python's own fractions."""
    x = np.float32([0.5, -0.5, 1.5, 0.25, -200, 200, 127.5, -128.5])
    met = rounded_from(x, np.float32(1), np.asarray(0), np.dtype(np.int8))
    assert met == {"outputs": 8, "ties_negative": 2, "ties_positive": 3, "saturated_low": 2, "saturated_high": 2}


@pytest.mark.parametrize("op", [op for op in LAYERS if op not in ("QLinearAdd", "QLinearMul", "QLinearSub")])
def test_names_tell_layers_apart(op: str) -> None:
    names = [name_of(layer, form, "ties") for layer in layers_of(op) for form in layer.forms]
    assert len(set(names)) == len(names)
    assert all(len(name) < 130 and name == name.lower() and name.isascii() for name in names)


def test_a_layer_that_a_profile_does_not_define_is_left_out_with_the_reason() -> None:
    cases, left_out = cases_of("MatMulIntegerToFloat", profile_named("tflite"))
    assert not cases
    assert sum(one.layers or 0 for one in left_out) == len(layers_of("MatMulIntegerToFloat"))
    assert all("integer operator" in one.reason for one in left_out)


def test_products_without_a_rounding_have_no_ties() -> None:
    found = shown_to(layers_of("ConvInteger")[0], profile_named("ort"))
    assert {one.kind for one in found.shown} >= {"minimum", "maximum", "extremes", "random"}
    assert not any(one.kind.startswith("ties") or "ties_positive" in one.coverage for one in found.shown)


def test_an_unknown_operator_and_a_folder_in_the_way_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cases"):
        make(tmp_path / "pack", operators=["Conv"])
    with pytest.raises(InputError, match="float32 behind a Softmax"):
        make(tmp_path / "pack", operators=["QAttention"])
    (tmp_path / "pack").mkdir()
    with pytest.raises(InputError, match="not taken"):
        make(tmp_path / "pack", operators=["Flatten"])


def test_pack_json_is_plain(pack: Path) -> None:
    document = json.loads((pack / "pack.json").read_text())
    assert document["schema"] == 1 and document["profiles"] == {"ort": "established", "tflite": "established"}
    assert len(document["files"]) == 4 * len(document["cases"])
