"""Layers whose codes are a function of one code or of two: tables of all 256 codes, or of all 65,536 pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.diagnosis.proof.anchor import shift_of
from qdqnp.diagnosis.proof.claim import Claim
from qdqnp.diagnosis.proof.pair import StepPair
from qdqnp.numerics.questions import Pairs, Question, Singles
from qdqnp.ops.integer.asking import Part
from qdqnp.quant import Array, Codes, Int64, all_codes, code_range
from qdqnp.stimuli.tables import CODES


@dataclass(frozen=True, eq=False)
class Table:
    """The codes that both profiles give to every combination of input codes, in the model file's dtype.

    All codes are counted from the lowest of their dtype: 0 to 255.
    """

    #: Which operands of the layer the axes are.
    operands: tuple[int, ...]
    #: int64, 256 entries along each axis.
    first: Int64
    second: Int64
    #: Whether inputs can make the combination, in the same shape.
    there: Array

    def spread(self, deltas: Sequence[int]) -> int:
        """Bound the difference of two codes, one under each profile, whose inputs are at most so far apart.

        deltas: for each axis.
        """
        least = most = self.second
        for axis, delta in enumerate(deltas):
            least, most = _lowest(least, delta, axis), -_lowest(-most, delta, axis)
        apart = np.maximum(most - self.first, self.first - least)
        return int(apart.max(initial=0, where=self.there))


def _lowest(values: Int64, delta: int, axis: int) -> Int64:
    """Return for each element the least one that is at most `delta` places away along an axis."""
    found = np.moveaxis(values, axis, 0).copy()
    reached = 0
    while reached < min(delta, CODES - 1):
        step = min(2 * reached + 1, delta - reached, CODES - 1)  # three times as far with each
        before = found.copy()
        np.minimum(found[step:], before[:-step], out=found[step:])
        np.minimum(found[:-step], before[step:], out=found[:-step])
        reached += step
    return np.moveaxis(found, 0, axis)


def tables_of(pair: StepPair, parts: tuple[Sequence[Part], Sequence[Part]]) -> list[Table]:
    """Return a table for each question of a layer that asks about pairs or about single codes.

    parts: what the layer asks under each profile.
    """
    return [_table(pair, (one.question, other.question)) for one, other in zip(*parts, strict=True)]


def _table(pair: StepPair, questions: tuple[Question, Question]) -> Table:
    codes = []
    for bound, question in zip(pair.sides, questions, strict=True):
        assert isinstance(question, Pairs | Singles)
        found = question.everything().codes(getattr(bound.profile, question.rule)).astype(np.int64)
        dtypes = [quant.dtype for quant in question.quants[:2]] if isinstance(question, Pairs) else [question.x.dtype]
        order = [np.argsort(all_codes(dtype), kind="stable") for dtype in dtypes]
        codes.append(found.reshape([CODES] * len(order))[np.ix_(*order)] + shift_of(bound))
        operands = question.operands if isinstance(question, Pairs) else (question.operand,)
    return Table(operands, codes[0], codes[1], _reachable(pair, operands))


def _reachable(pair: StepPair, operands: Sequence[int]) -> Array:
    """Return which combinations of codes inputs can make: not all, where an operand is a constant or is read twice."""
    names = [pair.first.step.inputs[operand] for operand in operands]
    there = np.ones([CODES] * len(names), bool)
    for axis, operand in enumerate(names):
        assert operand is not None
        const = pair.first.consts.get(operand.name)
        if const is not None:
            seen = np.zeros(CODES, bool)
            seen[const.astype(np.int64).reshape(-1) - code_range(const.dtype)[0]] = True
            there &= seen.reshape([-1 if at == axis else 1 for at in range(len(names))])
    if len(names) == 2 and names[0] is not None and names[1] is not None and names[0].name == names[1].name:
        there &= np.eye(CODES, dtype=bool)
    return there


def claim_of(pair: StepPair, tables: Sequence[Table]) -> Claim:
    """Return the claim about a layer of tables; its witness has been run."""
    apart = [np.where(table.there, np.abs(table.first - table.second), 0) for table in tables]
    largest = [int(each.max(initial=0)) for each in apart]
    reachable, differing = (
        sum(int(np.count_nonzero(each)) for each in those) for those in ([t.there for t in tables], apart)
    )
    counted = "pairs of codes" if any(len(table.operands) == 2 for table in tables) else "codes"
    claim = Claim("", max(largest, default=0), counted, reachable, differing)
    if not claim.largest:
        return claim
    best = largest.index(claim.largest)
    at = np.unravel_index(int(apart[best].argmax()), apart[best].shape)
    table = tables[best]
    inputs = _filled(pair, dict(zip(table.operands, (int(i) for i in at), strict=True)))
    return replace(claim, witness=pair.witness(inputs, (int(table.first[at]), int(table.second[at])), None, None))


def _filled(pair: StepPair, codes: dict[int, int]) -> dict[str, Array]:
    """Return inputs that are full of these codes (by operand); a condition, which is no codes, chooses the operand."""
    found: dict[str, Array] = {}
    step = pair.first.step
    for number, operand in enumerate(step.inputs):
        if operand is None or operand.name in pair.first.consts:
            continue
        dtype, shape = pair.first.tensors[operand.name].dtype, pair.shapes[operand.name]
        if operand.quant is None:
            found[operand.name] = np.full(shape, min(codes) == 1, dtype)
        elif number in codes:
            full: Codes = np.full(shape, codes[number] + code_range(dtype)[0], dtype)
            found[operand.name] = full
        else:
            found.setdefault(operand.name, np.full(shape, operand.quant.zero_point, dtype))
    return found
