"""A claim says how far two arithmetics are apart on everything that a layer can meet, with an input that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import shorten
from qdqnp.quant import Array

NEVER, DIFFERS, NOT_PROVEN = "never differs", "differs", "not proven"


class NotProvenError(Exception):
    """Carries the reason why nothing is claimed of a layer, in one sentence without its end."""


@dataclass(frozen=True, eq=False)
class Witness:
    """An input of a layer that makes the largest difference. It was run through the definition under both profiles."""

    #: Codes of the layer's inputs that are not constants, by name, in the model file's dtypes.
    inputs: Mapping[str, Array]
    #: The name of the output, and the index of the element that differs.
    output: str
    index: tuple[int, ...]
    #: The element's code under the first profile and under the second, in the model file's dtype.
    codes: tuple[int, int]
    #: The element's sum of (code - zero point) * weight, without bias; None where the layer does not sum.
    total: int | None = None

    def as_json(self) -> dict[str, Any]:
        inputs = {name: _sparse(array) for name, array in self.inputs.items()}
        fields = {"output": self.output, "index": list(self.index), "codes": list(self.codes), "sum": self.total}
        return {**fields, "inputs": inputs}

    def __str__(self) -> str:
        total = "" if self.total is None else f"sum {self.total}: "
        return f"{total}{self.codes[0]} becomes {self.codes[1]} in {self.output}{list(self.index)}"


def _sparse(array: Array) -> dict[str, Any]:
    """Describe codes by their most frequent one and the flat indices and codes of the others."""
    values, counts = np.unique(array, return_counts=True)
    fill = values[int(counts.argmax())]
    at = np.flatnonzero(array != fill)
    found = {"dtype": str(array.dtype), "shape": list(array.shape), "fill": int(fill)}
    return {**found, "at": at.tolist(), "codes": array.reshape(-1)[at].tolist()}


@dataclass(frozen=True)
class Claim:
    """What is known of one layer under two profiles."""

    #: Why nothing is proven, '' where it is.
    reason: str = ""
    #: The largest difference in codes over all that the layer can meet; None where that is not proven.
    largest: int | None = None
    #: What was counted: 'sums' (for each channel), 'pairs of codes', 'codes', or '' where nothing is computed.
    counted: str = ""
    #: How many there are that inputs can make, and how many of them get different codes.
    reachable: int = 0
    differing: int = 0
    #: An input that makes the largest difference; None where nothing differs or nothing is proven.
    witness: Witness | None = None

    @property
    def verdict(self) -> str:
        """One of NEVER, DIFFERS and NOT_PROVEN."""
        if self.largest is None:
            return NOT_PROVEN
        return DIFFERS if self.largest else NEVER

    @property
    def share(self) -> float:
        """The differing ones among the reachable."""
        return self.differing / self.reachable if self.reachable else 0.0

    def as_json(self) -> dict[str, Any]:
        fields = {
            key: getattr(self, key) for key in ("reason", "largest", "counted", "reachable", "differing", "share")
        }
        witness = None if self.witness is None else self.witness.as_json()
        return {"verdict": self.verdict, **fields, "witness": witness}


def not_proven(reason: object) -> Claim:
    """Return the claim that nothing is known, for this reason."""
    return Claim(reason=shorten(str(reason), 200))
