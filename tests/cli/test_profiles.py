"""`qdqnp profiles` and `qdqnp profiles show`: what they list, JSON, TOML, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.inspection.coverage import coverage, covered
from qdqnp.numerics.profile import rule_names
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profiles import PROFILES

COVERAGE = {
    "ort": "complete",
    "exact": "complete",
    "tflite": "complete",
    "neural-art-1.1.3": "all but Mul, LeakyRelu, Tanh, HardSwish, HardSigmoid, Sigmoid, Softmax, ResizeLinear",
    "tosa-single": "all but ResizeLinear",
    "pow2": "all but Softmax, ResizeLinear",
    "nvdla": "requantization only",
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_list_has_every_profile_with_status_and_coverage() -> None:
    result = run("profiles")
    assert result.exit_code == 0, result.output
    for name, profile in PROFILES.items():
        line = next(line for line in result.output.splitlines() if line.split(",")[0].split()[:1] == [name])
        beginning, some = " ".join(profile.summary.split()[:4]), " ".join(coverage(profile).split()[:3])
        assert profile.status in line and beginning in line and some in line  # long cells are folded
    assert "neural-art-1.1.3, neural-art" in result.output


def test_coverage() -> None:
    assert {name: coverage(PROFILES[name]) for name in COVERAGE} == COVERAGE
    assert all(covered(field) for field in rule_names())


def test_the_list_as_json() -> None:
    found = {entry["name"]: entry for entry in json.loads(run("profiles", "--json").stdout)["profiles"]}
    assert list(found) == list(PROFILES)
    art = found["neural-art-1.1.3"]
    assert art["aliases"] == ["neural-art"] and art["status"] == "inferred"
    assert art["undefined"] == ["mul", "lookup", "softmax", "resize"]
    assert art["inferred"] == ["matmul", "concat", "average_pool", "global_average_pool"]
    assert all(entry["source"] and entry["summary"] for entry in found.values())


@pytest.mark.parametrize("name", [*PROFILES, "neural-art"])
def test_show_as_toml_is_a_starting_point(name: str, tmp_path: Path) -> None:
    result = run("profiles", "show", name, "--toml")
    assert result.exit_code == 0
    profile = from_toml(result.stdout, "x")
    assert profile is not None and profile.name in PROFILES
    file = tmp_path / "mine.toml"
    file.write_text(result.stdout.replace(f'name = "{profile.name}"', 'name = "mine"'), encoding="utf-8")
    assert run("profiles", "show", file).output.splitlines()[0] == "name: mine"


def test_show_prints_each_rule_with_its_status() -> None:
    result = run("profiles", "show", "neural-art")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert "established" in lines["conv"] and "inferred" in lines["matmul"] and "narrow-then-affine" in lines["conv"]
    assert "unknown" in lines["mul"] and "undefined" in lines["mul"]
    assert "established" in lines["convert"]
    assert "as conv" in lines["gemm"]
    found = json.loads(run("profiles", "show", "tflite", "--json").stdout)
    assert found["rules"]["conv"]["stages"][1] == {"kind": "multiply-high", "rounding": "half-up"}
    assert {rule["status"] for rule in found["rules"].values()} == {"established", "unknown"}


def test_a_users_own_words_are_no_markup(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'base = "ort"\nsummary = "[red]x[/red]\\u001b[31m"\n[mul]\nkind = "undefined"\nreason = "[b]no[/b]"'
    )
    result = run("profiles", "show", file)
    assert result.exit_code == 0
    assert "summary: [red]x[/red]\\x1b[31m" in result.output and "reason = [b]no[/b]" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nonsense"), "no such profile"),
        (("show", "missing.toml"), "cannot read a profile"),
        (("show", "ort", "--toml", "--json"), "either --toml or --json"),
        (("--json", "show", "ort"), "--json goes after the name"),
        (("show",), "Missing argument"),
        (("nonsense",), "No such command"),
    ],
)
def test_bad_usage_exits_with_2(arguments: tuple[str, ...], message: str) -> None:
    result = run("profiles", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr and "Traceback" not in result.output


def test_a_bad_file_lists_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "tflite"\n[conv]\naccumulator = 1\nprecision = "x"')
    result = run("profiles", "show", file)
    assert result.exit_code == 2
    assert "conv.accumulator: expected an integer from 8 to 64, got 1" in result.stderr
    assert "conv.precision: expected" in result.stderr
