"""Every operator's random cases through compare and identify, right and with faults: nothing fails on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.identify.identify import identify
from qdqnp.diagnosis.identify.observations import Observed
from qdqnp.diagnosis.replay import Reference
from qdqnp.errors import InputError, QdqnpError
from qdqnp.numerics.profiles import PROFILES
from qdqnp.render.html import html
from qdqnp.render.junit import junit
from tests.ops.cases import CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tests.ops.cases.pool import qlinear_average_pool

Array = np.ndarray[Any, Any]
GENERATORS = {**CASES, **BITWISE, **CLOSE}


def next_code(array: Array, rng: np.random.Generator) -> Array:
    flat = array.reshape(-1)
    at = int(rng.integers(flat.size))
    if array.dtype.kind in "iu":
        flat[at] = int(flat[at]) + (1 if flat[at] < np.iinfo(array.dtype).max else -1)
    elif array.dtype.kind == "f":
        flat[at] = np.nextafter(flat[at], np.float32(9))
    return array


def top_bit(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind in "iu":
        bits = array.reshape(-1).view(f"u{array.dtype.itemsize}")
        bits ^= bits.dtype.type(1 << (8 * array.dtype.itemsize - 1))
    return array


CHANGES: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {
    "right": lambda array, rng: array,
    "all zero": lambda array, rng: np.zeros_like(array),
    "one element": next_code,
    "shifted": lambda array, rng: np.roll(array.reshape(-1), 1).reshape(array.shape),
    "clamped": lambda array, rng: np.minimum(array, np.sort(array.reshape(-1))[array.size // 2]),
    "mixed": lambda array, rng: rng.permutation(array.reshape(-1)).reshape(array.shape),
    "top bit": top_bit,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("operator", GENERATORS)
def test_no_operator_makes_a_recognizer_fail(operator: str, rng: np.random.Generator) -> None:
    case = GENERATORS[operator](rng)
    model = qdqnp.load(case.model)
    for profile in rng.permutation(["ort", "tflite", "exact", "neural-art-1.1.3"])[:1].tolist():
        try:
            reference = Reference(model, PROFILES[profile], [case.inputs] * 2)
        except QdqnpError:
            return  # the profile does not define it
        made = {
            target.name: [values[target.name] for values in reference.cases]
            for target in reference.targets
            if target.step >= 0 and target.elements
        }
        for name, change in CHANGES.items() if made else ():
            entries = (
                DumpEntry(key, np.stack([change(array.copy(), rng) for array in arrays]))
                for key, arrays in made.items()
            )
            dump = Dump(Path("dump"), tuple(entries))
            found = compare(
                reference, align(dump, reference.targets, 2), CompareOptions(use_envelope=bool(rng.integers(2)))
            )
            assert not found.failed and not [text for row in found.rows for text in row.failed], (name, case)
            assert found.exit_code == 0 or name != "right", (found.verdict(), case)
            json.dumps(found.as_json(), allow_nan=False, default=str)
            assert html(found, "a") and junit(found, "a")
        try:
            identify(model, [Observed(case.inputs, {name: arrays[0] for name, arrays in made.items()})])
        except InputError as error:
            assert error.title in ("nothing to identify", "the dump does not fit the model"), case


def test_an_average_over_the_whole_image_is_identified_by_the_rule_that_it_asks(rng: np.random.Generator) -> None:
    """A window that is the whole image asks for a global average: in one verdict with windows that do not."""
    seen = set()
    for _ in range(200):
        case = qlinear_average_pool(rng)
        model = qdqnp.load(case.model)
        (bound,) = model.plan("ort").steps
        (part,) = bound.questions(case.inputs)
        if part.question.rule not in seen:
            seen.add(part.question.rule)
            report = identify(model, [Observed(case.inputs, {"y": model.run(case.inputs)["y"]})])
            assert "ort" in report.everywhere
        if len(seen) == 2:
            return
    raise AssertionError("one of the two was not drawn")
