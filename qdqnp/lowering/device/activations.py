"""Relu, Relu6 and Clip before a QuantizeLinear become limits of its codes, whatever its zero point.

A Relu is a clamp at the zero point: codes below it stand for negative numbers. Fixed-point kernels have two limits for
this, which their converter computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import EIGHT_OR_SIXTEEN, clip_bounds, is_dq, is_op, is_q, parameters, per_tensor, scalar
from qdqnp.numerics.float32 import dequantize
from qdqnp.numerics.rational import fraction
from qdqnp.quant import code_range

NAME = "activations"

#: From a bound and a scale, both float32, to the bound in units of the scale, rounded; may be infinite.
Rounded = Callable[[np.float32, np.float32], float]


def rounded_away(bound: np.float32, scale: np.float32) -> float:
    """Divide in float32 and round halves away from zero, as TFLite does.

    google-ai-edge/LiteRT, tflite/kernels/kernel_util.cc (CalculateActivationRangeQuantized); there for the bounds of
    Relu, Relu6 and ReluN1To1, here for every Clip.
    """
    with np.errstate(all="ignore"):
        ratio = float(np.float32(bound / scale))
    return math.copysign(math.floor(abs(ratio) + 0.5), ratio) if math.isfinite(ratio) else ratio


def rounded_even(bound: np.float32, scale: np.float32) -> float:
    """Divide the numbers themselves and round halves to even: the code of the bound's real value."""
    if not np.isfinite(bound):
        return float(bound)
    return float(round(min(max(fraction(bound) / fraction(scale), Fraction(-(2**40))), Fraction(2**40))))


def activations(rounded: Rounded) -> PassFunction:
    """Return the pass that takes Relu and Clip between an operator and its Q, or before any Q, into Q's limits.

    rounded: how the bounds become codes.
    """

    def run(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        for node in edit.nodes():
            q = node
            while is_q(q):
                clip = edit.producer(q.input(0))
                if clip is None or not is_op(clip, "Relu", "Clip") or edit.dtype(clip.input(0)) != np.float32:
                    break
                reason = _why_not(edit, clip, q)
                if reason:
                    log.refuse(clip, NAME, reason)
                    break
                log.settle(clip, NAME)
                q = _absorb(edit, clip, q, rounded)
        return edit.done()

    return run


def _why_not(edit: Edit, clip: Node, q: Node) -> str | None:
    if edit.only_user(clip) is not q:
        return f"the {clip.op}'s float output has another use than one QuantizeLinear"
    if edit.dtype(q.outputs[0]) not in EIGHT_OR_SIXTEEN:
        return "the QuantizeLinear after it makes no 8- or 16-bit codes"
    if scalar(edit, q.input(1)) is None or (q.input(2) and parameters(edit, q) is None):
        return "the scale or zero point after it is not a constant scalar"
    bounds = _bounds(edit, clip)
    if bounds is None:
        return "its bounds are not constants"
    return "a bound is no number" if np.isnan(bounds).any() else None


def _bounds(edit: Edit, clip: Node) -> tuple[np.float32, np.float32] | None:
    if clip.op == "Relu":
        return np.float32(0), np.float32(np.inf)
    bounds = (_dequantized(edit, name) or name for name in clip.inputs[1:])
    return clip_bounds(edit, clip.with_(inputs=(clip.input(0), *bounds)))


def _dequantized(edit: Edit, name: str) -> str | None:
    """Return a constant that a DQ of one constant code makes, as ESP-PPQ writes bounds; None where it is another."""
    dq = edit.producer(name)
    if dq is None or not is_dq(dq) or not per_tensor(edit, dq):
        return None
    codes, scale, zero = (scalar(edit, dq.input(at)) for at in range(3))
    if codes is None or scale is None or scale.dtype != np.float32:
        return None
    offset = np.zeros((), codes.dtype) if zero is None else zero.reshape(())
    return edit.add_constant(name, dequantize(codes.reshape(()), scale.reshape(()), offset))


def _absorb(edit: Edit, clip: Node, q: Node, rounded: Rounded) -> Node:
    """Take the Relu or Clip out; return Q with its limits."""
    scale, zero = scalar(edit, q.input(1)), scalar(edit, q.input(2))
    bounds = _bounds(edit, clip)
    assert scale is not None and bounds is not None
    full = code_range(edit.values[q.outputs[0]].dtype)
    offset = 0 if zero is None else int(zero.reshape(-1)[0])
    codes = [rounded(bound, scale.reshape(-1)[0]) + offset for bound in bounds]
    high = _between(codes[1], full)  # a lower bound above the upper one does not count
    limits = joined((min(_between(codes[0], full), high), high), q.limits or full)
    origin = (*q.origins, *clip.origins)
    edit.replace((clip, q), q.with_(inputs=(clip.input(0), *q.inputs[1:]), limits=limits, origin=origin))
    made = edit.producer(q.outputs[0])
    assert made is not None
    return made


def _between(code: float, limits: tuple[int, int]) -> int:
    return int(min(max(code, limits[0]), limits[1]))


def joined(first: tuple[int, int], then: tuple[int, int]) -> tuple[int, int]:
    """Return the limits that a clamp at the first limits and then one at the others come to."""
    return _between(first[0], then), _between(first[1], then)
