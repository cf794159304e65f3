"""The maximum over sliding windows: rows first, then columns; padding never wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdqnp.kernels.sums import Window
from qdqnp.quant import Array
from qdqnp.schedule.form import Call, Form, bands
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.pointwise import TILE
from qdqnp.schedule.runs import copy_of


class Maxima(Form):
    kind = "maximum of rows, then of columns"
    proof = "codes are compared, and stay codes"

    def __init__(self, label: str, x: Image, y: Image, window: Window) -> None:
        self.label, self.reads, self.output, self._x, self._window = label, (x,), y, x, window
        self._left = window.pads[1]
        reach = (y.width - 1) * window.strides[1] + window.dilations[1] * (window.kernel[1] - 1) + 1
        #: Pixels of a row of work memory: the input's, and as many as windows reach, at both ends.
        self._pitch = max(reach, self._left + x.width)
        self._bands = bands(y.height, TILE // max(1, self._pitch * x.channels))
        floats = self._bands[0][1] * self._pitch * x.channels
        self.work = (floats, floats)

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        x, y, window, channels = placed[self.inputs[0]], placed[self.output.name], self._window, self._x.channels
        low = np.float32(self._x.range[0])
        beyond = self._left + self._x.width
        calls: list[Call] = []
        for first, count in self._bands:
            size = count * self._pitch * channels
            tall = work[0][:size].reshape(count, self._pitch, channels)
            inner = tall[:, self._left : beyond]
            taps = [self._tap(x, inner, first, count, row) for row in range(window.kernel[0])]
            whole = [values for into, values in taps if len(into) == count]
            flat, best = work[0][:size], work[1][:size]
            shifts = [column * window.dilations[1] * channels for column in range(window.kernel[1])]
            chosen = best.reshape(count, self._pitch, channels)[:, : (self.output.width - 1) * window.strides[1] + 1]
            out, chosen = copy_of(y.rows(first, first + count), chosen[:, :: window.strides[1]])

            def call(
                _: Mapping[str, Array],
                tall: Array = tall,
                inner: Array = inner,
                taps: Sequence[tuple[Array, Array]] = taps,
                whole: Sequence[Array] = whole,
                flat: Array = flat,
                best: Array = best,
                shifts: Sequence[int] = shifts,
                chosen: Array = chosen,
                out: Array = out,
            ) -> None:
                if len(whole) == len(taps) > 1:
                    np.maximum(whole[0], whole[1], out=inner)
                    rest = taps[2:]
                else:
                    inner[...] = low
                    rest = taps
                for into, values in rest:
                    np.maximum(into, values, out=into)
                tall[:, : self._left] = low
                tall[:, beyond:] = low
                if len(shifts) == 1:
                    np.copyto(best, flat)
                for at, shift in enumerate(shifts[1:]):
                    end = flat.size - shift
                    np.maximum(best[:end] if at else flat[:end], flat[shift:], out=best[:end])
                np.copyto(out, chosen)

            calls.append(call)
        return calls

    def _tap(self, x: PlacedImage, inner: Array, first: int, count: int, row: int) -> tuple[Array, Array]:
        """Return the rows of work memory that have a row of the image under one row of the window, and those rows."""
        down, top = self._window.strides[0], self._window.pads[0]
        start = first * down + row * self._window.dilations[0] - top
        skipped = max(0, -(start // down))  # windows whose row lies in the padding above
        stop = min(count, -(-(self._x.height - start) // down))
        if stop <= skipped:
            return inner[:0], inner[:0]
        begin = start + skipped * down
        return inner[skipped:stop], x.rows(begin, begin + (stop - skipped - 1) * down + 1, down)
