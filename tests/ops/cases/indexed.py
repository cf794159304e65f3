"""What reads or writes elements at indices, and other movement of codes and floats; ONNX Runtime is the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from tests.ops import draw
from tests.ops.case import Case, one_node

F = np.float32


def data(rng: draw.Rng, dims: tuple[int, ...]) -> draw.Array:
    """float32, codes, or int32."""
    kind = draw.pick(rng, ("float", np.int8, np.uint8, np.int32))
    if kind == "float":
        return rng.normal(0, 1, dims).astype(F)
    return rng.integers(0, 100, dims).astype(kind)


def _signed(rng: draw.Rng, axis: int, rank: int) -> int:
    return axis - (rank if draw.chance(rng, 0.4) else 0)


def _indices(rng: draw.Rng, limits: Any, shape: tuple[int, ...], *dtypes: Any) -> draw.Array:
    found = rng.integers(-np.broadcast_to(limits, shape), np.broadcast_to(limits, shape))
    return np.asarray(found, draw.pick(rng, dtypes or (np.int64, np.int32)))


def with_indices_fed(make: Callable[[draw.Rng], Case]) -> Callable[[draw.Rng], Case]:
    """The same cases with the indices, 'i', as a graph input too."""

    def case(rng: draw.Rng) -> Case:
        made = make(rng)
        (node,) = made.model.graph.node
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.model.graph.initializer}
        given = {**arrays, **made.inputs}
        feeds = [name for name in node.input if name in made.inputs or name == "i"]
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        opset = made.model.opset_import[0].version
        return one_node(node.op_type, [(name, given[name]) for name in node.input], feeds, opset=opset, **attributes)

    return case


def gather_elements(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis = int(rng.integers(len(dims)))
    shape = tuple(draw.size(rng, 6) if at == axis else draw.size(rng, n) for at, n in enumerate(dims))
    indices = _indices(rng, dims[axis], shape)
    arguments = [("x", data(rng, dims)), ("i", indices)]
    return one_node("GatherElements", arguments, opset=13, axis=_signed(rng, axis, len(dims)))


def gather_nd(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, 4, 2)
    batch = int(rng.integers(0, len(dims)))
    depth = int(rng.integers(1, len(dims) - batch + 1))
    shape = (*dims[:batch], *draw.shape(rng, draw.pick(rng, (0, 1, 2))), depth)
    indices = _indices(rng, dims[batch : batch + depth], shape, np.int64)
    return one_node("GatherND", [("x", data(rng, dims)), ("i", indices)], opset=13, batch_dims=batch)


def scatter_elements(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis = int(rng.integers(len(dims)))
    shape = tuple(draw.size(rng, 6) if at == axis else draw.size(rng, n) for at, n in enumerate(dims))
    x = data(rng, dims)
    updates = np.resize(data(rng, (64,)).astype(x.dtype), shape)
    reduction = draw.pick(rng, (None, "none", "add", "mul", "max", "min"))
    if reduction in (None, "none"):  # ONNX does not say which of two updates of one element remains
        return one_node(
            "ScatterElements",
            [("x", x), ("i", _indices(rng, dims[axis], shape)), ("u", updates)],
            draw.pick(rng, (["x", "u"], ["x"])),
            opset=draw.pick(rng, (13, 18)),
            axis=_signed(rng, axis, len(dims)),
        )
    return one_node(
        "ScatterElements",
        [("x", x), ("i", _indices(rng, dims[axis], shape)), ("u", updates)],
        ["x", "u"],
        opset=18,
        axis=_signed(rng, axis, len(dims)),
        reduction=reduction,
    )


def scatter(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    x = data(rng, dims)
    arguments = [("x", x), ("i", _indices(rng, dims[-1], dims)), ("u", np.resize(x + x, dims).astype(x.dtype))]
    return one_node("Scatter", arguments, draw.pick(rng, (["x", "u"], ["x"])), opset=10, axis=len(dims) - 1)


def scatter_nd(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    depth = int(rng.integers(1, len(dims) + 1))
    shape = (*draw.shape(rng, draw.pick(rng, (1, 2))), depth)
    indices = _indices(rng, dims[:depth], shape, np.int64)
    x = data(rng, dims)
    updates = np.resize(data(rng, (64,)).astype(x.dtype), (*shape[:-1], *dims[depth:]))
    reduction = draw.pick(rng, (None, None, "none", "add", "mul", "max", "min"))
    return one_node(
        "ScatterND",
        [("x", x), ("i", indices), ("u", updates)],
        draw.pick(rng, (["x", "u"], ["x"])),
        opset=13 if reduction is None else 18,
        reduction=reduction,
    )


def trilu(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, 4, 2)
    x = data(rng, dims)
    x = x.astype(F) if x.dtype.itemsize == 1 else x  # ONNX Runtime has no kernel for codes
    k = ("k", np.array(rng.integers(-6, 7), np.int64)) if draw.chance(rng, 0.7) else None
    return one_node("Trilu", [("x", x), k], opset=14, upper=draw.pick(rng, (None, 0, 1)))


def reverse_sequence(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, 4, 2)
    batch = int(rng.integers(2))
    lengths = rng.integers(1, dims[1 - batch] + 1, dims[batch]).astype(np.int64)
    arguments = [("x", data(rng, dims)), ("n", lengths)]
    return one_node("ReverseSequence", arguments, opset=10, batch_axis=batch, time_axis=1 - batch)


def center_crop_pad(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axes = [int(axis) for axis in rng.permutation(len(dims))[: draw.size(rng, len(dims))]]
    every = draw.chance(rng, 0.4)
    sizes = rng.integers(1, 9, len(dims) if every else len(axes)).astype(np.int64)
    return one_node("CenterCropPad", [("x", data(rng, dims)), ("s", sizes)], opset=18, axes=None if every else axes)


def one_hot(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    depth = draw.size(rng, 5)
    indices = rng.integers(-depth - 2, depth + 2, dims).astype(draw.pick(rng, (np.int64, np.int32)))
    values = np.array(rng.integers(0, 9, 2), draw.pick(rng, (F, np.int64)))
    kind = draw.pick(rng, (np.int64, np.int32))
    # ONNX Runtime has kernels for some pairs of types only
    if (indices.dtype, kind, values.dtype) not in ONE_HOT:
        indices, kind, values = indices.astype(np.int64), np.int64, values.astype(np.int64)
    arguments = [("x", indices), ("d", np.array([depth], kind)), ("v", values)]
    return one_node(
        "OneHot",
        arguments,
        draw.pick(rng, (["x", "v"], ["x"])),
        opset=11,
        output=values.dtype,
        axis=int(rng.integers(-len(dims) - 1, len(dims) + 1)),
    )


ONE_HOT = {(np.dtype(a), b, np.dtype(c)) for a, b, c in ((np.int64, np.int64, F), (np.int32, np.int32, F))}


def pad(mode: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        """Some sides cut off; what is mirrored is less than what is left."""
        dims = draw.shape(rng)
        sides = []
        for size in dims:
            cut = [-int(rng.integers(0, (size + 1) // 2)) if draw.chance(rng, 0.3) else 0 for _ in range(2)]
            most = size + sum(cut) - 1 if mode == "reflect" else 7
            sides.append([low if low else int(rng.integers(0, most + 1)) for low in cut])
        x = data(rng, dims)
        pads = np.array([low for low, _ in sides] + [high for _, high in sides], np.int64)
        opset = 19 if mode == "wrap" else draw.pick(rng, (11, 13, 18))
        return one_node("Pad", [("x", x), ("pads", pads)], opset=opset, mode=mode)

    return case


def arg_min(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis = draw.pick(rng, (None, _signed(rng, int(rng.integers(len(dims))), len(dims))))
    keep, last = draw.pick(rng, (None, 0, 1)), draw.pick(rng, (None, 0, 1))
    x = rng.integers(-3, 3, dims).astype(draw.pick(rng, (F, np.int8, np.uint8)))
    return one_node("ArgMin", [("x", x)], opset=13, output=np.int64, axis=axis, keepdims=keep, select_last_index=last)


def global_max_pool(rng: draw.Rng) -> Case:
    dims = (draw.size(rng, 2), draw.size(rng, 3), *draw.shape(rng, draw.pick(rng, (1, 2, 3))))
    x = np.where(rng.random(dims) < 0.3, rng.choice(np.array([0.0, -0.0, np.inf, -np.inf, np.nan], F), dims), -1)
    return one_node("GlobalMaxPool", [("x", x.astype(F))])


def shrink(rng: draw.Rng) -> Case:
    x = rng.normal(0, 1, draw.shape(rng)).astype(F)
    x = np.where(rng.random(x.shape) < 0.2, rng.choice(np.array([0.5, -0.5, np.nan, -0.0, np.inf], F), x.shape), x)
    return one_node("Shrink", [("x", x)], lambd=draw.pick(rng, (None, 0.7, -0.3)), bias=draw.pick(rng, (None, 0.1)))


def dropout(rng: draw.Rng) -> Case:
    arguments = [("x", data(rng, draw.shape(rng)).astype(F)), ("ratio", np.array(0.25, F))]
    return one_node("Dropout", arguments, opset=draw.pick(rng, (12, 13)))


def max_unpool(rng: draw.Rng) -> Case:
    """Indices that differ: of equal ones ONNX does not say which wins."""
    dims = (draw.size(rng, 2), draw.size(rng, 2), *draw.shape(rng, draw.pick(rng, (1, 2, 3)), 3))
    rank = len(dims) - 2
    kernel, strides = ([int(draw.size(rng, 3)) for _ in range(rank)] for _ in range(2))
    strides = [max(s, k) for s, k in zip(strides, kernel, strict=True)]
    out = [*dims[:2], *((n - 1) * s + k for n, s, k in zip(dims[2:], strides, kernel, strict=True))]
    given = draw.chance(rng, 0.3)
    if given:
        out[-1] += 2
    x = rng.normal(0, 1, dims).astype(F)
    indices = rng.permutation(int(np.prod(out)))[: x.size].reshape(dims).astype(np.int64)
    shape = ("s", np.array(out, np.int64)) if given else None
    return one_node(
        "MaxUnpool", [("x", x), ("i", indices), *([shape] if given else [])], kernel_shape=kernel, strides=strides
    )


def tensor_scatter(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, draw.pick(rng, (2, 3, 4)))
    axis, mode = int(rng.integers(1, len(dims))), draw.pick(rng, (None, "linear", "circular"))
    length = draw.size(rng, dims[axis])
    x, update = data(rng, dims), rng.normal(0, 9, (*dims[:axis], length, *dims[axis + 1 :]))
    most = 2 * dims[axis] if mode == "circular" else dims[axis] - length
    given = ("i", rng.integers(0, most, dims[0], endpoint=True)) if draw.chance(rng, 0.8) else None
    arguments = [("x", x), ("u", update.astype(x.dtype)), given]
    feeds = draw.pick(rng, (["x"], ["x", "u"], ["x", "u", "i"] if given else ["x"]))
    return one_node("TensorScatter", arguments, feeds, opset=24, axis=_signed(rng, axis, len(dims)), mode=mode)


INDEXED: Mapping[str, Callable[[draw.Rng], Case]] = {
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterElements": scatter_elements,
    "Scatter": scatter,
    "ScatterND": scatter_nd,
    "Trilu": trilu,
    "ReverseSequence": reverse_sequence,
    "CenterCropPad": center_crop_pad,
    "OneHot": one_hot,
    "Pad of edge": pad("edge"),
    "Pad of reflect": pad("reflect"),
    "Pad of wrap": pad("wrap"),
    "ArgMin": arg_min,
    "GlobalMaxPool": global_max_pool,
    "Shrink": shrink,
    "Dropout": dropout,
    "MaxUnpool": max_unpool,
    "TensorScatter": tensor_scatter,
}
