"""Polygraphy's JSON: RunResults, the outputs of runners over several iterations, and lists of inputs.

Source: NVIDIA/TensorRT, tools/Polygraphy, polygraphy/json/serde.py and polygraphy/comparator/struct.py (0.53.6). An
object has its class under "polygraphy_class"; an array is the bytes of an .npy file in base64.
"""

from __future__ import annotations

import binascii
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from qdqnp.element_types import plain
from qdqnp.files.documents import parse_json
from qdqnp.files.npy import FAULTS, npy_bytes, read_array
from qdqnp.quant import Array

CLASS = "polygraphy_class"
#: Bytes of a file of RunResults, which parsing takes several times.
MAX_BYTES = 2**28


def array_document(array: Array) -> dict[str, str]:
    """Return an array as Polygraphy's JSON has it; types that NumPy has no name for in one that holds their values."""
    data = npy_bytes(plain(np.ascontiguousarray(array).reshape(array.shape)))
    return {"array": binascii.b2a_base64(data, newline=False).decode("ascii"), CLASS: "ndarray"}


def iteration_text(outputs: Mapping[str, Array], runner: str) -> str:
    """Return the JSON of one iteration: what a runner made of one input, by ONNX name."""
    lazy = {name: {"values": array_document(array), CLASS: "LazyArray"} for name, array in outputs.items()}
    return json.dumps({"outputs": lazy, "runtime": None, "runner_name": runner, CLASS: "IterationResult"})


def opening(runner: str) -> str:
    """Return the JSON of RunResults up to the first iteration; iterations are divided by commas."""
    return f'{{"lst": [[{json.dumps(runner)}, [\n'


#: The JSON of RunResults behind the last iteration.
CLOSING = f'\n]]], "{CLASS}": "RunResults"}}\n'


def run_results_bytes(runner: str, iterations: Iterable[Mapping[str, Array]]) -> bytes:
    """Return a file of RunResults of one runner.

    >>> import numpy as np
    >>> data = run_results_bytes("qdqnp", [{"y": np.int8([1, 2])}])
    >>> read_run_results(data)
    {'y': [array([1, 2], dtype=int8)]}
    """
    texts = ",\n".join(iteration_text(outputs, runner) for outputs in iterations)
    return (opening(runner) + texts + CLOSING).encode()


def read_run_results(data: bytes, runner: str = "") -> dict[str, list[Array]]:
    """Return what a runner of a file of RunResults made, by name: an array for each iteration.

    runner: its name, or what its name alone begins with; '' for the only one.

    Raises ValueError for what is no such file, for no or several runners of that name, and for iterations with other
    names, dtypes or shapes.
    """
    document = parse_json(data)
    runners = document.get("lst") if isinstance(document, dict) and document.get(CLASS) == "RunResults" else None
    if not isinstance(runners, list) or not runners:
        raise ValueError("no RunResults of Polygraphy")
    found: dict[str, list[Array]] = {}
    iterations = list(_iterations(_chosen(runners, runner)))
    for outputs in iterations:
        for name, value in outputs.items():
            found.setdefault(name, []).append(_array(name, value))
    for name, arrays in found.items():
        kinds = {(array.dtype, array.shape) for array in arrays}
        if len(arrays) != len(iterations) or len(kinds) > 1:
            raise ValueError(f"tensor '{name}' is not the same dtype and shape in all iterations")
    return found


def _chosen(runners: list[Any], name: str) -> Any:
    """Return the only runner whose name begins so."""
    named = [(str(runner[0]) if isinstance(runner, list) and runner else "", runner) for runner in runners]
    exact = [runner for its, runner in named if its == name]
    fitting = exact or [runner for its, runner in named if its.startswith(name)]
    if len(fitting) != 1:
        names = ", ".join(repr(its) for its, _ in named[:4])
        wanted = f"of which {len(fitting)} begin with '{name}'" if name else "where one is read; say which"
        raise ValueError(f"{len(runners)} runners ({names}), {wanted}")
    return fitting[0]


def read_inputs(data: bytes) -> list[dict[str, Array]]:
    """Return the inputs that `polygraphy --save-inputs` wrote: arrays by name, for each iteration.

    Raises ValueError for what is no such file.

    >>> import json
    >>> import numpy as np
    >>> read_inputs(json.dumps([{"x": array_document(np.int8([1]))}]).encode())
    [{'x': array([1], dtype=int8)}]
    """
    document = parse_json(data)
    if not isinstance(document, list) or not document or not all(isinstance(item, dict) for item in document):
        raise ValueError("no list of inputs, as Polygraphy saves them")
    return [{name: _array(name, value) for name, value in item.items()} for item in document]


def _iterations(runner: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the outputs of each iteration of a runner."""
    if not isinstance(runner, list) or len(runner) != 2 or not isinstance(runner[1], list):
        raise ValueError("a runner is no pair of its name and its iterations")
    for item in runner[1]:
        outputs = item.get("outputs") if isinstance(item, dict) else None
        if not isinstance(outputs, dict):
            raise ValueError("an iteration without outputs")
        yield outputs


def _array(name: str, value: Any) -> Array:
    """Return the array of a LazyArray, or of an array itself."""
    inner = value.get("values", value) if isinstance(value, dict) else None
    if not isinstance(inner, dict) or inner.get(CLASS) != "ndarray" or not isinstance(inner.get("array"), str):
        raise ValueError(f"tensor '{name}' is no NumPy array")
    try:
        raw = binascii.a2b_base64(inner["array"].encode("ascii"), strict_mode=True)
        return read_array(io.BytesIO(raw), len(raw))
    except FAULTS as error:
        raise ValueError(f"tensor '{name}': {error}") from error
