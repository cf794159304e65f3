"""Static placement: nothing overlaps, the bound holds, and small cases are as good as the best of all placements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.inspection.lifetimes import Lifetime, live_bytes
from qdqnp.model_card import placement
from qdqnp.model_card.placement import place, spread

STEPS = 6


def pieces(most: int, largest: int = 9) -> st.SearchStrategy[list[Lifetime]]:
    one = st.tuples(st.integers(0, largest), st.integers(0, STEPS - 1), st.integers(0, STEPS - 1))
    return st.lists(one, max_size=most).map(
        lambda drawn: [Lifetime(str(i), n, min(a, b), max(a, b)) for i, (n, a, b) in enumerate(drawn)]
    )


def overlapping(listed: Sequence[Lifetime], offsets: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs that are alive at once and share a byte: the definition."""
    found = []
    for a, b in product(listed, listed):
        if a.name < b.name and a.name in offsets and b.name in offsets:
            at_once = a.first <= b.last and b.first <= a.last
            x, y = offsets[a.name], offsets[b.name]
            if at_once and a.nbytes and b.nbytes and x < y + b.nbytes and y < x + a.nbytes:
                found.append((a.name, b.name))
    return found


@settings(max_examples=300, deadline=None)
@given(pieces(12))
def test_nothing_overlaps_and_no_byte_is_beyond_the_total(listed: list[Lifetime]) -> None:
    made = place(listed, STEPS)
    assert made is not None and set(made.offsets) == {piece.name for piece in listed}
    assert overlapping(listed, made.offsets) == []
    assert all(at >= 0 for at in made.offsets.values())
    assert made.nbytes == max((made.offsets[piece.name] + piece.nbytes for piece in listed), default=0)
    assert made.nbytes >= made.bound == int(live_bytes(listed, STEPS).max())


@settings(max_examples=100, deadline=None)
@given(pieces(8), st.sampled_from([2, 4, 16]))
def test_offsets_are_aligned(listed: list[Lifetime], alignment: int) -> None:
    made = place(listed, STEPS, alignment)
    assert made is not None and all(at % alignment == 0 for at in made.offsets.values())
    assert made.nbytes % alignment == 0 and overlapping(listed, made.offsets) == []


@settings(max_examples=50, deadline=None)
@given(pieces(10))
def test_the_same_pieces_have_the_same_places(listed: list[Lifetime]) -> None:
    first, again = place(listed, STEPS), place(list(listed), STEPS)
    assert first is not None and again is not None and dict(first.offsets) == dict(again.offsets)


def best(listed: Sequence[Lifetime]) -> int:
    """The least total: every order, each piece at the lowest offset where it fits. Of an optimal placement, the order
    by offset gives one that is as good."""
    least = sum(piece.nbytes for piece in listed)
    for order in permutations(listed):
        offsets: dict[str, int] = {}
        for piece in order:
            taken = sorted(
                (offsets[other.name], offsets[other.name] + other.nbytes)
                for other in order
                if other.name in offsets and other.first <= piece.last and piece.first <= other.last
            )
            at = 0
            for begin, end in taken:
                if begin - at >= piece.nbytes:
                    break
                at = max(at, end)
            offsets[piece.name] = at
        least = min(least, max((offsets[piece.name] + piece.nbytes for piece in listed), default=0))
    return least


@settings(max_examples=60, deadline=None)
@given(pieces(5))
def test_no_placement_is_below_the_bound_and_ours_is_near_the_best(listed: list[Lifetime]) -> None:
    made = place(listed, STEPS)
    assert made is not None and made.bound <= best(listed) <= made.nbytes <= 1.25 * best(listed)


def test_what_lies_highest_is_moved_to_the_front() -> None:
    """By size 'a' (10 bytes, long) ends up above two that are gone by then; the rounds mend what no order does."""
    found = 0
    for seed in range(200):
        state = seed
        listed = []
        for index in range(9):
            state = (1103515245 * state + 12345) % 2**31
            first = state // 7 % 8
            listed.append(Lifetime(str(index), 1 + state // 64 % 9, first, min(7, first + state // 1024 % 4)))
        bound = int(live_bytes(listed, 8).max())
        orders = [placement._placed(sorted(listed, key=key), bound, name) for name, key in placement.ORDERS.items()]
        made = place(listed, 8)
        assert made is not None and made.nbytes <= min(order.nbytes for order in orders)
        found += made.nbytes < min(order.nbytes for order in orders)
    assert found > 0


def test_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [Lifetime(str(index), 1 + index % 7, index % STEPS, index % STEPS) for index in range(40)]
    monkeypatch.setattr(placement, "MOST_FOR_ALL_ORDERS", 10)
    made = place(listed, STEPS)
    assert made is not None and made.order == "by size" and overlapping(listed, made.offsets) == []
    monkeypatch.setattr(placement, "MOST_PIECES", 39)
    assert place(listed, STEPS) is None


@settings(max_examples=200, deadline=None)
@given(pieces(12), st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_several_memories(listed: list[Lifetime], sizes: list[int]) -> None:
    found = spread(listed, sizes)
    placed = [name for places in found for name in places]
    assert len(placed) == len(set(placed))
    for size, places in zip(sizes, found, strict=True):
        assert overlapping(listed, places) == []
        assert all(places[p.name] + p.nbytes <= size for p in listed if p.name in places)
    left = [piece for piece in listed if piece.name not in placed]
    assert all(piece.nbytes > 0 for piece in left)
    if sum(piece.nbytes for piece in listed) <= sizes[0]:
        assert set(found[0]) == {piece.name for piece in listed}
