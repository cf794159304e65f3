"""The mean of each channel of an image: its pixels are added up, and the rule's answer to the sum is the code.

Float32 holds every sum, so a rule that is one float32 expression is computed as that. Where there are few sums, the
answers of another rule to all of them are known before a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.kernels.strategy import LIMIT32
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Means
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Array
from qdqnp.schedule.form import Call, Form
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.joined import CodeTable, Rescaling

#: Sums whose answers are all kept, at most: those of 256 pixels of 8 bits.
FEW = 1 << 16


@dataclass(frozen=True, eq=False)
class Asked:
    """The rule itself, asked in each run."""

    rule: Requantizer
    zero_point: np.float32

    def __call__(self, sums: Array, work: Array, out: Array) -> None:
        """Write the codes less their zero point to out."""
        np.subtract(self.rule(sums.astype(np.int64)), self.zero_point, out=out, dtype=np.float32)


class Averaged(Form):
    kind = "sums of pixels, and the rule"

    def __init__(self, label: str, x: Image, y: Image, answer: Rescaling | CodeTable | Asked) -> None:
        self.label, self.reads, self.output, self.answer = label, (x,), y, answer
        self.proof = f"|sum| <= {_reach(x)} <= 2^24"
        self.work = (x.channels,)

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        pixels, out, (sums,) = placed[self.inputs[0]].inside, placed[self.output.name].inside[0, 0], work

        def call(_: Mapping[str, Array]) -> None:
            np.add.reduce(pixels, axis=(0, 1), out=sums)
            self.answer(sums, sums, out)

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
    low, high = (x.height * x.width * end for end in x.range)
    few, zero = high - low < FEW, np.float32(y.zero_point)
    try:
        rule = question.bind(getattr(profile, question.rule))
        codes = rule(np.arange(low, high + 1) if few else np.array([low, high]))
    except QdqnpError:
        return None
    expression = rule.expression
    answer: Rescaling | CodeTable | Asked
    if expression is not None:
        answer = Rescaling(np.float32(expression.multiplier), True, *map(np.float32, y.range))
    elif few:
        answer = CodeTable(codes.astype(np.float32) - zero, np.float32(low))
    else:
        answer = Asked(rule, zero)
    return Averaged(label, x, y, answer)
