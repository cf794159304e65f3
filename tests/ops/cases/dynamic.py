"""What quantizes as it runs: DynamicQuantizeLinear, MatMulInteger, ConvInteger, and what ONNX Runtime makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node
from tests.ops.cases.conv import window
from tests.ops.cases.pool import spatial

F = np.float32


def reals(rng: draw.Rng, dims: tuple[int, ...]) -> draw.Array:
    """Values of any range: about 0, of one sign, all equal; on multiples of a step, so that codes meet halves."""
    kind = rng.random()
    x = rng.normal(0, 10 ** rng.uniform(-6, 4), dims)
    if kind < 0.2:
        x = np.abs(x) * draw.pick(rng, (1, -1))
    elif kind < 0.3:
        x = np.full(dims, x.reshape(-1)[0])
    elif kind < 0.5:
        x = rng.integers(-20, 21, dims) / draw.pick(rng, (2, 4, 10))
    return x.astype(F)


def dynamic_quantize_linear(rng: draw.Rng) -> Case:
    return one_node("DynamicQuantizeLinear", [("x", reals(rng, draw.shape(rng)))], output=np.uint8, others=("s", "z"))


def _zero(rng: draw.Rng, name: str, dtype: Any, dims: tuple[int, ...] = ()) -> tuple[str, draw.Array] | None:
    """A zero point, or none; one value has the shape () or (1,)."""
    if draw.chance(rng, 0.15):
        return None
    shape = draw.pick(rng, ((), (1,), dims)) if dims else draw.pick(rng, ((), (1,)))
    return name, draw.zero_point(rng, dtype, shape)


def _chosen(rng: draw.Rng, arguments: list[tuple[str, draw.Array] | None]) -> list[str]:
    """Which arguments behind the first are graph inputs."""
    return ["x", *(item[0] for item in arguments[1:] if item is not None and draw.chance(rng, 0.3))]


def matmul_integer(rng: draw.Rng) -> Case:
    """Every pair of types; matrices, vectors and stacks; zero points by column."""
    rows, cols = draw.size(rng, 6), draw.size(rng, 6)
    terms = draw.size(rng, 40) if draw.chance(rng, 0.9) else int(draw.pick(rng, (600, 1500)))
    batch = draw.pick(rng, ((), (), (2,), (2, 3)))
    a = (*batch, rows, terms) if draw.chance(rng, 0.9) else (terms,)
    b = (*(batch if draw.chance(rng, 0.5) else ()), terms, cols)
    a_dtype, b_dtype = draw.pick(rng, draw.EIGHT), draw.pick(rng, draw.EIGHT)
    arguments = [
        ("x", draw.codes(rng, a_dtype, a)),
        ("b", draw.codes(rng, b_dtype, b)),
        _zero(rng, "az", a_dtype),
        _zero(rng, "bz", b_dtype, _by_column(rng, b)),
    ]
    return one_node("MatMulInteger", arguments, _chosen(rng, arguments), output=np.int32)


def conv_integer(rng: draw.Rng) -> Case:
    """Every pair of types that ONNX Runtime has; in groups, padded, strided, dilated."""
    x_dtype, w_dtype = draw.pick(rng, draw.EIGHT), draw.pick(rng, draw.EIGHT)
    sizes = spatial(rng, 3)
    kernel, attributes = window(rng, sizes)
    groups, inner, filters = (draw.size(rng, 3) for _ in range(3))
    arguments = [
        ("x", draw.codes(rng, x_dtype, (draw.size(rng, 2), groups * inner, *sizes))),
        ("w", draw.codes(rng, w_dtype, (groups * filters, inner, *kernel))),
        _zero(rng, "xz", x_dtype),
        _zero(rng, "wz", w_dtype),
    ]
    chosen = _chosen(rng, arguments)
    return one_node("ConvInteger", arguments, chosen, output=np.int32, group=groups, **attributes)


def _by_column(rng: draw.Rng, b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of parameters of b: of one value, a vector where b is a matrix, or b's with one row."""
    return draw.pick(rng, ((), (1,), b[-1:] if len(b) == 2 else (), (*b[:-2], 1, b[-1])))


