"""Where: which elements of a tensor differ, and by what, said in one line where that is regular.

Rules of places say where the wrong elements lie, rules of values what they hold. A rule answers only if wrong
elements that are spread by chance would fit it once in `2 ** NEEDED` times, the number of its ways counted; so that
there is no line where nothing is regular.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.diagnosis.orders import OWN, orders
from qdqnp.element_types import is_integer
from qdqnp.lazy import lazy
from qdqnp.quant import Array, Int64, Quant, code_range

#: Bits by which a regularity must beat chance.
NEEDED = 20.0
#: Of more indices, none of them neighbours, no list is made.
FEW = 3
#: Periods that are looked for along an axis and in memory.
PERIODS = (2, 3, 4, 8, 16, 32)
#: Factors that are said as such; others are measured.
FACTORS = (2.0, 4.0, 8.0, 16.0, 0.5, 0.25, 0.125, 0.0625, -1.0)
#: How far a measured factor may lie from such a one.
NEAR = 0.06
#: How far a real value may lie from the right one times the factor.
REAL_ERROR = 2.0**-10


@dataclass(frozen=True, eq=False)
class Wrong:
    """What a device made of a tensor beside what it should have made."""

    #: Shape (cases, ...), as `want`; codes as int64, real values as float64.
    got: Array
    want: Array
    #: The shape of one case.
    shape: tuple[int, ...]
    #: Bytes of an element.
    width: int
    #: What the axes are called, the cases first: what an index is, and what is said after it.
    axes: tuple[tuple[str, str], ...]
    #: The number of the first case.
    first: int
    #: The least and the largest code; None for real values.
    limits: tuple[int, int] | None
    #: The code that stands for 0.
    zero: int

    @lazy
    def mask(self) -> Array:
        """Where they differ."""
        found: Array = (self.got != self.want) & ~(np.isnan(self.got) & np.isnan(self.want))
        return found

    @lazy
    def count(self) -> int:
        """How many elements differ."""
        return int(np.count_nonzero(self.mask))

    @lazy
    def made(self) -> Array:
        """The wrong values, shape (count,)."""
        return self.got[self.mask]

    @lazy
    def right(self) -> Array:
        """The right ones in their place, shape (count,)."""
        return self.want[self.mask]

    def along(self, axis: int) -> Int64:
        """The indices along an axis at which something differs."""
        others = tuple(other for other in range(self.mask.ndim) if other != axis)
        return np.flatnonzero(self.mask.any(axis=others))

    def told(self, share: float, ways: float) -> bool:
        """Tell whether it is no chance that all wrong elements lie in such a share of the places."""
        return 0 < share < 1 and self.count * -math.log2(share) - math.log2(max(ways, 1)) >= NEEDED


@dataclass(frozen=True)
class Regularity:
    """A regularity of the places."""

    text: str
    #: The share of all places that it names.
    share: float
    #: Whether it names one index.
    single: bool = False
    #: The axis that it is about; -1 for none.
    axis: int = -1


# -- places ------------------------------------------------------------------------------------------------------------
def one_element(wrong: Wrong) -> Iterator[Regularity]:
    """One element, in one case or in several."""
    places = np.unique(np.argwhere(wrong.mask)[:, 1:], axis=0)
    if len(places) == 1 and wrong.want[0].size > 1:
        at = [0] * (len(wrong.shape) - len(places[0])) + places[0].tolist()
        yield Regularity(f"only element {at}", 1 / wrong.want[0].size)


def along_axes(wrong: Wrong) -> Iterator[Regularity]:
    """Some cases, channels, rows or columns."""
    for axis, size in enumerate(wrong.mask.shape):
        if size > 1 and (found := _regular(wrong, axis, wrong.along(axis), size)):
            yield replace(found, axis=axis)


def _regular(wrong: Wrong, axis: int, at: Int64, size: int) -> Regularity | None:
    """What is regular about the indices along one axis at which something differs: the smallest set that is."""
    (what, many), offset = wrong.axes[axis], 0 if axis else wrong.first
    first, last = int(at[0]) + offset, int(at[-1]) + offset
    sets: list[tuple[int, float, str]] = []
    if at.size == 1:
        ends = {offset: "the first", offset + size - 1: "the last"}
        end = f", {ends[first]}" if first in ends and axis else ""
        sets.append((1, size, f"only {what} {first}{many}{end}"))
    elif at.size == last - first + 1:
        sets.append((at.size, size * size / 2, f"only {_many(what)} {first} to {last}{many}"))
    elif at.size == 2 and (first, last) == (offset, offset + size - 1):
        sets.append((2, 1, f"only the border {_many(what)} {first} and {last}{many}"))
    elif at.size <= FEW:
        listed = ", ".join(str(index + offset) for index in at.tolist())
        sets.append((at.size, math.comb(size, at.size), f"only {_many(what)} {listed}{many}"))
    else:
        sets.append((last - first + 1, size * size / 2, f"only within {_many(what)} {first} to {last}{many}"))
    if 2 < at.size < size:
        sets += [(used, ways, text + many) for used, ways, text in _periods(what, at, size, offset)]
        left = sorted(set(range(size)) - set(at.tolist()))
        if len(left) <= FEW:
            but = " and ".join(str(index + offset) for index in left)
            sets.insert(0, (at.size, math.comb(size, len(left)), f"every {what} but {but}{many}"))
    told = [found for found in sets if wrong.told(found[0] / size, found[1])]
    if not told:
        return None
    used, _, text = min(told, key=lambda found: found[0])
    return Regularity(text, used / size, at.size == 1)


def _periods(what: str, at: Int64, size: int, offset: int) -> Iterator[tuple[int, float, str]]:
    """Every so manieth index, or some neighbours of every so many: how many, of how many ways, and how it is said."""
    for period in PERIODS:
        rest = np.unique(at % period)
        if period >= size or rest.size > period // 2 or rest[-1] - rest[0] != rest.size - 1:
            continue
        used = int(np.isin(np.arange(size) % period, rest).sum())
        if rest.size == 1:
            text = f"only every {_ordinal(period)} {what}, from {int(rest[0]) + offset} on"
            text = f"alternating: {text}" if period == 2 else text
        else:
            text = f"only {_many(what)} {int(rest[0])} to {int(rest[-1])} of every {period}"
        yield used, period * len(PERIODS), text


def _many(what: str) -> str:
    return {"index": "indices"}.get(what, f"{what}s")


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def on_the_image(wrong: Wrong) -> Iterator[Regularity]:
    """The border all around, or every second element as on a chessboard."""
    if len(wrong.axes) < 3:
        return
    rows, columns = wrong.mask.shape[-2:]
    y, x = np.indices((rows, columns))
    if rows < 3 or columns < 3:
        return
    border = (y == 0) | (y == rows - 1) | (x == 0) | (x == columns - 1)
    shapes = {
        "only the border of the image": border,
        "alternating: as on a chessboard": (y + x) % 2 == 0,
        "alternating: as on a chessboard, from the second element on": (y + x) % 2 == 1,
    }
    touched = wrong.mask.reshape(-1, rows, columns).any(axis=0)
    for text, held in shapes.items():
        share = float(held.mean())
        if not (touched & ~held).any() and wrong.told(share, len(shapes)):
            yield Regularity(text, share)
            return


def in_memory(wrong: Wrong) -> Iterator[Regularity]:
    """The last or the first bytes, or a run of bytes, in one of the orders that a device may have."""
    if wrong.count > wrong.mask.size // 2:
        return
    size, flat = wrong.want[0].size, wrong.mask.reshape(len(wrong.mask), -1)
    every = " of every case" if flat.any(axis=1).all() and len(flat) > 1 else ""
    best: tuple[int, str] | None = None
    for order in orders(wrong.shape):
        places = order.places[np.flatnonzero(flat.any(axis=0))]
        first, last = int(places.min()), int(places.max())
        end, start = size - first, last + 1
        lengths = {"last": end, "first": start}
        side = min(lengths, key=lambda key: lengths[key])
        length, ways = lengths[side], 2.0 * size * 7
        count = _whole(length) * wrong.width
        text = f"only the {side} {count} bytes{every}"
        if last - first + 1 < length // 2:
            length, ways = last - first + 1, size * size * 7.0
            text = f"only bytes {first * wrong.width} to {(last + 1) * wrong.width - 1}{every}"
        if 2 * length <= size and wrong.told(length / size, ways) and (best is None or length < best[0]):
            best = length, text if order.text == OWN and len(wrong.shape) != 4 else f"{text}, in {_named(order.text)}"
    if best is not None:
        yield Regularity(best[1], best[0] / size)


def _whole(length: int) -> int:
    """The power of two that a run was, some of whose first elements were right by chance."""
    power = 1 << (length - 1).bit_length()
    return power if length > power * 7 // 8 else length


def _named(order: str) -> str:
    return "NCHW" if order == OWN else order


def every_so_many(wrong: Wrong) -> Iterator[Regularity]:
    """Every so manieth element in memory."""
    flat, size = wrong.mask.reshape(len(wrong.mask), -1).any(axis=0), wrong.want[0].size
    for order in orders(wrong.shape, blocks=False):
        at = np.sort(order.places[np.flatnonzero(flat)])
        for used, ways, text in _periods("element", at, size, 0):
            if at.size > 2 and wrong.told(used / size, 2 * ways):
                yield Regularity(f"{text}, in {_named(order.text)}", used / size)
                return


#: What is asked where no axis and no run of bytes has anything regular.
PATTERNS: tuple[Callable[[Wrong], Iterable[Regularity]], ...] = (on_the_image, every_so_many)


def places(wrong: Wrong) -> list[str]:
    """Say where the wrong elements lie: one element, or what leaves fewer places of the axes and the bytes in memory,
    or a pattern. Which cases comes last."""
    axes = list(along_axes(wrong))
    cases, box = ([found for found in axes if (found.axis == 0) == first] for first in (True, False))
    return [found.text for found in (*(list(one_element(wrong)) or _region(wrong, box)), *cases)]


def _region(wrong: Wrong, box: list[Regularity]) -> list[Regularity]:
    share = math.prod(found.share for found in box)
    run = next(iter(in_memory(wrong)), None)
    if run is None or run.share > share * (1 + 1e-9) or (len(box) == 1 and box[0].single):
        return box or [found for rule in PATTERNS for found in rule(wrong)][:1]
    return [box[0], replace(run, text=run.text.replace("only", "these are", 1))] if len(box) == 1 else [run]


# -- values ------------------------------------------------------------------------------------------------------------
def one_value(wrong: Wrong) -> Iterator[str]:
    """One value in all of them."""
    values = np.unique(wrong.made)
    if values.size == 1 and wrong.count >= 3 and np.unique(wrong.right).size > 1:
        value = values[0]
        low, high = wrong.limits or (None, None)
        names = {low: ", the lowest code", high: ", the highest code", wrong.zero: ", the zero point"}
        yield f"every wrong value is {value:g}{names.get(value, '') if wrong.limits else ''}"


def one_bit(wrong: Wrong) -> Iterator[str]:
    """The same bit is another."""
    if wrong.limits is None:
        return
    turned = np.unique((wrong.made ^ wrong.right) & ((1 << 8 * wrong.width) - 1))
    if turned.size != 1 or int(turned[0]).bit_count() != 1:
        return
    bit = int(turned[0]).bit_length() - 1
    if wrong.count * (bit + 1) >= NEEDED:  # half of what is off by one differs in bit 0 alone
        yield f"bit {bit} is another in every wrong value"


def permuted(wrong: Wrong) -> Iterator[str]:
    """Channels, rows or columns that hold one another's values."""
    for axis, (what, _) in list(enumerate(wrong.axes))[1:]:
        at = wrong.along(axis)
        if at.size < 2 or wrong.want.size // wrong.want.shape[axis] < 4:
            continue
        gots, wants = (np.moveaxis(side, axis, 0)[at].reshape(at.size, -1) for side in (wrong.got, wrong.want))
        made, right = ([row.tobytes() for row in side] for side in (gots, wants))
        if Counter(made) == Counter(right) and wrong.count >= 8:
            source = {row: int(index) for row, index in zip(right, at, strict=True)}
            shown = ", ".join(f"{int(index)} holds {source[row]}" for index, row in zip(at[:4], made[:4], strict=False))
            yield f"a permutation of {_many(what)}: {shown}{', ...' if at.size > 4 else ''}"
            return


