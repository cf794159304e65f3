"""Layers that move or select codes: their integers are the same under every profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.conformance.drawn import SIGNED, UNSIGNED, F, choices, codes, zero_point
from qdqnp.conformance.layer import LayerCase
from qdqnp.graph import ONNX

#: Shapes of x, further inputs and attributes of each operator.
MOVES: Mapping[str, Sequence[tuple[tuple[int, ...], Mapping[str, Any], Mapping[str, Any]]]] = {
    "MaxPool": (
        ((1, 2, 6, 6), {}, {"kernel_shape": (2, 2), "strides": (2, 2)}),
        ((1, 1, 7, 5), {}, {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "strides": (2, 1)}),
    ),
    "ReduceMax": (
        ((2, 3, 4), {"axes": np.array([1])}, {}),
        ((1, 3, 4, 5), {"axes": np.array([2, 3])}, {"keepdims": 0}),
    ),
    "ReduceMin": (
        ((2, 3, 4), {"axes": np.array([1])}, {}),
        ((1, 3, 4, 5), {"axes": np.array([2, 3])}, {"keepdims": 0}),
    ),
    "ArgMax": (((2, 3, 7), {}, {"axis": -1}), ((1, 10), {}, {"axis": 1, "keepdims": 0})),
    "Resize": (((1, 2, 3, 4), {"scales": np.array([1, 1, 2, 2], F)}, {"mode": "nearest"}),),
    "DepthToSpace": (((1, 8, 2, 3), {}, {"blocksize": 2}), ((1, 9, 2, 2), {}, {"blocksize": 3, "mode": "CRD"})),
    "Transpose": (((1, 3, 4, 5), {}, {"perm": (0, 2, 3, 1)}),),
    "Reshape": (((2, 3, 4), {"shape": np.array([4, -1])}, {}),),
    "Flatten": (((2, 3, 4), {}, {"axis": 1}),),
    "Slice": (((4, 5), {"starts": np.array([1, -1]), "ends": np.array([4, -6]), "axes": np.array([0, 1])}, {}),),
    "Gather": (((4, 5), {"indices": np.array([3, 0, -1])}, {"axis": 0}),),
    "Expand": (((3, 1), {"shape": np.array([2, 3, 4])}, {}),),
    "Tile": (((2, 3), {"repeats": np.array([2, 2])}, {}),),
    "Squeeze": (((2, 1, 3), {"axes": np.array([1])}, {}),),
    "Unsqueeze": (((2, 3), {"axes": np.array([0, 3])}, {}),),
}


def moves(op: str) -> Iterator[LayerCase]:
    """Yield the layers of one operator, input and output of one scale and zero point."""
    for chosen in choices(op, MOVES[op], (UNSIGNED, SIGNED)):
        kind, rng, x, (shape, others, attributes) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        scale, zero = np.asarray(F(0.0625)), zero_point(x, kind.x)
        parameters = {"xs": scale, "xz": zero}
        if op != "ArgMax":
            parameters |= {"ys": scale, "yz": zero}
        given = dict(others)
        if op == "Slice":
            given["steps"] = np.array([2, -2])
        plain = tuple(given) if op != "Resize" else ("", "scales")
        output = np.int64 if op == "ArgMax" else x
        arrays = {"x": codes(rng, x, shape), **parameters, **given}
        yield LayerCase(op, ONNX, arrays, ("x",), attributes, output, note=kind.name, plain=plain)