def _bias(rng: draw.Rng, cols: int) -> tuple[str, draw.Array] | None:
    return ("c", reals(rng, draw.pick(rng, ((cols,), (1, cols))))) if draw.chance(rng, 0.5) else None


def _stacks(rng: draw.Rng) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    rows, cols, terms = draw.size(rng, 6), draw.size(rng, 6), draw.pick(rng, (1, 3, 17, 40, 700))
    batch = draw.pick(rng, ((), (), (2,), (2, 3)))
    return (*batch, rows, terms), (*(batch if draw.chance(rng, 0.2) else ()), terms, cols), cols


def matmul_integer_to_float(rng: draw.Rng) -> Case:
    a, b, cols = _stacks(rng)
    a_dtype, b_dtype = draw.sums_dtypes(rng)
    scales = [("as", draw.scale(rng, draw.pick(rng, ((), (1,))))), ("bs", draw.scale(rng, _by_column(rng, b)))]
    if draw.chance(rng, 0.2) and scales[1][1].ndim < 2:
        scales = [("as", scales[1][1]), ("bs", scales[0][1])]
    arguments = [
        ("x", draw.codes(rng, a_dtype, a)),
        ("b", draw.codes(rng, b_dtype, b)),
        *scales,
        _zero(rng, "az", a_dtype),
        _zero(rng, "bz", b_dtype, _by_column(rng, b)),
        _bias(rng, cols),
    ]
    chosen = _chosen(rng, arguments)
    return one_node("MatMulIntegerToFloat", arguments, chosen, domain=MS, output=F)


def dynamic_quantize_matmul(rng: draw.Rng) -> Case:
    a, b, cols = _stacks(rng)
    b_dtype = draw.pick(rng, draw.EIGHT)
    arguments = [
        ("x", reals(rng, a)),
        ("b", draw.codes(rng, b_dtype, b)),
        ("bs", draw.scale(rng, _by_column(rng, b))),
        _zero(rng, "bz", b_dtype, _by_column(rng, b)),
        _bias(rng, cols),
    ]
    return one_node("DynamicQuantizeMatMul", arguments, _chosen(rng, arguments), domain=MS, output=F)


