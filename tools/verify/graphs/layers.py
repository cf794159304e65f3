"""Genes that add up: Conv, products of matrices, pools and reductions.

Each takes tensors of the maker's pool, and does nothing where none fits.
"""

from __future__ import annotations

from tools.verify.graphs.maker import F32, Maker


def conv(make: Maker) -> None:
    if (found := make.take(4)) is None:
        return
    x, (n, c, h, w) = found
    k = 3 if make.chance(0.4) and min(h, w) > 2 else 1
    out = make.pick((4, 8))
    pad = k // 2
    y = make.node("Conv", x, make.weight(out, c, k, k), *make.bias(out), pads=[pad] * 4)
    if make.chance(0.15):
        y = make.node(make.pick(("Mul", "Add")), y, make.const(make.floats(out, 1, 1)))
    if make.chance(0.1):
        parts = (
            make.floats(out) ** 2 + F32(0.5),
            make.floats(out),
            make.floats(out),
            make.floats(out) ** 2 + F32(0.5),
        )
        y = make.node("BatchNormalization", y, *map(make.const, parts))
    make.give(y, n, out, h, w)


def pool_op(make: Maker) -> None:
    if (found := make.take(4)) is None:
        return
    x, (n, c, h, w) = found
    op = make.pick(("MaxPool", "MaxPool", "AveragePool", "GlobalAveragePool"))
    if op == "GlobalAveragePool":
        make.give(make.node(op, x), n, c, 1, 1)
    elif min(h, w) > 2:
        step = make.pick((1, 2))
        y = make.node(op, x, kernel_shape=[2, 2], strides=[step, step])
        make.give(y, n, c, (h - 2) // step + 1, (w - 2) // step + 1)


def reduce(make: Maker) -> None:
    if (found := make.take()) is None:
        return
    x, shape = found
    op, keep = make.pick(("ReduceMax", "ReduceMin", "ReduceMax", "ReduceMean")), make.pick((0, 1))
    axis = int(make.rng.integers(0, len(shape)))
    if make.opset >= 18:
        y = make.node(op, x, make.ints(axis), keepdims=keep)
    else:
        y = make.node(op, x, axes=[axis], keepdims=keep)
    if len(shape) > 1 or keep:
        make.give(y, *shape[:axis], *([1] * keep), *shape[axis + 1 :])


def arg_max(make: Maker) -> None:
    if (found := make.take()) is not None:
        make.outputs.append(make.node("ArgMax", found[0], axis=int(make.rng.integers(0, len(found[1]))), keepdims=0))


def _scaled(make: Maker, x: str) -> str:
    """Scale by a constant scalar, or return the tensor unchanged."""
    if make.chance(0.75):
        return x
    return str(make.node(make.pick(("Mul", "Div")), x, make.const(make.pick((F32(0.125), F32(0.3), F32(7))))))


def _turned(make: Maker, x: str, rank: int) -> str:
    return str(make.node("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2]))


def matmul(make: Maker) -> None:
    if (found := make.take(2, 3, 4)) is None:
        return
    x, shape = found
    if make.chance(0.2):
        x, shape = _turned(make, x, len(shape)), (*shape[:-2], shape[-1], shape[-2])
    same = [name for name, other in make.pool.items() if len(other) == len(shape) and other == shape]
    if same and make.chance(0.3):
        other, n = _turned(make, make.pick(same), len(shape)), shape[-2]
    else:
        n = make.pick((1, 4, 6))
        other = _turned(make, make.weight(n, shape[-1]), 2) if make.chance(0.2) else make.weight(shape[-1], n, axis=1)
    left, right = _scaled(make, x), _scaled(make, other)
    y = _scaled(make, make.node("MatMul", left, right))
    if make.chance(0.7):
        y = make.qdq(y)  # of a float product with quantized weights ONNX Runtime makes operators that we refuse
    if make.chance(0.3):
        y = make.node("Add", y, make.computed(make.floats(n)))
    make.give(y, *shape[:-1], n)


def gemm(make: Maker) -> None:
    if (found := make.take(2)) is None:
        return
    x, (m, k) = found
    n, across = make.pick((1, 4, 8)), make.chance(0.5)
    for _ in range(make.pick((0, 0, 0, 1, 2))):
        x, m, k = _turned(make, x, 2), k, m
    weight = make.weight(n, k) if across else make.weight(k, n, axis=1)
    y = make.node("Gemm", x, weight, *make.bias(n), transB=int(across))
    if make.chance(0.25):
        make.give(make.node("Transpose", y, perm=[1, 0]), n, m)
    else:
        make.give(y, m, n)
