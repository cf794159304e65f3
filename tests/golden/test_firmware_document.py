"""docs/firmware.md as a reader follows it: its files are written, its commands run, their output is what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qdqnp

DOCUMENT = Path(__file__).parents[2] / "docs" / "firmware.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_document(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, arguments in (("python", ""), ("qdqnp", "-m qdqnp")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (tools / name).chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(qdqnp.__file__).parents[1]),
    }
    variables, shown, output = "", 0, ""
    for language, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        if language == "c":
            (folder / text.split()[1]).write_text(text, encoding="ascii")
        elif language == "text":
            assert output.endswith(text), output
            shown += 1
        else:
            step = text if language == "sh" else f"python - <<'END'\n{text}END\n"
            command = ["sh", "-c", f"set -e\n{variables}{step}"]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            output = done.stdout
            variables += "".join(f"{line}\n" for line in text.splitlines() if re.match(r"[A-Z]+=", line))
    assert shown == 2
