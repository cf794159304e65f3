"""Kernels: weights that are transposed, flipped, or read in another layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.fault import Computed, Layer, Variant, fault_of_layer
from qdqnp.quant import Array

TRANSPOSED = "kernel transposed"
FLIPPED = "kernel flipped"
RELAID = "kernel in another layout"
Turn = Callable[[Array], Array]


@fault_of_layer(TRANSPOSED)
def transposed(layer: Layer) -> Iterator[Variant]:
    """Rows for columns; or inputs for outputs, where there are as many."""
    yield from _turned(
        layer,
        {
            "rows and columns exchanged": (lambda w: w.swapaxes(-1, -2), lambda w: w.ndim == 4),
            "inputs and outputs exchanged": (lambda w: w.swapaxes(0, 1), lambda w: True),
        },
    )


@fault_of_layer(FLIPPED)
def flipped(layer: Layer) -> Iterator[Variant]:
    """Correlation for convolution: taps in reverse, along both axes or one."""
    yield from _turned(
        layer,
        {
            "taps in reverse": (lambda w: np.flip(w, tuple(range(2, w.ndim))), lambda w: w.ndim > 2),
            "rows in reverse": (lambda w: np.flip(w, 2), lambda w: w.ndim == 4),
            "columns in reverse": (lambda w: np.flip(w, 3), lambda w: w.ndim == 4),
        },
    )


@fault_of_layer(RELAID)
def relaid(layer: Layer) -> Iterator[Variant]:
    """The memory of one order of the axes read in another; ONNX has OIHW, TFLite OHWI."""

    def of_rank(w: Array) -> bool:
        return w.ndim == 4

    def read(*axes: int) -> Turn:
        return lambda w: np.ascontiguousarray(w.transpose(axes)).reshape(w.shape)

    def stored(*axes: int) -> Turn:
        return lambda w: w.reshape([w.shape[axis] for axis in axes]).transpose(np.argsort(axes))

    yield from _turned(
        layer,
        {
            "OHWI read as OIHW": (read(0, 2, 3, 1), of_rank),
            "OIHW read as OHWI": (stored(0, 2, 3, 1), of_rank),
            "HWIO read as OIHW": (read(2, 3, 1, 0), of_rank),
            "OIHW read as HWIO": (stored(2, 3, 1, 0), of_rank),
        },
    )


def _turned(layer: Layer, turns: dict[str, tuple[Turn, Callable[[Array], bool]]]) -> Iterator[Variant]:
    """The layer with other constant weights of the same shape; none where they would be the same."""
    operand = layer.bound.operator.weight_operand
    if operand is None or not layer.bound.binding.constant(operand):
        return
    held = layer.bound.step.inputs[operand]
    assert held is not None
    weights = layer.bound.consts[held.name]
    seen = [weights]
    for text, (turn, fits) in turns.items():
        if weights.ndim < 2 or not fits(weights):
            continue
        made = np.ascontiguousarray(turn(weights))
        if made.shape != weights.shape or any(np.array_equal(made, other) for other in seen):
            continue
        seen.append(made)
        changed = {held.name: made}
        yield Computed(
            text,
            lambda changed=changed: rebind.evaluate(  # type: ignore[misc]
                layer.bound, layer.values, layer.bound.profile, consts=changed
            ),
        )
