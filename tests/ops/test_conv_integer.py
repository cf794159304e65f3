"""ConvInteger with a zero point for each output channel, for which ONNX Runtime has no kernel, by its definition."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from tests.ops.case import one_node


@pytest.mark.parametrize("feeds", [["x"], ["x", "w", "xz", "wz"]])
def test_a_zero_point_for_each_channel(feeds: list[str], rng: np.random.Generator) -> None:
    """As many channels as the kernel has columns: the zero points belong to the first axis, not to the last."""
    x, w = rng.integers(0, 256, (1, 2, 4, 4)).astype(np.uint8), rng.integers(0, 256, (2, 2, 2, 2)).astype(np.uint8)
    zeros = np.array([3, 200], np.uint8)
    case = one_node(
        "ConvInteger",
        [("x", x), ("w", w), ("xz", np.uint8(7)), ("wz", zeros)],
        feeds,
        output=np.int32,
        pads=[1, 0, 0, 0],
    )
    padded = np.pad(x.astype(int) - 7, ((0, 0), (0, 0), (1, 0), (0, 0)))
    centered = w.astype(int) - zeros[:, None, None, None]
    wanted = [
        [[(padded[0, :, r : r + 2, c : c + 2] * kernel).sum() for c in range(3)] for r in range(4)]
        for kernel in centered
    ]
    assert qdqnp.load(case.model).run(case.inputs)["y"].tolist() == [wanted]
