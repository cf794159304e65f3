"""Where an output element comes from, of every operator, exhaustively on small shapes: by changing each input element.

No output element may change with an input element that its origin does not name; and of what it names, everything
matters for some values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.element_types import is_float
from qdqnp.errors import InputError, ProfileError
from qdqnp.executor.plan import BoundStep
from qdqnp.graph import MICROSOFT
from qdqnp.lowering.base import Lowering
from qdqnp.ops.operator import DEFINED, Operator
from qdqnp.ops.origin import Origin, origin_of
from qdqnp.ops.registry import operators
from qdqnp.ops.runtime_sizes import WithRuntimeSizes
from tests.ops import draw
from tests.ops.case import MS, Array, Case, one_node
from tests.ops.cases import CASES
from tests.ops.cases.device import DEVICE_CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tests.ops.test_split import split
from tests.ops.test_top_k import model as top_k

F = np.float32
# The most elements of all inputs together, and of an output.
SMALL = 70
# Operators that fill in what no input has.
FILLING = ("Pad", "Trilu", "CenterCropPad", "Resize")
# Cases whose outputs are filled in, or which read nothing but constants.
FILLED = ("float ConstantOfShape", "float Range")
AS_IT_STANDS = Lowering("as it stands", ())
Layer = tuple[BoundStep, list[Array | None]]


def splitting(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, 3, 4)
    sizes = [draw.size(rng, 2) for _ in range(3)]
    dims = (*dims[:2], sum(sizes))
    return Case(split(draw.codes(rng, np.int8, dims), 3, sizes, axis=2), {"x": draw.codes(rng, np.int8, dims)})


def choosing(rng: draw.Rng) -> Case:
    x = draw.codes(rng, np.int8, draw.shape(rng, 3, 3)).astype(np.int32)
    return Case(top_k(x, 1, axis=1), {"x": x})


DRAWN: Mapping[str, Callable[[draw.Rng], Case]] = {
    **CASES,
    **DEVICE_CASES,
    **{f"float {name}": generator for name, generator in {**CLOSE, **BITWISE}.items()},
    "Split": splitting,
    "TopK": choosing,
}


def layer_of(case: Case) -> Layer:
    """The case's node as a layer of its own, and what it reads."""
    (bound,) = qdqnp.load(case.model).plan(lowering=AS_IT_STANDS).steps
    return bound, bound.arrays(case.inputs)


def computed(layer: Layer) -> tuple[Array, ...]:
    """The outputs, by the operator's definition."""
    bound, arrays = layer
    with np.errstate(all="ignore"):
        return bound.operator.compute(bound.binding, *arrays)


def small(layer: Layer) -> bool:
    """Whether the layer is small, and has elements."""
    size = sum(array.size for array in layer[1] if array is not None)
    return 0 < size <= SMALL and all(0 < made.size <= SMALL for made in computed(layer))


def origins(layer: Layer, output: int, shape: tuple[int, ...]) -> dict[tuple[int, ...], Origin]:
    bound, arrays = layer
    return {at: origin_of(bound.operator, bound.step, arrays, output, at) for at in np.ndindex(*shape)}


def said(layer: Layer, output: int, shape: tuple[int, ...]) -> Array:
    """Which input element is in the origin of which output element, (inputs' elements, *shape)."""
    found = np.zeros((sum(array.size for array in layer[1] if array is not None), *shape), bool)
    for at, origin in origins(layer, output, shape).items():
        found[(origin.elements - 1, *at)] = True
    return found


def seen(layer: Layer, output: int, values: Callable[[Any], Array]) -> Array:
    """Which input element was seen to change which output element, as of `said`; values: what it is changed to."""
    bound, arrays = layer
    before = computed(layer)[output]
    rows = []
    for operand, array in enumerate(arrays):
        for number in range(0 if array is None else array.size):
            changed = np.zeros(before.shape, bool)
            for value in values(array.dtype):
                other = array.copy()
                other.reshape(-1)[number] = value
                try:
                    after = computed((bound, [*arrays[:operand], other, *arrays[operand + 1 :]]))[output]
                except (
                    ProfileError,
                    InputError,
                ):  # by zero, beyond the axis, of no size
                    continue
                changed |= (after != before) & ~((after != after) & (before != before))  # a NaN stays one
            rows.append(changed)
    return np.stack(rows)


