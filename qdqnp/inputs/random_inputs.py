"""Draw seeded random inputs that reach the whole code range of the quantizer that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.graph import Shape, Sizes
from qdqnp.limits import MAX_RANDOM_BYTES, bytes_needed, readable_bytes
from qdqnp.ops.operator import ShapeError
from qdqnp.ops.registry import operator_of
from qdqnp.ops.runtime_scales import scales_read
from qdqnp.program import Program, Tensor
from qdqnp.quant import Array, code_range

#: What is tried for sizes that the model leaves open.
UNKNOWN = tuple(2**power for power in range(10))


def random_feeds(program: Program, count: int, seed: int) -> Iterator[dict[str, Array]]:
    """Yield `count` sets of inputs by name. The same seed gives the same arrays.

    Unknown sizes become 1, or, behind the first axis, the smallest power of two that fits all windows and slices; where
    none does, the first axis is of that size too.

    Float inputs that a QuantizeLinear reads are uniform over its real range and a little beyond, so that codes saturate
    too. Those that are read as scales are between 2^-8 and 2^-4. Other floats are standard normal; integers are uniform
    over their dtype, or over the places that they name where an operator reads them as indices.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> program = qdqnp.load(shipped_model("dla46_c_int8")).program()
    >>> [feeds["input"].shape for feeds in random_feeds(program, 2, seed=0)]
    [(1, 3, 32, 32), (1, 3, 32, 32)]

    Raises InputError where the model declares inputs of more than MAX_RANDOM_BYTES, or of a type without random values.
    """
    rng = np.random.default_rng(seed)
    shapes = _shapes(program)
    _check_size(program, shapes)
    places = _places(program, shapes)
    for _ in range(count):
        yield {name: _array(program, program.tensors[name], shapes[name], places, rng) for name in program.inputs}


def _places(program: Program, inputs: Mapping[str, Sizes]) -> Mapping[str, int]:
    """Return how many places there are for each tensor of indices, and for what is moved or converted to be one."""
    found: dict[str, int] = {}
    shapes = _all_shapes(program, inputs) or {}
    for step in reversed(program.steps) if shapes else ():
        operator = operator_of(step)
        count = operator.index_places(
            step.attributes, *(shapes[x.name] if x is not None else None for x in step.inputs)
        )
        if count > 0:
            name = step.input_names[1]
            found[name] = min(count, found.get(name, count))
        elif step.output_names[0] in found and (operator.only_moves(step) or len(step.input_names) == 1):
            found[step.input_names[0]] = found[step.output_names[0]]
    return found


def _check_size(program: Program, shapes: Mapping[str, Sizes]) -> None:
    """Refuse inputs out of proportion before they are made."""
    need = {name: bytes_needed(program.tensors[name].dtype, shape) for name, shape in shapes.items()}
    if sum(need.values()) > MAX_RANDOM_BYTES:
        largest = max(need, key=need.__getitem__)
        shown = f"shape {list(shapes[largest])}, {readable_bytes(need[largest])}"
        limit = f"at most {readable_bytes(MAX_RANDOM_BYTES)} in all inputs together"
        raise InputError(
            "the random inputs would be too large",
            [Problem(f"input '{largest}'", limit, shown, "Pass arrays of your own: --input.")],
        )


def _shapes(program: Program) -> dict[str, Sizes]:
    """Return shapes for the inputs.

    Where no size that is tried fits, unknown ones are 1, and running says what is wrong.
    """
    tried = [_sized(program, size, first) for first in (False, True) for size in UNKNOWN]
    return next((shapes for shapes in tried if _all_shapes(program, shapes) is not None), tried[0])


def _sized(program: Program, unknown: int, first: bool) -> dict[str, Sizes]:
    """Return shapes with a size in place of those that are unknown; first: of the first axes too, which are 1 else."""

    def sizes(shape: Shape) -> Sizes:
        one = unknown if first else 1
        return tuple(size if isinstance(size, int) else unknown if axis else one for axis, size in enumerate(shape))

    return {name: sizes(program.tensors[name].shape) for name in program.inputs}


def _all_shapes(program: Program, inputs: Mapping[str, Sizes]) -> Mapping[str, Shape] | None:
    """Return the shape of every tensor; None where an operator does not accept those that follow."""
    shapes: dict[str, Shape] = {name: t.const.shape for name, t in program.tensors.items() if t.const is not None}
    shapes.update(inputs)
    for step in program.steps:
        operator = operator_of(step)
        try:
            made = operator.shapes(step.attributes, *(shapes[x.name] if x is not None else None for x in step.inputs))
        except ShapeError:
            return None
        shapes.update(zip(step.output_names, made, strict=False))
    return shapes


def _array(
    program: Program, tensor: Tensor, shape: Sizes, places: Mapping[str, int], rng: np.random.Generator
) -> Array:
    if tensor.name in places:
        return rng.integers(0, min(places[tensor.name], np.iinfo(tensor.dtype).max), shape, dtype=tensor.dtype)
    if tensor.dtype.kind in "iu":
        low, high = code_range(tensor.dtype)
        return rng.integers(low, high, shape, dtype=tensor.dtype, endpoint=True)
    if tensor.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if tensor.dtype != np.float32:
        return rng.standard_normal(shape, np.float32).astype(tensor.dtype)
    for step in program.steps:
        if tensor.name in scales_read(step):
            return rng.uniform(2**-8, 2**-4, shape).astype(np.float32)
        quant = step.outputs[0].quant
        if step.quantizes and tensor.name in step.input_names and quant is not None and quant.per_tensor:
            low, high = quant.range
            reach = 0.02 * (high - low)
            codes = rng.uniform(low - reach, high + reach, shape)
            return ((codes - float(quant.zero_point)) * float(quant.scale)).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)
