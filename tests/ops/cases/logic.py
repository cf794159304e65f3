"""Operators on elements of every type: arithmetic of integers, comparisons, logic, choices and conversions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from onnx import helper

from qdqnp.element_types import plain_dtype
from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.binary import broadcast_pair
from tests.ops.cases.convert import FLOAT8, FOUR, TWO

F, D, B = np.float32, np.float64, np.bool_
FLOATS = (F, D)
SIGNED = (np.int8, np.int16, np.int32, np.int64)
UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
NUMBERS = (*FLOATS, *SIGNED, *UNSIGNED)
#: What ONNX Runtime has no kernels of: Min and Max of these types, and Where of those.
NOT_COMPARED = {
    "Min": (np.int16, np.uint16),
    "Max": (np.int16, np.uint16),
    "Where": (np.int16, np.uint16, np.uint64, B),
}
ALL = (*NUMBERS, np.float16, B)
NARROW = (ml_dtypes.bfloat16, *FLOAT8, *FOUR, *TWO)


def elements(rng: draw.Rng, dtype: Any, dims: tuple[int, ...]) -> draw.Array:
    """Small numbers, so that some are equal, and the ends of the type's range; of floats what is odd too."""
    kind = np.dtype(dtype)
    if plain_dtype(kind) != kind:
        return _narrow(rng, dtype, dims)
    if kind == B:
        return np.asarray(rng.random(dims) < 0.5)
    small = rng.integers(-3 if kind.kind != "u" else 0, 4, dims)
    if kind.kind == "f":
        rare: Any = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 0.3, -2.5, 6e4, -7e3])
        return np.asarray(np.where(rng.random(dims) < 0.5, rng.choice(rare, dims), small), dtype)
    info = np.iinfo(dtype)
    ends = rng.choice(np.array([info.min, info.max, info.max - 1, 77], dtype), dims)
    return np.where(rng.random(dims) < 0.3, ends, small.astype(dtype))


def _narrow(rng: draw.Rng, dtype: Any, dims: tuple[int, ...]) -> draw.Array:
    """Numbers of a type that NumPy does not have; of float8 any bits."""
    if dtype == ml_dtypes.bfloat16:
        return elements(rng, np.float32, dims).astype(dtype)
    return draw.codes(rng, dtype, dims)


def _pair(rng: draw.Rng) -> tuple[Any, Any, int]:
    """Two types, and an opset that has both: half of the time one is a type that NumPy does not have."""
    if draw.chance(rng, 0.5):
        return draw.pick(rng, ALL), draw.pick(rng, ALL), 18
    pair = [draw.pick(rng, NARROW), draw.pick(rng, (*ALL, *NARROW))]
    first = int(rng.integers(2))
    return pair[first], pair[1 - first], 25


def _unary(op: str, *dtypes: Any, output: Any = None, opset: int = 18) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        x = elements(rng, draw.pick(rng, dtypes), draw.shape(rng))
        return one_node(op, [("x", x)], output=output, opset=opset)

    return case


def _binary(op: str, *dtypes: Any, output: Any = None, opset: int = 18, **given: Any) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        dtype, (a, b) = draw.pick(rng, dtypes), broadcast_pair(rng)
        arguments = [("a", elements(rng, dtype, a)), ("b", elements(rng, dtype, b))]
        return one_node(op, arguments, ["a", "b"], output=output, opset=opset, **given)

    return case


def _divisor(rng: draw.Rng, dtype: Any, dims: tuple[int, ...]) -> draw.Array:
    """No zero, and no -1, by which the smallest number cannot be divided."""
    found = elements(rng, dtype, dims)
    return found if np.dtype(dtype).kind == "f" else np.where((found == 0) | (found + 1 == 0), dtype(3), found)


def div(rng: draw.Rng) -> Case:
    dtype, (a, b) = draw.pick(rng, NUMBERS), broadcast_pair(rng)
    arguments = [("a", elements(rng, dtype, a)), ("b", _divisor(rng, dtype, b))]
    return one_node("Div", arguments, ["a", "b"], opset=18)


