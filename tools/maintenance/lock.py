"""Write the lock files: the exact versions of all packages in the two environments of the tests.

    python -m pip install -e ".[maintenance]"
    python -m tools.maintenance.lock

pip-compile resolves them for the Python and the platform that it runs on, to the newest releases. To have that very
environment: python -m pip install -e ".[test]" -c locks/test.txt
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "locks"
# file in locks/ -> the extras of pyproject.toml that it is for
ENVIRONMENTS = {"test.txt": ("test",), "oracles.txt": ("test", "oracles")}


def resolve(extras: tuple[str, ...]) -> list[str]:
    """Return one line 'name==version' for each package of these extras, as pip-compile finds them."""
    command = [sys.executable, "-m", "piptools", "compile", "--dry-run", "--quiet", "--upgrade"]
    command += ["--no-header", "--no-annotate", "--strip-extras", "--unsafe-package", "qdqnp"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"]
    command += [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run([*command, "pyproject.toml"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if "==" in line and not line.startswith("#")]


@click.command()
def main() -> None:
    """Resolve the environments of the tests, and write locks/."""
    LOCKS.mkdir(exist_ok=True)
    version = ".".join(platform.python_version_tuple()[:2])
    for name, extras in ENVIRONMENTS.items():
        head = f"# The extras {', '.join(extras)}, by `python -m tools.maintenance.lock`"
        head += f" with Python {version} on {sys.platform} {platform.machine()}."
        lines = [head, *resolve(extras)]
        (LOCKS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        click.echo(f"{LOCKS / name}: {len(lines) - 1} packages")


if __name__ == "__main__":
    main()
