"""The compiled graph with its integers written out, so that ONNX Runtime computes with the same ones as the device.

ST's *_OE_*.onnx has weights as floats, and Relu, Pad and others between a DequantizeLinear and the operator behind it;
*_Q.json has the scales of every tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problems
from qdqnp.quant import Array, Float32
from qdqnp.reader.written_codes import with_codes
from qdqnp.st.folder import files_of

F = np.float32


def compiled_graph(folders: Sequence[Path]) -> bytes:
    """Return the graph that lies in the folders of a compiled network as a model in QDQ form.

    Raises InputError where the folders have no graph or no *_Q.json, and as `integer_graph` does.
    """
    files, problems = files_of(folders), Problems()
    for found, what in ((files.graph, "*_OE_*.onnx"), (files.quantization, "*_Q.json")):
        if found is None:
            problems.add(f"folder {', '.join(map(str, folders))}", f"a file {what}", "none", "It lies in st_ai_output.")
    problems.raise_if_any("a compiled network without its graph", InputError)
    assert files.graph is not None
    return integer_graph(files.graph, files.quantization)


def integer_graph(graph: Path, quantization: Any) -> bytes:
    """Return the compiled graph as a model in QDQ form.

        graph: the *_OE_*.onnx.
        quantization: the document of *_Q.json.

    Raises InputError where the document has no scales, and ModelError where one is missing or does not fit.
    """
    problems = Problems()
    scales = _scales(quantization, problems)
    problems.raise_if_any("a *_Q.json that cannot be read", InputError)
    return with_codes(graph, scales)


def _scales(document: Any, problems: Problems) -> dict[str, tuple[Float32, Array]]:
    """Return scales and zero points of the tensors that hold 8-bit or 32-bit codes."""
    tensors = document.get("tensors") if isinstance(document, dict) else None
    if not isinstance(tensors, dict):
        problems.add("*_Q.json", "a table with tensors", type(document).__name__)
        return {}
    found: dict[str, tuple[Float32, Array]] = {}
    for name, row in tensors.items():
        form = row.get("format") if isinstance(row, dict) else None
        params = form.get("params") if isinstance(form, dict) else None
        if not isinstance(params, list) or len(params) != 2 or form is None or form.get("type") not in ("S8", "U8"):
            continue
        try:
            scale, zero = np.asarray(params[0], F).reshape(-1), np.asarray(params[1], np.int64).reshape(-1)
        except (TypeError, ValueError, OverflowError):
            problems.add(f"*_Q.json, {name}", "scales and zero points", "something else")
            continue
        dtype = np.int8 if form["type"] == "S8" else np.uint8
        limits = np.iinfo(dtype)
        if scale.size and scale.size == zero.size and ((zero >= limits.min) & (zero <= limits.max)).all():
            found[name] = (scale, zero.astype(dtype))
    return found
