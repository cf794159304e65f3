"""Brings a bias that is quantized in units of its own to the units of the sums, where that is exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.fusions import scales_agree
from qdqnp.lowering.qdq import is_dq, is_op
from qdqnp.numerics.rational import fraction
from qdqnp.quant import Array, code_range

INT32 = np.dtype(np.int32)
#: Far more channels than any layer has; beyond, the bias stays as it is.
MOST_CHANNELS = 2**20


def bias(graph: Graph, log: Log) -> Graph:
    """Give the constant bias of a Conv or Gemm in int32 codes of scale input scale x weight scale.

    Only a bias whose real values are whole numbers of that unit is changed: one of powers of two with a coarser scale
    (AMD Quark writes int8), for example. Every other one stays, and the guards of the fusion say what is wrong with it.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if not is_op(node, "Conv", "Gemm"):
            continue
        source, weight, added = (edit.producer(node.input(at)) for at in range(3))
        if source is None or weight is None or added is None or not all(map(is_dq, (source, weight, added))):
            continue
        unit = _unit(edit, source, weight)
        codes = edit.constant(added.input(0))
        if unit is None or codes is None or codes.ndim != 1 or codes.size > MOST_CHANNELS:
            continue
        made = _converted(edit, added, codes, unit)
        if made is not None:
            inputs = (edit.add_constant(f"{added.input(0)}_int32", made), edit.add_constant("bias_scale", unit))
            attributes = {"axis": 0} if unit.size > 1 else {}
            new = added.with_(inputs=inputs, attributes=attributes, domain="", origin=added.origins)
            edit.replace(added, new)
    return edit.done()


def _unit(edit: Edit, source: Node, weight: Node) -> Array | None:
    """Return input scale x weight scale, float32; None where one is no constant."""
    scales = [edit.constant(dq.input(1)) for dq in (source, weight)]
    if any(scale is None or scale.dtype != np.float32 or scale.ndim > 1 for scale in scales) or scales[0].size != 1:  # type: ignore[union-attr]
        return None
    one, other = scales
    assert one is not None and other is not None
    return np.asarray(one.reshape(()) * other.reshape(-1) if other.ndim else one.reshape(()) * other, np.float32)


def _converted(edit: Edit, added: Node, codes: Array, unit: Array) -> Array | None:
    """Return the int32 codes; None where the codes have the unit already, or it is not exact."""
    scale, zero = edit.constant(added.input(1)), edit.constant(added.input(2)) if added.input(2) else None
    if scale is None or scale.ndim > 1 or not _usable(scale) or not _usable(unit):
        return None
    if (
        scale.size not in (1, codes.size)
        or unit.size not in (1, codes.size)
        or (zero is not None and zero.size not in (1, codes.size))
    ):
        return None
    plain = zero is None or not np.any(zero)
    if codes.dtype == INT32 and plain and scales_agree(scale.reshape(-1), unit.reshape(-1)):
        return None
    offset = np.zeros(1, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    centered, scales, units = np.broadcast_arrays(codes.astype(np.int64) - offset, scale.reshape(-1), unit.reshape(-1))
    low, high = code_range(INT32)
    made: list[int] = []
    for code, one, other in zip(centered.tolist(), scales, units, strict=True):
        exact = Fraction(code) * fraction(one) / fraction(other)
        if exact.denominator != 1 or not low <= exact <= high:
            return None
        made.append(int(exact))
    return np.array(made, np.int32)


def _usable(scale: Array) -> bool:
    return scale.dtype == np.float32 and bool(np.all(np.isfinite(scale) & (scale > 0)))