def other_values(rng: draw.Rng) -> Callable[[Any], Array]:
    def values(dtype: Any) -> Array:
        if is_float(np.dtype(dtype)):
            return np.array([0.0, 3e4, -7.5, rng.normal()]).astype(dtype)
        if np.dtype(dtype).kind == "b":
            return np.array([False, True])
        low, high = draw.ends(dtype)
        drawn = rng.integers(low, high, dtype=dtype if np.dtype(dtype).kind in "iu" else np.int8)
        return np.array([low, high, 0, drawn]).astype(dtype)

    return values


def all_different(layer: Layer) -> Layer:
    """The layer on inputs whose elements all differ, and are none of what is filled in, where there are enough codes;
    else as it is."""
    bound, arrays = layer
    if sum(array.size for array in arrays if array is not None) > 126:
        return layer
    numbers = iter(range(1, 127))
    made = [
        None
        if array is None
        else np.array([next(numbers) for _ in range(array.size)], array.dtype).reshape(array.shape)
        for array in arrays
    ]
    return bound, made


# -- every operator, as the cases draw it ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DRAWN)
def test_nothing_else_changes_an_element(name: str, rng: np.random.Generator) -> None:
    checked = changing = 0
    for _ in range(60):
        layer = layer_of(DRAWN[name](rng))
        if not small(layer):
            continue
        if not layer[0].step.inputs or isinstance(layer[0].operator, WithRuntimeSizes):
            continue  # other sizes make other shapes
        moves = (
            layer[0].operator.only_moves(layer[0].step) and layer[0].step.op != "Gather"
        )  # whose second input is no code
        if moves:
            layer = all_different(layer)
        for output, made in enumerate(computed(layer)):
            found, allowed = seen(layer, output, other_values(rng)), said(layer, output, made.shape)
            assert not (found & ~allowed).any(), (layer[0].step, np.argwhere(found & ~allowed))
            changing += int(found.any())
            if moves:
                check_moved(layer, output, made)
        checked += 1
        if checked == 10:
            break
    of_shapes = layer_of(DRAWN[name](rng))[0].operator.of_shapes  # no element matters
    assert name in FILLED or (checked >= 3 and (of_shapes or changing))


def check_moved(layer: Layer, output: int, made: Array) -> None:
    """Every element of the output is one that its origin names, or what is filled in where it names none."""
    values = np.concatenate([array.reshape(-1) for array in layer[1] if array is not None])
    for at, origin in origins(layer, output, made.shape).items():
        chosen = values[origin.elements - 1]
        assert made[at] in chosen if chosen.size else layer[0].step.op in FILLING


def test_every_operator_is_drawn_above(rng: np.random.Generator) -> None:
    found = set()
    for generator in DRAWN.values():
        for _ in range(24):
            bound, _ = layer_of(generator(rng))
            found.add((bound.step.domain, bound.step.op))
    assert found == operators().keys()


# -- of what is named, everything matters ------------------------------------------------------------------------------
def codes(rng: draw.Rng, *dims: int) -> Array:
    """Codes so small that nothing saturates."""
    return rng.integers(-2, 3, dims).astype(np.int8)


def reals(rng: draw.Rng, *dims: int) -> Array:
    return rng.normal(0, 1, dims).astype(F)


def sums(op: str, x: Array, w: Array, b: tuple[int, ...] | None = None, domain: str = "", **attributes: Any) -> Case:
    """A layer of sums whose output is its accumulators; everything may change."""
    one, zero = F(1), np.int8(0)
    w_quant = [("w", w), ("ws", one), ("wz", zero)]
    bias = None if b is None else ("b", np.zeros(b, np.int32))
    given = [("x", x), ("xs", one), ("xz", zero), *w_quant]
    quantized = [("ys", one), ("yz", zero)]
    arguments = [*given, bias, *quantized] if op == "QGemm" else [*given, *quantized, bias]
    return one_node(op, arguments, ["x", "w", *(["b"] if bias else [])], domain=domain, **attributes)


def scaled(op: str, x: Array, x_scale: float, y_scale: float, **attributes: Any) -> Case:
    zero = np.int8(0)
    arguments = [("x", x), ("xs", F(x_scale)), ("xz", zero), ("ys", F(y_scale)), ("yz", zero)]
    return one_node(op, arguments, domain=MS, **attributes)


