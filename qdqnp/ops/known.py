"""Computes, before a run, what is known of small tensors that follow from sizes and constants alone.

A size may be a number, a name or unknown. An operator that arranges elements arranges these too; one that computes
element by element computes where all it reads is a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.graph import Sizes, Value, frozen
from qdqnp.limits import KNOWN_ELEMENTS, KNOWN_INPUT, KNOWN_SMALL, KNOWN_WORK
from qdqnp.numerics.profiles.ort import ORT
from qdqnp.ops.examine import float32_for_half
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import EIGHT_BIT, Array

#: Numbers that leave the other operand as it is, by operator; and whether they may be the first operand.
NEUTRAL = {"Add": (0, True), "Sub": (0, False), "Mul": (1, True), "Div": (1, False)}

#: The most axes of a tensor that says sizes, scales or the like, as blocks of a matrix have scales. What a
#: DequantizeLinear makes with more axes are the weights of a convolution, which would be computed and kept for nobody.
PARAMETER_AXES = 2


class Knowledge:
    """What is known of the tensors of one graph. The work that goes into it is bounded."""

    def __init__(self) -> None:
        # two purses: the weights behind DequantizeLinears would leave nothing for sizes
        self._left = {"small": KNOWN_WORK, "large": KNOWN_WORK}

    def of(self, operator: Operator, check: NodeCheck, attributes: Any, inferred: Inferred) -> list[Array | None]:
        """Return what is known of each output of a node that was examined; None for what depends on data."""
        try:
            with np.errstate(all="ignore"):
                found = self._outputs(operator, check, attributes, inferred)
        except QdqnpError:  # a division by zero, which is reported where it runs
            found = None
        if found is None:
            return [None] * len(inferred)
        made = dict(zip(_named(check, inferred), found, strict=True))
        return [_settled(made[at], dtype) if at in made else None for at, (dtype, _) in enumerate(inferred)]

    def _outputs(
        self, operator: Operator, check: NodeCheck, attributes: Any, inferred: Inferred
    ) -> Sequence[Array] | None:
        given = [index for index, value in enumerate(check.inputs) if value is not None]
        if operator.of_shapes:
            shapes = [check.value(index).shape for index in given]
            return operator.known(attributes, *(_objects(shape) for shape in shapes))
        if float32_for_half(operator, check) is not None:
            return None
        arrays = {index: check.known(index) for index in given}
        shapes_made = [shape for _, shape in inferred]
        if any(array is None for array in arrays.values()) or operator.rule or _reads_profile(operator):
            return None
        if any(not isinstance(size, int) for shape in shapes_made for size in shape):
            return None
        if operator.op == "DequantizeLinear" and len(shapes_made[0]) > PARAMETER_AXES:
            return None
        sizes = [array.size for array in arrays.values() if array is not None]
        sizes += [math.prod(size for size in shape if isinstance(size, int)) for shape in shapes_made]
        most = max(sizes, default=0)
        if most > KNOWN_ELEMENTS:
            return None
        purse = "small" if most <= KNOWN_SMALL else "large"
        self._left[purse] -= sum(sizes) + 1
        if self._left[purse] < 0:
            return None
        nothing = [_nothing(shapes_made[at]) for at in _named(check, inferred)]
        if check.runtime_sizes or check.runtime_scales:
            return nothing
        step = operator.step(check, attributes)
        names = {check.value(index).name: array for index, array in arrays.items() if array is not None}
        read = [None if operand is None else names[operand.name] for operand in step.inputs]
        if operator.macs(attributes, [None if a is None else a.shape for a in read], _first(shapes_made)):
            return None
        return _computed(operator, step, read, check, nothing)


def _named(check: NodeCheck, inferred: Inferred) -> list[int]:
    """Return the numbers of the outputs that have a name, which are those that a step makes."""
    outputs = check.node.outputs
    return [at for at in range(len(inferred)) if at < len(outputs) and outputs[at]]


def _reads_profile(operator: Operator) -> bool:
    """Tell whether a profile decides the results, other than DequantizeLinear's, whose product all profiles round."""
    return bool(operator.reads) and operator.op != "DequantizeLinear"


