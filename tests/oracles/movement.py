"""What moves or chooses elements, one index at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Inputs = Sequence[Array | None]
Attributes = Mapping[str, Any]
Index = tuple[int, ...]


def built(x: Array, shape: Sequence[int], source: Callable[[Index], Index]) -> Array:
    """An array of that shape whose element at `index` is the one of x at source(index)."""
    out = np.empty(tuple(shape), x.dtype)
    for index in np.ndindex(*out.shape):
        out[index] = x[source(index)]
    return out


def picked(x: Array, lists: Mapping[int, Sequence[int]]) -> Array:
    """x with only the listed indices of some axes, in their order."""
    chosen = [list(lists.get(axis, range(size))) for axis, size in enumerate(x.shape)]
    return built(x, [len(each) for each in chosen], lambda i: tuple(c[at] for c, at in zip(chosen, i, strict=True)))


def numbers(inputs: Inputs, index: int, attributes: Attributes, name: str) -> list[int] | None:
    """An input of integers, or the attribute that it was in older opsets."""
    given = inputs[index] if index < len(inputs) else None
    return given.tolist() if given is not None else attributes.get(name)


def first(inputs: Inputs) -> Array:
    assert inputs[0] is not None
    return inputs[0]


def cut(size: int, start: int, end: int, step: int) -> list[int]:
    """Indices of a slice. Backwards, the start is clamped to the first element, where Python's would stay before it,
    and the largest integers mean the end, which is there the first element, too."""
    start = start + size if start < 0 else start
    if step < 0:
        start = min(max(start, 0), size - 1)
        end = -(2**63) if end in (2**31 - 1, 2**63 - 1) else end
    return list(range(size))[max(start, 0) : end : step]


def slice_(inputs: Inputs, attributes: Attributes) -> Array:
    x = first(inputs)
    starts, ends, axes, steps = (
        numbers(inputs, i + 1, attributes, n) for i, n in enumerate(("starts", "ends", "axes", "steps"))
    )
    assert starts is not None and ends is not None
    lists = {}
    for at, axis in enumerate(axes or range(len(starts))):
        lists[axis % x.ndim] = cut(x.shape[axis], starts[at], ends[at], steps[at] if steps else 1)
    return picked(x, lists)


def gather(inputs: Inputs, attributes: Attributes) -> Array:
    x, indices = inputs
    assert x is not None and indices is not None
    axis = attributes.get("axis", 0) % x.ndim
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    end = axis + indices.ndim
    return built(x, shape, lambda i: (*i[:axis], int(indices[i[axis:end]]), *i[end:]))


def pad(inputs: Inputs, attributes: Attributes) -> Array:
    x = first(inputs)
    pads = numbers(inputs, 1, attributes, "pads")
    assert pads is not None
    value = inputs[2] if len(inputs) > 2 and inputs[2] is not None else attributes.get("value", 0)
    axes = numbers(inputs, 3, {}, "") or list(range(x.ndim))
    before, after = [0] * x.ndim, [0] * x.ndim
    for at, axis in enumerate(axes):
        before[axis], after[axis] = pads[at], pads[at + len(axes)]
    out = np.full([n + b + a for n, b, a in zip(x.shape, before, after, strict=True)], value, x.dtype)
    for index in np.ndindex(*out.shape):
        source = tuple(i - b for i, b in zip(index, before, strict=True))
        if all(0 <= at < size for at, size in zip(source, x.shape, strict=True)):
            out[index] = x[source]
    return out


def depth_to_space(inputs: Inputs, attributes: Attributes) -> Array:
    x, block = first(inputs), attributes["blocksize"]
    n, c, h, w = x.shape
    depth = c // block**2

    def source(index: Index) -> Index:
        batch, channel, row, column = index
        place = row % block * block + column % block
        at = place * depth + channel if attributes.get("mode", "DCR") == "DCR" else channel * block**2 + place
        return batch, at, row // block, column // block

    return built(x, (n, depth, h * block, w * block), source)


def space_to_depth(inputs: Inputs, attributes: Attributes) -> Array:
    x, block = first(inputs), attributes["blocksize"]
    n, c, h, w = x.shape

    def source(index: Index) -> Index:
        batch, channel, row, column = index
        place, at = divmod(channel, c)
        return batch, at, row * block + place // block, column * block + place % block

    return built(x, (n, c * block**2, h // block, w // block), source)


def expand(inputs: Inputs, attributes: Attributes) -> Array:
    x, shape = inputs
    assert x is not None and shape is not None
    rank = max(x.ndim, shape.size)
    have, want = [1] * (rank - x.ndim) + list(x.shape), [1] * (rank - shape.size) + shape.tolist()
    wide = x.reshape(have)
    sizes = [b if a == 1 else a for a, b in zip(have, want, strict=True)]
    return built(wide, sizes, lambda i: tuple(at if size > 1 else 0 for at, size in zip(i, have, strict=True)))


def tile(inputs: Inputs, attributes: Attributes) -> Array:
    x, repeats = inputs
    assert x is not None and repeats is not None
    shape = [n * int(r) for n, r in zip(x.shape, repeats, strict=True)]
    return built(x, shape, lambda i: tuple(at % n for at, n in zip(i, x.shape, strict=True)))


def resize(inputs: Inputs, attributes: Attributes) -> Array:
    """The rules of ONNX, computed in float32 one coordinate at a time, unless nothing changes its size, and on
    axes whose scale is not 1 (where tf_half_pixel_for_nn would move elements). Scales alone before opset 11."""
    x = first(inputs)
    old = len(inputs) == 2
    scales = inputs[1 if old else 2]
    sizes = numbers(inputs, 3, {}, "")
    axes = [axis % x.ndim for axis in attributes.get("axes", range(x.ndim))]
    lists = {}
    for at, axis in enumerate(axes):
        before = x.shape[axis]
        if sizes:
            after, scale = sizes[at], np.float32(sizes[at]) / np.float32(before)
        else:
            assert scales is not None
            scale = scales[at]
            after = int(np.float32(before) * scale)
        if scale != 1:
            lists[axis] = [_nearest(i, scale, before, after, attributes, old) for i in range(after)]
    changed = any(len(indices) != x.shape[axis] for axis, indices in lists.items())
    return picked(x, lists) if changed else x


def upsample(inputs: Inputs, attributes: Attributes) -> Array:
    """A Resize of opset 10; the scales are an attribute before opset 9."""
    scales = np.array(attributes["scales"], np.float32) if len(inputs) == 1 else inputs[1]
    return resize([first(inputs), scales], {})


def _nearest(i: int, scale: np.float32, before: int, after: int, attributes: Attributes, old: bool) -> int:
    at, half = np.float32(i), np.float32(0.5)
    mode = "asymmetric" if old else attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "align_corners":
        x = at * np.float32(before - 1) / np.float32(after - 1) if after > 1 else np.float32(0)
    elif mode == "pytorch_half_pixel" and after == 1:
        x = np.float32(0)
    else:
        x = {
            "half_pixel": (at + half) / scale - half,
            "pytorch_half_pixel": (at + half) / scale - half,
            "tf_half_pixel_for_nn": (at + half) / scale,
            "asymmetric": at / scale,
        }[mode]
    low, exact = int(np.floor(x)), float(x)
    up = low + (exact > low)
    middle = exact - low
    middle = 0.5 if abs(middle - 0.5) < 1e-6 else middle  # as observed of ONNX Runtime 1.32
    rule = attributes.get("nearest_mode", "round_prefer_floor")
    if old:
        found = up if scale < 1 else low
    elif rule in ("floor", "ceil"):
        found = low if rule == "floor" else up
    else:
        found = low if middle < 0.5 or (middle == 0.5 and rule == "round_prefer_floor") else up
    return min(max(found, 0), before - 1)


def _reduced(inputs: Inputs, attributes: Attributes, choose: Callable[[list[Any]], Any], axes: Sequence[int]) -> Array:
    """choose: from the elements along the axes, in row-major order, one."""
    x = first(inputs)
    gone = sorted({axis % x.ndim for axis in axes})
    shape = [1 if axis in gone else n for axis, n in enumerate(x.shape)]
    out = np.empty(shape, np.int64 if choose in (_first_largest, _last_largest) else x.dtype)
    for index in np.ndindex(*shape):
        ranges = [range(n) if axis in gone else (index[axis],) for axis, n in enumerate(x.shape)]
        out[index] = choose([x[at].item() for at in product(*ranges)])
    kept = shape if attributes.get("keepdims", 1) else [n for axis, n in enumerate(shape) if axis not in gone]
    return out.reshape(kept)


def _axes(inputs: Inputs, attributes: Attributes) -> Sequence[int]:
    given = numbers(inputs, 1, attributes, "axes")
    if not given and attributes.get("noop_with_empty_axes"):
        return ()
    return given or range(first(inputs).ndim)


def reduce_max(inputs: Inputs, attributes: Attributes) -> Array:
    return _reduced(inputs, attributes, max, _axes(inputs, attributes))


def reduce_min(inputs: Inputs, attributes: Attributes) -> Array:
    return _reduced(inputs, attributes, min, _axes(inputs, attributes))


def _first_largest(values: list[Any]) -> int:
    return values.index(max(values))


def _last_largest(values: list[Any]) -> int:
    return len(values) - 1 - values[::-1].index(max(values))


def arg_max(inputs: Inputs, attributes: Attributes) -> Array:
    choose = _last_largest if attributes.get("select_last_index") else _first_largest
    return _reduced(inputs, attributes, choose, [attributes.get("axis", 0)])


ORACLES: Mapping[str, Callable[[Inputs, Attributes], Array]] = {
    "Slice": slice_,
    "Gather": gather,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Expand": expand,
    "Tile": tile,
    "Resize": resize,
    "Upsample": upsample,
    "ReduceMax": reduce_max,
    "ReduceMin": reduce_min,
    "ArgMax": arg_max,
}
