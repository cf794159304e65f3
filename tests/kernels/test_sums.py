"""Convolution in bands of rows against sums over explicitly gathered windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.kernels import sums
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import AUTO, FLOAT64, INT64, SPLIT, prove
from qdqnp.kernels.sums import Weights, Window, convolve
from tests.oracles.windows import Axis, gathered

Array = np.ndarray[Any, np.dtype[Any]]


def explicit(x: Array, pad_code: int, weights: Array, window: Window, groups: int) -> Array:
    """int64 sums (N, M, Ho, Wo) of raw codes, those outside the image being pad_code."""
    sizes = window.output_size(*x.shape[2:])
    axes = [
        Axis(
            x.shape[2 + i],
            window.kernel[i],
            window.strides[i],
            window.dilations[i],
            window.pads[i],
            window.pads[i + 2],
            sizes[i],
        )
        for i in range(2)
    ]
    taps = gathered(x.astype(np.int64), axes, pad_code)
    taps = taps.reshape(x.shape[0], groups, -1, *taps.shape[2:])
    grouped = weights.reshape(groups, -1, x.shape[1] // groups, *window.kernel)
    found = np.einsum("ngiHWhw,gfihw->ngfHW", taps, grouped)
    return found.reshape(x.shape[0], -1, *sizes)


def keep(tile: Array, scratch: Scratch) -> Array:
    return tile


def drawn(rng: np.random.Generator) -> tuple[Array, Array, Window, int]:
    groups, per_group, filters = (int(rng.integers(1, n)) for n in (4, 4, 4))
    kernel, strides, dilations = ((int(rng.integers(1, 4)), int(rng.integers(1, 4))) for _ in range(3))
    pads = tuple(int(n) for n in rng.integers(0, 3, 4))
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    height, width = (int(rng.integers(r, r + 9)) for r in reach)
    x = rng.integers(0, 256, (int(rng.integers(1, 4)), groups * per_group, height, width), np.uint8)
    weights = rng.integers(-255, 256, (groups, filters, per_group * kernel[0] * kernel[1]))
    return x, weights, Window(kernel, strides, dilations, pads), groups  # type: ignore[arg-type]


@pytest.mark.parametrize("band", [1, 200, 1500, sums.BAND_ELEMENTS])
def test_bands_of_every_height(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one row at a time to all rows at once; one Scratch for all, so that stale contents would show."""
    monkeypatch.setattr(sums, "BAND_ELEMENTS", band)
    scratch = Scratch()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([AUTO, SPLIT, FLOAT64, INT64]))
    def check(seed: int, strategy: str) -> None:
        rng = np.random.default_rng(seed)
        x, weights, window, groups = drawn(rng)
        pad_code = int(rng.integers(0, 256))
        wanted = explicit(x, pad_code, weights, window, groups)
        out = np.full(wanted.shape, -1, np.int64)
        convolve(x, pad_code, Weights.of(weights, prove(weights, 0, 255, strategy)), window, keep, out, scratch)
        assert out.tolist() == wanted.tolist()

    check()


def test_images_that_are_not_contiguous(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """Views with any strides, as a Transpose before the convolution leaves them; 1x1 kernels take no copy."""
    monkeypatch.setattr(sums, "BAND_ELEMENTS", 50)
    base = rng.integers(-128, 128, (2, 7, 8, 6), np.int8)
    for x in (base.transpose(0, 3, 1, 2), base[:, ::-1], base[:, :, ::2, 1::2], base[1:]):
        for kernel in ((1, 1), (2, 3)):
            window = Window(kernel, (1, 1), (1, 1), (0, 0, 0, 0))
            weights = rng.integers(-128, 128, (1, 3, x.shape[1] * kernel[0] * kernel[1]))
            wanted = explicit(x, 0, weights, window, 1)
            out = np.empty(wanted.shape, np.int64)
            convolve(x, 0, Weights.of(weights, prove(weights, -128, 127)), window, keep, out, Scratch())
            assert out.tolist() == wanted.tolist()


@pytest.mark.parametrize("shape", [(0, 2, 5, 5), (2, 2, 5, 5)])
def test_no_images_or_no_channels(shape: tuple[int, ...]) -> None:
    window = Window((3, 3), (1, 1), (1, 1), (0, 0, 0, 0))
    weights = np.ones((1, 0 if shape[0] else 4, 18), np.int64)
    out = np.empty((shape[0], weights.shape[1], 3, 3), np.int64)
    convolve(np.zeros(shape, np.int8), 0, Weights.of(weights, prove(weights, -128, 127)), window, keep, out, Scratch())
    assert out.size == 0


def test_the_inputs_stay_as_they_are(rng: np.random.Generator) -> None:
    x, weights = rng.integers(-128, 128, (1, 2, 6, 6), np.int8), rng.integers(-9, 9, (1, 2, 2))
    ready = Weights.of(weights, prove(weights, -128, 127))
    before = x.copy(), ready.array.copy()
    out = np.empty((1, 2, 8, 8), np.int64)
    convolve(x, 5, ready, Window((1, 1), (1, 1), (1, 1), (1, 1, 1, 1)), keep, out, Scratch())
    assert x.tolist() == before[0].tolist()
    assert ready.array.tolist() == before[1].tolist()
