"""How much a search for stimuli may try: it is bounded by the work that each input makes, and by what the model holds.

A model of some hundred bytes may ask for millions of elements, and a search runs it for each input that it tries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.work import shapes_of
from qdqnp.limits import RUN_BYTES, RUN_BYTES_PER_BYTE
from qdqnp.stimuli.goals import UNDECIDED, Verdict

# Elements that all runs of one search handle, and for each byte of constants: the larger counts. An element takes some
# hundred nanoseconds, because what it meets is measured, a product a hundredth of that.
ELEMENTS, ELEMENTS_PER_BYTE, PRODUCTS_PER_ELEMENT = 2**25, 2**12, 64
# Sums that are tried for one goal of a layer, and for each byte of constants: the larger counts.
SUMS, SUMS_PER_BYTE = 2**24, 2**11
# Bytes that measuring takes for each element of an output: stages and marks, each of eight bytes.
BYTES_PER_OUTPUT = 64
NO_LIMIT = 2**62


@dataclass(frozen=True)
class Effort:
    """What a search may try."""

    #: Number of inputs; at least 1.
    inputs: int
    #: Number of sums for one goal of a layer.
    sums: int

    def left_out(self, tried: int, wanted: int) -> list[Verdict]:
        """Return what is to be said where fewer inputs were tried than wanted; nothing where all were."""
        if tried >= wanted:
            return []
        reason = f"not tried: {wanted - tried:,} of {wanted:,} inputs, for their work; --exhaustive tries them"
        return [Verdict("inputs", None, UNDECIDED, reason)]


def effort(steps: Iterable[BoundStep], shapes: Mapping[str, tuple[int, ...]], exhaustive: bool = False) -> Effort:
    """Return what a search may try that runs these steps for each input.

        steps: the layers that run.
        shapes: the shape of each tensor by name.
        exhaustive: whether to try everything, however long it takes.

    Raises InputError where measuring one layer would take far more memory than the constants explain.
    """
    bound = list(steps)
    given = sum(const.nbytes for const in {id(c): c for step in bound for c in step.consts.values()}.values())
    allowed = RUN_BYTES + RUN_BYTES_PER_BYTE * given
    work = 0
    for one in bound:
        sizes = shapes_of(one.step, shapes)
        made = sum(math.prod(shapes[name]) for name in one.step.output_names)
        if one.operator.rule and made * BYTES_PER_OUTPUT > allowed:
            problem = Problem(
                f"layer '{one.step.label}'",
                f"at most {allowed // BYTES_PER_OUTPUT} output elements, for {given} bytes of constants",
                str(made),
                "Choose a smaller shape with --shape.",
            )
            raise InputError("measuring the layer would take too much memory", [problem])
        read = sum(math.prod(shapes[name]) for name in one.step.input_names)
        work += read + made + one.operator.work(one.step.attributes, *sizes)
        work += one.operator.macs(one.step.attributes, *sizes) // PRODUCTS_PER_ELEMENT
    if exhaustive:
        return Effort(NO_LIMIT, NO_LIMIT)
    inputs = max(ELEMENTS, ELEMENTS_PER_BYTE * given) // max(1, work)
    return Effort(max(1, inputs), max(SUMS, SUMS_PER_BYTE * given))
