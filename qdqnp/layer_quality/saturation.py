"""Which codes are saturated: at an end of the range, and made of a value that lies beyond.

A code at an end is not saturated where its value just reaches it, nor where a Relu or a Clip of the float network cuts
off what the code cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.executor.plan import BoundStep
from qdqnp.layer_quality.layers import Clamp
from qdqnp.numerics.float32 import Float64
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.quant import Array, Quant, code_range


def saturated(
    bound: BoundStep, values: Mapping[str, Array], name: str, codes: Array, quant: Quant, clamp: Clamp
) -> int | None:
    """Count the saturated codes of one evaluation of a step; None where the step does not say what it clamps.

    bound: the step.
    values: tensors by name, its inputs among them.
    name: the tensor that it made.
    codes: its codes.
    quant: how they are read.
    clamp: what the float network cuts off there.
    """
    low, high = code_range(quant.dtype)
    own = quant.aligned(codes.shape)
    scale, zero = own.scale.astype(np.float64), own.zero_point.astype(np.float64)
    # the values that the ends may stand for without being saturated reach half a step beyond them
    below = _open(clamp[0], scale, zero, low, -1) & (codes == low)
    above = _open(clamp[1], scale, zero, high, 1) & (codes == high)
    if not below.any() and not above.any():
        return 0
    unclamped = _unclamped(bound, values, name, codes, scale, zero)
    if unclamped is None:
        return None
    return int(np.count_nonzero(below & (unclamped < low - 0.5)) + np.count_nonzero(above & (unclamped > high + 0.5)))


def _open(limit: float, scale: Float64, zero: Float64, end: int, side: int) -> Array:
    """Tell whether the float network lets values through that lie beyond an end of the codes."""
    with np.errstate(all="ignore"):
        return np.asarray(side * (limit / scale + zero) > side * end + 0.5)


def _unclamped(
    bound: BoundStep, values: Mapping[str, Array], name: str, codes: Array, scale: Float64, zero: Float64
) -> Float64 | None:
    """Return the codes as they would be without an end of the range; None where the step does not say."""
    step = bound.step
    if step.quantizes:
        with np.errstate(all="ignore"):
            found: Float64 = values[step.input_names[0]].astype(np.float64) / scale + zero
        return found
    if not isinstance(bound.operator, IntegerOperator) or step.output_names[0] != name:
        return codes.astype(np.float64) if _moves(bound) else None
    made = codes.astype(np.float64)
    try:
        for part in bound.questions(values):
            question = part.question.under(bound.profile)
            if getattr(question, "copied", False):
                continue
            stages = {value.name: value.array for value in question.stages(getattr(bound.profile, question.rule))}
            if "unclipped" not in stages:
                return None
            part.put(made, np.asarray(stages["unclipped"], np.float64))
    except QdqnpError:
        return None
    return made


def _moves(bound: BoundStep) -> bool:
    """Tell whether the step makes no codes of its own: what it moves was counted where it was made."""
    return bound.operator.only_moves(bound.step) or bound.operator.arranges or bound.operator.copies
