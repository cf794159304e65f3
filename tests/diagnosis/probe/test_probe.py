"""Probes: simulated devices with hidden parameters answer them, and the answers are read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.diagnosis.probe.catalog import probes
from qdqnp.diagnosis.probe.probes import Probe
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import load_profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine

TIES = tuple(ROUNDINGS)
ART = PROFILES["neural-art-1.1.3"]
ALL = {probe.name: probe for probe in probes()}
Device = Callable[[Probe], np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("probes") / "probes"
    result = run("probe", "--out", made)
    assert result.exit_code == 0, result.output
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def engine(profile: Profile) -> Device:
    """The engine with hidden parameters, on the real inputs that the folder holds."""
    return lambda probe: probe.model.run(probe.feeds, profile=profile, codes=True)["y_dq"]


def table(profile: Profile) -> Device:
    """A device that fills a Sigmoid's table as ONNX Runtime does, where Neural-ART's is not known."""
    return engine(replace(profile, lookup=PROFILES["ort"].lookup))


def answered(out: Path, device: Device, others: Mapping[str, Device] | None = None) -> Path:
    out.mkdir()
    devices = {"activation": table(ART), **(others or {})}
    for name, probe in ALL.items():
        np.save(out / f"{name}.npy", devices.get(name, device)(probe))
    return out


def remaining(folder: Path, answers: Path, *arguments: object) -> tuple[dict[str, list[str]], Result]:
    result = run("identify", folder, answers, "--json", *arguments)
    assert result.exit_code in (0, 1), result.output
    return {one["probe"]: one["remaining"] for one in json.loads(result.stdout)["probes"]}, result


def test_the_folder_holds_what_its_page_says(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    index = json.loads((folder / "probes.json").read_text())
    assert [one["name"] for one in index["probes"]] == list(ALL)
    for name, probe in ALL.items():
        assert f"## {name}" in page and probe.question in page
        model = qdqnp.load(folder / name / "model.onnx")
        onnx.checker.check_model(onnx.load(folder / name / "model.onnx"), full_check=True)
        feeds = {key: np.load(folder / name / f"{key}.npy") for key in probe.codes}
        codes = {key: np.load(folder / name / f"{key}_codes.npy") for key in probe.codes}
        trace = model.trace(feeds)
        assert all(np.array_equal(trace[f"{key}_q"], codes[key]) for key in codes)
        with np.load(folder / name / "expected.npz") as expected:
            texts = next(one["hypotheses"] for one in index["probes"] if one["name"] == name)
            assert len(expected.files) == len(texts) == len(probe.hypotheses)
            for number, codes_of in enumerate(probe.answers().values()):
                assert np.array_equal(expected[f"h{number:02d}"], codes_of)
        assert golden_sets.read(folder / name / "golden").inputs == 1


def test_answers_are_what_the_engine_gives() -> None:
    """Hypotheses are computed on evidence; a plan of the same rule gives the same codes."""
    fields = {
        "first_tie": "conv",
        "second_tie": "conv",
        "roundings": "conv",
        "add_tie": "add",
        "add_inner": "add",
        "add_inner_2": "add",
        "accumulator_24": "conv",
        "accumulator_32": "conv",
        "average_49": "global_average_pool",
        "average_raw": "global_average_pool",
        "large_kernel": "conv",
        "generation": "conv",
        "chained_units": "conv",
        "activation": "lookup",
    }
    for name, probe in ALL.items():
        answers, checked = probe.answers(), 0
        for hypothesis in probe.hypotheses:
            if hypothesis.rule is not None:
                changed: dict[str, Any] = {fields[name]: hypothesis.rule}
                assert np.array_equal(answers[hypothesis.text], engine(replace(ART, **changed))(probe))
                checked += 1
        assert checked


def test_what_a_probe_is_for_is_told_apart() -> None:
    for name in ("first_tie", "second_tie", "add_tie", "average_49"):
        codes = [one.tobytes() for one in ALL[name].answers().values()]
        assert len(set(codes)) == len(codes)
    near, far = ALL["add_inner"].answers(), ALL["add_inner_2"].answers()
    for outer in TIES:  # which add_tie tells
        pairs = {(near[text].tobytes(), far[text].tobytes()) for text in near if text.endswith(f"outer {outer}")}
        assert len(pairs) == len(TIES) - (outer == "floor")
    codes = [one.tobytes() for one in ALL["generation"].answers().values()]
    assert len(set(codes)) == len(codes) - 2  # ort, tflite-single and exact are alike
    chained = ALL["chained_units"].answers()
    whole, *others = chained.values()
    assert not any(np.array_equal(whole, other) for other in others)
    for name in ("accumulator_24", "accumulator_32"):
        assert len({codes.tobytes() for codes in ALL[name].answers().values()}) >= 3


def test_sums_of_the_accumulator_probes_pass_their_widths() -> None:
    for name, limit in (("accumulator_24", 2**23), ("accumulator_32", 2**31)):
        probe = ALL[name]
        events = probe.model.trace(probe.feeds, events=True).events["y_q"]
        assert events.accumulator_max >= limit > 0


def test_hidden_parameters_are_read_back(folder: Path, tmp_path: Path, rng: np.random.Generator) -> None:

    def tie() -> str:
        return str(rng.choice(TIES))

    first, last, inner, outer, mean = tie(), tie(), tie(), tie(), tie()
    accumulator = str(rng.choice(["exact", "saturate-24", "wrap-24"]))
    conv = NarrowThenAffine(last, accumulator, first_tie="same" if first == last else first)
    hidden = replace(ART, name="hidden", conv=conv, add=AlignedAdd(outer, inner), global_average_pool=NarrowMean(mean))
    print(conv, hidden.add, mean)
    answers = answered(tmp_path / "answers", engine(hidden))
    found, result = remaining(folder, answers, "--fit", tmp_path / "mine.toml")
    assert result.exit_code == 0
    assert found["first_tie"] == [first] and found["second_tie"] == [last] and found["add_tie"] == [outer]
    assert f"inner {inner}, outer {outer}" in set(found["add_inner"]) & set(found["add_inner_2"])
    assert len(set(found["add_inner"]) & set(found["add_inner_2"])) <= (2 if outer == "floor" else 1)
    assert found["average_49"] == [f"16-bit reciprocal, two stages, {mean}"]
    assert f"two stages, accumulator {accumulator}" in found["accumulator_24"] or last in ("floor", "truncate")
    fitted = load_profile(tmp_path / "mine.toml")
    assert (fitted.conv, fitted.global_average_pool) == (hidden.conv, hidden.global_average_pool)
    assert fitted.add == hidden.add or (outer == "floor" and {inner, fitted.add.inner} <= {"half-up", "half-even"})


@pytest.mark.parametrize("name", ["ort", "tflite", "exact"])
def test_devices_that_round_once_are_named(folder: Path, tmp_path: Path, name: str) -> None:
    answers = answered(tmp_path / "answers", engine(PROFILES[name]))
    found, result = remaining(folder, answers, "--fit", tmp_path / "mine.toml")
    tie = {"ort": "half-even", "exact": "half-even"}.get(name, "half-up")
    assert found["first_tie"] == [tie] and found["second_tie"] == [tie]
    assert f"as {name}" in found["add_inner"] and f"as {name}" in found["average_49"]
    assert found["accumulator_32"] == ["wider than 32 bits" if name == "exact" else "wraps at 32 bits"]
    report = json.loads(result.stdout)
    assert name in report["everywhere"] and report["fit"]["unfitted"] == []


@pytest.mark.parametrize("name, words", [("neural-art-1.1.3", "two"), ("neural-art-1.1.1", "three")])
def test_the_generation_of_the_compiler_is_named(folder: Path, tmp_path: Path, name: str, words: str) -> None:
    answers = answered(tmp_path / "answers", engine(PROFILES[name]))
    found, result = remaining(folder, answers, "--fit", tmp_path / "mine.toml")
    (text,) = found["generation"]
    assert text.startswith(f"{words} narrowings") and "first half-up" in text
    assert found["chained_units"] == ["every unit hands on the whole sum, or one that wraps and comes back"]
    assert load_profile(tmp_path / "mine.toml").conv == PROFILES[name].conv
    assert result.exit_code == 0


def cut_device(probe: Probe) -> np.ndarray:
    """Two units, between which sums saturate at 24 bits; written out here for the one layer."""
    x = probe.codes["x"].astype(int)[0].reshape(1920, 64)
    products = x * probe.model.program().tensors["w_codes"].const.astype(int).reshape(1920, 1)
    handed = np.clip(products[:960].sum(axis=0), -(2**23), 2**23 - 1)
    total = np.clip(handed + products[960:].sum(axis=0), -(2**15), 2**15 - 1)  # the first narrowing, S1 = 0
    return np.clip(np.floor(total / 2**8 + 0.5), -128, 127).astype(np.int8).reshape(1, 1, 8, 8)


def test_a_chain_that_loses_bits_between_its_units_is_recognized(folder: Path, tmp_path: Path) -> None:
    answers = answered(tmp_path / "answers", engine(ART), {"chained_units": cut_device})
    found, result = remaining(folder, answers, "--fit", tmp_path / "mine.toml")
    assert "2 units, sums saturate at 24 bits between them" in found["chained_units"]
    assert json.loads(result.stdout)["fit"]["left_out"] == ["chained_units"]


def split_device(parts: int) -> Device:
    """A convolution in `parts` runs of input channels, added with 16-bit saturation: written out here for one layer."""

    def device(probe: Probe) -> np.ndarray:
        program = probe.model.program()
        x, w = probe.codes["x"].astype(int)[0], program.tensors["w_codes"].const.astype(int)[0]
        m = 2.0 ** (-4 - 6 + 2)  # s_x * s_w / s_y
        out = np.zeros((1, 1, 8, 8), np.int8)
        for row in range(8):
            for column in range(8):
                total = 0
                for channels in np.array_split(np.arange(16), parts):
                    part = int((x[channels, row : row + 11, column : column + 11] * w[channels]).sum())
                    total = max(-(2**15), min(2**15 - 1, total + max(-(2**15), min(2**15 - 1, part))))
                out[0, 0, row, column] = max(-128, min(127, int(np.floor(total * m + 0.5))))
        return out

    return device


def test_a_split_is_recognized_and_not_fitted_to(folder: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    parts = int(rng.integers(2, 5))
    answers = answered(tmp_path / "answers", engine(ART), {"large_kernel": split_device(parts)})
    found, result = remaining(folder, answers, "--fit", tmp_path / "mine.toml")
    assert found["large_kernel"] == [f"split in {parts} by input channels"]
    fitted = json.loads(result.stdout)["fit"]
    assert fitted["unfitted"] == [] and fitted["left_out"] == ["large_kernel"]
    assert load_profile(tmp_path / "mine.toml").conv == ART.conv


def test_an_accumulator_that_saturates_at_32_bits_is_recognized(folder: Path, tmp_path: Path) -> None:
    def device(probe: Probe) -> np.ndarray:
        sums = 127 * probe.codes["x"].astype(int).sum(axis=1, keepdims=True) + 2**31 - 2**23
        return np.clip(np.rint(np.clip(sums, -(2**31), 2**31 - 1) / 2**24) - 64, -128, 127).astype(np.int8)

    answers = answered(tmp_path / "answers", engine(PROFILES["exact"]), {"accumulator_32": device})
    found, _ = remaining(folder, answers)
    assert found["accumulator_32"] == ["saturates at 32 bits"]


def test_answers_may_be_few_real_or_channel_last(folder: Path, tmp_path: Path) -> None:
    probe = ALL["average_49"]
    codes = engine(ART)(probe)
    (tmp_path / "answers").mkdir()
    np.savez(tmp_path / "answers" / "average_49.npz", y_dq=probe.model.run(probe.feeds, profile=ART)["y_dq"])
    np.save(tmp_path / "answers" / "first_tie.npy", np.moveaxis(engine(ART)(ALL["first_tie"]), 1, -1))
    found, _ = remaining(folder, tmp_path / "answers")
    assert found == {"first_tie": ["half-up"], "average_49": ["16-bit reciprocal, two stages, half-up"]}
    assert codes.shape == (1, 128, 1, 1)


def test_a_wrong_answer_has_no_hypothesis(folder: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    answers.mkdir()
    np.save(answers / "first_tie.npy", -engine(ART)(ALL["first_tie"]))
    found, _ = remaining(folder, answers)
    assert found == {"first_tie": []}
    assert "no hypothesis gives every code; the nearest misses" in run("identify", folder, answers).output


def test_what_cannot_be_read_or_written_is_refused(folder: Path, tmp_path: Path) -> None:
    assert run("probe", "--out", folder).exit_code == 2
    (tmp_path / "file").write_text("")
    assert run("probe", "--out", tmp_path / "file" / "folder").exit_code == 2
    (tmp_path / "empty").mkdir()
    result = run("identify", folder, tmp_path / "empty")
    assert result.exit_code == 2 and "no answers" in result.output
    (tmp_path / "wrong").mkdir()
    np.save(tmp_path / "wrong" / "first_tie.npy", np.zeros(7, np.int8))
    result = run("identify", folder, tmp_path / "wrong")
    assert result.exit_code == 2 and "first_tie" in result.output
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "probes.json").write_text("{}")
    result = run("identify", tmp_path / "old", tmp_path / "empty")
    assert result.exit_code == 2 and "not this version's" in result.output