def _first(shapes: Sequence[Any]) -> Sizes:
    return tuple(shapes[0]) if shapes else ()


def _computed(
    operator: Operator, step: Step, read: Sequence[Array | None], check: NodeCheck, nothing: Sequence[Array]
) -> Sequence[Array] | None:
    binding = Binding(step, ORT, {o.name: a for o, a in zip(step.inputs, read, strict=True) if o and a is not None})
    partly = any(array is not None and array.dtype == object for array in read)
    if not partly:
        return None if operator.doubt(binding) else operator.compute(binding, *read)
    arrays = [array for array in read if array is not None]
    if operator.arranges and all(array.dtype != object for array in arrays[1:] if operator.op == "Gather"):
        made = operator.compute(binding, *(array.astype(object) for array in arrays))
        return [np.asarray(array, object) for array in made]  # NumPy gives a single object itself
    if operator.elementwise:
        dtypes = [check.value(check.node.inputs.index(operand.name)).dtype for operand in step.inputs if operand]
        return [_elementwise(operator, binding, arrays, dtypes)]
    return nothing


def _elementwise(operator: Operator, binding: Binding, arrays: Sequence[Array], dtypes: Sequence[Any]) -> Array:
    """Compute the elements of which all that is read is known; the others are None, or pass through."""
    known = [np.asarray(np.frompyfunc(_is_number, 1, 1)(array), bool) for array in arrays]
    filled = [np.where(mask, array, 1).astype(dtype) for array, mask, dtype in zip(arrays, known, dtypes, strict=True)]
    (made,) = operator.compute(binding, *filled)
    shown = _nothing(made.shape)
    shown[...] = made
    wide = [np.broadcast_to(array, made.shape).astype(object) for array in arrays]
    masks = [np.broadcast_to(mask, made.shape) for mask in known]
    shown[~np.logical_and.reduce(masks)] = None
    if operator.op in NEUTRAL:
        number, either = NEUTRAL[operator.op]
        for at, other in ((1, 0), (0, 1)) if either else ((1, 0),):
            passes = masks[at] & (wide[at] == number)
            shown[passes] = wide[other][passes]
    if operator.op in ("Cast", "CastLike") and made.dtype.kind == dtypes[0].kind == "i":
        shown = wide[0]
    if operator.op == "Where":
        chosen = np.where(masks[0] & (wide[0] == True), wide[1], wide[2])  # noqa: E712 - objects
        shown = np.where(masks[0] | (wide[1] == wide[2]), chosen, _nothing(made.shape))
    return shown


def _is_number(element: Any) -> bool:
    return element is not None and not isinstance(element, str)


def _nothing(shape: Sequence[Any]) -> Array:
    """Return an array of which nothing is known but its shape."""
    return np.empty(tuple(shape), object)  # filled with None


def _objects(shape: Sequence[Any]) -> Array:
    found = np.empty(len(shape), object)
    found[:] = list(shape)
    return found


def _settled(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array in its dtype where all elements are known."""
    if array.dtype != object:
        return frozen(array)
    if all(_is_number(element) for element in array.reshape(-1)):
        try:
            return frozen(np.array(array.tolist(), dtype).reshape(array.shape))
        except OverflowError:  # a product of sizes that int64 cannot hold
            return _nothing(array.shape)
    return array


def input_known(dtype: np.dtype[Any], shape: Sequence[Any]) -> Array | None:
    """Return what is known of a graph input that may say sizes: nothing yet, but that a run knows it when it begins.

    None for inputs that are data: of 8 bits, of unknown size, of several axes, or large.
    """
    if dtype in EIGHT_BIT or any(not isinstance(size, int) for size in shape):
        return None
    if len(shape) > 1 or math.prod(shape) > KNOWN_INPUT:
        return None
    return _nothing(shape)


def value_known(value: Value) -> Value:
    """Return a graph input with what is known of it."""
    return Value(value.name, value.dtype, value.shape, value.const, input_known(value.dtype, value.shape))