def pairs(op: str, a: Array, b: Array) -> Case:
    one, zero = F(1), np.int8(0)
    arguments = [("a", a), ("as", one), ("az", zero), ("b", b), ("bs", one), ("bz", zero), ("ys", one), ("yz", zero)]
    return one_node(op, arguments, ["a", "b"], domain=MS)


def joined(rng: draw.Rng) -> Case:
    one, zero = F(1), np.int8(0)
    arguments = [("ys", F(0.5)), ("yz", zero)]
    for name, width in (("a", 2), ("b", 1), ("c", 3)):
        arguments += [(name, codes(rng, 2, width, 2)), (f"{name}s", one), (f"{name}z", zero)]
    return one_node("QLinearConcat", arguments, ["a", "b", "c"], domain=MS, output=np.int8, axis=-2)


def float_sums(op: str, x: Array, w: Array, b: tuple[int, ...] | None = None, **attributes: Any) -> Case:
    bias = None if b is None else ("b", np.zeros(b, F))
    return one_node(op, [("x", x), ("w", w), bias], ["x", "w", *(["b"] if bias else [])], **attributes)


def normalized(rng: draw.Rng) -> Case:
    statistics = [(name, np.abs(reals(rng, 2)) + F(0.5)) for name in ("scale", "bias", "mean", "var")]
    names = ["x", *(name for name, _ in statistics)]
    return one_node("BatchNormalization", [("x", reals(rng, 2, 2, 3)), *statistics], names, opset=15)


def reduced(op: str, x: Array, opset: int = 13, **attributes: Any) -> Case:
    return one_node(op, [("x", x)], opset=opset, **attributes)


def with_zeros(op: str, x: Array, w: Array, columns: tuple[int, ...] = (), **attributes: Any) -> Case:
    """An integer product with both zero points as inputs."""
    zeros = [("xz", np.zeros((), np.int8)), ("wz", np.zeros(columns, np.int8))]
    return one_node(op, [("x", x), ("w", w), *zeros], ["x", "w", "xz", "wz"], output=np.int32, **attributes)


def to_float(x: Array, b: Array, zeros: tuple[int, ...] = ()) -> Case:
    """A product of codes that is scaled to real values, with every parameter an input."""
    scales = [("xs", F(1).reshape(1)), ("bs", np.ones((*b.shape[:-2], 1, b.shape[-1]), F))]
    others = [("xz", np.zeros((), np.int8)), ("bz", np.zeros(zeros, np.int8)), ("c", np.zeros(b.shape[-1:], F))]
    if x.dtype == F:
        scales, others = scales[1:], others[1:]
    arguments = [("x", x), ("b", b), *scales, *others]
    op = "DynamicQuantizeMatMul" if x.dtype == F else "MatMulIntegerToFloat"
    return one_node(op, arguments, [name for name, _ in arguments], domain=MS, output=F)


def one_hot(rng: draw.Rng) -> Case:
    arguments = [("x", rng.integers(0, 4, (1, 2))), ("d", np.array(4)), ("v", reals(rng, 2))]
    return one_node("OneHot", arguments, ["x", "v"], output=F, opset=11)


def scattered(op: str, x: Array, indices: Any, updates: Array) -> Case:
    arguments = [("x", x), ("i", np.array(indices)), ("u", updates)]
    return one_node(op, arguments, ["x", "u"], opset=18, reduction="add")


def resized(rng: draw.Rng, mode: str, **attributes: Any) -> Case:
    """To sizes that put no position onto an element."""
    arguments = [("x", reals(rng, 1, 1, 5, 4)), None, None, ("sizes", np.array([1, 1, 2, 3]))]
    return one_node("Resize", arguments, opset=19, mode=mode, **attributes)


def in_blocks(rng: draw.Rng, level: int) -> Case:
    """A product with weights of 4 bits in blocks of 16; one code in two is left out where K ends."""
    weights = [("b", rng.integers(0, 256, (2, 1, 8)).astype(np.uint8)), ("s", np.ones((2, 1), F))]
    others = [("z", np.full((2, 1), 8, np.uint8)), None, ("c", np.zeros(2, F))]
    sizes = {"K": 16, "N": 2, "block_size": 16}
    return one_node(
        "MatMulNBits", [("x", reals(rng, 2, 16)), *weights, *others], domain=MS, accuracy_level=level, **sizes
    )


