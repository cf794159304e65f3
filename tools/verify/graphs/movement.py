"""Genes that move elements: Transposes and all that changes, cuts, joins or repeats shapes.

Each takes tensors of the maker's pool, and does nothing where none fits.
"""

from __future__ import annotations

import numpy as np

from tools.verify.graphs.elementwise import activation, binary
from tools.verify.graphs.layers import reduce
from tools.verify.graphs.maker import F32, Maker


def transpose(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    orders = {4: ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)), 3: ((0, 2, 1), (2, 0, 1), (1, 0, 2)), 2: ((1, 0),)}
    order = make.pick(orders.get(len(shape), (tuple(make.rng.permutation(len(shape)).tolist()),)))
    y, made = make.node("Transpose", x, perm=list(order)), tuple(shape[axis] for axis in order)
    if make.chance(0.3):
        make.pool[y] = made
    else:
        make.give(y, *made)


def sandwich(make: Maker) -> None:
    """Put an operator between two Transposes that cancel."""
    before = set(make.pool)
    transpose(make)
    made = [name for name in make.pool if name not in before]
    if not made:
        return
    for _ in range(int(make.rng.integers(0, 3))):
        make.pick((binary, activation, pad, slice, concat, reduce))(make)
    name = list(make.pool)[-1]
    order = {4: [0, 3, 1, 2], 3: [0, 2, 1], 2: [1, 0]}.get(len(make.pool[name]))
    if order is not None:
        shape = make.pool[name]
        make.give(make.node("Transpose", name, perm=order), *(shape[axis] for axis in order))


