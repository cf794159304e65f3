"""Genes of transformers: functions and normalizations, whole and by parts, and sums in front of them.

Each takes tensors of the maker's pool, and does nothing where none fits.
"""

from __future__ import annotations

from typing import Any

from tools.verify.graphs.maker import F32, Maker


def function(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    op = make.pick(("Tanh", "Erf", "Exp", "Elu", "Softsign", "LogSoftmax", "Round", "Abs", "Softplus"))
    make.give(make.node(op, x), *shape)


def gelu(make: Maker) -> None:
    """By the error function or the hyperbolic tangent, behind a sum now and then."""
    if (found := make.take()) is None:
        return
    x, shape = found
    if make.chance(0.4):
        x = str(make.node("Add", x, make.const(make.floats(shape[-1]))))
    way = make.pick(("erf", "erf", "tanh", "op"))
    if way == "op" and make.opset >= 20:
        make.give(make.node("Gelu", x, approximate=make.pick(("none", "tanh"))), *shape)
    elif way == "tanh":
        make.give(_by_tanh(make, x), *shape)
    else:
        make.give(_by_erf(make, x), *shape)


def _by_erf(make: Maker, x: str) -> Any:
    half, one = make.const(F32(0.5)), make.const(F32(1))
    more = make.node("Add", make.node("Erf", make.node("Div", x, make.const(F32(2**0.5)))), one)
    if make.chance(0.5):
        return make.node("Mul", make.node("Mul", x, half), more)
    return make.node("Mul", make.node("Mul", x, more), half)


def _by_tanh(make: Maker, x: str) -> Any:
    one, b, c = make.const(F32(1)), make.const(F32(0.7978846)), make.const(F32(0.044715))
    if make.chance(0.5):
        cube = make.node("Mul", make.node("Pow", x, make.const(F32(3))), c)
        inner = make.node("Mul", make.node("Add", x, cube), b)
    else:
        square = make.node("Mul", x, make.node("Mul", c, x))
        inner = make.node("Mul", make.node("Mul", b, x), make.node("Add", one, square))
    more = make.node("Add", make.node("Tanh", inner), one)
    return make.node("Mul", make.node("Mul", x, make.const(F32(0.5))), more)


def norm(make: Maker) -> None:
    """A normalization of the last axis, whole or by parts."""
    if (found := make.take()) is not None and found[1]:
        make.give(_norm(make, *found), *found[1])


def residual(make: Maker) -> None:
    """A sum of two tensors of one shape, one of them with a bias or a product, normalized."""
    if (found := make.take(2, 3)) is None:
        return
    x, shape = found
    other = make.pick([name for name, size in make.pool.items() if size == shape])
    if make.chance(0.3):
        other = str(make.node("MatMul", other, make.const(make.floats(shape[-1], shape[-1]))))
    if make.chance(0.4):
        other = str(make.node("Add", other, make.const(make.floats(shape[-1]))))
    pair = (x, other) if make.chance(0.5) else (other, x)
    make.give(_norm(make, str(make.node("Add", *pair)), shape), *shape)


def _norm(make: Maker, x: str, shape: tuple[int, ...]) -> Any:
    scale, bias = make.const(make.floats(shape[-1])), make.const(make.floats(shape[-1]))
    way = make.pick(("op", "parts", "root"))
    if way == "op" and make.opset >= 17:
        return make.node("LayerNormalization", x, scale, *([bias] if make.chance(0.7) else []), epsilon=1e-4)
    epsilon, two = make.const(F32(1e-4)), make.const(F32(2))
    centered = x if way == "root" else make.node("Sub", x, _mean(make, x, shape))
    root = make.node("Sqrt", make.node("Add", _mean(make, make.node("Pow", centered, two), shape), epsilon))
    scaled = make.node("Mul", make.node("Div", centered, root), scale)
    return scaled if way == "root" else make.node("Add", scaled, bias)


def _mean(make: Maker, x: str, shape: tuple[int, ...]) -> Any:
    axis = make.pick((-1, len(shape) - 1))
    return make.node("ReduceMean", x, make.ints(axis)) if make.opset >= 18 else make.node("ReduceMean", x, axes=[axis])


def mask(make: Maker) -> None:
    """A sum with a constant, and Softmax."""
    if (found := make.take()) is not None:
        masked = make.node("Add", found[0], make.const(make.floats(found[1][-1])))
        make.give(make.node("Softmax", masked, axis=-1), *found[1])
