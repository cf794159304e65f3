"""Measures of the user's beside those of `compare`: a function, or an entry point of a package.

    def psnr(layer):
        error = np.mean([np.mean((got - want) ** 2) for want, got in layer])
        return 10 * np.log10(1 / error) if error else np.inf

A comparator is called once for each tensor with a ComparedTensor, and returns a number, or numbers by name. They become
metrics of the row, in tables and JSON. A package offers one as an entry point of the group `qdqnp.comparators`; a file
as an entry of its dictionary COMPARATORS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, TypeAlias

import numpy as np

from qdqnp.errors import InputError, Problem, shorten
from qdqnp.numerics import float32
from qdqnp.quant import Array, Quant

GROUP = "qdqnp.comparators"


@dataclass(frozen=True, eq=False)
class ComparedTensor:
    """What a comparator gets: a tensor of the device beside the reference's, case by case.

    Iterating yields (reference, device) in real values, float32; `codes` yields what they are stored as.
    """

    #: The ONNX name.
    name: str
    #: The layer that makes the tensor; '' for a network input.
    label: str
    #: The layer's operator.
    op: str
    #: How codes are read; None for tensors that hold none.
    quant: Quant | None
    #: The reference's array for each case.
    wanted: Sequence[Array]
    #: The device's array for each case.
    got: Sequence[Array]

    def codes(self) -> Iterator[tuple[Array, Array]]:
        """Yield the reference's array and the device's for each case, as they are stored."""
        yield from zip(self.wanted, self.got, strict=True)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for wanted, got in self.codes():
            yield self._real(wanted), self._real(got)

    def _real(self, array: Array) -> Array:
        if self.quant is None:
            return array.astype(np.float32)
        quant = self.quant.aligned(array.shape)
        return float32.dequantize(array, quant.scale, quant.zero_point)


Comparator: TypeAlias = Callable[[ComparedTensor], Any]


def measured(comparators: Mapping[str, Comparator], tensor: ComparedTensor) -> dict[str, float]:
    """Return what each comparator says of a tensor, by its name, or NAME.KEY where it gives several numbers.

    Raises InputError that names the comparator and the layer where one fails, or returns no numbers.
    """
    found: dict[str, float] = {}
    for name, comparator in comparators.items():
        try:
            with np.errstate(all="ignore"):
                result = comparator(tensor)
        except Exception as error:  # whatever the user's code raises
            raise _failed(name, tensor, f"{type(error).__name__}: {error}") from error
        several = isinstance(result, Mapping)
        for key, value in {f"{name}.{k}": v for k, v in result.items()}.items() if several else [(name, result)]:
            if not isinstance(value, (int, float, np.number)) or isinstance(value, np.complexfloating):
                raise _failed(name, tensor, f"{type(value).__name__} for '{key}'")
            found[key] = float(value)
    return found


def _failed(name: str, tensor: ComparedTensor, got: str) -> InputError:
    where = f"comparator '{name}', tensor '{tensor.name}' of layer '{tensor.label}'"
    return InputError("a comparator failed", [Problem(where, "a number, or numbers by name", shorten(got, 300))])


def comparators_named(names: Iterable[str]) -> dict[str, Comparator]:
    """Return installed comparators by their names, from the entry points of the group `qdqnp.comparators`.

    Raises InputError, with those that there are, for a name that none has, and for one that cannot be imported.
    """
    offered = {point.name: point for point in entry_points(group=GROUP)}
    found: dict[str, Comparator] = {}
    for name in names:
        if name not in offered:
            near = get_close_matches(name, offered, 3, 0.4) or sorted(offered)[:8]
            hint = f"There are: {', '.join(near)}." if near else f"No installed package has an entry point of {GROUP}."
            problem = Problem(
                f"comparator '{name}'", "the name of an installed one, or a file NAME.py", "another", hint
            )
            raise InputError("no such comparator", [problem])
        try:
            found[name] = offered[name].load()
        except Exception as error:  # whatever importing the package raises
            got = f"{type(error).__name__}: {shorten(str(error), 300)}"
            problem = Problem(f"comparator '{name}' ({offered[name].value})", "a function that can be imported", got)
            raise InputError("a comparator cannot be imported", [problem]) from error
    return found
