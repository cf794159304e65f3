"""The float32 operators: those that are the same bits as ONNX Runtime's, and those that only come close."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.attention import ATTENTION
from tests.ops.cases.binary import broadcast_pair
from tests.ops.cases.conv import window
from tests.ops.cases.conv_transpose import CONV_TRANSPOSE
from tests.ops.cases.dynamic import dynamic_quantize_lstm, matmul_nbits, q_attention
from tests.ops.cases.einsum import einsum
from tests.ops.cases.functions import CLOSE_FUNCTIONS, FUNCTIONS
from tests.ops.cases.indexed import INDEXED
from tests.ops.cases.interpolation import INTERPOLATION
from tests.ops.cases.logic import LOGIC
from tests.ops.cases.normalization import NORMALIZATION
from tests.ops.cases.pool import pooling, spatial
from tests.ops.cases.sizes import SIZES

F = np.float32


def reals(rng: draw.Rng, dims: tuple[int, ...], odd: bool = True) -> draw.Array:
    """Values of all magnitudes; with `odd`, now and then zeros of both signs, infinities, subnormals."""
    x = rng.normal(0, 1, dims) * 10 ** rng.uniform(-2, 2, dims)
    if odd and draw.chance(rng, 0.4):
        rare = np.array([0.0, -0.0, np.inf, -np.inf, 1e-44, -1e-39, 3e38, -3e38])
        x = np.where(rng.random(dims) < 0.3, rng.choice(rare, dims), x)
    return np.asarray(x, F)


def _binary(op: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        a, b = broadcast_pair(rng)
        return one_node(op, [("a", reals(rng, a)), ("b", reals(rng, b))], ["a", "b"])

    return case


def _variadic(op: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        dims = draw.shape(rng)
        arguments = []
        for number in range(draw.size(rng, 5)):
            narrow = tuple(size if draw.chance(rng, 0.7) else 1 for size in dims)
            arguments.append((f"x{number}", reals(rng, narrow[int(rng.integers(len(dims))) :])))
        return one_node(op, arguments, [name for name, _ in arguments])

    return case


def _unary(op: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        return one_node(op, [("x", reals(rng, draw.shape(rng)))])

    return case


def leaky_relu(rng: draw.Rng) -> Case:
    alpha = draw.pick(rng, (None, 0.1, 0.3, 1.5))
    return one_node("LeakyRelu", [("x", reals(rng, draw.shape(rng)))], alpha=alpha)


def hard_sigmoid(rng: draw.Rng) -> Case:
    alpha, beta = draw.pick(rng, (None, 1 / 6, 0.3, -2.0)), draw.pick(rng, (None, 0.1, -0.7))
    return one_node("HardSigmoid", [("x", reals(rng, draw.shape(rng)))], alpha=alpha, beta=beta)


def clip(rng: draw.Rng) -> Case:
    limits = [(name, reals(rng, (), False)) if draw.chance(rng, 0.7) else None for name in ("low", "high")]
    return one_node("Clip", [("x", reals(rng, draw.shape(rng))), *limits])


def concat(rng: draw.Rng) -> Case:
    dims = list(draw.shape(rng))
    axis = int(rng.integers(-len(dims), len(dims)))
    arguments = []
    for index in range(draw.size(rng, 4)):
        dims[axis] = draw.size(rng, 4)
        arguments.append((f"x{index}", reals(rng, tuple(dims))))
    return one_node("Concat", arguments, [name for name, _ in arguments], axis=axis)


def max_pool(rng: draw.Rng) -> Case:
    sizes = spatial(rng, 3)
    attributes = _without_cropping(pooling(rng, sizes))
    x = reals(rng, (draw.size(rng, 2), 3, *sizes), False)
    # no -inf, NaN or zeros of both signs: which of them wins differs between ONNX Runtime's own kernels
    x = np.where(rng.random(x.shape) < 0.2, rng.choice(np.array([0.0, np.inf, 1e-44, 3e38, -3e38], F), x.shape), x)
    return one_node("MaxPool", [("x", x)], **attributes)


def _without_cropping(attributes: dict[str, object]) -> dict[str, object]:
    """ONNX Runtime's float pools refuse strides beyond the kernel under auto_pad SAME."""
    if str(attributes.get("auto_pad", "")).startswith("SAME"):
        attributes.pop("strides", None)
    return attributes


def conv(rng: draw.Rng) -> Case:
    """Few and many terms per sum, one output channel or pixel, depthwise, and kernels as large as the image."""
    rank = draw.pick(rng, (1, 2, 2, 3))
    sizes = tuple(draw.size(rng, 9 if rank < 3 else 5) for _ in range(rank))
    kernel, attributes = window(rng, sizes)
    way = draw.pick(rng, ("few", "few", "many", "pixel", "rows"))
    if way == "pixel":
        sizes = kernel = tuple(draw.pick(rng, (1, 1, 3)) for _ in sizes)
        attributes = {}
    if way == "rows":
        kernel, attributes = (*(draw.size(rng, size) for size in sizes[:-1]), sizes[-1]), {}
    groups, per_group, filters = draw.pick(rng, (1, 1, 2, 5)), draw.size(rng, 5), draw.pick(rng, (1, 1, 2, 3, 7))
    if way == "rows" or draw.chance(rng, 0.3):
        per_group = 1
    if way in ("many", "pixel"):
        groups, per_group = draw.pick(rng, (1, 2)), draw.pick(rng, (40, 129, 260))
    arguments = [
        ("x", reals(rng, (draw.size(rng, 2), groups * per_group, *sizes), False)),
        ("w", reals(rng, (groups * filters, per_group, *kernel), False)),
        ("b", reals(rng, (groups * filters,), False)) if draw.chance(rng, 0.6) else None,
    ]
    return one_node("Conv", arguments, draw.pick(rng, (["x"], ["x", "w"])), group=groups, **attributes)


