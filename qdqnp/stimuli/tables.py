"""Make inputs with all pairs of codes, or all codes, for operators that work code by code: Add, Mul, Concat and the
lookups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Pairs
from qdqnp.quant import Array, Codes, Int64
from qdqnp.stimuli.patterns import Slot
from qdqnp.stimuli.subject import asks

CODES = 256
# A layer of fewer than 64 elements would need more inputs than this to see all pairs; it sees an even selection.
MOST_CASES = 1024
SPREAD = 10007  # a prime: consecutive multiples visit all numbers of pairs evenly


def every_code(bound: BoundStep, slots: Mapping[str, Slot]) -> list[dict[str, Array]]:
    """Make inputs of the layer in which every combination of codes that its operator may see occurs, as far as it can
    be arranged in these shapes (see `combinations_seen`).

        bound: the layer.
        slots: the inputs that are not constants.

    Each case has one array for each slot.
    """
    if asks(bound, Pairs) and len(slots) == 2:
        return _pairs(bound.step.input_names, slots)
    if asks(bound, Pairs) and len(set(bound.step.input_names)) == 2:
        return _beside_constant(bound, slots)
    return _singles(slots)


def _codes(values: Int64, slot: Slot) -> Codes:
    return (values % CODES + slot.range[0]).astype(slot.dtype).reshape(slot.shape)


def _count(slot: Slot) -> int:
    return int(np.prod(slot.shape, dtype=np.int64))


def _singles(slots: Mapping[str, Slot]) -> list[dict[str, Array]]:
    """Put all codes in turn into every input."""
    cases = max((-(-CODES // max(1, _count(slot))) for slot in slots.values()), default=0)
    return [
        {name: _codes(np.arange(_count(slot)) + case * _count(slot), slot) for name, slot in slots.items()}
        for case in range(cases)
    ]


def _pairs(names: tuple[str, ...], slots: Mapping[str, Slot]) -> list[dict[str, Array]]:
    """Make every pair of codes of two inputs. Each element of the smaller input meets `share` elements of the larger
    one, and takes one code for each block of `share` codes there.

    Where each input is broadcast along an axis of the other, all blocks of one meet all blocks of the other.
    """
    fast, slow = sorted(names, key=lambda name: -_count(slots[name]))
    out = np.broadcast_shapes(slots[fast].shape, slots[slow].shape)
    if int(np.prod(out, dtype=np.int64)) != _count(slots[fast]):
        return _outer(fast, slow, slots)
    size = _count(slots[slow])
    if not size:
        return []
    order = np.argsort(np.broadcast_to(np.arange(size).reshape(slots[slow].shape), out).reshape(-1), kind="stable")
    share = _count(slots[fast]) // size
    blocks = -(-CODES // share)
    cases = []
    units = CODES * blocks
    for first in range(0, min(units, MOST_CASES * size), size):
        unit = np.arange(first, first + size) * SPREAD % units
        values = np.empty(_count(slots[fast]), np.int64)
        values[order] = ((unit % blocks * share)[:, None] + np.arange(share)).reshape(-1)
        cases.append({fast: _codes(values, slots[fast]), slow: _codes(unit // blocks, slots[slow])})
    return cases


def _outer(fast: str, slow: str, slots: Mapping[str, Slot]) -> list[dict[str, Array]]:
    left, right = _singles({fast: slots[fast]}), _singles({slow: slots[slow]})
    both = [(one, other) for one in left for other in right]
    count = min(len(both), MOST_CASES)
    return [{**both[index * len(both) // count][0], **both[index * len(both) // count][1]} for index in range(count)]


def _beside_constant(bound: BoundStep, slots: Mapping[str, Slot]) -> list[dict[str, Array]]:
    """Put every code beside every value of the constant. Elements that see the same value share the codes among them;
    where the input is broadcast, each of its elements takes all codes."""
    ((name, slot),) = slots.items()
    (other,) = bound.consts.values()
    out = np.broadcast_shapes(slot.shape, other.shape)
    if int(np.prod(out, dtype=np.int64)) != _count(slot):
        return [{name: _codes(np.arange(_count(slot)) + case, slot)} for case in range(CODES)]
    values = np.broadcast_to(other, out).reshape(-1)
    order = np.argsort(values, kind="stable")
    _, start, share = np.unique(values[order], return_index=True, return_counts=True)
    rank, many = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    many[order] = np.repeat(share, share)
    rank[order] = np.arange(values.size) - np.repeat(start, share)
    return [{name: _codes(rank + case * many, slot)} for case in range(-(-CODES // int(share.min())))]


# -- what was seen ----------------------------------------------------------------------------------------------------
def combinations_seen(bound: BoundStep, arrays: list[Array | None]) -> list[Int64]:
    """Return which combinations of codes one run shows the operator, as numbers: pairs for Add and Mul (256 a + b), the
    codes of each input for the others."""
    given = [array for array in arrays if array is not None]
    shifted = [array.astype(np.int64) - np.iinfo(array.dtype).min for array in given]
    if asks(bound, Pairs):
        return [np.unique(np.add(CODES * shifted[0], shifted[1]))]
    return [np.unique(codes) for codes in shifted]


def combinations(bound: BoundStep) -> list[int]:
    """Count the combinations that exist: of pairs, or of the codes of each input."""
    names = bound.step.input_names
    if not asks(bound, Pairs):
        return [CODES] * len(names)
    if len(set(names)) == 1:
        return [CODES]
    fixed = [np.unique(array).size for array in bound.consts.values()]
    return [CODES * (fixed[0] if fixed else CODES)]
