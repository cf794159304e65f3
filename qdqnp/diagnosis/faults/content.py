"""Contents: a tensor that is constant, all zero, another layer's, or another input's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.quant import Array

ALL_ZERO = "all zero"
CONSTANT = "constant"
STALE = "stale: another input's tensor"
OTHER_LAYER = "another layer's tensor"


def constant(suspect: Suspect) -> Iterator[Finding]:
    """One code everywhere, in every case that differs."""
    values = {
        value.item() for case in suspect.bad_cases for value in (suspect.got[case].min(), suspect.got[case].max())
    }
    if len(values) == 1 and suspect.got[0].size > 1:
        value = values.pop()
        yield Finding(ALL_ZERO if value == 0 else CONSTANT, f"{value:g} everywhere")


def stale(suspect: Suspect) -> Iterator[Finding]:
    """The same tensor of another case; as the dump holds it, or as it should be."""
    reference, name = suspect.device.reference, suspect.target.codes
    others: list[int] = []
    for case in suspect.bad_cases:
        mine = suspect.device.first + case
        same = [
            other
            for other in [*range(mine - 1, -1, -1), *range(mine + 1, len(reference.cases))]
            if _equal(suspect.got[case], reference.cases[other][name]) or _dumped(suspect, other, case)
        ]
        if not same:
            yield from _stale_input(suspect)
            return
        others.append(same[0])
    previous = all(
        other == suspect.device.first + case - 1 for case, other in zip(suspect.bad_cases, others, strict=True)
    )
    yield Finding(STALE, "the previous input's" if previous else f"case {others[0]}'s")


def _dumped(suspect: Suspect, other: int, case: int) -> bool:
    """Whether what the device should have made of another case from its own values is what it shows for this one."""
    index = other - suspect.device.first
    return 0 <= index < len(suspect.want) and index != case and _equal(suspect.got[case], suspect.want[index])


def _stale_input(suspect: Suspect) -> Iterator[Finding]:
    """The step read one of its inputs as another case had it."""
    for name in suspect.step.input_names:
        if name in suspect.bound.consts:
            continue
        for distance in (-1, 1):
            found = True
            for case in suspect.bad_cases:
                other = suspect.device.first + case + distance
                if not 0 <= other < len(suspect.device.reference.cases):
                    found = False
                    break
                read = {**suspect.values[case], name: _of_case(suspect, name, other)}
                if not _equal(suspect.got[case], suspect.finish(case, suspect.evaluate(read))):
                    found = False
                    break
            if found:
                yield Finding(STALE, f"input '{name}' of the {'previous' if distance < 0 else 'next'} case")
                return


def _of_case(suspect: Suspect, name: str, other: int) -> Array:
    index = other - suspect.device.first
    if 0 <= index < len(suspect.values) and name in suspect.values[index]:
        return suspect.values[index][name]
    return suspect.device.reference.cases[other][name]


def other_layer(suspect: Suspect) -> Iterator[Finding]:
    """The bytes of another tensor of the same case; its first bytes, where it is larger."""
    cases = suspect.device.reference.cases
    for last in (False, True) if suspect.want[0].ndim == 4 else (False,):
        gots = [_flat(suspect.got[case], last) for case in suspect.bad_cases]
        for name in _candidates(suspect):
            others = [_flat(cases[suspect.device.first + case][name], last) for case in suspect.bad_cases]
            if all(np.array_equal(got, other[: got.size]) for got, other in zip(gots, others, strict=True)):
                yield Finding(OTHER_LAYER, f"'{name}'{', NHWC' * last}")
                return


def _candidates(suspect: Suspect) -> Iterator[str]:
    for name, array in suspect.device.reference.cases[suspect.device.first].items():
        if (
            name != suspect.target.codes
            and array.dtype == suspect.target.dtype
            and array.size >= suspect.got[0].size > 1
        ):
            yield name


def other_input(suspect: Suspect) -> Iterator[Finding]:
    """The step read another tensor in place of one of its inputs: the first bytes of it, where it is larger."""
    cases = suspect.device.reference.cases[suspect.device.first :]
    inputs = [name for name in dict.fromkeys(suspect.step.input_names) if name not in suspect.bound.consts]
    tried = [
        (name, other)
        for name in inputs
        for other, array in cases[0].items()
        if other not in inputs
        and other not in suspect.step.output_names
        and array.dtype == cases[0][name].dtype
        and array.size >= cases[0][name].size > 1
    ]
    if not suspect.bears(len(tried)):
        return
    for name, other in tried:
        if suspect.explained_by_case(lambda case, name=name, other=other: _read(suspect, case, name, other)):  # type: ignore[misc]
            yield Finding(OTHER_LAYER, f"'{other}' read as input '{name}'")
            return


def _read(suspect: Suspect, case: int, name: str, other: str) -> Array:
    """What the step makes of another tensor in place of an input."""
    right = suspect.values[case][name]
    array = suspect.values[case].get(other, suspect.device.reference.cases[suspect.device.first + case][other])
    return suspect.evaluate({**suspect.values[case], name: array.reshape(-1)[: right.size].reshape(right.shape)})


def _flat(array: Array, last: bool) -> Array:
    """An array as it lies in memory; last: images channels last."""
    return (np.moveaxis(array, 1, -1) if last and array.ndim == 4 else array).reshape(-1)


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b))