def squeeze(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    if 1 in shape and make.chance(0.6) and len(shape) > 1:
        axes = [shape.index(1)]
        made = tuple(size for at, size in enumerate(shape) if at not in axes)
        make.give(_axes_node(make, "Squeeze", x, axes), *made)
    elif len(shape) < 5:
        axis = int(make.rng.integers(0, len(shape) + 1))
        make.give(_axes_node(make, "Unsqueeze", x, [axis]), *shape[:axis], 1, *shape[axis:])


def _axes_node(make: Maker, op: str, x: str, axes: list[int]) -> str:
    return str(make.node(op, x, make.ints(*axes)) if make.opset >= 13 else make.node(op, x, axes=axes))


def reshape(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    size = int(np.prod(shape))
    options = [(size // 4, 4), (1, size), (2, size // 2), (1, 4, size // 4), (1, 2, size // 4, 2), shape[::-1]]
    made = make.pick([option for option in options if int(np.prod(option)) == size])
    if make.chance(0.2):
        x = str(make.node("Reshape", x, make.ints(-1)))
    make.give(make.node("Reshape", x, make.ints(*made)), *made)


def flatten(make: Maker) -> None:
    if (found := make.take()) is not None:
        x, shape = found
        axis = int(make.rng.integers(0, len(shape) + 1))
        make.give(make.node("Flatten", x, axis=axis), int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))


def concat(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    same = [name for name, other in make.pool.items() if other == shape]
    others = [make.pick(same) if make.chance(0.8) else make.weight(*shape) for _ in range(make.pick((1, 1, 2)))]
    axis = int(make.rng.integers(0, len(shape)))
    made = (*shape[:axis], shape[axis] * (len(others) + 1), *shape[axis + 1 :])
    if int(np.prod(made)) < 4096:
        make.give(make.node("Concat", x, *others, axis=axis), *made)


def split(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    axes = [at for at, size in enumerate(shape) if size > 1]
    if not axes:
        return
    axis = make.pick(axes)
    first = int(make.rng.integers(1, shape[axis]))
    sizes = [first, shape[axis] - first]
    if make.opset >= 13:
        made = make.node("Split", x, make.ints(*sizes), outputs=2, axis=axis)
    else:
        made = make.node("Split", x, outputs=2, axis=axis, split=sizes)
    for name, size in zip(made, sizes, strict=True):
        make.give(name, *shape[:axis], size, *shape[axis + 1 :])


def slice(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    axis = int(make.rng.integers(0, len(shape)))
    start = int(make.rng.integers(0, shape[axis]))
    end = int(make.rng.integers(start + 1, shape[axis] + 1))
    whole = make.chance(0.1)
    bounds = (0, 2**63 - 1) if whole else (start, end)
    y = make.node("Slice", x, make.ints(bounds[0]), make.ints(bounds[1]), make.ints(axis))
    make.give(y, *shape[:axis], shape[axis] if whole else end - start, *shape[axis + 1 :])


def parts(make: Maker) -> None:
    """Cut a tensor into Slices that together are the whole, which become a Split."""
    if (found := make.take()) is None:
        return
    x, shape = found
    axis = int(np.argmax(shape))
    cut = int(make.rng.integers(1, max(shape[axis], 2)))
    for start, end in ((0, cut), (cut, shape[axis])):
        if end > start:
            y = make.node("Slice", x, make.ints(start), make.ints(end), make.ints(axis))
            make.give(y, *shape[:axis], end - start, *shape[axis + 1 :])


def gather(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    axis = int(make.rng.integers(0, len(shape)))
    at = make.rng.integers(0, shape[axis], 2)
    make.give(make.node("Gather", x, make.const(at), axis=axis), *shape[:axis], 2, *shape[axis + 1 :])


def pad(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    sizes = [int(n) for n in make.rng.integers(0, 2, 2 * len(shape))]
    if len(shape) == 4:
        sizes[0] = sizes[1] = sizes[4] = sizes[5] = 0
    value = [make.const(F32(make.pick((0, 0, 0.5))))] if make.chance(0.5) else []
    made = tuple(size + sizes[at] + sizes[at + len(shape)] for at, size in enumerate(shape))
    if int(np.prod(made)) < 4096:
        make.give(make.node("Pad", x, make.ints(*sizes), *value), *made)


def tile(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    repeats = [int(n) for n in make.rng.choice([1, 1, 2], len(shape))]
    made = tuple(size * count for size, count in zip(shape, repeats, strict=True))
    if int(np.prod(made)) < 2048:
        op = make.pick(("Tile", "Expand"))
        if op == "Expand":
            made = tuple(shape)
        make.give(make.node(op, x, make.ints(*(made if op == "Expand" else repeats))), *made)


def blocks(make: Maker) -> None:
    if (found := make.take(4)) is None:
        return
    x, (n, c, h, w) = found
    if c % 4 == 0 and make.chance(0.5):
        make.give(make.node("DepthToSpace", x, blocksize=2), n, c // 4, 2 * h, 2 * w)
    elif h % 2 == 0 and w % 2 == 0:
        make.give(make.node("SpaceToDepth", x, blocksize=2), n, c * 4, h // 2, w // 2)


def focus(make: Maker) -> None:
    """Concatenate the four phases of every second row and column, in some order."""
    if (found := make.take(4)) is None:
        return
    x, (n, c, h, w) = found
    if h % 2 or w % 2:
        return
    parts = []
    for at in make.rng.permutation(4) if make.chance(0.5) else range(4):
        starts, ends = make.ints(at // 2, at % 2), make.ints(*make.pick(((2**63 - 1, 2**63 - 1), (h, w))))
        parts.append(make.node("Slice", x, starts, ends, make.ints(2, 3), make.ints(2, 2)))
    make.give(make.node("Concat", *parts, axis=1), n, 4 * c, h // 2, w // 2)


def resize(make: Maker) -> None:
    if (found := make.take(4)) is None:
        return
    x, (n, c, h, w) = found
    if h * w * c < 512:
        scales = make.const(np.array([1, 1, 2, 2], F32))
        region = "" if make.opset >= 13 else make.const(np.zeros(0, F32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        make.give(make.node("Resize", x, region, scales, **how), n, c, 2 * h, 2 * w)
