"""What every rule from two tensors of 8-bit codes to one is given, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from qdqnp.numerics.values import StageValue
from qdqnp.quant import Codes, Quant, Signs


class BinaryFunction(Protocol):
    """A bound rule of pairs. Calling it maps codes of a and b, broadcast, to codes of y."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def __call__(self, a: Codes, b: Codes) -> Codes: ...

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        """Return every value between the two codes and the result, in order; 'unclipped' and 'y' last."""
        ...

    def ties(self, a: Codes, b: Codes) -> Signs:
        """Return the sign of each value that met an exact half at a rounding (at the last such rounding), else 0."""
        ...


class BinaryRule(Protocol):
    """A rule of pairs of codes."""

    @property
    def status(self) -> str: ...

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to three quantizations per tensor. Raises ProfileError outside its domain."""
        ...
