"""Build and run a harness on the tests' own kernels, which have CMSIS-NN's names and signatures."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from qdqnp.golden_sets import Options, write
from qdqnp.golden_sets.options import HARNESS_ORDERS, HARNESS_ROLES

KERNELS = Path(__file__).parent / "cmsis_nn"
SINGLE = "-DCMSIS_NN_USE_SINGLE_ROUNDING"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def harness(
    out: Path,
    model: onnx.ModelProto | Path,
    feeds: Sequence[Mapping[str, np.ndarray]],
    profile: str = "cmsis-nn",
    **options: object,
) -> Path:
    """Write the set and its harness; returns the folder."""
    chosen = Options(roles=HARNESS_ROLES, harness="cmsis-nn", **HARNESS_ORDERS, **options)  # type: ignore[arg-type]
    write(out, model, feeds, len(feeds), profile=profile, options=chosen)
    return out


def sources(folder: Path) -> list[Path]:
    """The harness' files for this machine, and the kernels."""
    own = [path for path in sorted((folder / "harness").glob("*.c")) if not path.name.startswith("mps3")]
    return [*own, *sorted((KERNELS / "Source").glob("*.c"))]


def build(folder: Path, *flags: str) -> Path:
    """Build a harness with warnings as errors; returns the program."""
    program = folder.parent / f"{folder.name}_program"
    include = (f"-I{KERNELS / 'Include'}", f"-I{folder / 'harness'}")
    command = ["gcc", *STRICT, *flags, *include, *map(str, sources(folder)), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return program


def run(program: Path, *arguments: object) -> tuple[int, list[str]]:
    """The exit code and the printed lines."""
    done = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()
