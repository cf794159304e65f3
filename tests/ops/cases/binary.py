"""QLinearAdd, QLinearMul and QLinearConcat."""

from __future__ import annotations

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node

SHORT_DECIMALS = (0.01, 0.02, 0.03, 0.05, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.7)


def broadcast_pair(rng: draw.Rng) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast: equal, or with axes of size 1 or missing on either side, or nothing but ones."""
    out = draw.shape(rng)
    if draw.chance(rng, 0.15):
        out = (1,) * len(out)
    if draw.chance(rng, 0.3):
        return out, out
    pair = [tuple(1 if draw.chance(rng, 0.35) else n for n in out)[int(rng.integers(len(out))) :], out]
    if draw.chance(rng, 0.5):
        pair[1] = tuple(1 if draw.chance(rng, 0.35) else n for n in out)
    if draw.chance(rng, 0.1):
        pair[0] = ()
    return (pair[0], pair[1]) if draw.chance(rng, 0.5) else (pair[1], pair[0])


def _binary(rng: draw.Rng, op: str, a_scale: draw.Array, b_scale: draw.Array, y_scale: draw.Array) -> Case:
    dtype = draw.pick(rng, draw.EIGHT)
    a, b = broadcast_pair(rng)
    arguments = [
        ("a", draw.codes(rng, dtype, a)),
        ("as", a_scale),
        ("az", draw.zero_point(rng, dtype)),
        ("b", draw.codes(rng, dtype, b)),
        ("bs", b_scale),
        ("bz", draw.zero_point(rng, dtype)),
        ("ys", y_scale),
        ("yz", draw.zero_point(rng, dtype)),
    ]
    return one_node(op, arguments, ["a"] if draw.chance(rng, 0.2) else ["a", "b"], domain=MS)


def qlinear_add(rng: draw.Rng) -> Case:
    """Scales alike, or of different sizes; or all of them few-digit decimals, whose sums fall so close to halves that
    the order of the operands decides."""
    if draw.chance(rng, 0.4):
        return _binary(rng, "QLinearAdd", *rng.choice(np.array(SHORT_DECIMALS, np.float32), 3))
    a_scale = draw.scale(rng)
    factor = draw.pick(rng, (1.0, 2.0, 0.5, 3.0, 10 ** rng.uniform(-3, 3)))
    b_scale = np.float32(np.clip(float(a_scale) * factor, 1e-44, 1e38))
    if draw.chance(rng, 0.2):
        b_scale = draw.scale(rng)
    typical = 100 * max(float(a_scale), float(b_scale))
    return _binary(rng, "QLinearAdd", a_scale, b_scale, draw.output_scale(rng, typical))


def qlinear_mul(rng: draw.Rng) -> Case:
    a_scale, b_scale = draw.scale(rng), draw.scale(rng)
    typical = 5000 * float(a_scale) * float(b_scale)
    return _binary(rng, "QLinearMul", a_scale, b_scale, draw.output_scale(rng, typical))


def qlinear_where(rng: draw.Rng) -> Case:
    """Two inputs of the output's own parameters, which are copied, or of others; all three broadcast."""
    dtype, (a, b) = draw.pick(rng, draw.EIGHT), broadcast_pair(rng)
    y_scale, y_zero = draw.scale(rng), draw.zero_point(rng, dtype)
    arguments = [("c", np.asarray(rng.random(draw.pick(rng, (a, b, a[-1:], ()))) < 0.5))]
    for name, dims in (("a", a), ("b", b)):
        scale = y_scale if draw.chance(rng, 0.4) else draw.scale(rng)
        zero = y_zero if draw.chance(rng, 0.6) else draw.zero_point(rng, dtype)
        arguments += [(name, draw.codes(rng, dtype, dims)), (f"{name}s", scale), (f"{name}z", zero)]
    arguments += [("ys", y_scale), ("yz", y_zero)]
    return one_node("QLinearWhere", arguments, ["c", "a", "b"], domain=MS, output=dtype)


def qlinear_concat(rng: draw.Rng) -> Case:
    """One to four inputs; some with the output's own parameters, which are copied."""
    dtype = draw.pick(rng, draw.EIGHT)
    shape = draw.shape(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    y_scale, y_zero = draw.scale(rng), draw.zero_point(rng, dtype)
    arguments = [("ys", y_scale), ("yz", y_zero)]
    feeds = []
    for index in range(draw.size(rng, 4)):
        dims = list(shape)
        dims[axis] = draw.size(rng, 4)
        scale = y_scale if draw.chance(rng, 0.4) else draw.scale(rng)
        if draw.chance(rng, 0.3):
            scale = np.float32(min(float(y_scale) * draw.pick(rng, (0.5, 1.5, 2.5)), 1e38))
        zero = y_zero if draw.chance(rng, 0.6) else draw.zero_point(rng, dtype)
        arguments += [(f"x{index}", draw.codes(rng, dtype, dims)), (f"s{index}", scale), (f"z{index}", zero)]
        feeds.append(f"x{index}")
    return one_node("QLinearConcat", arguments, feeds, domain=MS, output=dtype, axis=axis)
