"""The lock files fit pyproject.toml, and hold versions only."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.maintenance.lock import ENVIRONMENTS, LOCKS
from tools.maintenance.versions import PROJECT, packages, requirements

LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}


def pins(name: str) -> dict[str, str]:
    lines = (LOCKS / name).read_text(encoding="utf-8").splitlines()[1:]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in lines)
    return dict(line.split("==") for line in lines)


def required() -> dict[str, Requirement]:
    """Every requirement of the project by its normalized name."""
    return {canonicalize_name(entry.name): entry for entry in map(Requirement, requirements())}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_pins_satisfy_the_project(name: str) -> None:
    found = pins(name)
    wanted = {key: entry for key, entry in required().items() if key in found}
    assert {key: found[key] for key, entry in wanted.items() if not entry.specifier.contains(found[key], True)} == {}


def test_each_environment_has_all_that_it_needs() -> None:
    oracles = {"tosa-tools", "tflite-micro"}
    elsewhere = {
        "pip-tools",
        "pip-audit",
        "build",
        "twine",
        "openvino",
        "tract",
        "torch",
    }  # of extras that no test needs
    names = required().keys() - elsewhere
    assert names <= pins("oracles.txt").keys()
    assert names - pins("test.txt").keys() == oracles


def test_the_tests_run_on_newer_packages_than_the_oracles_allow() -> None:
    """The reason for two environments; where it is gone, there may be one."""
    newest, pinned = pins("test.txt"), pins("oracles.txt")
    assert {name for name in pinned if name in newest and pinned[name] != newest[name]} >= {"numpy", "onnx"}


def test_versions_names_every_package() -> None:
    found = packages()
    assert {canonicalize_name(name) for name in found} == required().keys()
    assert found["numpy"] != "-"
    assert "[test]" not in " ".join(requirements()) and PROJECT.name == "pyproject.toml"


def test_the_audit_asks_about_both_files_and_fails_where_it_knows_nothing(tmp_path: Path) -> None:
    """With a pip_audit of our own in its place, which records its arguments and ends with 3."""
    (tmp_path / "pip_audit.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tools.maintenance.audit"],
        cwd=PROJECT.parent,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "--strict" in done.stdout
    assert all(str(LOCKS / name) in done.stdout for name in ENVIRONMENTS)
