"""Which tensors are alive at each step of a run in the program's order, and how many bytes they take.

A tensor is alive from the step that makes it to the last one that reads it; a network's inputs from the start, its
outputs to the end. Nothing is computed in place: a step's inputs and outputs are alive together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from qdqnp.element_types import bytes_in_file
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.graph import Sizes
from qdqnp.inspection.layers import known_shapes
from qdqnp.quant import Int64


@dataclass(frozen=True)
class Lifetime:
    """A tensor, or several that share their memory, and the steps during which it is alive."""

    #: The tensor's name.
    name: str
    #: Bytes of its elements; types of less than 8 bits are packed.
    nbytes: int
    #: The step that makes it, 0 for inputs.
    first: int
    #: The last step during which it is alive.
    last: int


@dataclass(frozen=True, eq=False)
class Lifetimes:
    """The tensors of a run, without constants."""

    #: The steps that are counted, in order.
    steps: tuple[BoundStep, ...]
    #: The shape of every tensor of the program.
    shapes: Mapping[str, Sizes]
    #: The names of the inputs.
    inputs: tuple[str, ...]
    #: The names of the outputs.
    outputs: tuple[str, ...]
    #: Every tensor, in the order in which they are made.
    tensors: tuple[Lifetime, ...]


def lifetimes(plan: Plan, codes_at_ends: bool = False) -> Lifetimes | None:
    """Return when each tensor of a run is alive; None where the model leaves sizes open. A symbolic batch is 1.

        plan: the program under a profile.
        codes_at_ends: whether inputs come as codes and outputs leave as codes: a step that only makes codes of an
            input, or real values of an output, is then not counted, nor is the float tensor.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> plan = qdqnp.load(shipped_model("dla46_c_int8")).plan()
    >>> len(lifetimes(plan).steps), len(lifetimes(plan, codes_at_ends=True).steps)
    (75, 73)
    """
    shapes = known_shapes(plan)
    if shapes is None:
        return None
    steps, inputs, outputs = list(plan.steps), list(plan.program.inputs), list(plan.program.outputs)
    if codes_at_ends:
        steps, inputs, outputs = _without_conversions(steps, inputs, outputs)
    size = {
        name: bytes_in_file(tensor.dtype, math.prod(shapes[name]))
        for name, tensor in plan.program.tensors.items()
        if name in shapes and name not in plan.consts
    }
    last = {name: index for index, bound in enumerate(steps) for name in bound.step.input_names}
    end = max(len(steps) - 1, 0)
    last |= dict.fromkeys(outputs, end)
    found = {name: Lifetime(name, size[name], 0, last.get(name, 0)) for name in inputs if name in size}
    for index, bound in enumerate(steps):
        for name in bound.step.output_names:
            if name in size:
                found[name] = Lifetime(name, size[name], index, last.get(name, index))
    return Lifetimes(tuple(steps), shapes, tuple(inputs), tuple(outputs), tuple(found.values()))


def live_bytes(tensors: Iterable[Lifetime], steps: int) -> Int64:
    """Return the bytes that are alive during each step, int64 (steps,).

        tensors: their lifetimes.
        steps: how many steps there are.

    >>> live_bytes([Lifetime("x", 4, 0, 0), Lifetime("a", 8, 0, 1), Lifetime("y", 2, 1, 1)], 2)
    array([12, 10])
    """
    change = np.zeros(max(steps, 1) + 1, np.int64)
    for tensor in tensors:
        change[tensor.first] += tensor.nbytes
        change[tensor.last + 1] -= tensor.nbytes
    return np.cumsum(change[:-1])


def _without_conversions(
    steps: list[BoundStep], inputs: list[str], outputs: list[str]
) -> tuple[list[BoundStep], list[str], list[str]]:
    """Leave out the steps that make codes of an input, or real values of an output, where no other step reads them."""
    readers: dict[str, int] = {}
    for bound in steps:
        for name in bound.step.input_names:
            readers[name] = readers.get(name, 0) + 1
    kept = []
    for bound in steps:
        step = bound.step
        source, made = step.input_names[0] if step.input_names else "", step.output_names[0]
        if step.quantizes and source in inputs and readers[source] == 1 and source not in outputs:
            inputs = [made if name == source else name for name in inputs]
        elif step.dequantizes and made in outputs and not readers.get(made) and source not in (*inputs, *outputs):
            outputs = [source if name == made else name for name in outputs]
        else:
            kept.append(bound)
    return kept, inputs, outputs
