"""Judge what a runtime made of a case: right, wrong in which way, refused, or no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.model import load
from qdqnp.peers.runtimes.outcome import CaseOutcome, Declined, Ran
from qdqnp.quant import EIGHT_BIT, Array, code_range

RIGHT, WRONG, REFUSED, FAILED = "right", "wrong", "refused", "failed"
#: In which way an answer is wrong.
ROUNDING, SATURATION, SPECIFICATION, FORM = "rounding", "saturation", "specification", "form"
CLASSES: Mapping[str, str] = {
    ROUNDING: "every element that differs is one code away, or for real numbers within 2^-20 of the largest",
    SATURATION: "every element that differs is expected, or found, at an end of its codes",
    SPECIFICATION: "an element is otherwise wrong: the runtime computes something else",
    FORM: "an output is missing, or has another type or shape",
}
#: Real numbers that are this near are the same computation in another order or precision.
NEAR = 2.0**-20
#: Named arithmetics that may explain a wrong answer.
OTHERS = ("ort", "ort-x64", "ort-unfused", "exact", "tflite", "tflite-single")


@dataclass(frozen=True)
class Judged:
    """The verdict on one case."""

    #: RIGHT, WRONG, REFUSED or FAILED.
    verdict: str
    #: One of CLASSES where it is WRONG; else ''.
    kind: str = ""
    #: How many elements differ, of how many.
    differing: int = 0
    elements: int = 0
    #: The largest difference, of integers in codes.
    largest: float = 0.0
    #: What the runtime said, or the first element that differs.
    told: str = ""
    #: The profile that gives what the runtime gave; '' where none of OTHERS does.
    as_profile: str = ""


def judge(outcome: CaseOutcome, wanted: Mapping[str, Array]) -> Judged:
    """Return the verdict on the outcome of a case.

    wanted: the expected outputs by name.

    >>> judge(Ran({"y": np.int8([1, 2])}), {"y": np.int8([1, 3])}).kind
    'rounding'
    """
    if isinstance(outcome, Declined):
        return Judged(REFUSED, told=outcome.reason)
    if not isinstance(outcome, Ran):
        return Judged(FAILED, told=outcome.reason)
    elements = sum(array.size for array in wanted.values())
    parts: list[tuple[str, str, int, float, str]] = []
    for name, array in wanted.items():
        found = outcome.outputs.get(name)
        if found is None or found.dtype != array.dtype or found.shape != array.shape:
            got = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
            return Judged(WRONG, FORM, told=f"'{name}': expected {array.dtype}{list(array.shape)}, got {got}")
        if not same(found, array):
            parts.append((name, *_compared(found, array)))
    if not parts:
        return Judged(RIGHT, elements=elements)
    order = (ROUNDING, SATURATION, SPECIFICATION)
    worst = max(parts, key=lambda part: order.index(part[1]))
    differing, largest = sum(part[2] for part in parts), max(part[3] for part in parts)
    return Judged(WRONG, worst[1], differing, elements, largest, f"'{worst[0]}'{worst[4]}")


def same(found: Array, wanted: Array) -> bool:
    """Tell whether two arrays of one type and shape are equal bit for bit, but for the payloads of NaNs."""
    return bool(np.array_equal(found, wanted, equal_nan=wanted.dtype.kind == "f"))


def _compared(found: Array, wanted: Array) -> tuple[str, int, float, str]:
    """Return the class, how many elements differ, the largest difference, and the first element in words."""
    where = np.flatnonzero(found.reshape(-1) != wanted.reshape(-1))
    got, want = found.reshape(-1)[where], wanted.reshape(-1)[where]
    first = f"[{int(where[0])}]: expected {want[0]}, got {got[0]}"
    if wanted.dtype.kind == "f":
        with np.errstate(all="ignore"):
            apart = np.abs(got.astype(np.float64) - want.astype(np.float64))
            near = apart <= NEAR * np.nanmax(np.abs(wanted), initial=0)
        return (ROUNDING if near.all() else SPECIFICATION), where.size, float(np.nanmax(apart, initial=0)), first
    apart = np.abs(got.astype(np.int64) - want.astype(np.int64))
    kind = ROUNDING if apart.max() <= 1 and wanted.dtype in EIGHT_BIT else SPECIFICATION
    if kind == SPECIFICATION and wanted.dtype in EIGHT_BIT:
        low, high = code_range(wanted.dtype)
        ends = np.isin(want, (low, high)) | np.isin(got, (low, high))
        kind = SATURATION if ends.all() else kind
    return kind, where.size, float(apart.max()), first


def explained(model: bytes, inputs: Mapping[str, Array], outputs: Mapping[str, Array], but: str) -> str:
    """Return the profile of OTHERS under which qdqnp gives these outputs; '' where none does.

    but: the profile that is known to give others.
    """
    loaded = load(model)
    for profile in OTHERS:
        if profile == but:
            continue
        try:
            ours = loaded.run(inputs, profile=profile)
        except QdqnpError:
            continue
        if all(
            name in outputs and outputs[name].dtype == array.dtype and same(outputs[name], array)
            for name, array in ours.items()
            if outputs.get(name, array).shape == array.shape
        ):
            return profile
    return ""
