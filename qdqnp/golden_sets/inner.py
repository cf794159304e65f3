"""Compute the numbers inside a layer: its integer parameters, and the values between its sums and its codes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from qdqnp.errors import GoldenError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Summed
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import EIGHT_BIT, Array

# Stages that are not stored: the accumulator has its own role; the code before its clip, its real value and that
# value rounded add nothing to it; and the last stage is the output.
_LEFT_OUT = ("acc", "real", "rounded", "unclipped", "y")
_DTYPES: Mapping[str, Any] = {"x16": np.int16, "m16": np.int16, "scaled": np.int64, "affine": np.int64}
INNER_ROLES = ("sum", "accumulator", "stage")


def constant_parameters(bound: BoundStep) -> bool:
    """Return whether the parameters are the same for every input of the same shape. They are not where weights are
    computed."""
    return bound.operator.fixed(bound.binding)


def parameters(bound: BoundStep, values: Mapping[str, Array], cmsis_nn: bool = False) -> dict[str, Array]:
    """Return the parameters of the profile's arithmetic by name, followed by the limits of the output's codes. Integers
    are int32 where they fit, else int64; parameters that vary with the input are always int64.

        bound: the layer.
        values: the layer's inputs by name.
        cmsis_nn: whether to add output_shift = 31 - shift, to the left, and the offsets with the signs that CMSIS-NN
            takes.
    """
    found: dict[str, Any] = dict(bound.parameters(values))
    if cmsis_nn:
        found.update(_cmsis_shifts(found))
    y = bound.step.outputs[0].quant
    if y is not None:
        found["activation_min"], found["activation_max"] = y.range
    if cmsis_nn:
        found.update(_cmsis_offsets(bound))
    narrow = constant_parameters(bound)
    return {name: _as_parameter(np.asarray(value), narrow) for name, value in found.items()}


def _cmsis_shifts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Convert to CMSIS-NN's shifts: its multiplier is a fraction of 2^31 and its shift goes to the left, value *
    2^(shift - 31)."""
    pairs = {"multiplier": ("shift", "output_shift"), "multipliers": ("shifts", "output_shifts")}
    return {
        new: 31 - np.asarray(found[old])
        for name, (old, new) in pairs.items()
        if name in found and old in found and np.asarray(found[name]).dtype.kind == "i"
    }


def _cmsis_offsets(bound: BoundStep) -> dict[str, int]:
    """Return CMSIS-NN's offsets: input_offset = -zero point, filter_offset = -zero point, output_offset = +zero
    point."""
    step = bound.step
    offsets: dict[str, int] = {}
    moving = [operand for operand in step.inputs if operand is not None and operand.name not in bound.consts]
    for number, operand in enumerate(moving):
        if operand.quant is not None and operand.quant.per_tensor:
            name = "input_offset" if len(moving) == 1 else f"input_{number + 1}_offset"
            offsets[name] = -int(operand.quant.zero_point)
    for constant in step.inputs:
        if constant is not None and constant.name in bound.consts and constant.quant is not None:
            zero = np.unique(constant.quant.zero_point)
            if zero.size == 1:
                offsets["filter_offset"] = -int(zero[0])
    y = step.outputs[0].quant
    if y is not None and y.per_tensor:
        offsets["output_offset"] = int(y.zero_point)
    return offsets


def _as_parameter(value: Array, narrow: bool) -> Array:
    if value.dtype.kind not in "iu" or value.dtype in EIGHT_BIT:  # a table of codes stays one
        return value
    info = np.iinfo(np.int32)
    fits = narrow and (value.size == 0 or (value.min() >= info.min and value.max() <= info.max))
    return value.astype(np.int32 if fits else np.int64)


def inner_tensors(
    bound: BoundStep, values: Mapping[str, Array], output: Array, roles: Collection[str]
) -> Iterator[tuple[str, str, Array]]:
    """Yield (role, stage, values in the shape of the output) of a layer that requantizes sums; nothing for other
    layers.

    The sum before bias and the accumulator are int32 (int64 where the profile's accumulator is). Stages are int32,
    except x16 (int16) and the product before its last shift (int64).

        bound: the layer.
        values: the layer's inputs by name.
        output: the layer's output, as its own kernel computed it.
        roles: which roles to yield.

    Raises GoldenError where a value does not fit, or where the stages and the layer's own kernel do not give the same
    codes.
    """
    if not set(roles) & set(INNER_ROLES):
        return
    found: dict[tuple[str, str], Array] = {}
    dtypes: dict[tuple[str, str], Any] = {}
    for part in bound.questions(values):
        question = part.question.under(bound.profile)
        if not isinstance(question, Summed):
            return
        requantizer = question.bind(getattr(bound.profile, question.rule))
        stages = requantizer.stages(question.sums)
        codes = np.empty_like(output)
        part.put(codes, stages[-1].array)
        if not np.array_equal(part.view(codes), part.view(output), equal_nan=output.dtype.kind == "f"):
            problem = Problem(
                f"step {bound.step.label}",
                "stages that end in the layer's output",
                "other codes",
                "Please report this as a fault of qdqnp.",
            )
            raise GoldenError("qdqnp contradicts itself", [problem])
        wide = _accumulator_dtype(requantizer)
        named = [("sum", "sum", question.sums, wide), ("accumulator", "acc", stages[0].array, wide)]
        named += [("stage", v.name, v.array, _DTYPES.get(v.name, np.int32)) for v in stages if v.name not in _LEFT_OUT]
        for role, stage, value, dtype in named:
            if role in roles:
                dtypes[role, stage] = dtype
                whole = found.setdefault((role, stage), np.empty(output.shape, np.asarray(value).dtype))
                part.put(whole, value)
    for (role, stage), value in found.items():
        yield role, stage, _exactly(value, dtypes[role, stage], f"step {bound.step.label}, {stage}")


def _accumulator_dtype(requantizer: Requantizer) -> Any:
    return np.int64 if getattr(getattr(requantizer, "rule", None), "accumulator", 32) == 64 else np.int32


def _exactly(value: Array, dtype: Any, where: str) -> Array:
    if value.dtype.kind not in "iu":
        return value
    info = np.iinfo(dtype)
    if value.size and (value.min() < info.min or value.max() > info.max):
        largest = int(np.abs(value).max())
        raise GoldenError(
            "a value does not fit its type in the golden set",
            [Problem(where, f"an {info.dtype}", f"magnitudes up to {largest}")],
        )
    return value.astype(dtype)
