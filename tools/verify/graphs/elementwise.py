"""Genes that compute element by element, and Softmax.

Each takes tensors of the maker's pool, and does nothing where none fits.
"""

from __future__ import annotations

import numpy as np

from tools.verify.graphs.maker import F32, Maker


def binary(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    op = make.pick(("Add", "Add", "Mul", "Sub", "Div"))
    same = [name for name, other in make.pool.items() if other == shape]
    way = make.pick(("pool", "pool", "const", "weight", "broadcast", "lower"))
    if op == "Div" or way == "const":
        other = make.computed(np.abs(make.floats(*shape)) + F32(0.5))
    elif way == "weight":
        other = make.weight(*shape)
    elif way == "broadcast":
        other = make.computed(make.floats(*(s if make.chance(0.5) else 1 for s in shape)))
    elif way == "lower":
        other = make.pick((make.const(F32(0.5)), make.const(F32(1)), make.computed(make.floats(shape[-1]))))
    else:
        other = make.pick(same)
    pair = (x, other) if op == "Div" or make.chance(0.7) else (other, x)
    make.give(make.node(op, *pair), *shape)


def activation(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    way = make.pick(("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Neg", "Identity"))
    if way == "HardSwish" and make.opset < 14:
        way = "Relu"
    more = [make.const(F32(make.pick((0, -1)))), make.const(F32(make.pick((6, 1))))] if way == "Clip" else []
    make.give(make.node(way, x, *more), *shape)


def silu(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    if make.chance(0.6):
        x = str(make.node("Add", x, make.const(F32(0.25))))
    scaled = make.node("Mul", x, make.const(F32(1.702))) if make.chance(0.3) else x
    make.give(make.node("Mul", x, make.node("Sigmoid", scaled)), *shape)


def reciprocal(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    other = make.pick([name for name, size in make.pool.items() if size == shape])
    below = make.node("Add", make.node("Relu", other), make.const(F32(0.5)))
    inverse = make.node("Div", make.const(F32(1)), below)
    make.give(make.node("Mul", *((inverse, x) if make.chance(0.5) else (x, inverse))), *shape)


def softmax(make: Maker) -> None:
    if (found := make.take()) is not None:
        make.give(make.node("Softmax", found[0], axis=-1), *found[1])
