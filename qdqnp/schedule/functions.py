"""Float steps between codes are not computed where each element is a function of one code, or of two.

DequantizeLinear, Sigmoid, Mul, QuantizeLinear: of 8-bit codes there are 256, and 65,536 pairs. The steps are asked for
all of them once, when a schedule is compiled, and what they say is looked up, or found again by a cheap expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qdqnp.executor.fast.scales import Dequantized, Quantized
from qdqnp.executor.plan import BoundStep
from qdqnp.graph import Sizes
from qdqnp.ops.float.elementwise import Broadcast
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.quant import Array, Codes, Quant, all_codes

#: Elements of the small arrays on which a function is held against itself: fewer than fill a packet.
PIECE = 3


@dataclass(frozen=True, eq=False)
class CodeSource:
    """A tensor of 8-bit codes."""

    name: str
    quant: Quant
    #: How many steps read a tensor on the way from it, at most.
    readers: int


@dataclass(frozen=True, eq=False)
class CodeFunction:
    """A tensor whose elements are functions of the codes at their place in one tensor, or in two."""

    bound: BoundStep
    sources: tuple[CodeSource, ...]
    #: From arrays of codes of the sources, all of one shape, to the tensor's elements.
    of: Callable[..., Array]

    @property
    def quant(self) -> Quant | None:
        """How codes stand for numbers, where the tensor is one of codes."""
        return self.bound.step.outputs[0].quant

    def everything(self) -> Array:
        """Return the elements for all codes of the source, in the order of their bytes; of two, for all pairs."""
        every = [all_codes(source.quant.dtype) for source in self.sources]
        if len(every) == 2:
            every = [np.repeat(every[0], len(every[1])), np.tile(every[1], len(every[0]))]
        with np.errstate(all="ignore"):
            return self.of(*every)

    def steady(self) -> bool:
        """Tell whether an element does not depend on where it lies: in a long array, or in what fills no packet.

        Of one code, both are computed and compared; of two, only operators that have no packets are known to be so.
        """
        if len(self.sources) > 1:
            operator = self.bound.operator
            scaled = isinstance(self.bound.kernel, Quantized | Dequantized)
            return scaled or (isinstance(operator, Broadcast) and operator.plain)
        every = all_codes(self.sources[0].quant.dtype)
        with np.errstate(all="ignore"):
            pieces = [self.of(every[start : start + PIECE]) for start in range(0, len(every), PIECE)]
        return np.concatenate(pieces).tobytes() == self.everything().tobytes()

    def rises(self) -> bool:
        """Tell whether a larger code never has a smaller element, so that a maximum may be taken before."""
        every = np.argsort(all_codes(self.sources[0].quant.dtype))
        return bool((np.diff(self.everything()[every]) >= 0).all())

    def then(self, bound: BoundStep) -> CodeFunction:
        """Return what a step of one input makes of the tensor, under whatever name."""
        return _function(bound, {bound.step.input_names[0]: self}, 1)


def function_of(
    bound: BoundStep,
    known: Mapping[str, CodeFunction],
    shapes: Mapping[str, Sizes],
    readers: Mapping[str, int],
) -> CodeFunction | None:
    """Return the output of a step as a function of codes; None where it is not known to be one.

    known: the functions so far, by name.
    shapes: of every tensor.
    readers: how many steps read each tensor.
    """
    step, names = bound.step, dict.fromkeys(name for name in bound.step.input_names if name not in bound.consts)
    if len(step.output_names) != 1 or not names or isinstance(bound.operator, IntegerOperator):
        return None
    (output,) = step.output_names
    many = readers.get(output, 0)
    if isinstance(bound.kernel, Dequantized) and not known.keys() & names:
        (name,) = names
        source = CodeSource(name, step.quant(0), max(many, readers.get(name, 0)))
        return CodeFunction(bound, (source,), lambda codes: bound.compute({name: codes})[output])
    plain = isinstance(bound.kernel, Quantized | Dequantized) or bound.operator.elementwise
    alike = all(shapes[name] == shapes[output] for name in names)
    single = all(const.size == 1 for const in bound.consts.values())
    if not plain or not alike or not single or not known.keys() >= names.keys():
        return None
    found = _function(bound, {name: known[name] for name in names}, many)
    return found if len(found.sources) <= 2 and found.steady() else None


def _function(bound: BoundStep, parts: Mapping[str, CodeFunction], readers: int) -> CodeFunction:
    """Return what a step makes of functions, by the names of its inputs."""
    sources: dict[str, CodeSource] = {}
    for part in parts.values():
        for source in part.sources:
            before = sources.get(source.name, source)
            sources[source.name] = CodeSource(source.name, source.quant, max(before.readers, source.readers, readers))
    order = list(sources)

    def of(*codes: Codes) -> Array:
        given = dict(zip(order, codes, strict=True))
        made = {name: part.of(*(given[each.name] for each in part.sources)) for name, part in parts.items()}
        return bound.compute(made)[bound.step.output_names[0]]

    return CodeFunction(bound, tuple(sources.values()), of)
