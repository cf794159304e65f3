"""Print what the tests run on: Python, the platform, qdqnp's packages, and the BLAS that NumPy calls.

    python -m tools.maintenance.versions

Figures in the documents name these versions; .ci/run prints them in each of its environments.
"""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click

from qdqnp.inspection.machine import machine

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def requirements() -> list[str]:
    """Return what pyproject.toml requires, all extras included, but for references from one extra to others."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [line for line in lines if not line.startswith("qdqnp[")]


def packages() -> dict[str, str]:
    """Return the versions of the required packages, '-' where one is not installed."""
    names = {re.split(r"[^\w.-]", line)[0] for line in requirements()}
    return {name: _version(name) for name in sorted(names, key=str.lower)}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


def blas() -> Iterator[str]:
    """Yield NumPy's BLAS: as it was built, and as it runs here where threadpoolctl is installed."""
    found = machine()["blas"]
    yield f"built with {found['built_with']}"
    for one in found["loaded"]:
        yield f"{one['name']} {one['version']}, kernel {one['kernel'] or '?'}"
        yield f"{one['threads']} threads"


@click.command()
def main() -> None:
    """Print the versions of what the tests run on."""
    click.echo(f"Python {platform.python_version()}, {platform.platform()}")
    for name, version in packages().items():
        click.echo(f"{name} {version}")
    click.echo(f"BLAS: {'; '.join(blas())}")


if __name__ == "__main__":
    main()