def attending(rng: draw.Rng) -> Case:
    """Two positions, two heads of one element, no mask."""
    arguments = [
        ("x", rng.integers(118, 139, (1, 2, 2)).astype(np.uint8)),
        ("w", codes(rng, 2, 6)),
        ("b", reals(rng, 6)),
    ]
    scales = [("xs", F(0.1).reshape(1)), ("ws", np.full(6, 0.1, F))]
    zeros = [("xz", np.full(1, 128, np.uint8)), ("wz", np.zeros(6, np.int8))]
    return one_node("QAttention", [*arguments, *scales, None, *zeros], domain=MS, output=F, num_heads=2)


def of_heads(rng: draw.Rng) -> Case:
    """Two positions that look at three, two heads of one group, a mask."""
    arguments = [("x", reals(rng, 1, 2, 2, 2)), ("k", reals(rng, 1, 1, 3, 2)), ("v", reals(rng, 1, 1, 3, 2))]
    return one_node("Attention", [*arguments, ("m", reals(rng, 2, 3))], opset=23)


def turning(rng: draw.Rng) -> Case:
    """Two heads of six elements, of which two pairs are turned."""
    arguments = [("x", reals(rng, 1, 2, 2, 6)), ("c", reals(rng, 1, 2, 2)), ("s", reals(rng, 1, 2, 2))]
    return one_node("RotaryEmbedding", arguments, opset=23, rotary_embedding_dim=4, num_heads=2)


def remembering(rng: draw.Rng) -> Case:
    """One step of one unit."""
    weights = [("w", codes(rng, 1, 2, 4)), ("r", codes(rng, 1, 1, 4)), ("b", reals(rng, 1, 8)), None]
    states = [("h", reals(rng, 1, 1, 1)), ("c", reals(rng, 1, 1, 1)), ("p", reals(rng, 1, 3) / 9)]
    scales = [
        (f"{name}{kind}", array)
        for name in "wr"
        for kind, array in (("s", F(0.1).reshape(1)), ("z", np.zeros(1, np.int8)))
    ]
    arguments = [("x", reals(rng, 1, 1, 2)), *weights, *states, *scales]
    return one_node("DynamicQuantizeLSTM", arguments, domain=MS, hidden_size=1)


PADDED = {"kernel_shape": [2, 3], "pads": [1, 1, 0, 2], "strides": [2, 1], "ceil_mode": 1}
SPREAD = {"pads": [1, 0, 0, 1], "strides": [2, 1], "dilations": [1, 2]}
WINDOWED = {"pads": [1, 0, 0, 1], "strides": [2, 1], "dilations": [1, 2]}


def rows_of(op: str, rng: draw.Rng, *vectors: str, **options: Any) -> Case:
    """An operator of rows of three elements, and of vectors of as many."""
    arguments = [("x", reals(rng, 2, 3)), *((name, reals(rng, 3)) for name in vectors)]
    return one_node(op, arguments, [name for name, _ in arguments], **options)


def skipped(op: str, rng: draw.Rng, *vectors: str) -> Case:
    """A normalization of a sum of two arrays; the second has no first axis."""
    arguments = [("x", reals(rng, 2, 2, 3)), ("skip", reals(rng, 2, 3)), *((name, reals(rng, 3)) for name in vectors)]
    return one_node(op, arguments, [name for name, _ in arguments], domain=MS)


