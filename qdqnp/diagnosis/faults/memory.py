"""Memory: the right values in the wrong order, of the output or of an input as the layer read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.diagnosis.tally import same
from qdqnp.quant import Array

NHWC = "NCHW against NHWC"
SIGN = "signed against unsigned"
TURNED = "the top bit is turned"
SWAPPED = "byte-swapped"
Transform = Callable[[Array], Array]


def layout(suspect: Suspect) -> Iterator[Finding]:
    """A channel-first buffer taken for channel-last, or the other way round."""
    yield from _either(suspect, NHWC, {"NCHW read as NHWC": to_last, "NHWC read as NCHW": to_first})


def sign(suspect: Suspect) -> Iterator[Finding]:
    """The top bit turned: codes with another offset of 128 (32768)."""
    if suspect.target.dtype.kind in "iu":
        yield from _either(suspect, SIGN, {TURNED: turned})


def byte_swapped(suspect: Suspect) -> Iterator[Finding]:
    """Multi-byte values in the other byte order."""
    if suspect.target.dtype.itemsize > 1 and suspect.got[0].dtype == suspect.target.dtype:
        yield from _either(
            suspect, SWAPPED, {f"{8 * suspect.target.dtype.itemsize} bits": lambda array: array.byteswap()}
        )


def _either(suspect: Suspect, kind: str, transforms: dict[str, Transform]) -> Iterator[Finding]:
    """The transform of the tensor itself, else of one input of the step that makes it."""
    for text, transform in transforms.items():
        if _fits(suspect, transform):
            yield Finding(kind, text)
            return
    for name in suspect.step.input_names:
        if name in suspect.bound.consts:
            continue
        for text, transform in transforms.items():
            if suspect.explained(
                lambda v, name=name, transform=transform: (  # type: ignore[misc]
                    suspect.evaluate({**v, name: transform(v[name])})
                )
            ):
                yield Finding(kind, f"{text}: input '{name}'")
                return


def _fits(suspect: Suspect, transform: Transform) -> bool:
    """For each case that differs; a device does the same to every case, but a single buffer may go wrong once."""
    return all(same(transform(suspect.want[case]), suspect.got[case]) for case in suspect.bad_cases)


def to_last(array: Array) -> Array:
    """Channel-first codes laid out channel-last, in the memory of the same shape."""
    if array.ndim != 4:
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).reshape(array.shape)


def to_first(array: Array) -> Array:
    """The inverse of `to_last`."""
    if array.ndim != 4:
        return array
    n, c, h, w = array.shape
    return np.ascontiguousarray(array.reshape(n, h, w, c).transpose(0, 3, 1, 2))


def turned(array: Array) -> Array:
    """The top bit of every code exchanged."""
    bits = array.dtype.itemsize * 8
    unsigned = array.view(np.dtype(f"u{array.dtype.itemsize}"))
    made: Array = (unsigned ^ unsigned.dtype.type(1 << (bits - 1))).view(array.dtype)
    return made
