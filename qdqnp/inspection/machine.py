"""What this machine computes with: versions, the processor, NumPy's BLAS, threads, and what probes of BLAS found."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from qdqnp.executor.threads import blas_libraries
from qdqnp.numerics.chain import Tiling, is_openblas, numpy_built, tiling_for
from qdqnp.version import __version__

#: What is imported by the core, by the commands, and, where it is there, by an extra.
PACKAGES = ("numpy", "onnx", "click", "rich", "jinja2", "threadpoolctl", "onnxruntime", "pillow", "intelhex")
#: What BLAS and OpenMP read when NumPy is imported.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
)
#: Float products of usual networks, (rows, terms, columns): a layer's output channels, K, and pixels.
PRODUCTS = {
    "first layer, 7x7, 3 to 32 channels": (32, 147, 3136),
    "3x3, 32 to 32 channels": (32, 288, 3136),
    "1x1, 64 to 128 channels": (128, 64, 784),
    "1x1, 256 to 512 channels": (512, 256, 49),
    "dense, 512 to 1000": (1, 512, 1000),
}


def machine() -> dict[str, Any]:
    """Describe the machine as a document of plain values; nothing is run but some products."""
    return {
        "qdqnp": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {package: _version(package) for package in PACKAGES},
        "cpu": {"machine": platform.machine(), "cores": _cores(), "numpy_uses": _features()},
        "blas": {"built_with": _built_with(), "loaded": [_loaded(library) for library in blas_libraries()]},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "float_sums": {what: _how(tiling_for(*shape)) for what, shape in PRODUCTS.items()},
        "advice": _advice(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _features() -> list[str]:
    extensions = numpy_built().get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def _built_with() -> str:
    built = numpy_built().get("Build Dependencies", {}).get("blas", {})
    return f"{built.get('name', 'no BLAS that NumPy names')} {built.get('version', '')}".strip()


def _loaded(library: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": library["internal_api"],
        "version": library["version"],
        "kernel": library.get("architecture"),
        "threads": library["num_threads"],
    }


def _how(tiling: Tiling | None) -> str:
    if tiling is None:
        return "one by one: by the definition, slowly"
    margin = f", {tiling.margin} columns at both ends thrown away" if tiling.margin else ""
    return f"by BLAS: pieces of {tiling.rows} rows or a multiple{margin}"


def _advice() -> list[str]:
    found = []
    if not is_openblas():
        found.append(
            "float sums in ONNX Runtime's order are slow: NumPy's BLAS is not OpenBLAS. NumPy's wheels have it."
        )
    if _version("threadpoolctl") is None:
        found.append('BLAS may use as many threads as it likes, which costs time: pip install "qdqnp[threads]"')
    if _version("onnxruntime") is None:
        found.append('there is no ONNX Runtime to compare with: pip install "qdqnp[ort]"')
    return found
