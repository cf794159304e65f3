"""A kernel that makes codes of one quantization, and a rescale to the codes that are asked for.

TFLite's Softmax, Logistic and Tanh have outputs of one scale; where a network asks for another, its converter puts a
QUANTIZE behind the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.numerics.values import BoundRule, StageValue
from qdqnp.quant import Codes, Quant, Signs, code_range


def own_output(scale: float, y: Quant, zero_point: int | None = None) -> Quant:
    """Return the quantization of a kernel's own codes, in the type of y.

    zero_point: of int8 codes; None for the lowest code. It is moved with the codes for uint8.
    """
    low = code_range(y.dtype)[0]
    zero = low if zero_point is None else zero_point + low + 128
    return Quant(y.dtype, np.asarray(scale, np.float32), np.asarray(zero, y.dtype))


@dataclass(frozen=True, eq=False)
class Requantized(BoundRule):
    """A bound kernel, then a bound rescale of its codes."""

    kernel: Any
    rescale: Any

    @property
    def parameters(self) -> Mapping[str, Any]:
        then = {f"rescale {name}": value for name, value in self.rescale.parameters.items()}
        return {**self.kernel.parameters, **then}

    def stages(self, codes: Codes) -> list[StageValue]:
        made = self.kernel.stages(codes)
        own = made[-1].array
        return [*made[:-2], StageValue("own codes", own), *self.rescale.stages(own)]

    def ties(self, codes: Codes) -> Signs:
        found: Signs = self.rescale.ties(self.kernel(codes))
        return found
