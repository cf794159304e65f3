"""Genes of what is exported today: dynamic quantization, weights alone in codes, small formats, functions, computed
sizes, logic.

Each takes tensors of the maker's pool, and does nothing where none fits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tools.verify.graphs.maker import F32, Maker

#: Functions of one tensor, with the opset since when there is one.
FUNCTIONS = (
    *(("Abs", 6), ("Ceil", 6), ("Floor", 6), ("Sqrt", 6), ("Exp", 6), ("Log", 6), ("Tanh", 6), ("Neg", 6)),
    *(
        ("Erf", 9),
        ("Sign", 9),
        ("Sinh", 9),
        ("Round", 11),
        ("Elu", 6),
        ("Selu", 6),
        ("Celu", 12),
        ("ThresholdedRelu", 10),
    ),
    *(
        ("HardSwish", 14),
        ("Mish", 18),
        ("Gelu", 20),
        ("Softsign", 1),
        ("Reciprocal", 6),
        ("Hardmax", 11),
        ("Softplus", 1),
    ),
)


def any_function(make: Maker) -> None:
    if (found := make.take()) is None or not found[1]:
        return
    op = make.pick([name for name, since in FUNCTIONS if since <= make.opset])
    make.give(make.node(op, found[0]), *found[1])


def gate(make: Maker) -> None:
    """x Sigmoid(x), of large numbers now and then, whose sigmoid is next to 1."""
    if (found := make.take()) is None:
        return
    x = found[0] if make.chance(0.5) else str(make.node("Mul", found[0], make.const(F32(9))))
    make.give(make.node("Mul", x, make.node("Sigmoid", x)), *found[1])


def dynamic_matmul(make: Maker) -> None:
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul and perhaps Add, as `quantize_dynamic` writes it."""
    if (found := make.take(2, 3)) is None:
        return
    x, shape = found
    codes, scale, zero = make.node("DynamicQuantizeLinear", x, outputs=3)
    kind, columns = make.pick((np.int8, np.uint8)), int(make.rng.integers(1, 7))
    weight = make.const(make.rng.integers(0, 100, (shape[-1], columns)).astype(kind))
    by_column = make.chance(0.3)
    weight_zero = make.const(np.zeros(columns, kind) if by_column else kind(make.pick((0, 3))))
    weight_scale = make.const((np.arange(1, columns + 1) / 300).astype(F32) if by_column else F32(0.01))
    sums = make.node("MatMulInteger", codes, weight, zero, weight_zero)
    _scaled(make, sums, scale, weight_scale, (*shape[:-1], columns))


def dynamic_conv(make: Maker) -> None:
    """DynamicQuantizeLinear, ConvInteger, Cast, Mul and perhaps Add."""
    if (found := make.take(4)) is None:
        return
    x, (batch, channels, *sides) = found
    codes, scale, zero = make.node("DynamicQuantizeLinear", x, outputs=3)
    kernel = 3 if min(sides) >= 3 and make.chance(0.5) else 1
    count = int(make.rng.integers(1, 6))
    weight = make.const(make.rng.integers(0, 200, (count, channels, kernel, kernel)).astype(np.uint8))
    sums = make.node("ConvInteger", codes, weight, zero, make.const(np.uint8(100)), pads=[kernel // 2] * 4)
    _scaled(make, sums, scale, make.const(F32(0.01)), (batch, count, *sides))


def _scaled(make: Maker, sums: Any, scale: Any, weight_scale: str, shape: tuple[int, ...]) -> None:
    factor = make.node("Mul", *((scale, weight_scale) if make.chance(0.6) else (weight_scale, scale)))
    made = make.node("Mul", make.node("Cast", sums, to=TensorProto.FLOAT), factor)
    if make.chance(0.4):
        channels = (shape[-1],) if len(shape) < 4 else (1, shape[1], 1, 1)
        made = make.node("Add", made, make.const(make.floats(*channels)))
    make.give(made, *shape)


def weights_only(make: Maker) -> None:
    """A MatMul by weights of 8 or, blocked, of 4 bits; its input is no code."""
    if (found := make.take(2, 3)) is None:
        return
    x, shape = found
    rows, columns = shape[-1], int(make.rng.integers(1, 6))
    small = make.opset >= 21 and make.chance(0.6)
    numbers = make.rng.integers(0, 8, (rows, columns))
    weight = f"small{make.count}"
    if small:
        make.constants.append(helper.make_tensor(weight, TensorProto.UINT4, [rows, columns], numbers.reshape(-1)))
        blocks = make.const((np.abs(make.floats(-(-rows // 2), columns)) + F32(0.01)).astype(F32))
        real = make.node("DequantizeLinear", weight, blocks, axis=0, block_size=2)
    else:
        real = make.node("DequantizeLinear", make.const(numbers.astype(np.int8)), make.const(F32(0.02)))
    make.give(make.node("MatMul", x, real), *shape[:-1], columns)


def small_codes(make: Maker) -> None:
    """Q and DQ of another format than the network's."""
    if (found := make.take()) is None:
        return
    kinds = [TensorProto.INT8, TensorProto.UINT8]
    if make.opset >= 21:
        kinds += [TensorProto.INT4, TensorProto.UINT4, TensorProto.INT16, TensorProto.UINT16, TensorProto.FLOAT8E4M3FN]
    zero = f"zero{make.count}"
    make.constants.append(helper.make_tensor(zero, make.pick(kinds), [], [0]))
    parameters = (make.const(F32(0.25)), zero)
    codes = make.node("QuantizeLinear", found[0], *parameters)
    make.give(make.node("DequantizeLinear", codes, *parameters), *found[1])


def sized(make: Maker) -> None:
    """A Reshape, an Expand or a Slice whose sizes are computed from a shape."""
    if (found := make.take(2, 3, 4)) is None:
        return
    x, shape = found
    sizes = make.node("Shape", x)
    first = make.node("Gather", sizes, make.ints(0), axis=0)
    way = make.pick(("Reshape", "Expand", "Slice"))
    if way == "Reshape":
        target = make.node("Concat", first, make.ints(-1), axis=0)
        make.give(make.node("Reshape", x, target), shape[0], int(np.prod(shape[1:])))
    elif way == "Expand":
        make.give(make.node("Expand", x, make.node("Concat", make.ints(2), sizes, axis=0)), 2, *shape)
    else:
        last = make.node("Div", make.node("Gather", sizes, make.ints(-1), axis=0), make.ints(2))
        if shape[-1] >= 2:
            taken = make.node("Slice", x, make.ints(0), last, make.ints(len(shape) - 1))
            make.give(taken, *shape[:-1], shape[-1] // 2)


def choose(make: Maker) -> None:
    """Where of a comparison, Min and Max."""
    if (found := make.take()) is None:
        return
    x, shape = found
    limit = make.const(F32(make.pick((0, 0.5, -1))))
    if make.chance(0.5):
        make.give(make.node(make.pick(("Min", "Max")), x, limit), *shape)
    else:
        flag = make.node(make.pick(("Greater", "Less")), x, limit)
        make.give(make.node("Where", flag, x, make.node("Mul", x, make.const(F32(0.1)))), *shape)
