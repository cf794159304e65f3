"""Show what a model's outputs say: stacked over several runs, the best classes, and a summary of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.inputs.runs import Run
from qdqnp.limits import MAX_TEXT_BYTES
from qdqnp.model import code_outputs
from qdqnp.program import Program
from qdqnp.quant import Array

Outputs = dict[str, Array]


def stacked(runs: Sequence[Run], results: Iterable[Outputs]) -> Outputs:
    """Stack the outputs of all runs along the first axis; outputs without axes get one.

    Raises InputError where shapes differ.
    """
    parts: dict[str, list[Array]] = {}
    for run, outputs in zip(runs, results, strict=True):
        for key, array in outputs.items():
            kept = parts.setdefault(key, [])
            kept.append(array if array.ndim or len(runs) == 1 else array[np.newaxis])
            if kept[0].shape[1:] != kept[-1].shape[1:]:
                problem = Problem(
                    f"output '{key}' for {run.names[0]}",
                    f"shape [N, {_dims(kept[0])}]",
                    f"[N, {_dims(kept[-1])}]",
                    "Run these inputs one at a time.",
                )
                raise InputError("the outputs of several inputs cannot be stacked", [problem])
    return {key: arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for key, arrays in parts.items()}


def _dims(array: Array) -> str:
    return "x".join(map(str, array.shape[1:]))


def classifies(array: Array) -> bool:
    """Return whether an output has the form of scores, [N, classes]."""
    return array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iuf"


def best_classes(array: Array, count: int, labels: Sequence[str] | None) -> list[list[dict[str, Any]]]:
    """Return for each row of scores (N, classes) the `count` largest values with their classes, as JSON. Among equal
    values, the lower class comes first.

        array: the scores.
        count: how many classes to return.
        labels: names of the classes, used where there is one for each.
    """
    known = labels if labels is not None and len(labels) == array.shape[1] else None
    wide = array.astype(np.float64)  # so that the smallest integer codes can be negated
    order = np.argsort(-wide, axis=1, kind="stable")[:, :count]
    return [
        [{"class": int(c), "label": known[c] if known is not None else None, "value": row[c].item()} for c in best]
        for row, best in zip(array, order, strict=True)
    ]


def read_labels(path: Path) -> list[str]:
    """Read the names of classes: the lines of a text file, without empty ones at its end. Raises InputError."""
    try:
        text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
        return [line.strip() for line in text.rstrip().splitlines()]
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "a readable text file in UTF-8", reason(error))
        raise InputError("cannot read the labels", [problem]) from error


def check_labels(labels: Sequence[str], outputs: Outputs) -> None:
    """Raise InputError where no output has as many classes as there are names."""
    sizes = [array.shape[1] for array in outputs.values() if classifies(array)]
    if len(labels) not in sizes:
        wanted = " or ".join(map(str, sizes)) or "none: no output has the shape [N, classes]"
        raise InputError("the labels do not fit the model", [Problem("lines of the labels", wanted, str(len(labels)))])


def summary(array: Array) -> dict[str, Any]:
    """Return shape, dtype, min, max and mean of an output, as JSON; the numbers of an empty output are None.

    >>> summary(np.float32([np.inf, -np.inf]))["mean"]
    nan
    """
    found: dict[str, Any] = {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": None,
        "max": None,
        "mean": None,
    }
    if array.size and array.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):  # of infinities of both signs
            mean = float(array.mean(dtype=np.float64))
        found |= {"min": array.min().item(), "max": array.max().item(), "mean": mean}
    return found


def code_summaries(outputs: Mapping[str, Array], program: Program) -> dict[str, dict[str, Any]]:
    """Summarize outputs that are integer codes, with scale and zero point where these are per tensor."""
    summaries = {key: summary(array) for key, array in outputs.items()}
    for key, kept in code_outputs(program).items():
        quant = program.tensors[kept].quant
        if quant is not None and quant.per_tensor:
            summaries[key] |= {"scale": quant.scale.item(), "zero_point": quant.zero_point.item()}
    return summaries