SHARP: Mapping[str, Callable[[draw.Rng], Case]] = {
    "QLinearConv": lambda rng: sums("QLinearConv", codes(rng, 2, 2, 4, 5), codes(rng, 2, 2, 2, 2), (2,), **WINDOWED),
    "QLinearConv in groups": lambda rng: sums("QLinearConv", codes(rng, 1, 4, 5), codes(rng, 4, 2, 3), group=2),
    "QLinearMatMul": lambda rng: sums("QLinearMatMul", codes(rng, 2, 1, 2, 3), codes(rng, 2, 3, 2)),
    "QLinearMatMul of a vector": lambda rng: sums("QLinearMatMul", codes(rng, 3), codes(rng, 2, 3, 2)),
    "QLinearMatMul by a vector": lambda rng: sums("QLinearMatMul", codes(rng, 2, 2, 3), codes(rng, 3)),
    "QGemm": lambda rng: sums("QGemm", codes(rng, 3, 2), codes(rng, 4, 3), (2, 1), MS, transA=1, transB=1),
    "QGemm with a row": lambda rng: sums("QGemm", codes(rng, 2, 3), codes(rng, 3, 4), (4,), MS),
    "MatMulInteger": lambda rng: with_zeros("MatMulInteger", codes(rng, 2, 2, 3), codes(rng, 3, 2), (2,)),
    "MatMulInteger of stacks": lambda rng: with_zeros(
        "MatMulInteger", codes(rng, 2, 2, 3), codes(rng, 2, 3, 2), (2, 1, 2)
    ),
    "MatMulInteger of a vector": lambda rng: with_zeros("MatMulInteger", codes(rng, 3), codes(rng, 3, 2), (2,)),
    "ConvInteger": lambda rng: with_zeros("ConvInteger", codes(rng, 1, 4, 5), codes(rng, 4, 2, 3), group=2),
    "MatMulIntegerToFloat": lambda rng: to_float(codes(rng, 2, 3), codes(rng, 3, 2), (2,)),
    "MatMulIntegerToFloat of stacks": lambda rng: to_float(codes(rng, 2, 1, 3), codes(rng, 2, 3, 2), (2, 1, 2)),
    "DynamicQuantizeMatMul": lambda rng: to_float(reals(rng, 2, 3), codes(rng, 3, 2), (2,)),
    "QAttention": attending,
    "DynamicQuantizeLSTM": remembering,
    "MatMulNBits": lambda rng: in_blocks(rng, 0),
    "MatMulNBits of codes": lambda rng: in_blocks(rng, 4),
    "DynamicQuantizeLinear": lambda rng: one_node(
        "DynamicQuantizeLinear", [("x", reals(rng, 2, 3))], output=np.uint8, others=("s", "z")
    ),
    "QLinearAdd": lambda rng: pairs("QLinearAdd", codes(rng, 2, 1, 3), codes(rng, 4, 1)),
    "QLinearAdd exchanged": lambda rng: pairs("QLinearAdd", codes(rng, 1), codes(rng, 2, 3)),
    "QLinearMul": lambda rng: pairs("QLinearMul", codes(rng, 3, 1), codes(rng, 2, 1, 4)),
    "QLinearConcat": joined,
    "QLinearAveragePool": lambda rng: scaled("QLinearAveragePool", codes(rng, 1, 2, 4, 4), 1, 1 / 16, **PADDED),
    "QLinearAveragePool of all": lambda rng: scaled(
        "QLinearAveragePool", codes(rng, 2, 2, 2, 3), 1, 1 / 16, kernel_shape=[2, 3]
    ),
    "QLinearGlobalAveragePool": lambda rng: scaled("QLinearGlobalAveragePool", codes(rng, 2, 3, 2, 3), 1, 1 / 16),
    "QLinearSoftmax": lambda rng: scaled("QLinearSoftmax", codes(rng, 2, 3, 2), 0.1, 1 / 128, axis=1, opset_=13),
    "QLinearSoftmax of all": lambda rng: scaled("QLinearSoftmax", codes(rng, 2, 2, 2), 0.1, 1 / 128, axis=1, opset_=11),
    "QLinearSigmoid": lambda rng: scaled("QLinearSigmoid", codes(rng, 2, 3), 0.5, 1 / 128),
    "MaxPool": lambda rng: one_node("MaxPool", [("x", codes(rng, 1, 2, 4, 4))], **PADDED),
    "MaxPool along a line": lambda rng: one_node(
        "MaxPool", [("x", reals(rng, 1, 2, 5))], kernel_shape=[2], dilations=[2], pads=[1, 0]
    ),
    "MaxPool cropped": lambda rng: one_node(
        "MaxPool", [("x", codes(rng, 1, 1, 8, 8))], kernel_shape=[1, 2], strides=[3, 3], auto_pad="SAME_LOWER"
    ),
    "ReduceMax": lambda rng: reduced("ReduceMax", codes(rng, 2, 3, 2), axes=[0, 2]),
    "ReduceMin of all": lambda rng: reduced("ReduceMin", codes(rng, 2, 3), keepdims=0),
    "ArgMax": lambda rng: one_node("ArgMax", [("x", codes(rng, 2, 3, 2))], output=np.int64, axis=1, keepdims=0),
    "ArgMin": lambda rng: one_node("ArgMin", [("x", codes(rng, 2, 3, 2))], output=np.int64, axis=1, keepdims=0),
    "OneHot": lambda rng: one_hot(rng),
    "ScatterElements": lambda rng: scattered("ScatterElements", codes(rng, 3, 2), [[1, 0], [1, 1]], codes(rng, 2, 2)),
    "ScatterND": lambda rng: scattered("ScatterND", codes(rng, 3, 2), [[1], [1], [0]], codes(rng, 3, 2)),
    "GlobalMaxPool": lambda rng: one_node("GlobalMaxPool", [("x", reals(rng, 2, 2, 3))]),
    "float ReduceMean": lambda rng: reduced("ReduceMean", reals(rng, 2, 3, 2), axes=[-1, 0], keepdims=0),
    "Col2Im": lambda rng: one_node(
        "Col2Im",
        [("x", reals(rng, 1, 8, 4)), ("i", np.array([3, 4])), ("b", np.array([2, 2]))],
        opset=18,
        strides=[1, 2],
    ),
    "float ConvTranspose": lambda rng: float_sums(
        "ConvTranspose", reals(rng, 1, 4, 2, 3), reals(rng, 4, 2, 2, 2), (4,), group=2, **SPREAD
    ),
    "Resize linear": lambda rng: resized(rng, "linear"),
    "Resize cubic": lambda rng: resized(rng, "cubic"),
    "Resize without aliasing": lambda rng: resized(rng, "linear", antialias=1),
    "float Conv": lambda rng: float_sums("Conv", reals(rng, 2, 2, 4, 5), reals(rng, 2, 2, 2, 2), (2,), **WINDOWED),
    "float Conv in groups": lambda rng: float_sums("Conv", reals(rng, 1, 4, 5), reals(rng, 4, 2, 3), group=2),
    "float Gemm": lambda rng: float_sums("Gemm", reals(rng, 3, 2), reals(rng, 4, 3), (2, 1), transA=1, transB=1),
    "float MatMul": lambda rng: float_sums("MatMul", reals(rng, 2, 1, 2, 3), reals(rng, 2, 3, 2)),
    "float MatMul of a vector": lambda rng: float_sums("MatMul", reals(rng, 3), reals(rng, 2, 3, 2)),
    "float MatMul by a vector": lambda rng: float_sums("MatMul", reals(rng, 2, 2, 3), reals(rng, 3)),
    "float MatMul of vectors": lambda rng: float_sums("MatMul", reals(rng, 3), reals(rng, 3)),
    "float Sub": lambda rng: one_node("Sub", [("a", reals(rng, 2, 1, 3)), ("b", reals(rng, 4, 1))], ["a", "b"]),
    "float AveragePool": lambda rng: one_node("AveragePool", [("x", reals(rng, 1, 2, 4, 4))], **PADDED),
    "float GlobalAveragePool": lambda rng: one_node("GlobalAveragePool", [("x", reals(rng, 2, 3, 2, 3))]),
    "float Softmax": lambda rng: one_node("Softmax", [("x", reals(rng, 2, 3, 2))], axis=1),
    "float Softmax of all": lambda rng: one_node("Softmax", [("x", reals(rng, 2, 2, 2))], axis=1, opset=11),
    "float BatchNormalization": normalized,
    **{
        f"float {op}": lambda rng, op=op: reduced(op, reals(rng, 2, 3, 2), axes=[0, 2])
        for op in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSumExp")
    },
    "float ReduceLogSum": lambda rng: reduced("ReduceLogSum", 200 + reals(rng, 2, 3), axes=[1]),
    "float ReduceSum": lambda rng: one_node(
        "ReduceSum", [("x", reals(rng, 2, 3, 2)), ("axes", np.array([0, -1]))], keepdims=0
    ),
    "float LogSoftmax": lambda rng: one_node("LogSoftmax", [("x", reals(rng, 2, 3, 2))], axis=1),
    "float Hardmax": lambda rng: one_node("Hardmax", [("x", reals(rng, 2, 3, 2))], axis=1),
    "float Pow": lambda rng: one_node("Pow", [("x", abs(reals(rng, 2, 1))), ("e", reals(rng, 3))], ["x", "e"]),
    "float PRelu": lambda rng: one_node("PRelu", [("x", reals(rng, 2, 3)), ("s", reals(rng, 3))], ["x", "s"]),
    "float BiasGelu": lambda rng: rows_of("BiasGelu", rng, "bias", domain=MS),
    "float FastGelu": lambda rng: rows_of("FastGelu", rng, "bias", domain=MS),
    "float LayerNormalization": lambda rng: rows_of("LayerNormalization", rng, "scale", "bias"),
    "float RMSNormalization": lambda rng: rows_of("RMSNormalization", rng, "scale", opset=23),
    "float SkipLayerNormalization": lambda rng: skipped("SkipLayerNormalization", rng, "gamma", "beta", "bias"),
    "float SkipSimplifiedLayerNormalization": lambda rng: skipped(
        "SkipSimplifiedLayerNormalization", rng, "gamma", "bias"
    ),
    "float InstanceNormalization": lambda rng: one_node(
        "InstanceNormalization",
        [("x", reals(rng, 2, 2, 3)), ("s", reals(rng, 2)), ("b", reals(rng, 2))],
        ["x", "s", "b"],
    ),
    "float LRN": lambda rng: one_node("LRN", [("x", reals(rng, 1, 4, 1, 2))], size=3, alpha=1.0),
    "float Attention": of_heads,
    "float RotaryEmbedding": turning,
    "float LpPool": lambda rng: one_node("LpPool", [("x", reals(rng, 1, 2, 4, 4))], opset=18, **PADDED),
    "float GlobalLpPool": lambda rng: one_node("GlobalLpPool", [("x", reals(rng, 2, 2, 3))]),
    "float MeanVarianceNormalization": lambda rng: one_node(
        "MeanVarianceNormalization", [("x", reals(rng, 2, 2, 3))], axes=[0, 2]
    ),
    "float GroupNormalization": lambda rng: one_node(
        "GroupNormalization",
        [("x", reals(rng, 1, 4, 3)), ("s", reals(rng, 4)), ("b", reals(rng, 4))],
        ["x", "s", "b"],
        opset=21,
        num_groups=2,
    ),
    "float GroupNormalization by groups": lambda rng: one_node(
        "GroupNormalization",
        [("x", reals(rng, 1, 4, 3)), ("s", reals(rng, 2)), ("b", reals(rng, 2))],
        ["x", "s", "b"],
        opset=18,
        num_groups=2,
    ),
    "float Einsum": lambda rng: one_node(
        "Einsum", [("x", reals(rng, 2, 3)), ("w", reals(rng, 3, 2, 2))], ["x", "w"], equation="ij,jkk->ki"
    ),
    "float LpNormalization": lambda rng: one_node("LpNormalization", [("x", reals(rng, 2, 3, 2))], axis=1),
    "float CumSum": lambda rng: one_node("CumSum", [("x", reals(rng, 2, 3)), ("a", np.array(1))], exclusive=1),
    "float CumProd": lambda rng: one_node("CumProd", [("x", reals(rng, 2, 3)), ("a", np.array(1))], opset=26),
    "float CumSum from the end": lambda rng: one_node(
        "CumSum", [("x", reals(rng, 3, 2)), ("a", np.array(0))], reverse=1
    ),
}


