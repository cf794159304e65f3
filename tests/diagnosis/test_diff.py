"""diff: equal arithmetics are equal everywhere, and a planted difference shows in its own layers only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.diagnosis.diff import DiffReport, diff
from qdqnp.errors import InputError, ProfileError
from qdqnp.model import Model
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profiles import PROFILES, profile_named
from qdqnp.numerics.stages import Stage
from qdqnp.numerics.values import StageValue
from qdqnp.quant import Int64
from tests.networks import dla


@pytest.fixture(scope="module")
def model() -> Model:
    return qdqnp.load(dla(seed=1))


def feeds(count: int = 2, seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [{"input": rng.standard_normal((1, 3, 16, 16), dtype=np.float32)} for _ in range(count)]


def run(model: Model, *profiles: str | Profile, count: int = 2) -> DiffReport:
    return diff(model, [(str(index), profile_named(profile)) for index, profile in enumerate(profiles)], feeds(count))


def differing(report: DiffReport, index: int = 1) -> set[str]:
    """Operators that differ by themselves."""
    return {row.op for row in report.totals() if row.cells[index].single.differing}


def test_a_profile_equals_itself_and_its_twin(model: Model) -> None:
    for names in (("ort", "ort"), ("tflite", "cmsis-nn")):
        report = run(model, *names)
        assert report.inputs == 2
        for row in report.rows:
            for cell in row.cells:
                for count in (cell.entire, cell.single):
                    assert (count.differing, count.largest, count.note) == (0, 0, "")
                    assert count.elements == 2 * int(np.prod(row.shape))


def test_every_tensor_has_a_row(model: Model) -> None:
    report = run(model, "ort", "tflite", count=1)
    trace = model.trace(feeds(1)[0])
    assert [row.name for row in report.rows] == [name for name in trace if name != "input"]
    assert [row.shape for row in report.rows] == [trace[row.name].shape for row in report.rows]


def test_cumulative_counts_are_those_of_two_traces(model: Model) -> None:
    report = run(model, "ort", "neural-art")
    for row in report.rows:
        pairs = [(model.trace(x)[row.name], model.trace(x, profile="neural-art")[row.name]) for x in feeds()]
        count = row.cells[1].entire
        assert count.differing == sum(int(np.count_nonzero(a != b)) for a, b in pairs)
        assert count.largest == max(float(np.abs(a.astype(float) - b.astype(float)).max()) for a, b in pairs)
    assert report.rows[-1].cells[1].entire.differing > 0


@pytest.mark.parametrize(
    ("changed", "operators"),
    [
        ('[conv]\nkind = "float-round"\nscale = "float32"\nprecision = "float32"\nties_to = "half-even"', set()),
        ('[conv]\nkind = "narrow-then-affine"\ntie = "floor"', {"QLinearConv"}),
        ('[add]\nkind = "aligned-add"\ntie = "floor"', {"QLinearAdd"}),
        ('[concat]\nkind = "affine-lookup"\ntie = "floor"', {"QLinearConcat"}),
        ('[global_average_pool]\nkind = "narrow-mean"\ntie = "floor"', {"QLinearGlobalAveragePool"}),
        (
            '[add]\nkind = "aligned-add"\ntie = "floor"\n[concat]\nkind = "affine-lookup"\ntie = "floor"',
            {"QLinearAdd", "QLinearConcat"},
        ),
    ],
)
def test_a_planted_change_differs_in_its_operators_only(model: Model, changed: str, operators: set[str]) -> None:
    report = run(model, "ort", from_toml(f'base = "ort"\n{changed}', "mine"))
    assert differing(report) == operators


def test_a_planted_change_of_one_layer_shows_in_that_layer_first(model: Model) -> None:
    convs = [step.label for step in model.program().steps if step.op == "QLinearConv"]
    chosen = convs[3]
    text = f'base = "neural-art"\n[conv.overrides."{chosen}"]\nS1 = 9'
    report = run(model, "neural-art", from_toml(text, "mine"))
    alone = [row.label for row in report.rows if row.cells[1].single.differing]
    assert alone == [chosen]
    assert next(row.label for row in report.rows if row.cells[1].entire.differing) == chosen
    assert report.rows[-1].cells[1].entire.differing > 0


def test_teacher_forcing_isolates_a_layer(model: Model) -> None:
    report = run(model, "ort", "tflite")
    by_op = {row.op: row.cells[1] for row in report.totals()}
    assert by_op["MaxPool"].single.differing == 0 < by_op["MaxPool"].entire.differing
    for row in report.rows:
        assert row.cells[1].single.largest <= 1


def test_inferred_rules_are_marked(model: Model) -> None:
    report = run(model, "ort", "neural-art", count=1)
    status = {row.op: [cell.status for cell in row.cells] for row in report.totals()}
    assert status["QLinearConv"] == ["established", "established"]
    assert status["QLinearConcat"] == ["established", "inferred"]
    assert status["MaxPool"] == ["", ""]
    assert report.statuses == ["established", "inferred"]


def test_codes_are_accepted_in_place_of_the_input(model: Model) -> None:
    codes = np.random.default_rng(3).integers(-128, 128, (1, 3, 16, 16), dtype=np.int8)
    pairs = [(name, PROFILES[name]) for name in ("ort", "tflite")]
    report = diff(model, pairs, [{"input": codes}])
    quantizer = report.rows[0]
    assert quantizer.op == "QuantizeLinear" and quantizer.cells[1].entire.elements == 0
    assert report.rows[1].cells[1].entire.elements > 0


def test_profiles_that_cannot_run_list_all_their_layers(model: Model) -> None:
    with pytest.raises(ProfileError) as caught:
        run(model, "ethos-u-natural", "ort", "nvdla")
    refused = [s for s in model.program().steps if s.op in ("QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool")]
    where = [problem.where for problem in caught.value.problems]
    for index in (0, 2):
        assert sum(text.startswith(f"profile '{index}', step ") for text in where) == len(refused) > 3
    assert not any(text.startswith("profile '1'") for text in where)


@dataclass(frozen=True)
class Blow(Stage):
    """A stage of a user's own that leaves int32."""

    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        return StageValue("Blow", value << 20)


