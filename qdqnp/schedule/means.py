"""The mean of each channel of an image: its pixels are added up, and the rule answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.kernels.strategy import LIMIT32
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Means
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Array
from qdqnp.schedule.form import Call, Form
from qdqnp.schedule.image import Image, PlacedImage


class Averaged(Form):
    kind = "sums of pixels, and the rule"

    def __init__(self, label: str, x: Image, y: Image, requantize: Requantizer) -> None:
        self.label, self.reads, self.output, self._requantize = label, (x,), y, requantize
        self.proof = f"|sum| <= {_reach(x)} <= 2^24"

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        pixels, out = placed[self.inputs[0]].inside, placed[self.output.name].inside
        zero = np.float32(self.output.zero_point)

        def call(_: Mapping[str, Array]) -> None:
            sums = np.add.reduce(pixels, axis=(0, 1))
            codes = self._requantize(sums.astype(np.int64))
            np.subtract(codes, zero, out=out[0, 0], dtype=np.float32)

        return [call]


def _reach(x: Image) -> int:
    """Return the largest magnitude of any sum of pixels of one channel."""
    return x.height * x.width * max(map(abs, x.range))


def averaged(label: str, x: Image, y: Image, question: Means, profile: Profile) -> Averaged | None:
    """Return the form of a mean over all pixels; None where float32 does not hold the sums, or the rule refuses some.

    question: about any sums; what it asks of the scales is asked of all.
    """
    if _reach(x) > LIMIT32:
        return None
    ends = x.height * x.width * np.array(x.range, np.int64)
    try:
        requantize = question.with_sums(ends).bind(getattr(profile, question.rule))
        requantize(ends)
    except QdqnpError:
        return None
    return Averaged(label, x, y, requantize)
