"""Values between the codes of a plane: Resize of mode linear, whose input and output have one scale and zero point.

A rule says which two codes each place of an axis lies between and with which weights; integers all the way, so that a
code is a weighted sum over four corners, divided once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rounding import divided
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.mean import half_of
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, Index, StageValue, clipped, signs
from qdqnp.quant import Array, Codes, Int64, Quant, Signs

#: Modes of coordinates, as ONNX's Resize names them.
MODES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
#: Those whose places are the middles of elements.
HALF_PIXEL = MODES[:2]
#: The largest sum of weights: with a code it stays within int64.
MOST = 2**54
#: Fractional bits of TFLite's places.
BITS = 10
#: Fractional bits of XNNPACK's weights.
XNNPACK_BITS = 11
F = np.float32


@dataclass(frozen=True)
class InterpolatedAxis:
    """One axis that is interpolated."""

    #: Elements of the input.
    before: int
    #: Elements of the output.
    after: int
    #: How much longer the output is, as the node says it.
    scale: Fraction
    #: One of MODES.
    mode: str

    @property
    def by_sizes(self) -> bool:
        """Whether the scale is the quotient of the sizes, or that in float32."""
        return self.scale in (Fraction(self.after, self.before), Fraction(float(F(self.after) / F(self.before))))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The two elements that each place of an axis lies between, int64, shape (after,), and their weights."""

    first: Int64
    second: Int64
    #: The weight of `second`; `first` has the rest of `whole`.
    weight: Int64
    whole: int


class InterpolateRule(Protocol):
    """A rule of values between codes."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, axes: tuple[InterpolatedAxis, InterpolatedAxis]) -> Interpolation: ...


def _refuse(title: str, expected: str, got: object) -> NoReturn:
    raise ProfileError(title, [Problem("interpolation", expected, str(got))])


def _bound(
    x: Quant,
    y: Quant,
    axes: tuple[InterpolatedAxis, InterpolatedAxis],
    neighbours: Callable[[InterpolatedAxis], Neighbours],
    rounding: str,
) -> Interpolation:
    if not x.same_as(y):
        _refuse("an interpolation between two scales", "one scale and zero point of input and output", "two")
    along = (neighbours(axes[0]), neighbours(axes[1]))
    if along[0].whole * along[1].whole > MOST:
        _refuse("weights beyond 64 bits", "scales with shorter fractions, or sizes", [str(axis.scale) for axis in axes])
    return Interpolation(y, axes, along, rounding)


def _sizes(axis: InterpolatedAxis) -> tuple[int, int]:
    """Return the sizes whose quotient is TFLite's scale, which the sizes of input and output alone decide."""
    before, after = axis.before, axis.after
    if not axis.by_sizes:
        _refuse("a scale that TFLite does not have", f"{after}/{before}, as the sizes say", axis.scale)
    if axis.mode == "pytorch_half_pixel" and after == 1 < before:
        _refuse("a mode that TFLite does not have", "half_pixel, as the output has one element", axis.mode)
    corners = axis.mode == "align_corners" and after > 1
    return (before - 1, after - 1) if corners else (before, after)


@dataclass(frozen=True)
class TfliteInterpolate(Rule, family="interpolate"):
    """TFLite's RESIZE_BILINEAR of int8: places with 10 fractional bits, one division, halves away from zero.

        scale = floor((2^10 * before + floor(after / 2)) / after)
        place = i * scale                                   without half pixels
        place = i * scale + floor(scale / 2) - 2^9          with half pixels
        y = (sum of code * weight * weight) / 2^20

    With align_corners both sizes are one less. The two neighbours are place / 2^10, cut off towards zero but at least
    0, and (place + 2^10 - 1) / 2^10, at most the last element.
    Source: tensorflow/lite/kernels/internal/reference/resize_bilinear.h; compared with LiteRT's kernels.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def neighbours(self, axis: InterpolatedAxis) -> Neighbours:
        before, after = _sizes(axis)
        scale = ((before << BITS) + after // 2) // after
        place = np.arange(axis.after, dtype=np.int64) * scale
        if axis.mode in HALF_PIXEL:
            place += scale // 2 - (1 << (BITS - 1))
        first = np.maximum(np.where(place < 0, 0, place >> BITS), 0)
        upper = place + (1 << BITS) - 1
        second = np.minimum(np.where(upper < 0, 0, upper >> BITS), axis.before - 1)
        if (first >= axis.before).any():
            _refuse("places that TFLite reads beyond its input", f"places below {axis.before}", int(first.max()))
        return Neighbours(first, second, place - (first << BITS), 1 << BITS)

    def bind(self, x: Quant, y: Quant, axes: tuple[InterpolatedAxis, InterpolatedAxis]) -> Interpolation:
        return _bound(x, y, axes, self.neighbours, "half-away")


@dataclass(frozen=True)
class XnnpackInterpolate(Rule, family="interpolate"):
    """XNNPACK's bilinear kernel of int8: places in float32, weights with 11 fractional bits, halves up.

        scale = f32(f32(before) / f32(after))
        place = f32(i * scale)                                       without half pixels
        place = f32(f32(i * scale) + f32(f32(scale / 2) - 0.5))      with half pixels
        weight = rint(2^11 * (place - floor(place)))
        y = floor((sum of code * weight * weight + 2^21) / 2^22)

    With align_corners both sizes are one less; places are cut off at both ends of the input.
    Source: google/XNNPACK, src/indirection.c and src/s8-ibilinear; compared with LiteRT's delegate.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def neighbours(self, axis: InterpolatedAxis) -> Neighbours:
        before, after = _sizes(axis)
        scale = F(before) / F(after)
        place = np.arange(axis.after).astype(F) * scale
        if axis.mode in HALF_PIXEL:
            place = place + (F(0.5) * scale - F(0.5))
        place = np.clip(place, F(0), F(axis.before - 1))
        first = place.astype(np.int64)
        weight = np.rint((place - first.astype(F)) * F(2**XNNPACK_BITS)).astype(np.int64)
        return Neighbours(first, np.minimum(first + 1, axis.before - 1), weight, 2**XNNPACK_BITS)

    def bind(self, x: Quant, y: Quant, axes: tuple[InterpolatedAxis, InterpolatedAxis]) -> Interpolation:
        return _bound(x, y, axes, self.neighbours, "half-up")


