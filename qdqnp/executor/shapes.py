"""Finds the shapes of a run from those of its inputs, and settles the steps whose sizes are computed.

Sizes are computed by steps like others, from shapes, constants and inputs that say sizes. Of these tensors, which are
small, the elements are computed here, before a run: then every shape is known, and what it takes can be bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.limits import KNOWN_ELEMENTS, MAX_TENSOR_BYTES, bytes_needed
from qdqnp.ops.operator import Operator, ShapeError
from qdqnp.ops.registry import operator_of
from qdqnp.ops.runtime_sizes import WithRuntimeSizes, settled, sizes_read
from qdqnp.program import Program, Step
from qdqnp.quant import Array

if TYPE_CHECKING:
    from qdqnp.executor.plan import BoundStep

#: The shapes of the inputs, and the bytes of those that decide sizes.
Key = tuple[tuple[Sizes, ...], tuple[bytes, ...]]


@dataclass(frozen=True, eq=False)
class Settled:
    """What is known of a run before it begins."""

    #: The shape of every tensor.
    shapes: Mapping[str, Sizes]
    #: Each step, with its operator, as constants in place of computed sizes would have made it.
    steps: Sequence[tuple[Operator, Step]]


def deciding(program: Program) -> frozenset[str]:
    """Return the names of the tensors whose elements decide sizes, of steps or by way of other tensors."""
    found: set[str] = set()
    for step in reversed(program.steps):
        if not found.isdisjoint(step.output_names) and not operator_of(step).of_shapes:
            found.update(step.input_names)
        found.update(sizes_read(step))
    return frozenset(found)


def settle(
    steps: Iterable[BoundStep], known: Mapping[str, Array], inputs: Mapping[str, Sizes], wanted: Collection[str]
) -> Settled:
    """Find all shapes.

        steps: the steps of a plan, in order.
        known: constants, and inputs that decide sizes, by name.
        inputs: the shapes of the inputs by name.
        wanted: the tensors whose elements decide sizes.

    Raises InputError where the shapes do not fit a step, a tensor would need more memory than is allowed, or an input
    that decides sizes is not there.
    """
    values = dict(known)
    shapes: dict[str, Shape] = {name: array.shape for name, array in known.items()}
    shapes.update(inputs)
    made: list[tuple[Operator, Step]] = []
    for bound in steps:
        operator, step = _settled(bound, shapes, values)
        made.append((operator, step))
        shapes.update(_output_shapes(bound, operator, step, shapes))
        if any(name in wanted for name in bound.step.output_names):
            values.update(_elements(bound, operator, shapes, values))
    return Settled({name: concrete(shape) for name, shape in shapes.items()}, made)


def _settled(bound: BoundStep, shapes: Mapping[str, Shape], values: Mapping[str, Array]) -> tuple[Operator, Step]:
    if not isinstance(bound.operator, WithRuntimeSizes):
        return bound.operator, bound.step
    for name in sizes_read(bound.step):
        if name not in values:
            problem = Problem(f"step {bound.step.label}, '{name}'", "its elements, which say sizes", "its shape alone")
            raise InputError("the sizes of the model depend on an input", [problem])
    operator = bound.operator.operator
    known = {name: concrete(shapes[name]) for name in bound.step.input_names}
    return operator, settled(operator, bound.step, known, values)


def _elements(
    bound: BoundStep, operator: Operator, shapes: Mapping[str, Shape], values: Mapping[str, Array]
) -> Mapping[str, Array]:
    """Return the outputs of a step that decide sizes."""
    step = bound.step
    if operator.of_shapes:  # reads no element, so that none is needed
        read = {name: np.broadcast_to(np.zeros((), np.int8), concrete(shapes[name])) for name in step.input_names}
    else:
        read = {name: values[name] for name in step.input_names if name in values}
        if len(read) < len(set(step.input_names)):
            return {}  # an input that the caller did not give; who needs it says so
    for name in (*step.input_names, *step.output_names):
        count = bytes_needed(np.dtype(np.int8), shapes[name])
        if count > KNOWN_ELEMENTS and not operator.of_shapes:
            problem = Problem(f"step {step.label}, '{name}'", f"at most {KNOWN_ELEMENTS} elements", str(count))
            raise InputError("tensors that decide sizes are too large", [problem])
    return bound.compute(read)


def _output_shapes(bound: BoundStep, operator: Operator, step: Step, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shapes of a step's outputs by name.

    Raises InputError where those of its inputs do not fit, or where it would need more memory than is allowed.
    """
    read = [shapes[operand.name] if operand is not None else None for operand in step.inputs]
    try:
        made = operator.shapes(step.attributes, *read)
    except ShapeError as error:
        problem = Problem(f"step {step.label}", error.expected, error.got)
        raise InputError("the inputs' shapes do not fit the model", [problem]) from error
    _check_slices(step, read, made)
    found = dict(zip(step.output_names, made, strict=False))
    for name, shape in found.items():
        need = bytes_needed(bound.tensors[name].dtype, shape) if name in bound.tensors else 0
        if need > MAX_TENSOR_BYTES:
            problem = Problem(f"tensor '{name}'", f"at most {MAX_TENSOR_BYTES} bytes", f"{need} bytes")
            raise InputError("the inputs' shapes need too much memory", [problem])
    return found


def _check_slices(step: Step, read: Sequence[Shape | None], made: Sequence[Shape]) -> None:
    """Check that as many slices exist as scales per slice, which only concrete shapes tell."""
    for operand, shape in (*zip(step.inputs, read, strict=True), *zip(step.outputs, made, strict=False)):
        quant = operand.quant if operand is not None else None
        if quant is not None and shape is not None and not quant.fits(shape):
            blocks = f" of {quant.block_size}" if quant.block_size else ""
            problem = Problem(
                f"step {step.label}, axis {quant.axis}",
                f"{quant.scale.size} {'blocks' if blocks else 'slices'}{blocks}, one for each scale",
                f"shape {list(shape)}",
            )
            raise InputError("the inputs' shapes do not fit the model", [problem])
