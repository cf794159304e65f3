"""Contents: a tensor that is constant, all zero, another layer's, or another input's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.site import Finding, Site
from qdqnp.quant import Array

ALL_ZERO = "all zero"
CONSTANT = "constant"
STALE = "stale: another input's tensor"
OTHER_LAYER = "another layer's tensor"


def constant(site: Site) -> Iterator[Finding]:
    """One code everywhere, in every case that differs."""
    values = {value.item() for case in site.bad_cases for value in (site.got[case].min(), site.got[case].max())}
    if len(values) == 1 and site.got[0].size > 1:
        value = values.pop()
        yield Finding(ALL_ZERO if value == 0 else CONSTANT, f"{value:g} everywhere")


def stale(site: Site) -> Iterator[Finding]:
    """The same tensor of another case; as the dump holds it, or as it should be."""
    reference, name = site.device.reference, site.target.codes
    others: list[int] = []
    for case in site.bad_cases:
        mine = site.device.first + case
        same = [
            other
            for other in [*range(mine - 1, -1, -1), *range(mine + 1, len(reference.cases))]
            if _equal(site.got[case], reference.cases[other][name]) or _dumped(site, other, case)
        ]
        if not same:
            yield from _stale_input(site)
            return
        others.append(same[0])
    previous = all(other == site.device.first + case - 1 for case, other in zip(site.bad_cases, others, strict=True))
    yield Finding(STALE, "the previous input's" if previous else f"case {others[0]}'s")


def _dumped(site: Site, other: int, case: int) -> bool:
    """Whether what the device should have made of another case from its own values is what it shows for this one."""
    index = other - site.device.first
    return 0 <= index < len(site.want) and index != case and _equal(site.got[case], site.want[index])


def _stale_input(site: Site) -> Iterator[Finding]:
    """The step read one of its inputs as another case had it."""
    for name in site.step.input_names:
        if name in site.bound.consts:
            continue
        for distance in (-1, 1):
            found = True
            for case in site.bad_cases:
                other = site.device.first + case + distance
                if not 0 <= other < len(site.device.reference.cases):
                    found = False
                    break
                read = {**site.values[case], name: _of_case(site, name, other)}
                if not _equal(site.got[case], site.finish(case, site.evaluate(read))):
                    found = False
                    break
            if found:
                yield Finding(STALE, f"input '{name}' of the {'previous' if distance < 0 else 'next'} case")
                return


def _of_case(site: Site, name: str, other: int) -> Array:
    index = other - site.device.first
    if 0 <= index < len(site.values) and name in site.values[index]:
        return site.values[index][name]
    return site.device.reference.cases[other][name]


def other_layer(site: Site) -> Iterator[Finding]:
    """The bytes of another tensor of the same case; its first bytes, where it is larger."""
    for name in _candidates(site):
        if all(
            _prefix(site.got[case], site.device.reference.cases[site.device.first + case][name])
            for case in site.bad_cases
        ):
            yield Finding(OTHER_LAYER, f"'{name}'")
            return


def _candidates(site: Site) -> Iterator[str]:
    for name, array in site.device.reference.cases[site.device.first].items():
        if name != site.target.codes and array.dtype == site.target.dtype and array.size >= site.got[0].size > 1:
            yield name


def _prefix(got: Array, other: Array) -> bool:
    return bool(np.array_equal(got.reshape(-1), other.reshape(-1)[: got.size]))


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b))