def one_distance(wrong: Wrong) -> Iterator[str]:
    """All off by as much; those whose value would lie beyond the codes are at their end."""
    if wrong.limits is None:
        return
    low, high = wrong.limits
    inside = (wrong.made > low) & (wrong.made < high)
    distances = np.unique((wrong.made - wrong.right)[inside])
    if distances.size != 1:
        return
    by = int(distances[0])
    held = np.array_equal(np.clip(wrong.right + by, low, high), wrong.made)
    if held and np.count_nonzero(inside) * math.log2(1 + 2 * abs(by)) >= NEEDED:
        yield f"every wrong value is {abs(by)} too {'high' if by > 0 else 'low'}"


def one_factor(wrong: Wrong) -> Iterator[str]:
    """All off by a factor: of the real values, or of the codes."""
    for zero, of in ((wrong.zero, ""), (0, " in codes")):
        made, right = (side.astype(np.float64) - zero for side in (wrong.made, wrong.right))
        inside = np.ones(made.shape, bool)
        if wrong.limits is not None:
            inside = (wrong.made > wrong.limits[0]) & (wrong.made < wrong.limits[1])
        if np.count_nonzero(inside) < 4 or not right[inside].any():
            continue
        with np.errstate(all="ignore"):
            measured = float(made[inside] @ right[inside] / (right[inside] @ right[inside]))
        if not math.isfinite(measured) or measured == 0:
            continue
        factor = min(FACTORS, key=lambda known: abs(known / measured - 1))
        factor = factor if abs(factor / measured - 1) < NEAR else float(f"{measured:.3g}")
        if _explains(wrong, made, right, factor, zero):
            yield f"every wrong value is off by a factor {factor:g}{of}"
            return
        if not wrong.zero:
            return