def in_the_padding(layer: Layer, shape: tuple[int, ...]) -> Array:
    """The weights that meet nothing but padding at an output element, as of `said`."""
    found = np.zeros((sum(array.size for array in layer[1] if array is not None), *shape), bool)
    for at, origin in origins(layer, 0, shape).items():
        if origin.products is not None:
            found[(origin.products[origin.products[:, 0] == 0, 1] - 1, *at)] = True
    return found


@pytest.mark.parametrize("name", SHARP)
def test_everything_that_is_named_matters(name: str, rng: np.random.Generator) -> None:
    """For some of the values that are drawn; what is seen to matter is exactly what is named."""
    found = needed = None
    for _ in range(30):
        layer = layer_of(SHARP[name](rng))
        made = computed(layer)[0]
        needed = said(layer, 0, made.shape) & ~in_the_padding(layer, made.shape)
        now = seen(layer, 0, lambda dtype: np.array([-90, 3, 9]).astype(dtype))
        found = now if found is None else found | now
        if np.array_equal(found, needed):
            return
    np.testing.assert_array_equal(found, needed)


def test_the_operators_that_look_at_several_elements_are_sharp(rng: np.random.Generator) -> None:
    """Those that look at one element cannot name too many."""
    several = set()
    for generator in DRAWN.values():
        for _ in range(24):
            layer = layer_of(generator(rng))
            if small(layer):
                at = tuple(size - 1 for size in computed(layer)[0].shape)
                if origin_of(layer[0].operator, layer[0].step, layer[1], 0, at).elements.size > 1:
                    several.add(layer[0].step.op)
    sharp = {case.model.graph.node[0].op_type for case in (made(rng) for made in SHARP.values())}
    pairs = {"Add", "Mul", "Div", "Mod", "Min", "Max", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
    pairs |= {"QLinearSub", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"}
    pairs |= {"QLinearResizeLinear"}  # whose corners with the weight 0 are named too
    pairs |= {"Sum", "Mean", "QLinearWhere", "Clip"}  # Clip by bounds that are inputs
    assert several - sharp == pairs | {
        "Where",
        "Gather",
        "TopK",
        "GridSample",
        "TensorScatter",
    }  # pairs are as Sub is; the others choose by what they read


# -- what an origin says -----------------------------------------------------------------------------------------------
def test_products_pair_an_element_with_its_weight() -> None:
    """A convolution of (1, 2, 3) by (1, 2, 2) with one element of padding, at its first place."""
    x, w = np.arange(6, dtype=F).reshape(1, 2, 3), np.arange(4, dtype=F).reshape(1, 2, 2)
    bound, arrays = layer_of(float_sums("Conv", x, w, (1,), pads=[1, 0]))
    origin = origin_of(bound.operator, bound.step, arrays, 0, (0, 0, 0))
    pairs = [
        tuple(
            None if number == 0 else (origin.element(number).operand, origin.element(number).index) for number in pair
        )
        for pair in origin.products.tolist()
    ]
    assert pairs == [
        (None, (1, (0, 0, 0))),
        ((0, (0, 0, 0)), (1, (0, 0, 1))),
        (None, (1, (0, 1, 0))),
        ((0, (0, 1, 0)), (1, (0, 1, 1))),
    ]
    assert origin.element(int(origin.elements[-1])).operand == 2  # the bias


def test_what_is_filled_in_comes_from_nowhere() -> None:
    x, pads = np.arange(1, 4, dtype=np.int8), np.array([1, 1], np.int64)
    bound, arrays = layer_of(one_node("Pad", [("x", x), ("pads", pads), ("value", np.int8(2))]))
    found = {at: origin.elements.tolist() for at, origin in origins((bound, arrays), 0, (5,)).items()}
    assert found == {(0,): [], (1,): [1], (2,): [2], (3,): [3], (4,): []}


def test_a_number_that_no_element_has() -> None:
    origin = Origin(np.zeros((1, 1), np.int64), ((2, 3), None, ()))
    assert origin.element(6).index == (1, 2) and origin.element(7).operand == 2
    with pytest.raises(IndexError):
        origin.element(8)


# -- an operator of somebody's own -------------------------------------------------------------------------------------
def test_an_operator_that_does_not_say_is_refused() -> None:
    """Not only where somebody asks: the first look for any operator fails, and says what is missing."""

    class Silent(Operator):
        op = "Silent"
        domain = MICROSOFT

        def infer(self, check: Any, attributes: Any) -> Any:
            return ()

        def shapes(self, attributes: Any, *inputs: Any, **_: Any) -> Any:
            return ()

        def compute(self, binding: Any, *inputs: Any, **_: Any) -> Any:
            return ()

    try:
        for _ in range(2):
            with pytest.raises(TypeError, match=r"Silent.*origin"):
                operators()
    finally:
        DEFINED.remove(Silent)
    assert (MICROSOFT, "Silent") not in operators()
