"""Rounding of one layer: another tie rule, or truncation, where the other layers round as they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.choices import Neighbour, neighbours
from qdqnp.numerics.questions import Means, Question, Sums, Windows
from qdqnp.numerics.rules.requantize.float_round import Rounded
from qdqnp.numerics.rules.requantize.float_scale import FloatScaled
from qdqnp.numerics.values import named
from qdqnp.numerics.width import saturate_to
from qdqnp.quant import Array, Codes, Int64

TIE = "wrong tie rule"
TRUNCATION = "truncation instead of rounding"
TRUNCATIONS = ("truncate", "floor")
# Of a real value.
FLOAT_ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "half-away": lambda real: np.sign(real) * np.floor(np.abs(real) + 0.5),
    "half-up": lambda real: np.floor(real + 0.5),
    "half-even": np.rint,
    "truncate": np.trunc,
    "floor": np.floor,
}


def kind_of(near: Neighbour) -> str:
    """What the fault of having a neighbour of the right rule is called."""
    if near.kind != "tie rule":
        return near.kind
    return TRUNCATION if near.value in TRUNCATIONS else TIE


@dataclass(frozen=True)
class Rerounded:
    """A rule whose product in floating point is rounded in another way."""

    rule: Any
    round: Callable[[Array], Array]

    def bind(self, context: Any) -> Any:
        bound = self.rule.bind(context)

        def codes(sums: Int64) -> Codes:
            # float32 values and halves are exact in float64
            real = named(bound.stages(sums), "real").astype(np.float64)
            return saturate_to(self.round(real) + int(bound.y.zero_point), bound.y)

        return codes


@fault_of_question(TIE)
def tie(question: Question, rule: Any) -> Iterator[Changed]:
    """Nearest, with another rule for exact halves."""
    yield from _rerounded(question, rule, TIE)


@fault_of_question(TRUNCATION)
def truncation(question: Question, rule: Any) -> Iterator[Changed]:
    """Down or towards zero; of averages see `pooling`."""
    if not isinstance(question, Means | Windows):
        yield from _rerounded(question, rule, TRUNCATION)


def _rerounded(question: Question, rule: Any, kind: str) -> Iterator[Changed]:
    if isinstance(question, Sums) and question.y is not None and isinstance(question.bind(rule), FloatScaled | Rounded):
        for name, function in FLOAT_ROUNDINGS.items():
            if (name in TRUNCATIONS) == (kind == TRUNCATION):
                yield Changed(question, f"{name} of the product in floating point", Rerounded(rule, function))
    for near in neighbours(rule):
        if kind_of(near) == kind:
            yield Changed(question, near.text, near.rule)
