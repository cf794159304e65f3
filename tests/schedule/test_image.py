"""Images and back: every code under every zero point, between the channels of others, in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.quant import all_codes
from qdqnp.schedule import leaving
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.leaving import Leaving, leaving_floats


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_codes_become_an_image_and_codes_again(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "PIECE", 40)
    monkeypatch.setattr(leaving, "TURNED", 7)
    rng = np.random.default_rng(1)
    for zero in all_codes(np.dtype(dtype)):
        height, width, channels, more = (int(size) for size in rng.integers(1, 6, 4))
        codes = rng.integers(0, 256, (1, channels, height, width), np.uint8).view(dtype)
        image = Image("x", height, width, channels, np.dtype(dtype), int(zero))
        memory = np.full((height + 3, width, channels + more), np.nan, np.float32)
        placed = PlacedImage(image, memory[..., more:], 1)
        placed.take(codes)
        assert (placed.inside.transpose(2, 0, 1) == codes[0].astype(int) - int(zero)).all()
        ends = [int(end) for end in rng.integers(0, channels + 1, 4)]
        apart = [sorted(ends)[:2], sorted(ends)[2:]]
        overlapping = sorted([sorted(ends[:2]), sorted(ends[2:])])
        for known, other in (([], 0), (apart[:1], 1), (apart, 1), (overlapping, 0)):
            work = np.full(leaving_floats(image), np.nan, np.float32)
            leave = Leaving(placed, work, [(first, stop) for first, stop in known])
            wanted = codes.copy()
            for first, stop in known:
                wanted[:, first:stop] ^= other  # what is known is taken as it is given
            found = [leave(*(wanted[:, first:stop] for first, stop in known)) for _ in range(2)]
            np.testing.assert_array_equal(found, [wanted] * 2, strict=True)
            assert not np.shares_memory(*found)
        assert np.isnan(memory[..., :more]).all()
