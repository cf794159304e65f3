"""Products with weights in blocks, against plain sums; the order of lanes is compared with ONNX Runtime elsewhere."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from qdqnp.numerics import block_products as blocks

F = np.float32


def draw(
    rng: np.random.Generator, rows: int, columns: int, terms: int, length: int, bits: int
) -> tuple[np.ndarray, ...]:
    count = -(-terms // length)
    a = rng.normal(0, 1, (rows, terms)).astype(F)
    codes = rng.integers(0, 2**bits, (columns, count, length)).astype(np.uint8)
    scales, zeros = rng.uniform(0.01, 0.1, (columns, count)).astype(F), rng.integers(0, 2**bits, (columns, count))
    return a, codes, scales, zeros.astype(F)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("length", [16, 32, 64, 128, 256])
def test_sums_of_codes(length: int, bits: int, rng: np.random.Generator) -> None:
    """Exact but for the roundings of additions, whatever the number of blocks, rows and columns."""
    for rows, columns, count in ((1, 1, 1), (2, 5, 2), (3, 4, 9), (1, 6, 17)):
        terms = count * length - 3
        a, codes, scales, zeros = draw(rng, rows, columns, terms, length, bits)
        found = blocks.integer_products(a, codes, scales, zeros, None, bits)
        quantized, row_scales = blocks.quantized_blocks(a, length)
        exact = np.einsum(
            "mbl,nbl,mb,nb->mn", quantized, codes - zeros[..., None], row_scales, scales, dtype=np.float64
        )
        size = np.einsum("mbl,nbl,mb,nb->mn", abs(quantized), codes + zeros[..., None], row_scales, scales)
        assert (abs(found - exact) <= size * 2.0**-20).all()


def test_codes_of_a_block() -> None:
    """The largest magnitude becomes 127 or -127; a block of zeros keeps the scale 0; what is missing is 0."""
    a = np.array([[0.5, -2, 1, *[0] * 13, *[0] * 16, 3, 1]], F)
    codes, scales = blocks.quantized_blocks(a, 16)
    assert codes.shape == (1, 3, 16)
    assert codes[0, :, :3].tolist() == [[32, -127, 64], [0, 0, 0], [127, 42, 0]]
    assert [Fraction(float(s)) for s in scales[0]] == [
        Fraction(float(F(2) / F(127))),
        0,
        Fraction(float(F(3) / F(127))),
    ]


def test_tiles_do_not_matter(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    a, codes, scales, zeros = draw(rng, 7, 11, 200, 64, 4)
    whole = blocks.integer_products(a, codes, scales, zeros, None, 4)
    monkeypatch.setattr(blocks, "TILE", 1)
    assert np.array_equal(blocks.integer_products(a, codes, scales, zeros, None, 4), whole)


@pytest.mark.parametrize("rows", [1, 2])
def test_real_sums(rows: int, rng: np.random.Generator) -> None:
    a, codes, scales, zeros = draw(rng, rows, 5, 45, 16, 4)
    real = blocks.dequantized(codes, scales, zeros, 45)
    assert real.shape == (5, 45)
    bias = rng.normal(0, 1, 5).astype(F)
    found = blocks.real_products(a, real, bias)
    exact = a.astype(np.float64) @ real.T.astype(np.float64) + bias
    assert np.allclose(found, exact, rtol=1e-5, atol=1e-5)
