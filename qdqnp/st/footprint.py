"""Memory of a compiled network, pool by pool, from the places of its tensors.

A pool is used up to the end of its last tensor, as ST's report counts it: holes between tensors belong to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.st.compiled import CompiledNetwork, TensorPlace

#: Addresses from here on are memories outside of the STM32N6: its external memory interfaces (RM0486, memory map).
EXTERNAL = 0x60000000


@dataclass(frozen=True)
class PoolUse:
    """What a network uses of one memory."""

    #: The pool's name.
    name: str
    #: Its first address; of a pool that the files do not describe, the first address in use.
    base: int
    #: Its bytes; 0 where the files do not say.
    size: int
    #: Bytes up to the end of its last constant.
    parameters: int
    #: Bytes up to the end of its last other tensor.
    activations: int
    #: Bytes of other tensors that are alive here during each epoch in which one begins anywhere: (epoch, bytes).
    alive: tuple[tuple[int, int], ...]

    @property
    def fullest(self) -> tuple[int, int]:
        """The epoch during which most bytes are alive, and these bytes; (-1, 0) where there is none."""
        return max(self.alive, key=lambda one: one[1], default=(-1, 0))

    @property
    def external(self) -> bool:
        """Whether the memory lies outside of the chip."""
        return self.base >= EXTERNAL


def footprint(network: CompiledNetwork) -> tuple[PoolUse, ...]:
    """Return what the network uses of each memory, in the order of addresses.

    Tensors without an address, which lie in memory that the firmware gives, are not counted.
    """
    held: dict[str, list[TensorPlace]] = {}
    for place in network.places:
        if place.address is not None and place.size:
            held.setdefault(place.pool, []).append(place)
    begins = {one.first_epoch for places in held.values() for one in places if one.role != "parameter"}
    epochs = sorted(epoch for epoch in begins if epoch >= 0)
    pools = {pool.name: pool for pool in network.pools}
    found = []
    for name, places in held.items():
        pool = pools.get(name)
        base = pool.base if pool is not None else min(place.address or 0 for place in places)
        ends = {True: 0, False: 0}
        for place in places:
            constant = place.role == "parameter"
            ends[constant] = max(ends[constant], (place.address or 0) + place.size - base)
        alive = tuple(_alive([place for place in places if place.role != "parameter"], epochs))
        found.append(PoolUse(name, base, pool.size if pool is not None else 0, ends[True], ends[False], alive))
    return tuple(sorted(found, key=lambda use: use.base))


def _alive(places: list[TensorPlace], epochs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the bytes that are alive during each epoch; what two tensors share counts once."""
    listed = sorted(places, key=lambda place: place.address or 0)
    first = np.array([place.first_epoch for place in listed], np.int64)
    last = np.array([max(place.first_epoch, place.last_epoch) for place in listed], np.int64)
    begin = np.array([place.address or 0 for place in listed], np.int64)
    end = begin + np.array([place.size for place in listed], np.int64)
    for epoch in epochs if listed else ():
        there = (first <= epoch) & (epoch <= last)
        reached = np.maximum.accumulate(end[there])  # where the bytes end that were counted
        before = np.concatenate([begin[there][:1], reached[:-1]])
        yield epoch, int(np.maximum(0, end[there] - np.maximum(begin[there], before)).sum())