def _explains(wrong: Wrong, made: Array, right: Array, factor: float, zero: int) -> bool:
    """Whether the values are the right ones times the factor, as nearly as their rounding lets one tell, and not also
    as nearly the right ones."""
    ideal = right * factor
    if wrong.limits is None:
        error = REAL_ERROR * np.abs(ideal)
        return bool((np.abs(made - ideal) <= error).all() and np.count_nonzero(np.abs(made - right) > 4 * error) >= 3)
    ideal = np.clip(ideal, wrong.limits[0] - zero, wrong.limits[1] - zero)
    error = np.full(made.shape, (abs(factor) + 1) / 2 + 0.25)
    telling = np.abs(ideal - right) > 2 * error
    bits = np.count_nonzero(telling) * math.log2(256 / (2 * float(error[0]) + 1))
    return bool((np.abs(made - ideal) <= error).all() and bits >= NEEDED)


def the_ends(wrong: Wrong) -> Iterator[str]:
    """Nothing but the lowest and the highest code."""
    if wrong.limits is not None and wrong.count >= 8 and np.isin(wrong.made, wrong.limits).all():
        yield f"every wrong value is {wrong.limits[0]} or {wrong.limits[1]}, the ends of the codes"


VALUES: tuple[Callable[[Wrong], Iterable[str]], ...] = (
    one_value,
    one_bit,
    permuted,
    one_distance,
    one_factor,
    the_ends,
)


