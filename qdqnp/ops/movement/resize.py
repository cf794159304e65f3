"""Resize repeats the nearest element, or computes what lies between elements: linear, cubic, or without aliasing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.interpolation import (
    HALF,
    Places,
    cubic,
    cubic_weights,
    filter_for,
    linear,
    linear_codes,
    neighbours,
    without_aliasing,
)
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import int_list
from qdqnp.ops.geometry.resizing import (
    COORDINATES,
    CROP,
    LARGEST,
    NEAREST,
    ResizeAttributes,
    nearest,
    places_of,
    resized_axes,
)
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, code_range

F = np.float32
#: The element types that are interpolated.
INTERPOLATED = {"linear": (np.float32, np.int8, np.uint8), "cubic": (np.float32,)}
#: The farthest end of a region of interest, in lengths of the axis: places beyond 2^62 are no int64.
FARTHEST = 2**30
POLICIES = ("stretch", "not_larger", "not_smaller")


class Resize(Movement):
    op = "Resize"
    arity = (1, 4)
    Attributes = ResizeAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: ResizeAttributes = super().attributes(check)
        for name, allowed in (
            ("mode", ("nearest", "linear", "cubic")),
            ("coordinate_transformation_mode", tuple(COORDINATES)),
            ("nearest_mode", tuple(NEAREST)),
            ("keep_aspect_ratio_policy", POLICIES),
            ("antialias", (0, 1) if given.mode != "nearest" else (0,)),
            ("exclude_outside", (0, 1) if given.mode == "cubic" or given.antialias else (0,)),
        ):
            if getattr(given, name) not in allowed:
                check.refuse(f"attribute '{name}'", " or ".join(map(str, allowed)), repr(getattr(given, name)))
        if check.opset < 11:
            given = replace(given, coordinate_transformation_mode="asymmetric", nearest_mode="simple")
        scales = read_scales(check, 1 if check.opset < 11 else 2)
        sizes = int_list(check, 3, "sizes") if check.given(3) else ()
        if bool(scales) == bool(sizes):
            check.refuse("inputs scales and sizes", "one of them", "both" if scales else "neither")
        if any(not 0 < size <= LARGEST for size in sizes):
            check.refuse("input 3 (sizes)", f"sizes in [1, {LARGEST}]", list(sizes))
        if any(not scale > 0 for scale in scales):
            check.refuse("input 2 (scales)", "finite float32 > 0, one for each axis", list(scales[:64]))
        if given.keep_aspect_ratio_policy != "stretch" and any(axis < 0 for axis in given.axes):
            hint = "ONNX Runtime leaves such axes as they are."
            check.refuse("attribute 'axes'", "axes from the front where a ratio is kept", list(given.axes), hint)
        crops = check.opset >= 11 and given.coordinate_transformation_mode == CROP
        roi = _floats(check, 1, "roi", "finite float32") if crops else ()
        if any(abs(value) > FARTHEST for value in roi):
            check.refuse("input 1 (roi)", f"numbers in [-{FARTHEST}, {FARTHEST}]", list(roi[:64]))
        return replace(given, _scales=scales, _sizes=sizes, _roi=roi, _late=bool(check.runtime_sizes))

    def infer(self, check: NodeCheck, attributes: ResizeAttributes) -> Inferred:
        if attributes.mode != "nearest":
            kinds = (np.float32,) if attributes.antialias else INTERPOLATED[attributes.mode]
            check.dtype_in(0, kinds, "x")
        dtype = check.value(0).dtype
        if attributes.coordinate_transformation_mode == CROP and dtype.kind in "iu":
            low, high = code_range(dtype)
            if not low <= int(attributes.extrapolation_value) <= high:
                wanted = f"a number that {dtype} holds, as C++ does not say what becomes of others"
                check.refuse("attribute 'extrapolation_value'", wanted, attributes.extrapolation_value)
        return super().infer(check, attributes)

    def only_moves(self, step: Step) -> bool:
        return bool(step.attributes.mode == "nearest")

    def shape(self, attributes: ResizeAttributes, x: Shape) -> Shape:
        result = list(x)
        for axis in resized_axes(attributes, x):
            result[axis.axis] = axis.size
        if attributes.mode != "nearest" and not attributes._late:
            _planes(attributes, x)
        return tuple(result)

    def work(self, attributes: ResizeAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count what is in between: the longer of both on each axis, and a filter's weights."""
        if attributes.mode == "nearest":
            return 0
        between = 1
        for before, after in zip(inputs[0], output, strict=True):
            between *= max(before, after)
        filters = sum(40 * (before + after) for before, after in zip(inputs[0], output, strict=True))
        return between + filters

    def move(self, attributes: ResizeAttributes, x: Array) -> Array:
        sizes = concrete(self.shape(attributes, x.shape))
        if sizes == x.shape:  # ONNX Runtime then copies, whatever its mode would compute for scales near 1
            return x
        changed = [places_of(attributes, axis, x.shape[axis.axis]) for axis in resized_axes(attributes, x.shape)]
        if attributes.mode == "nearest":
            changed = [places for places in changed if places.scale != 1]  # ONNX Runtime leaves the others alone
            result = x
            for places in changed:
                result = np.take(result, nearest(attributes, places), places.axis)
        else:
            changed = _chosen(attributes, changed, x.shape)
            result = _interpolated(attributes, x, changed)
        if attributes.coordinate_transformation_mode == CROP:
            filling = x.dtype.type(attributes.extrapolation_value)
            for places in changed:
                shape = tuple(-1 if at == places.axis else 1 for at in range(x.ndim))
                result = np.where(_outside(attributes, places).reshape(shape), filling, result)
        return result

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        attributes: ResizeAttributes = step.attributes
        if attributes.mode == "nearest":
            return self.move(replace(attributes, extrapolation_value=0.0), x)[index]
        if concrete(self.shape(attributes, x.shape)) == x.shape:
            return x[index]
        changed = [places_of(attributes, axis, x.shape[axis.axis]) for axis in resized_axes(attributes, x.shape)]
        sources: list[Any] = [[at] for at in index]
        for places in _chosen(attributes, changed, x.shape):
            at = index[places.axis]
            if attributes.coordinate_transformation_mode == CROP and _outside(attributes, places)[at]:
                return 0
            sources[places.axis] = _sources(attributes, places)[at]
        return np.unique(x[np.ix_(*sources)])


