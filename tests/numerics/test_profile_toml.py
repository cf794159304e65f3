"""Profiles as TOML: there and back, what a base gives, every fault's message, and the document's example."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ProfileError
from qdqnp.inputs.shipped import shipped_model
from qdqnp.numerics.profile import rule_names
from qdqnp.numerics.profile_toml import from_toml, load_profile, profile_from
from qdqnp.numerics.profile_writer import to_toml
from qdqnp.numerics.profiles import ALIASES, PROFILES, profile_named
from qdqnp.numerics.profiles.families import complete
from qdqnp.numerics.rule import kind_name
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.stages import MultiplyHigh, ShiftLeft, ShiftRight

DOCUMENT = Path(__file__).parents[2] / "docs" / "numerics.md"
NEURAL_ART = DOCUMENT.with_name("neural-art.md")
TFLITE = PROFILES["tflite"]
CMSIS = PROFILES["cmsis-nn"]  # all of its operators share one requantization


def problems(text: str) -> dict[str, tuple[str, str]]:
    """(expected, got) of each problem, by its path."""
    with pytest.raises(ProfileError) as caught:
        from_toml(text, "mine")
    return {problem.where: (problem.expected, problem.got) for problem in caught.value.problems}


# -- there and back ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PROFILES)
def test_every_shipped_profile_survives_the_round_trip(name: str) -> None:
    text = to_toml(PROFILES[name])
    assert from_toml(text, "other") == PROFILES[name]
    assert to_toml(from_toml(text, "other")) == text


def test_an_inferred_rule_that_others_refer_to_survives_the_round_trip() -> None:
    down = replace(CMSIS.conv, stages=(ShiftLeft(), MultiplyHigh(), ShiftRight("floor")), status="inferred")
    profile = complete("down", "down", "a test", down)
    assert profile.status == profile.conv.status == profile.add.rescale.status == "inferred"
    text = to_toml(profile)
    assert from_toml(text, "other") == profile and text.count('kind = "rescale"') == 1


def test_a_file_in_place_of_a_name_is_told_how_to_be_read() -> None:
    with pytest.raises(ProfileError, match=r"Read a file with qdqnp\.numerics\.profile_toml\.load_profile\.$"):
        profile_named("mine.toml")


def test_strange_text_survives_the_round_trip() -> None:
    label = 'a "b".c\\d\n\x7f\u00e9\U0001f600 [x]'
    conv = NarrowThenAffine(tie="half-even", overrides=((label, (("S1", 3), ("A", (1, -2)), ("BC", 7))),))
    profile = replace(PROFILES["neural-art-1.1.3"], name="mine", summary=label, conv=conv)
    again = from_toml(to_toml(profile), "other")
    assert again == profile
    assert hash(again) == hash(profile)  # plans are kept by profile


def test_equal_rules_are_written_once() -> None:
    text = to_toml(CMSIS)
    assert text.count('kind = "rescale"') == 1
    assert 'gemm = "conv"' in text and text.count('rescale = "conv"') == 5


def test_a_changed_rule_reaches_all_that_refer_to_it() -> None:
    text = to_toml(CMSIS).replace('name = "cmsis-nn"', "").replace('rounding = "half-away"', 'rounding = "floor"')
    profile = from_toml(text, "mine")
    assert profile.name == "mine"
    for rule in (profile.conv, profile.gemm, profile.add.rescale, profile.average_pool.mean.rescale):
        assert rule.stages[-1] == ShiftRight("floor")


# -- base -------------------------------------------------------------------------------------------------------------
def test_a_base_alone_is_the_base_under_another_name() -> None:
    assert from_toml('base = "tflite"', "mine") == replace(TFLITE, name="mine")


def test_fields_of_a_table_are_merged_with_the_base() -> None:
    profile = from_toml('base = "tflite"\n[conv]\nprecision = "float32"', "mine")
    assert profile.conv == replace(TFLITE.conv, precision="float32", status="inferred")
    assert profile.gemm == TFLITE.gemm and profile.add == TFLITE.add
    nested = from_toml('base = "tflite"\n[conv.scheme]\nsingle = true', "mine")
    assert nested.conv == replace(TFLITE.conv, scheme=replace(TFLITE.conv.scheme, single=True), status="inferred")
    deep = from_toml('base = "tflite"\n[add.rescale]\naccumulator = 64', "mine")
    assert deep.add.rescale == replace(TFLITE.add.rescale, accumulator=64)


def test_another_kind_replaces_the_base_table() -> None:
    profile = from_toml('base = "tflite"\n[conv]\nkind = "narrow-then-affine"\ntie = "half-even"', "mine")
    assert profile.conv == NarrowThenAffine(tie="half-even")
    assert profile.gemm == TFLITE.gemm


def test_overrides_of_layers() -> None:
    text = 'base = "neural-art"\n[conv.overrides."Conv 1"]\nS1 = 3\nA = [1, 2]\n[conv.overrides.two]\nBC = -5'
    profile = from_toml(text, "mine")
    assert profile.conv.overrides == (("Conv 1", (("S1", 3), ("A", (1, 2)))), ("two", (("BC", -5),)))


def test_a_base_with_other_rules_is_no_longer_established() -> None:
    profile = from_toml('base = "tflite"\n[conv]\nprecision = "float32"', "mine")
    assert (profile.status, profile.source, profile.conv.status) == ("inferred", "mine", "inferred")
    assert profile.gemm.status == "established"
    stated = from_toml(
        'base = "tflite"\nstatus = "established"\nsource = "manual"\n[conv]\nstatus = "established"', "m"
    )
    assert (stated.status, stated.source, stated.conv) == ("established", "manual", TFLITE.conv)


def test_a_string_refers_to_another_rule() -> None:
    text = """
        base = "neural-art"
        matmul = "softmax"
        [conv]
        kind = "rescale"
        scheme = { kind = "reduced16" }
        stages = [{ kind = "shift-left" }]
        [add]
        kind = "three-rescale-add"
        rescale = "conv"
    """
    profile = from_toml(text, "mine")
    assert isinstance(profile.matmul, Undefined)
    assert isinstance(profile.conv, Rescale) and profile.conv.stages == (ShiftLeft(),)
    assert profile.add.rescale == replace(profile.conv, status="established")


# -- faults -----------------------------------------------------------------------------------------------------------
NARROW = '[conv]\nkind = "narrow-then-affine"\ntie = "half-up"\n'
ROUNDING_NAMES = "one of half-up, half-away, half-even, floor, truncate"


@pytest.mark.parametrize(
    ("text", "path", "expected", "got"),
    [
        ("extra = 1", "extra", "one of the keys name, summary", "an unknown key"),
        ("[conv]\nextra = 1", "conv.extra", "one of the keys kind, scheme, stages", "an unknown key"),
        (
            '[conv]\nkind = "nonsense"',
            "conv.kind",
            "one of by-symmetry, float-round, float-scale, narrow-then-affine",
            '"nonsense"',
        ),
        ("[conv]\nkind = 7", "conv.kind", "one of by-symmetry", "7"),
        ('[conv]\nkind = "rescale"\nscheme = 3', "conv.scheme", "a table with a kind", "3"),
        ("[conv.scheme]\nsingle = 1", "conv.scheme.single", "true or false", "1"),
        ("[conv]\nstages = []", "conv.stages", "a list of tables, at least one", "[]"),
        (
            "[conv]\nstages = [{}]",
            "conv.stages[0].kind",
            "one of double-round, fixed-left-shift, multiply-high",
            "nothing",
        ),
        (
            '[conv]\nstages = [{kind = "shift-left"}, {kind = "shift-right"}]',
            "conv.stages[1].rounding",
            ROUNDING_NAMES,
            "nothing",
        ),
        (
            '[conv]\nstages = [{kind = "shift-left"}, {kind = "shift-right", rounding = "up"}]',
            "conv.stages[1].rounding",
            ROUNDING_NAMES,
            '"up"',
        ),
        ('[conv]\nstages = [{kind = "saturate", bits = 1}]', "conv.stages[0].bits", "an integer from 2 to 32", "1"),
        ('[conv]\nstages = [{kind = "saturate", bits = true}]', "conv.stages[0].bits", "an integer from 2", "true"),
        ("[conv]\naccumulator = 65", "conv.accumulator", "an integer from 8 to 64", "65"),
        ('[conv]\nprecision = "half"', "conv.precision", "one of float64, float32-product, float32", '"half"'),
        ("[conv]\nshifts = [0, 63]", "conv.shifts[1]", "an integer from 0 to 62", "63"),
        ("[conv]\nshifts = [5, 4]", "conv.shifts", "the lowest before the highest", "[5, 4]"),
        ("[conv]\nshifts = 4", "conv.shifts", "a list of two integers", "4"),
        ('[conv]\nstatus = "sure"', "conv.status", "one of established, inferred, unknown", '"sure"'),
        (
            '[conv]\nkind = "float-round"\nscale = "float32"\nprecision = "float32"',
            "conv.ties_to",
            "one of half-even, half-away",
            "nothing",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "half-up"\naccumulator = 32',
            "conv.accumulator",
            "one of exact, saturate-24, wrap-24",
            "32",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "floor"\noverrides = 1',
            "conv.overrides",
            "a table of layers",
            "1",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "floor"\noverrides = {a = 1}',
            'conv.overrides."a"',
            "a table of S1",
            "1",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "half-up"\n[conv.overrides."x y"]\nS3 = 1',
            'conv.overrides."x y".S3',
            "one of the keys S1, S2, A, BC",
            "an unknown key",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "half-up"\n[conv.overrides.x]\nS1 = 32',
            'conv.overrides."x".S1',
            "an integer from 0 to 31",
            "32",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "half-up"\n[conv.overrides.x]\nS1 = [3]',
            'conv.overrides."x".S1',
            "an integer from 0 to 31",
            "[3]",
        ),
        (
            '[conv]\nkind = "narrow-then-affine"\ntie = "half-up"\n[conv.overrides.x]\nA = [1, 40000]',
            'conv.overrides."x".A',
            "an integer from -32768 to 32767, or a list of them",
            "[1, 40000]",
        ),
        (
            '[add]\nkind = "float-mul"',
            "add.kind",
            "one of aligned-add, code-add, common-shift-add, fixed-add, float-add, operand-add, power-add",
            '"float-mul"',
        ),
        ('[add]\nkind = "aligned-add"\ntie = "half-up"\ninner = 3', "add.inner", ROUNDING_NAMES, "3"),
        ("[add]\nleft_shift = 23", "add.left_shift", "an integer from 0 to 22", "23"),
        (
            '[lookup]\nkind = "rescaled-lookup"',
            "lookup.kind",
            "one of delegated-lookup, float-lookup, float-table-lookup, rational-lookup, rounded-table",
            "rescaled",
        ),
        ('gemm = "nothing"', "gemm", "a table, or one of the profile's tables (convert, accumulate, ", '"nothing"'),
        ('add = "conv"', "add.kind", "one of aligned-add", '"rescale"'),
        ("gemm = 3", "gemm", "a table with a kind", "3"),
        ("host_float = 1", "host_float", "true or false", "1"),
        ("summary = 1", "summary", "a string", "1"),
        ('lowering = "none"', "lowering", "one of device, device-16x8, device-exact, ort", '"none"'),
        ('name = "ort"', "name", "a name of its own, because this is not qdqnp's 'ort'", "'ort'"),
    ],
)
def test_every_fault_names_its_field(text: str, path: str, expected: str, got: str) -> None:
    found = problems(f'base = "tflite"\n{text}')
    assert list(found) == [path]
    assert found[path][0].startswith(expected)
    assert got in found[path][1]


def test_an_unknown_base() -> None:
    found = problems('base = "nonsense"')
    assert list(found) == ["base"] and "tflite-single" in found["base"][0]


def test_without_a_base_every_missing_rule_is_listed() -> None:
    found = problems('[conv]\nkind = "rescale"')
    assert set(found) == {"conv.scheme", "conv.stages", *rule_names()} - {
        "conv",
        "convert",
        "accumulate",
        "resize",
        "float_sum",
    }


def test_all_faults_are_listed_at_once_and_once() -> None:
    text = to_toml(CMSIS).replace("accumulator = 32", "accumulator = 1").replace('"half-away"', '"up"')
    averages = {f"{pool}.rounding" for pool in ("average_pool", "global_average_pool")}
    roundings = {"conv.stages[2].rounding", *averages}
    assert set(problems(text + "[extra]")) == {"extra", "conv.accumulator", *roundings}


# -- files ------------------------------------------------------------------------------------------------------------
def test_files_and_names(tmp_path: Path) -> None:
    file = tmp_path / "my_npu.toml"
    file.write_text('base = "tflite"', encoding="utf-8")
    assert profile_from(str(file)) == load_profile(file) == replace(TFLITE, name="my_npu")
    assert profile_from("neural-art") is PROFILES[ALIASES["neural-art"]]
    assert profile_from(TFLITE) is TFLITE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a readable TOML file in UTF-8, got No such file or directory"),
        (b"\xff", "expected a readable TOML file in UTF-8, got 'utf-8' codec"),
        (b'base = "ort"\n[conv\n', "expected TOML, got Expected ']' at the end of a table declaration (at line 2"),
        (b'base = "no"', "base: expected one of"),
    ],
)
def test_files_that_are_no_profiles(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ProfileError) as caught:
        profile_from(str(file))
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ProfileError, match="no such profile"):
        profile_from("my_npu")


# -- the document -----------------------------------------------------------------------------------------------------
def examples() -> list[str]:
    text = "".join(page.read_text(encoding="utf-8") for page in (NEURAL_ART, DOCUMENT))
    return re.findall(r"```toml \S+\n(.*?)```", text, re.S)


def test_the_documents_examples_are_profiles_that_run() -> None:
    overrides, whole = found = [from_toml(text, "my_npu") for text in examples()]
    assert overrides.conv == NarrowThenAffine(tie="half-even", overrides=(("level0.0", (("S1", 3),)),))
    assert isinstance(whole.conv, Rescale)
    assert whole.conv.stages == (ShiftLeft(), MultiplyHigh(), ShiftRight("half-even"))
    model = qdqnp.load(shipped_model("dla46_c_int8"))  # has the layer that the example names
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)
    for profile in found:
        assert model.run(x, profile=profile)


def test_the_document_lists_every_profile_and_every_rounding() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in (*PROFILES, *ALIASES):
        assert f"`{name}`" in text, name
    for picture in re.findall(r"\((images/[^)]*)\)", text):
        assert (DOCUMENT.parent / picture).is_file()
    drawn = {path.name for path in (DOCUMENT.parent / "images" / "rounding").iterdir()}
    assert drawn == {Path(picture).name for picture in re.findall(r"\((images/rounding/[^)]*)\)", text)}


def test_the_pictures_are_what_the_tool_draws(tmp_path: Path) -> None:
    tool = DOCUMENT.parents[1] / "tools" / "draw" / "draw_roundings.py"
    subprocess.run([sys.executable, str(tool), "--out", str(tmp_path)], check=True, capture_output=True)
    kept = DOCUMENT.parent / "images" / "rounding"
    for folder in (kept, tmp_path):
        assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in kept.iterdir())
    for path in kept.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_names_of_kinds() -> None:
    assert [kind_name(kind) for kind in (NarrowThenAffine, MultiplyHigh)] == ["narrow-then-affine", "multiply-high"]
