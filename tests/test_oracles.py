"""A test of an oracle is skipped where the oracle is missing, and fails with --oracles; .ci/run runs both commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.oracle
def test_missing():
    pytest.skip("needs what is not there")

@pytest.mark.oracle
def test_there():
    pass

@pytest.mark.oracle
@pytest.mark.skipif(True, reason="needs what is not there")
def test_marked():
    pass

def test_of_no_oracle():
    pytest.skip("for another reason")
"""


def outcome(folder: Path, *options: str) -> str:
    """The last line that pytest prints for TESTS, under this project's conftest."""
    (folder / "test_it.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options, str(folder / "test_it.py")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return re.sub(r" in .*", "", done.stdout.splitlines()[-1])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_would_be_skipped_fails_where_the_oracles_are_asked_for(tmp_path: Path, workers: str) -> None:
    assert outcome(tmp_path, "-n", workers) == "1 passed, 3 skipped"
    assert outcome(tmp_path, "-n", workers, "--oracles").startswith("1 failed, 1 passed")
    assert outcome(tmp_path, "-n", workers, "--oracles").endswith("1 error")


def test_ci_runs_the_commands_of_the_documents() -> None:
    """Each pattern that .ci/run looks for is one line of the document."""
    patterns = re.findall(r"grep -m1 -x '(.*)' (\S+\.md)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert [document for _, document in patterns] == ["README.md", "CONTRIBUTING.md"]
    for pattern, document in patterns:
        assert re.search(f"^{pattern}$", (ROOT / document).read_text(encoding="utf-8"), re.M)
