"""QLinearMatMul and QGemm."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node


def _inner(rng: draw.Rng) -> int:
    """K: small, or so long that sums leave 2^24 behind."""
    return draw.size(rng, 40) if draw.chance(rng, 0.9) else int(draw.pick(rng, (600, 1500, 3000)))


def _operands(
    rng: draw.Rng, a: tuple[int, ...], b: tuple[int, ...], cols: int, terms: int
) -> tuple[list[tuple[str, Any]], Any, float]:
    """a and b with their parameters; the codes' dtype; the usual size of a result."""
    a_dtype, b_dtype = draw.sums_dtypes(rng)
    # ONNX Runtime takes one scale per column of a matrix, not of a batch of them
    shape = (cols,) if len(b) == 2 and draw.chance(rng, 0.6) else ()
    a_scale, b_scale = draw.scale(rng), draw.scale(rng, shape)
    zero_b = draw.zero_point(rng, b_dtype, shape) * b_dtype(draw.chance(rng, 0.6))
    arguments = [
        ("x", draw.codes(rng, a_dtype, a)),
        ("as", a_scale),
        ("az", draw.zero_point(rng, a_dtype)),
        ("b", draw.codes(rng, b_dtype, b)),
        ("bs", b_scale),
        ("bz", zero_b),
    ]
    typical = float(a_scale) * float(np.mean(b_scale.astype(np.float64))) * draw.typical_sum(terms)
    return arguments, a_dtype, typical


def qlinear_matmul(rng: draw.Rng) -> Case:
    """Matrices and broadcast batches of them; b constant or computed."""
    rows, terms, cols = draw.size(rng, 6), _inner(rng), draw.size(rng, 6)
    batch = draw.pick(rng, ((), (), (2,), (2, 3)))
    b_batch = tuple(size if draw.chance(rng, 0.7) else 1 for size in batch) if draw.chance(rng, 0.6) else ()
    a_batch = tuple(1 if draw.chance(rng, 0.2) else size for size in batch)
    if draw.chance(rng, 0.1) and b_batch:
        a_batch = ()
    arguments, dtype, typical = _operands(rng, (*a_batch, rows, terms), (*b_batch, terms, cols), cols, terms)
    arguments += [("ys", draw.output_scale(rng, typical)), ("yz", draw.zero_point(rng, dtype))]
    return one_node("QLinearMatMul", arguments, ["x", "b"] if draw.chance(rng, 0.3) else ["x"])


def qgemm(rng: draw.Rng) -> Case:
    """Both transpositions, alpha, every shape of bias, codes or float32 out."""
    rows, terms = draw.size(rng, 6), _inner(rng)
    cols = rows if draw.chance(rng, 0.3) else draw.size(rng, 6)
    trans_a, trans_b = int(draw.chance(rng, 0.4)), int(draw.chance(rng, 0.5))
    a, b = (terms, rows) if trans_a else (rows, terms), (cols, terms) if trans_b else (terms, cols)
    arguments, dtype, typical = _operands(rng, a, b, cols, terms)
    shape = draw.pick(rng, ((cols,), (1, cols), (rows, 1), (rows, cols), (1,), ()))
    bias = ("c", draw.bias(rng, shape, draw.typical_sum(terms))) if draw.chance(rng, 0.75) else None
    alpha = draw.pick(rng, (None, 1.0, 0.5, 0.3, -1.7, 3.0))
    real = draw.chance(rng, 0.3)
    quantizer = [None, None]
    if not real:
        quantizer = [("ys", draw.output_scale(rng, typical * (alpha or 1))), ("yz", draw.zero_point(rng, dtype))]
    feeds = ["x", *(["b"] if draw.chance(rng, 0.2) else []), *(["c"] if bias and draw.chance(rng, 0.15) else [])]
    return one_node(
        "QGemm",
        [*arguments, bias, *quantizer],
        feeds,
        domain=MS,
        alpha=alpha,
        transA=trans_a or None,
        transB=trans_b or None,
        output=np.float32 if real else dtype,
    )