def values(wrong: Wrong) -> list[str]:
    """Say what the wrong elements hold: the first rule that fits."""
    for rule in VALUES:
        for text in rule(wrong):
            return [text]
    return []


# -- the line ----------------------------------------------------------------------------------------------------------
def where(
    got: Sequence[Array],
    want: Sequence[Array],
    quant: Quant | None = None,
    first: int = 0,
    channel_axis: int | None = None,
) -> str:
    """Return one line on where arrays differ and by what; '' where nothing about it is regular, or nothing differs.

    got: what the device made, by case; codes may be int64, where they leave their dtype.
    want: what it should have made, by case; shapes as in `got`.
    quant: how the codes are read, if they are codes.
    first: the number of the first case.
    channel_axis: which axis of a tensor that is no image has the channels, if one has.

    >>> right = np.arange(128, dtype=np.int8).reshape(1, 2, 8, 8)
    >>> wrong = right.copy()
    >>> wrong[0, :, 4] = 40
    >>> where([wrong], [right])
    'only row 4; every wrong value is 40'
    """
    shape = want[0].shape
    kept = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    kind, codes = want[0].dtype, is_integer(want[0].dtype)
    plain = np.int64 if codes else np.float64
    gots, wants = (np.stack([a.astype(plain) for a in side]).reshape(len(want), *kept) for side in (got, want))
    zero = int(quant.zero_point) if quant is not None and quant.per_tensor else 0
    limits = quant.range if quant is not None else code_range(kind) if codes and kind.itemsize < 8 else None
    named = (("case", f" of {len(want)}"), *_axes(len(shape), channel_axis)[len(shape) - len(kept) :])
    wrong = Wrong(gots, wants, shape, kind.itemsize, named, first, limits if codes else None, zero)
    if not wrong.count:
        return ""
    return "; ".join(text for text in (", ".join(places(wrong)), *values(wrong)) if text)


def _axes(rank: int, channel_axis: int | None) -> list[tuple[str, str]]:
    """What the axes are called: of images by their parts, else by their numbers, but for the channels."""
    if rank == 4:
        return [(name, "") for name in ("image", "channel", "row", "column")]
    names = [("index", f" of axis {axis}") for axis in range(rank)]
    if channel_axis is not None and -rank <= channel_axis < rank:
        names[channel_axis] = ("channel", "")
    return names