def matmul_nbits(rng: draw.Rng) -> Case:
    """Weights of 2, 4 and 8 bits in blocks of every length, at every accuracy level; one row, several, stacks of them.

    Now and then zero points are real, and columns have an order of their own.
    """
    bits, block = draw.pick(rng, (2, 4, 4, 8)), draw.pick(rng, (16, 32, 32, 64, 128, 256))
    terms, columns = draw.pick(rng, (draw.size(rng, 40), draw.size(rng, 600))), draw.size(rng, 9)
    if draw.chance(rng, 0.2):
        bits, block, terms, columns = 4, 16, 7, draw.size(rng, 3)  # few elements
    blocks = -(-terms // block)
    packed = -(-blocks * bits // 8)
    zeros = draw.pick(rng, ((columns, packed), (columns * packed,)))
    zero_points = ("z", rng.integers(0, 256, zeros).astype(np.uint8)) if draw.chance(rng, 0.6) else None
    if bits < 8 and draw.chance(rng, 0.15):
        zero_points = ("z", rng.uniform(0, 2**bits, (columns, blocks)).astype(F))
    ordered = bits == 4 and draw.chance(rng, 0.15)
    order = ("g", rng.integers(0, blocks, terms).astype(np.int32)) if ordered else None
    arguments = [
        ("x", rng.normal(0, 1, (*draw.pick(rng, ((), (2,))), draw.size(rng, 5), terms)).astype(F)),
        ("b", rng.integers(0, 256, (columns, blocks, block * bits // 8)).astype(np.uint8)),
        ("s", rng.uniform(-0.02, 0.1, draw.pick(rng, ((columns, blocks), (columns * blocks,)))).astype(F)),
        zero_points,
        order,
        ("c", rng.normal(0, 1, columns).astype(F)) if draw.chance(rng, 0.5) else None,
    ]
    sizes = {"K": terms, "N": columns, "block_size": block, "bits": bits}
    level = int(rng.integers(0, 5 if bits > 2 else 4))  # level 4 of 2 bits is not promised
    return one_node("MatMulNBits", arguments, domain=MS, accuracy_level=level, **sizes)


def q_attention(rng: draw.Rng) -> Case:
    """Every kind of mask; scales by tensor and by column; one direction and both."""
    batch, positions, inner, heads, size = (draw.size(rng, most) for most in (3, 7, 12, 3, 9))
    columns = 3 * heads * size
    weights = ("w", draw.codes(rng, draw.pick(rng, draw.EIGHT), (inner, columns)))
    ends, starts = rng.integers(0, positions + 1, batch), rng.integers(0, positions, batch)
    mask = draw.pick(rng, (None, ends, np.concatenate([ends, starts]), rng.integers(0, 2, (batch, positions))))
    by_column = draw.pick(rng, ((), (1,), (columns,)))
    arguments = [
        ("x", draw.codes(rng, np.uint8, (batch, positions, inner))),
        weights,
        ("b", rng.normal(0, 1, columns).astype(F)),
        ("xs", F(rng.uniform(0.001, 0.05))),
        ("ws", rng.uniform(0.001, 0.02, by_column).astype(F)),
        None if mask is None else ("m", mask.astype(np.int32)),
        _zero(rng, "xz", np.uint8),
        _zero(rng, "wz", weights[1].dtype.type, by_column),
    ]
    more = {"scale": 0.3} if draw.chance(rng, 0.2) else {}
    more |= {"mask_filter_value": -3.0} if draw.chance(rng, 0.3) else {}
    direction = int(draw.chance(rng, 0.3))
    return one_node("QAttention", arguments, domain=MS, output=F, num_heads=heads, unidirectional=direction, **more)


def dynamic_quantize_lstm(rng: draw.Rng) -> Case:
    """Every direction, with what is optional and without; scales by tensor and by column."""
    steps, batch, inner, size = (draw.size(rng, most) for most in (5, 3, 6, 7))
    direction = draw.pick(rng, ("forward", "reverse", "bidirectional"))
    count = 2 if direction == "bidirectional" else 1

    def maybe(name: str, *dims: int) -> tuple[str, draw.Array] | None:
        return (name, rng.normal(0, 0.4, dims).astype(F)) if draw.chance(rng, 0.5) else None

    kind = draw.pick(rng, draw.EIGHT)
    weights = [(name, draw.codes(rng, kind, (count, terms, 4 * size))) for name, terms in (("w", inner), ("r", size))]
    parameters = []
    for name, codes in weights:
        by_column = draw.chance(rng, 0.4)
        dims = (count, 4 * size) if by_column else (count,)
        zeros = np.zeros(dims, codes.dtype) if by_column else draw.zero_point(rng, codes.dtype, dims)
        parameters += [(f"{name}s", rng.uniform(0.001, 0.02, dims).astype(F)), (f"{name}z", zeros)]
    states = [maybe("h", count, batch, size), maybe("c", count, batch, size)]
    arguments = [
        ("x", rng.normal(0, 1, (steps, batch, inner)).astype(F)),
        *weights,
        maybe("b", count, 8 * size),
        None,
        *states,
        maybe("p", count, 3 * size),
        *parameters,
    ]
    more = {"clip": 0.5} if draw.chance(rng, 0.2) else {}
    more |= {"input_forget": 1} if draw.chance(rng, 0.2) else {}
    sizes = {"hidden_size": size, "direction": direction}
    return one_node("DynamicQuantizeLSTM", arguments, domain=MS, others=("yh", "yc"), **sizes, **more)
