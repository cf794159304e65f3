"""What a dump shows as a whole: a device whose answer does not depend on its input, or that does not repeat itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from qdqnp.diagnosis.replay import Device
from qdqnp.diagnosis.tally import ordered, same
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.quant import Array

#: Pairs of cases with the same input that are looked at.
MAX_PAIRS = 1000


def observations(device: Device) -> list[str]:
    """Return what is odd of the dump as a whole, in sentences.

    device: the dump as the network's steps see it.
    """
    return [*_same_for_all(device), *_not_repeated(device)]


def _same_for_all(device: Device) -> Iterator[str]:
    """The tensors, up to an output, that are the same in all cases though they should not be."""
    if device.count < 2:
        return
    dumped = [target for target in device.reference.targets if target.step >= 0 and target.name in device.tensors]
    frozen = [target for target in dumped if _frozen(device, target)]
    if frozen and frozen[-1] is dumped[-1]:
        first = frozen[0]
        yield (
            f"the output does not depend on the input: from layer {first.label} on, tensor '{first.name}', "
            f"all {device.count} cases are the same; is the input buffer the one that the network reads?"
        )


def _frozen(device: Device, target: DumpTarget) -> bool:
    """Tell whether a tensor is the same in all cases, and should not be."""
    right = [device.reference.cases[device.first + case][target.codes] for case in range(device.count)]
    return _all_equal(device.tensors[target.name].cases) and not _all_equal(right)


def _all_equal(arrays: Sequence[Array]) -> bool:
    return all(same(arrays[0], other) for other in arrays[1:])


def _not_repeated(device: Device) -> Iterator[str]:
    """The first tensor that differs between two cases with the same input."""
    reference = device.reference
    given = reference.given[device.first : device.first + device.count]
    keys = [tuple((name, array.tobytes()) for name, array in case.items()) for case in given]
    alike = [pair for pair in combinations(range(device.count), 2) if keys[pair[0]] == keys[pair[1]]][:MAX_PAIRS]
    for target in reference.targets:
        if target.step < 0 or target.name not in device.tensors:
            continue
        made = device.tensors[target.name].cases
        for a, b in alike:
            elements = int(np.count_nonzero(ordered(made[a]) != ordered(made[b])))
            if elements:
                yield (
                    f"the device does not repeat itself: cases {a} and {b} have the same input, and {elements} "
                    f"elements of tensor '{target.name}' (layer {target.label}) differ between them"
                )
                return
