"""Look for known vulnerabilities in the packages of the lock files.

    python -m pip install -e ".[maintenance]"
    python -m tools.maintenance.audit

pip-audit asks PyPI's database of advisories, so it needs the network. A package that could not be looked up is a
failure (--strict), not a package without vulnerabilities. Exit code 1 where something was found or not looked up.
"""

from __future__ import annotations

import subprocess
import sys

import click

from tools.maintenance.lock import ENVIRONMENTS, LOCKS


@click.command()
def main() -> None:
    """Look for known vulnerabilities in the packages of locks/."""
    files = [word for name in ENVIRONMENTS for word in ("--requirement", str(LOCKS / name))]
    command = [sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip", *files]
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
