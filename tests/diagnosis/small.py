"""A small network, its reference and its tensors as dumps, for the tests of compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import qdqnp
from qdqnp.diagnosis.align import Aligned, align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport, CompareRow
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.replay import Reference
from qdqnp.model import Model
from qdqnp.numerics.profiles import profile_named
from tests.networks import dla

Array = np.ndarray[Any, Any]


@cache
def model() -> Model:
    return qdqnp.load(dla(seed=1))


def feeds(count: int = 2, seed: int = 0) -> list[dict[str, Array]]:
    rng = np.random.default_rng(seed)
    return [{"input": rng.standard_normal((1, 3, 16, 16), dtype=np.float32)} for _ in range(count)]


@cache
def reference(profile: str = "ort", count: int = 2) -> Reference:
    return Reference(model(), profile_named(profile), feeds(count))


def tensors(profile: str = "ort", count: int = 2) -> dict[str, list[Array]]:
    """What a right device makes: by name, one array for each case; the network's input left out."""
    traces = [model().trace(x, profile=profile) for x in feeds(count)]
    return {name: [trace[name].copy() for trace in traces] for name in traces[0] if name != "input"}


def dump(arrays: Mapping[str, Sequence[Array]], channel_last: bool = False) -> Dump:
    entries = (
        DumpEntry(name, np.concatenate(list(cases)) if cases[0].ndim else cases[0]) for name, cases in arrays.items()
    )
    return Dump(Path("dump"), tuple(entries), channel_last)


def aligned(arrays: Mapping[str, Sequence[Array]], profile: str = "ort", count: int = 2) -> Aligned:
    return align(dump(arrays), reference(profile, count).targets, count)


def report(
    arrays: Mapping[str, Sequence[Array]], profile: str = "ort", count: int = 2, **options: Any
) -> CompareReport:
    return compare(reference(profile, count), aligned(arrays, profile, count), CompareOptions(**options))


def row(found: CompareReport, name: str) -> CompareRow:
    return next(row for row in found.rows if row.name == name)


def outputs(op: str) -> list[str]:
    return [step.output_names[0] for step in model().program().steps if step.op == op]