def mod(rng: draw.Rng) -> Case:
    dtype, (a, b) = draw.pick(rng, NUMBERS), broadcast_pair(rng)
    arguments = [("a", elements(rng, dtype, a)), ("b", _divisor(rng, dtype, b))]
    fmod = 1 if np.dtype(dtype).kind == "f" else draw.pick(rng, (None, 0, 1))
    return one_node("Mod", arguments, ["a", "b"], opset=18, fmod=fmod)


def bit_shift(rng: draw.Rng) -> Case:
    dtype, (a, b) = draw.pick(rng, (np.uint8, np.uint32, np.uint64)), broadcast_pair(rng)
    by = rng.integers(0, 8 * np.dtype(dtype).itemsize, b).astype(dtype)
    arguments = [("a", elements(rng, dtype, a)), ("b", np.asarray(by))]
    return one_node("BitShift", arguments, ["a", "b"], direction=draw.pick(rng, ("LEFT", "RIGHT")))


def is_inf(rng: draw.Rng) -> Case:
    x = elements(rng, draw.pick(rng, FLOATS), draw.shape(rng))
    negative, positive = (draw.pick(rng, (None, 0, 1)) for _ in range(2))
    return one_node("IsInf", [("x", x)], output=B, detect_negative=negative, detect_positive=positive)


def extreme(op: str) -> Callable[[draw.Rng], Case]:
    """One to four arrays, some of them repeated, with zeros of both signs and NaN."""

    def case(rng: draw.Rng) -> Case:
        dtype = draw.pick(rng, tuple(kind for kind in NUMBERS if kind not in NOT_COMPARED[op]))
        out = draw.shape(rng, most=draw.pick(rng, (5, 5, 19)))
        shapes = [out]
        while draw.chance(rng, 0.7) and len(shapes) < 4:
            cut = tuple(1 if draw.chance(rng, 0.3) else n for n in out)
            shapes.append(cut[int(rng.integers(len(out) + 1)) :] if draw.chance(rng, 0.4) else cut)
        names = [f"x{index}" for index in range(len(shapes))]
        arrays = [elements(rng, dtype, shapes[index]) for index in rng.permutation(len(shapes))]
        if dtype in FLOATS and draw.chance(rng, 0.5):
            arrays = [np.where(rng.random(array.shape) < 0.5, dtype(0.0), dtype(-0.0)) for array in arrays]
        return one_node(op, list(zip(names, arrays, strict=True)), names, opset=13)

    return case


def where(rng: draw.Rng) -> Case:
    dtype, (a, b) = draw.pick(rng, tuple(k for k in ALL if k not in NOT_COMPARED["Where"])), broadcast_pair(rng)
    condition = elements(rng, B, draw.pick(rng, (a, b, a[-1:], ())))
    arguments = [("c", condition), ("a", elements(rng, dtype, a)), ("b", elements(rng, dtype, b))]
    return one_node("Where", arguments, ["c", "a", "b"], output=dtype, opset=16)


def _castable(rng: draw.Rng, source: Any, target: Any, dims: tuple[int, ...]) -> draw.Array:
    """What C does not leave open: uint32 and uint64 hold no float that is beyond them."""
    x = elements(rng, source, dims)
    if np.dtype(target) in (np.uint32, np.uint64) and plain_dtype(x.dtype).kind == "f":
        wide = x.astype(np.float32) if x.dtype.itemsize < 4 else x
        return np.asarray(np.abs(np.where(np.isfinite(wide), wide, 5))).astype(source)
    return x


def cast(rng: draw.Rng) -> Case:
    source, target, opset = _pair(rng)
    x, number = _castable(rng, source, target, draw.shape(rng)), helper.np_dtype_to_tensor_dtype(np.dtype(target))
    saturate = int(draw.chance(rng, 0.5)) if 17 <= number <= 20 else None
    return one_node("Cast", [("x", x)], output=target, to=number, saturate=saturate, opset=opset)