def test_a_value_outside_a_domain_names_profile_and_layer(model: Model) -> None:
    tflite = PROFILES["tflite"]
    profile = replace(tflite, name="blow", conv=replace(tflite.conv, stages=(Blow(),)))
    with pytest.raises(ProfileError) as caught:
        run(model, "tflite", profile, count=1)
    first = next(step for step in model.program().steps if step.op == "QLinearConv")
    assert caught.value.problems[0].where.startswith(f"profile '1', step {first.label}, ")


def test_json_has_every_count(model: Model) -> None:
    found = run(model, "ort", "tflite", count=1).as_json()
    assert [p["name"] for p in found["profiles"]] == ["0", "1"]
    layer = next(layer for layer in found["layers"] if layer["op"] == "QLinearConv")
    assert set(layer["profiles"][1]) == {"status", "host_float", "entire", "single"}
    assert set(layer["profiles"][1]["entire"]) == {"elements", "differing", "largest", "note", "share"}


@pytest.mark.parametrize("other", ["ort-x64", "ort-unfused"])
def test_profiles_of_other_lowerings_are_paired_by_name(model: Model, other: str) -> None:
    """In the dtype of the file: under ort-x64 most codes are uint8."""
    report = run(model, "ort", other, count=3)
    plan = model.plan(other)
    for row in report.rows:
        count = row.cells[1].entire
        assert not count.note
        pairs = []
        for x in feeds(3):
            theirs = plan.program.tensors[row.name].as_in_file(model.trace(x, profile=other)[row.name])
            pairs.append((model.trace(x)[row.name], theirs))
        assert all(a.dtype == b.dtype for a, b in pairs)
        assert count.differing == sum(int(np.count_nonzero(a != b)) for a, b in pairs)
        assert row.cells[1].single.largest <= 1
    assert any(tensor.file_dtype is not None for tensor in plan.program.tensors.values()) == (other == "ort-x64")


def test_a_tensor_that_another_lowering_does_not_make(model: Model) -> None:
    report = run(model, "ort-unfused", "ort", count=1)
    notes = {row.op: row.cells[1].entire.note for row in report.rows}
    assert notes["Conv"] == "no such tensor in the lowering ort"
    assert not notes["QuantizeLinear"]


def test_the_report_is_the_same_whoever_computes_it(model: Model) -> None:
    """In all that was counted, also what JSON leaves out."""
    pairs = [(name, profile_named(name)) for name in ("ort", "tflite", "ort-unfused")]
    calls: list[None] = []
    inputs = feeds(5, seed=3)
    alone = diff(model, pairs, inputs)
    many = diff(model, pairs, iter(inputs), workers=2, progress=lambda: calls.append(None))
    assert many == alone and many.inputs == len(calls) == 5
    assert any(row.cells[1].entire.differing for row in many.rows)


def test_results_belong_to_the_model_and_the_profiles(model: Model, tmp_path: Path) -> None:
    """Whatever is kept in one folder: each run has its own."""
    other = qdqnp.load(dla(seed=2))
    fast = replace(profile_named("tflite"), accumulate=profile_named("cmsis-nn").accumulate)
    for network in (model, other):
        for profile in (profile_named("tflite"), fast):
            pairs = [("ort", profile_named("ort")), ("other", profile)]
            first = diff(network, pairs, feeds(1), results=tmp_path)
            assert first == diff(network, pairs, feeds(1)) == diff(network, pairs, feeds(1), results=tmp_path)


def test_the_first_bad_input_is_the_error(model: Model) -> None:
    bad = [*feeds(3), {"input": np.zeros((1, 4, 16, 16), np.float32)}, {"other": np.zeros(1, np.float32)}]
    with ThreadPoolExecutor(2) as executor:
        for where in ({}, {"executor": executor}):
            with pytest.raises(InputError, match="axis 1: expected 3, got 4"):
                diff(model, [("ort", profile_named("ort"))] * 2, bad, **where)