def _planes(attributes: ResizeAttributes, x: Shape) -> tuple[int, ...]:
    """Return the axes that are interpolated, the slowest first. Raises ShapeError where ONNX Runtime has no kernel."""
    scales = dict.fromkeys(range(len(x)), F(1))
    # an axis of unknown size may stay as it is: the run will tell
    scales |= {a.axis: a.scale for a in resized_axes(attributes, x) if a.scale is not None}
    changed = {axis for axis, scale in scales.items() if scale != 1}
    if len(x) == 2:
        return (0, 1)
    if len(x) == 4 and changed <= {2, 3}:
        return (2, 3)
    upwards = all(scales[axis] >= 1 for axis in changed)
    crops = attributes.coordinate_transformation_mode == CROP
    last = attributes.mode == "linear" and not (attributes.antialias and crops)
    last = last or (attributes.mode == "cubic" and not crops and (upwards or bool(attributes.antialias)))
    if len(x) == 4 and changed <= {1, 2} and last:
        return (1, 2)
    if len(x) == 3 and attributes.mode == "linear":
        return (0, 1, 2)
    if len(x) == 5 and attributes.mode == "linear" and changed <= {2, 3, 4}:
        return (2, 3, 4)
    axes = "2 axes, or 4 of which the last two" if attributes.mode == "cubic" else "2 or 3 axes, or the last of 4 or 5"
    raise ShapeError(f"{axes} resized", f"{list(x)}, axes {sorted(changed)} resized in mode {attributes.mode}")


def _chosen(attributes: ResizeAttributes, places: Sequence[Places], x: Sizes) -> list[Places]:
    """Return the places of the axes that are interpolated, those that are not resized among them."""
    found = {each.axis: each for each in places}
    return [
        found.get(axis, Places(axis, x[axis], np.arange(x[axis]).astype(F), F(1))) for axis in _planes(attributes, x)
    ]


def _interpolated(attributes: ResizeAttributes, x: Array, axes: Sequence[Places]) -> Array:
    last = axes[-1].axis < x.ndim - 1
    excluded = bool(attributes.exclude_outside)
    if attributes.mode == "cubic":
        # with channels last, ONNX Runtime takes the filter that does not alias: upwards it differs by its order alone
        if attributes.antialias or last:
            return without_aliasing(x, axes, attributes.cubic_coeff_a, excluded)
        return cubic(x, axes, attributes.cubic_coeff_a, excluded)
    if attributes.antialias:
        return without_aliasing(x, axes, None, excluded)
    if x.dtype.kind == "f":
        return linear(x, axes)
    return linear_codes(x, axes) if last else linear(x, axes).astype(x.dtype)


def _outside(attributes: ResizeAttributes, places: Places) -> Array:
    """Return which places lie outside of the input, as ONNX Runtime's filter finds it out or its other kernels do."""
    if not attributes.antialias:
        return places.outside
    return replace(places, original=(HALF + places.original) - HALF).outside


def _sources(attributes: ResizeAttributes, places: Places) -> list[Any]:
    """Return, for each output element, which elements of the axis it is made of."""
    if attributes.antialias:
        if len(places.original) == places.before:
            return [[at] for at in range(places.before)]
        found = filter_for(places, attributes.cubic_coeff_a if attributes.mode == "cubic" else None, False)
        return [range(first, first + count) for first, count in zip(found.first, found.count, strict=True)]
    if attributes.mode == "cubic":
        return [np.unique(near) for near in cubic_weights(places, attributes.cubic_coeff_a, False)[0]]
    first, second = neighbours(places)[0]
    return [sorted({a, b}) for a, b in zip(first.tolist(), second.tolist(), strict=True)]


def read_scales(check: NodeCheck, index: int) -> tuple[float, ...]:
    """Return the constant input that has the factor of each axis; () where it is not given."""
    return _floats(check, index, "scales", "finite float32 > 0, one for each axis")


def _floats(check: NodeCheck, index: int, what: str, expected: str) -> tuple[float, ...]:
    """Return a constant input of float32 numbers, finite and of rank 1; () where none are given."""
    if not check.given(index):
        return ()
    if check.whole(index) is None:  # what a run alone knows: something stands in its place
        return (1.0,) * check.late(index, what).size
    values = check.const(index, what)
    if values.dtype != F or values.ndim != 1 or values.size > 64 or not np.isfinite(values).all():
        check.refuse(f"input {index} ({what})", expected, values.reshape(-1)[:64].tolist())
    return tuple(values.tolist())
