"""Additions of codes with one shift: XNNPACK's, and those of scales that are powers of two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import choice
from qdqnp.numerics.float32 import as_f32
from qdqnp.numerics.rounding import ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.binary import BinaryFunction
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, shifted, signs
from qdqnp.quant import Codes, Int64, Quant, Signs


# -- XNNPACK -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class CommonShiftAdd(Rule, family="add"):
    """XNNPACK: two multipliers and one shift, which puts the larger multiplier in [2^20, 2^21]:

        r_a = f32(s_a / s_y), r_b = f32(s_b / s_y), e the exponent of the larger
        sh = 20 - e;  M = rint(r * 2^sh)
        y = clip(half-up((a - z_a) M_a + (b - z_b) M_b, sh) + z_y)

    The arithmetic is defined for ratios in [2^-10, 2^8). Source: google/XNNPACK, src/microparams-init.c,
    src/qs8-vadd.
    """

    rounding: str = choice("half-up", of=ROUNDINGS, kind="tie rule", text="sum {value}")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> CommonShiftAdded:
        with np.errstate(all="ignore"):
            ratios = [float(as_f32(q.scale / y.scale)) for q in (a, b)]
        if not (min(ratios) >= 2.0**-10 and max(ratios) < 2.0**8):
            problem = Problem("scale ratios", "each in [2^-10, 2^8)", f"{ratios[0]} and {ratios[1]}")
            raise ProfileError("an addition that XNNPACK does not compute", [problem])
        shift = 21 - int(np.frexp(max(ratios))[1])  # frexp's exponent is one more than that of 1.f * 2^e
        m_a, m_b = (int(np.rint(np.ldexp(ratio, shift))) for ratio in ratios)
        return CommonShiftAdded(self, a, b, y, m_a, m_b, shift)

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b: M_b is negative, as in XNNPACK's Sub."""
        bound = self.bind(a, b, y)
        return replace(bound, m_b=-bound.m_b)


@dataclass(frozen=True, eq=False)
class CommonShiftAdded(BoundRule):
    """The bound CommonShiftAdd or PowerAdd."""

    rule: CommonShiftAdd | PowerAdd
    a: Quant
    b: Quant
    y: Quant
    m_a: int
    m_b: int
    shift: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multipliers": np.array([self.m_a, self.m_b]), "shift": np.int64(self.shift)}

    def _operands(self, a: Codes, b: Codes) -> tuple[Int64, Int64]:
        return self.a.centered(a) * self.m_a, self.b.centered(b) * self.m_b

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        left, right = self._operands(a, b)
        total = Quotient(left + right, self.shift)
        rounded = total.rounded(self.rule.rounding)
        return [
            StageValue("(a - z_a) * M_a", left),
            StageValue("(b - z_b) * M_b", right),
            StageValue("total", total.value),
            StageValue("rounded", rounded, total.exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, a: Codes, b: Codes) -> Signs:
        left, right = self._operands(a, b)
        return signs(left + right, Quotient(left + right, self.shift).is_tie())


# -- powers of two -----------------------------------------------------------------------------------------------------
MOST_SHIFT = 24


@dataclass(frozen=True)
class PowerAdd(Rule, family="add"):
    """Scales that are powers of two: the sum is exact, in units of the finest scale, and shifted once:

        sh = max(0, log2 s_y - min(log2 s_a, log2 s_b));  M = s / s_y * 2^sh
        y = clip(round((a - z_a) M_a + (b - z_b) M_b, sh) + z_y)

    For equal scales, to which ESP-DL's quantizer brings them, nothing is rounded: established by espressif/esp-dl,
    dl/base/dl_base_add.cpp. For others the form is inferred, from what every such device does after a convolution.
    """

    rounding: str = choice(of=ROUNDINGS, kind="tie rule", text="sum {value}")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def status_between(self, x: Quant, y: Quant) -> str:
        return self.status if x.scale == y.scale else INFERRED

    def bind(self, a: Quant, b: Quant, y: Quant) -> CommonShiftAdded:
        parts = [math.frexp(float(quant.scale)) for quant in (a, b, y)]
        exponents = [exponent - parts[2][1] for _, exponent in parts[:2]]
        if len({fraction for fraction, _ in parts}) > 1 or max(map(abs, exponents)) > MOST_SHIFT:
            expected = f"ratios that are powers of two, up to 2^{MOST_SHIFT}"
            problem = Problem("scales", expected, f"{a.scale}, {b.scale}, {y.scale}")
            raise ProfileError("an addition that the profile does not define", [problem])
        shift = max(0, -min(exponents))
        return CommonShiftAdded(self, a, b, y, 1 << (exponents[0] + shift), 1 << (exponents[1] + shift), shift)

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b."""
        bound = self.bind(a, b, y)
        return replace(bound, m_b=-bound.m_b)
