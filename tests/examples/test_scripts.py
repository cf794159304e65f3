"""Scripts that were written for onnxruntime print the same with the import changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qdqnp.inputs.shipped import pictures_path, shipped_model
from qdqnp.peers.ort.probe import saturates

ROOT = Path(__file__).parents[2]
IMPORT, CHANGED = "import onnxruntime as ort\n", "import qdqnp.ort as ort\n"


def printed(script: Path, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, str(script), str(folder / "net.onnx"), str(folder / "pictures.npz")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["classify", "evaluate", "intermediate_outputs"])
def test_the_script_prints_the_same_with_the_import_changed(name: str, tmp_path: Path) -> None:
    """To the last digit of every score, and as checksums of every tensor inside."""
    pytest.importorskip("onnxruntime")
    if saturates():
        pytest.skip("onnxruntime saturates pairs of products on this CPU: the profile 'ort' is another's")
    shutil.copy(shipped_model("dla46_c_int8"), tmp_path / "net.onnx")
    shutil.copy(pictures_path(), tmp_path / "pictures.npz")
    script = ROOT / "examples" / f"{name}.py"
    text = script.read_text(encoding="utf-8")
    assert text.count(IMPORT) == 1
    changed = tmp_path / f"{name}.py"
    changed.write_text(text.replace(IMPORT, CHANGED), encoding="utf-8")
    assert printed(changed, tmp_path) == printed(script, tmp_path)