@dataclass(frozen=True)
class RationalInterpolate(Rule, family="interpolate"):
    """The exact value at the place that ONNX's Resize defines, rounded half to even."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def neighbours(self, axis: InterpolatedAxis) -> Neighbours:
        """Places are whole numbers of 1 / whole, cut off at both ends of the input."""
        number, after = np.arange(axis.after, dtype=np.int64), axis.after
        up, down = axis.scale.numerator, axis.scale.denominator
        if max((2 * after + 1) * down + up, 2 * up * axis.before) >= 2**62:
            _refuse("places beyond 64 bits", "a scale with a shorter fraction, or sizes", axis.scale)
        if axis.mode == "align_corners" or (axis.mode == "pytorch_half_pixel" and after == 1):
            place, whole = number * (axis.before - 1), max(after - 1, 1)
        elif axis.mode == "asymmetric":
            place, whole = number * down, up
        else:
            place, whole = (2 * number + 1) * down - up, 2 * up
        place = np.clip(place, 0, (axis.before - 1) * whole)
        first = np.minimum(place // whole, axis.before - 1)
        return Neighbours(first, np.minimum(first + 1, axis.before - 1), place - first * whole, whole)

    def bind(self, x: Quant, y: Quant, axes: tuple[InterpolatedAxis, InterpolatedAxis]) -> Interpolation:
        return _bound(x, y, axes, self.neighbours, "half-even")


@dataclass(frozen=True, eq=False)
class Interpolation(BoundRule):
    """A bound rule. Calling it maps flat places of the output, and the input's codes, to codes."""

    y: Quant
    axes: tuple[InterpolatedAxis, InterpolatedAxis]
    along: tuple[Neighbours, Neighbours]
    rounding: str

    @property
    def _whole(self) -> Int64:
        return np.asarray(self.along[0].whole * self.along[1].whole, np.int64)

    def _sums(self, places: Int64, image: Codes) -> Int64:
        """Return the weighted sums of four corners. image: (N, H, W, C); places: flat in (N, H', W', C)."""
        rows, columns = self.along
        shape = (image.shape[0], len(rows.first), len(columns.first), image.shape[3])
        n, i, j, c = np.unravel_index(places, shape)
        total = np.zeros(places.shape, np.int64)
        for down, row in ((False, rows.first), (True, rows.second)):
            for right, column in ((False, columns.first), (True, columns.second)):
                weight = rows.weight[i] if down else rows.whole - rows.weight[i]
                weight = weight * (columns.weight[j] if right else columns.whole - columns.weight[j])
                total += image[n, row[i], column[j], c].astype(np.int64) * weight
        return total

    def stages(self, places: Int64, image: Codes) -> list[StageValue]:
        total, whole = self._sums(places, image), self._whole

        def exact(index: Index) -> Fraction:
            return Fraction(int(total[index]), int(whole))

        return [StageValue("acc", total), *clipped(divided(total, whole, self.rounding), self.y, exact)]

    def ties(self, places: Int64, image: Codes) -> Signs:
        total = self._sums(places, image)
        tie: Array = half_of(total, self._whole)
        return signs(total, tie)
