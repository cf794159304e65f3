"""Channels in another order: of an input as the layer reads it, or of the tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.fault import Computed, Layer, Variant, fault_of_layer
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.quant import Array, Int64

PERMUTED = "channels permuted"
#: Groups that are looked for.
GROUPS = (2, 3, 4, 8, 16, 32)
SHOWN = 4


def orders_of(count: int) -> Iterator[tuple[str, Int64]]:
    """Yield the orders in which channels may be read: which channel stands in each place."""
    own = np.arange(count)
    yield "in reverse", own[::-1]
    for groups in GROUPS:
        if count % groups or groups >= count:
            continue
        parts = own.reshape(groups, -1)
        yield f"shuffled in {groups} groups", parts.T.reshape(-1)
        yield f"{groups} groups in reverse", parts[::-1].reshape(-1)
        yield f"{groups} groups, each in reverse", parts[:, ::-1].reshape(-1)
        if groups > 2:
            yield f"{groups} groups, moved by one", np.roll(parts, 1, axis=0).reshape(-1)
            yield f"{groups} groups, moved back by one", np.roll(parts, -1, axis=0).reshape(-1)
    yield "moved by one", np.roll(own, 1)
    yield "moved back by one", np.roll(own, -1)


@fault_of_layer(PERMUTED)
def of_an_input(layer: Layer) -> Iterator[Variant]:
    """An image whose channels, or groups of them, are read in another order: BGR for RGB."""
    for place, name in enumerate(o.name if o is not None else "" for o in layer.bound.step.inputs):
        array = layer.bound.arrays(layer.values)[place]
        if array is None or array.ndim != 4 or array.shape[1] < 2 or layer.bound.binding.constant(place):
            continue
        seen: list[bytes] = []
        for text, order in orders_of(array.shape[1]):
            if order.tobytes() in seen:
                continue
            seen.append(order.tobytes())
            read = {**layer.values, name: np.ascontiguousarray(array[:, order])}
            yield Computed(
                f"{text}: input '{name}'",
                lambda read=read: rebind.evaluate(layer.bound, read, layer.bound.profile),  # type: ignore[misc]
            )


def recognize(suspect: Suspect) -> Iterator[Finding]:
    """The tensor's own channels, each of which holds what another should; all others are right."""
    if suspect.want[0].ndim != 4 or not suspect.alone:
        return
    wrong = suspect.wrong_channels
    if len(wrong) < 2 or suspect.want[0].size < 4 * suspect.want[0].shape[1]:
        return
    made, right = (_slices(suspect, side, wrong) for side in (suspect.got, suspect.want))
    if Counter(made) != Counter(right) or not suspect.bears(len(wrong) ** min(len(wrong), 4)):
        return
    source = dict(zip(right, wrong, strict=True))
    for text, order in orders_of(suspect.want[0].shape[1]):
        if all(source[row] == order[at] for at, row in zip(wrong, made, strict=True)):
            yield Finding(PERMUTED, text)
            return
    listed = ", ".join(f"{at} holds {source[row]}" for at, row in zip(wrong[:SHOWN], made[:SHOWN], strict=True))
    yield Finding(PERMUTED, f"{listed}{', ...' * (len(wrong) > SHOWN)}")


def _slices(suspect: Suspect, side: Sequence[Array], channels: list[int]) -> list[bytes]:
    """The bytes of each of these channels, over all cases."""
    return [b"".join(array[:, channel].tobytes() for array in side) for channel in channels]