def cast_like(rng: draw.Rng) -> Case:
    source, target, opset = _pair(rng)
    arguments = [("x", _castable(rng, source, target, draw.shape(rng))), ("like", np.zeros(draw.shape(rng), target))]
    return one_node("CastLike", arguments, ["x"], output=target, opset=opset)


def clip(rng: draw.Rng) -> Case:
    """Of the numbers that ONNX Runtime has a kernel of, between bounds that are inputs, constants or absent."""
    dtype = draw.pick(rng, (F, D, np.int8, np.uint8, np.int32, np.int64, np.uint32, np.uint64))
    bounds = [draw.pick(rng, (None, (name, elements(rng, dtype, ())))) for name in ("low", "high")]
    if np.dtype(dtype).kind == "f":
        bounds = [None if bound is None else (bound[0], np.nan_to_num(bound[1])) for bound in bounds]
    feeds = ["x", *(bound[0] for bound in bounds if bound is not None and draw.chance(rng, 0.6))]
    return one_node("Clip", [("x", elements(rng, dtype, draw.shape(rng))), *bounds], feeds, opset=13)


def gather_computed(rng: draw.Rng) -> Case:
    """Of any type, by indices that are an input, as of an embedding."""
    dims = draw.shape(rng)
    axis = int(rng.integers(len(dims)))
    indices = rng.integers(-dims[axis], dims[axis], draw.shape(rng, draw.pick(rng, (0, 1, 1, 2))))
    arguments = [
        ("x", elements(rng, draw.pick(rng, ALL), dims)),
        ("indices", np.asarray(indices.astype(draw.pick(rng, (np.int32, np.int64))))),
    ]
    return one_node("Gather", arguments, draw.pick(rng, (["x", "indices"], ["indices"])), opset=13, axis=axis)


def bit_cast(rng: draw.Rng) -> Case:
    """Between types of one width; no signaling NaN is drawn, whose payload a copy may change."""
    kinds = draw.pick(rng, ((np.int8, np.uint8), (np.int16, np.uint16, np.float16), (np.int32, np.uint32, F)))
    kind, target = draw.pick(rng, kinds), draw.pick(rng, kinds)
    to = helper.np_dtype_to_tensor_dtype(np.dtype(target))
    return one_node("BitCast", [("x", elements(rng, kind, draw.shape(rng)))], opset=26, output=target, to=to)


#: Bit for bit as ONNX Runtime computes them.
LOGIC: Mapping[str, Callable[[draw.Rng], Case]] = {
    "Add of numbers": _binary("Add", *NUMBERS),
    "Sub of numbers": _binary("Sub", *NUMBERS),
    "Mul of numbers": _binary("Mul", *NUMBERS),
    "Div of numbers": div,
    "Mod": mod,
    "Neg of numbers": _unary("Neg", *FLOATS, *SIGNED),
    "Abs": _unary("Abs", *NUMBERS),
    "Sign": _unary("Sign", *NUMBERS),
    "Sqrt of doubles": _unary("Sqrt", D),
    "Relu of numbers": _unary("Relu", *FLOATS, np.int8, np.int32),
    "Min": extreme("Min"),
    "Max": extreme("Max"),
    **{
        op: _binary(op, *kinds, output=B)
        for op, kinds in {
            "Equal": (*NUMBERS, B),
            "Greater": NUMBERS,
            "GreaterOrEqual": NUMBERS,
            "Less": NUMBERS,
            "LessOrEqual": NUMBERS,
            "And": (B,),
            "Or": (B,),
            "Xor": (B,),
        }.items()
    },
    "Not": _unary("Not", B),
    "IsNaN": _unary("IsNaN", *FLOATS, output=B),
    "IsInf": is_inf,
    **{op: _binary(op, *SIGNED, *UNSIGNED) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    "BitwiseNot": _unary("BitwiseNot", *SIGNED, *UNSIGNED),
    "BitShift": bit_shift,
    "Where": where,
    "Cast": cast,
    "CastLike": cast_like,
    "BitCast": bit_cast,
    "Clip of numbers": clip,
    "Gather by an input": gather_computed,
}
