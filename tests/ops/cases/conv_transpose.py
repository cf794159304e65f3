"""ConvTranspose in one to three axes: groups, strides, dilations, every way to state the padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops import draw
from tests.ops.case import Case, one_node

F = np.float32


def conv_transpose(rng: draw.Rng) -> Case:
    rank = draw.pick(rng, (1, 2, 2, 2, 3))
    sizes = tuple(draw.size(rng, 4 if rank == 3 else 7) for _ in range(rank))
    kernel = [draw.size(rng, 3) for _ in range(rank)]
    groups, per_group, filters = draw.pick(rng, (1, 1, 2, 3)), draw.pick(rng, (1, 2, 5, 5, 140)), draw.size(rng, 4)
    given: dict[str, Any] = {"strides": [draw.size(rng, 3) for _ in range(rank)]}
    way = draw.pick(rng, ("none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID", "shape"))
    if not way.startswith("SAME") and draw.chance(rng, 0.5):
        given["dilations"] = [draw.size(rng, 3) for _ in range(rank)]
    dilations = given.get("dilations", [1] * rank)
    reach = [
        (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(sizes, given["strides"], dilations, kernel, strict=True)
    ]
    if way == "pads":
        given["pads"] = [int(rng.integers(0, (size - 1) // 2 + 1)) for size in (*reach, *reach)]
    if draw.chance(rng, 0.3):
        given["output_padding"] = [int(rng.integers(0, stride)) for stride in given["strides"]]
    if way in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        given["auto_pad"] = way
    if way == "shape":
        given["output_shape"] = [draw.size(rng, size) for size in reach]
        given["auto_pad"] = draw.pick(rng, (None, "SAME_UPPER", "SAME_LOWER"))
        given.pop("output_padding", None)
        given.pop("dilations", None)
        given["output_shape"] = [
            draw.size(rng, (n - 1) * s + k) for n, s, k in zip(sizes, given["strides"], kernel, strict=True)
        ]
    arguments = [
        ("x", rng.normal(0, 1, (draw.size(rng, 2), groups * per_group, *sizes)).astype(F)),
        ("w", rng.normal(0, 1, (groups * per_group, filters, *kernel)).astype(F)),
        ("b", rng.normal(0, 1, groups * filters).astype(F)) if draw.chance(rng, 0.6) else None,
    ]
    return one_node("ConvTranspose", arguments, draw.pick(rng, (["x"], ["x", "w"])), group=groups, **given)


def col2im(rng: draw.Rng) -> Case:
    rank = draw.pick(rng, (1, 2, 2, 3))
    image, block = ([draw.size(rng, most) for _ in range(rank)] for most in (7, 3))
    given = {"strides": [draw.size(rng, 2) for _ in range(rank)]}
    if rank == 2 and draw.chance(rng, 0.4):
        given["dilations"] = [draw.size(rng, 2) for _ in range(rank)]
    dilations = given.get("dilations", [1] * rank)
    reach = [d * (b - 1) + 1 for d, b in zip(dilations, block, strict=True)]
    pads = [int(rng.integers(0, 3)) for _ in range(2 * rank)] if draw.chance(rng, 0.6) else [0] * 2 * rank
    image = [max(size, r - pads[at] - pads[at + rank]) for at, (size, r) in enumerate(zip(image, reach, strict=True))]
    counts = [
        (size + pads[at] + pads[at + rank] - r) // stride + 1
        for at, (size, r, stride) in enumerate(zip(image, reach, given["strides"], strict=True))
    ]
    dims = (draw.size(rng, 2), draw.size(rng, 3) * int(np.prod(block)), int(np.prod(counts)))
    arguments = [("x", rng.normal(0, 1, dims).astype(F)), ("i", np.array(image)), ("b", np.array(block))]
    return one_node("Col2Im", arguments, opset=18, pads=pads, **given)


CONV_TRANSPOSE = {"ConvTranspose": conv_transpose, "Col2Im": col2im}
