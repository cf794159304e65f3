"""Memory of a compiled network, pool by pool, from the places of its tensors.

A pool is used up to the end of its last tensor, as ST's report counts it: holes between tensors belong to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    for epoch in epochs if places else ():
        alive = sorted(
            (place.address or 0, (place.address or 0) + place.size)
            for place in places
            if place.first_epoch <= epoch <= max(place.last_epoch, place.first_epoch)
        )
        total = end = 0
        for first, last in alive:
            total += max(0, last - max(first, end))
            end = max(end, last)
        yield epoch, total
