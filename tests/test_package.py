"""What is built and published: one version everywhere, a changelog by release, and all that a source archive needs."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import qdqnp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
#: Of the repository's folders and files, those that no archive needs.
NOT_SHIPPED = {".ci", ".gitignore"}


def test_there_is_one_version() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "qdqnp/version.py"
    assert qdqnp.__version__ == importlib.metadata.version("qdqnp")
    newest = re.findall(r"^## (\S+)", CHANGELOG, re.MULTILINE)[0]
    assert newest == qdqnp.__version__


def releases() -> list[tuple[str, str]]:
    """The changelog's releases: heading and text."""
    _, *rest = re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)
    return [(one.splitlines()[0], one) for one in rest]


def test_the_changelog_is_by_release_and_kind() -> None:
    for heading, text in releases():
        assert re.fullmatch(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", heading)
        kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
        assert kinds == [kind for kind in ("Added", "Changed", "Fixed") if kind in kinds] and kinds
    assert [heading for heading, _ in releases() if "unreleased" in heading] in ([], [releases()[0][0]])
    opening = CHANGELOG.splitlines()[:30]
    assert "In short:" in opening and "### Added" in opening  # a newcomer need not read on


def test_each_entry_of_the_changelog_stands_there_once_and_whole() -> None:
    """Merges doubled some, and left ends of others behind."""
    entries: list[str] = []
    for line in CHANGELOG.splitlines():
        if line.startswith("- "):
            entries.append(line)
        elif line.startswith("  "):
            entries[-1] += " " + line.strip()
    assert [entry for entry in set(entries) if entries.count(entry) > 1] == []
    ends = [entry for entry in entries if entry.rstrip()[-1] not in ".?!)"]
    assert ends == []
    after = re.findall(r"^\n  .*", CHANGELOG, re.MULTILINE)  # lines that continue nothing
    assert after == []


def test_the_source_archive_has_all_that_the_repository_has() -> None:
    included = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert [name for name in included if not (ROOT / name).exists()] == []
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no repository")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert tops - NOT_SHIPPED - {"pyproject.toml"} == included


def test_the_wheel_has_the_package_alone_with_its_types() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["qdqnp"]
    assert (ROOT / "qdqnp" / "py.typed").exists() and "Typing :: Typed" in PROJECT["project"]["classifiers"]
    assert list((ROOT / "qdqnp").rglob("test*.py")) == []


def test_urls_are_those_of_a_home_that_there_is() -> None:
    """None so far: a URL that leads nowhere is worse than no URL."""
    assert [url for url in PROJECT["project"].get("urls", {}).values() if not url.startswith("https://")] == []