def gemm(rng: draw.Rng) -> Case:
    """With factors and without, either side transposed, a constant right side and a computed one."""
    rows, terms, cols = (draw.pick(rng, sizes) for sizes in ((1, 1, 3, 20), (1, 5, 30, 150, 300), (1, 1, 2, 7, 40)))
    trans_a, trans_b = int(draw.chance(rng, 0.4)), int(draw.chance(rng, 0.4))
    c = draw.pick(rng, (None, (cols,), (rows, 1), (rows, cols), ()))
    arguments = [
        ("x", reals(rng, (terms, rows) if trans_a else (rows, terms), False)),
        ("b", reals(rng, (cols, terms) if trans_b else (terms, cols), False)),
        None if c is None else ("c", reals(rng, c, False)),
    ]
    return one_node(
        "Gemm",
        arguments,
        draw.pick(rng, (["x"], ["x", "b"])),
        transA=trans_a,
        transB=trans_b,
        alpha=draw.pick(rng, (None, None, 0.3)),
        beta=draw.pick(rng, (None, None, 0.0, -1.7)),
    )


def matmul(rng: draw.Rng) -> Case:
    terms, batch = draw.pick(rng, (1, 8, 30, 150, 300)), draw.pick(rng, ((), (2,), (2, 3)))
    a, b = (*batch, draw.pick(rng, (1, 2, 20)), terms), (terms, draw.pick(rng, (1, 2, 7, 40)))
    way = draw.pick(rng, ("matrix", "matrix", "stack", "vectors"))
    if way == "stack":
        b = (*batch[-1:], *b)
    if way == "vectors":
        a, b = draw.pick(rng, ((a[-1:], b), (a, b[:1]), (a[-1:], b[:1])))
    feeds = draw.pick(rng, (["x"], ["x", "b"]))
    return one_node("MatMul", [("x", reals(rng, a, False)), ("b", reals(rng, b, False))], feeds)


def average_pool(rng: draw.Rng) -> Case:
    sizes = spatial(rng, 3)
    attributes = _without_cropping(pooling(rng, sizes, dilate=False))
    attributes.pop("dilations", None)
    if draw.chance(rng, 0.2):
        attributes = {"kernel_shape": list(sizes), "ceil_mode": draw.pick(rng, (None, 1))}
    x = reals(rng, (draw.size(rng, 2), 3, *sizes), False)
    include, opset = draw.pick(rng, (None, 0, 1)), int(draw.pick(rng, (17, 17, 19, 22)))
    return one_node("AveragePool", [("x", x)], count_include_pad=include, opset=opset, **attributes)


def global_average_pool(rng: draw.Rng) -> Case:
    return one_node("GlobalAveragePool", [("x", reals(rng, (2, 3, *spatial(rng)), False))])


def reduce_mean(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axes = [axis for axis in range(len(dims)) if draw.chance(rng, 0.5)] or [0]
    return one_node("ReduceMean", [("x", reals(rng, dims, False))], axes=axes, keepdims=draw.pick(rng, (None, 1)))


def batch_normalization(rng: draw.Rng) -> Case:
    dims = (draw.size(rng, 2), draw.size(rng, 4), *spatial(rng))
    statistics = [(name, reals(rng, (dims[1],), False)) for name in ("s", "b", "m")]
    variance = ("v", np.abs(reals(rng, (dims[1],), False)))
    return one_node("BatchNormalization", [("x", reals(rng, dims, False)), *statistics, variance], opset=15)


def softmax(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    return one_node("Softmax", [("x", reals(rng, dims, False))], axis=int(rng.integers(-len(dims), len(dims))))


# one rounding per element, or none, or sums in an order that is known
BITWISE: Mapping[str, Callable[[draw.Rng], Case]] = {
    **FUNCTIONS,
    "Add": _binary("Add"),
    "Mul": _binary("Mul"),
    "Sub": _binary("Sub"),
    "Div": _binary("Div"),
    "Sum": _variadic("Sum"),
    "Mean": _variadic("Mean"),
    "Neg": _unary("Neg"),
    "Sqrt": _unary("Sqrt"),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _unary("HardSwish"),
    "Relu": _unary("Relu"),
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "Concat": concat,
    "MaxPool": max_pool,
    "Identity": _unary("Identity"),
    "Sigmoid": _unary("Sigmoid"),
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulNBits": matmul_nbits,
    "QAttention": q_attention,
    "DynamicQuantizeLSTM": dynamic_quantize_lstm,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "Einsum": einsum,
    **NORMALIZATION,
    **ATTENTION,
    **LOGIC,
    **INDEXED,
    **INTERPOLATION,
    **CONV_TRANSPOSE,
    **SIZES,
}

# sums, and functions that are not specified to the last bit
CLOSE: Mapping[str, Callable[[draw.Rng], Case]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMean": reduce_mean,
    "BatchNormalization": batch_normalization,
    "Softmax": softmax,
    **CLOSE_FUNCTIONS,
}
