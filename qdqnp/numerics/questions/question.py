"""A question is all that a rule may look at to answer with codes. An operator asks it, a rule of the profile answers.

run, trace, golden sets, compare, identify, explain and stimulate all ask through this door: whatever one of them wants
to know of a layer's arithmetic is a method here, and works for every rule, named by a profile or not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from qdqnp.numerics.values import Index, StageValue
from qdqnp.quant import Array, Codes, Int64, Quant, Signs

if TYPE_CHECKING:
    from qdqnp.numerics.profile import Profile


class Question(ABC):
    """What an operator asks a rule. Subclasses are frozen dataclasses.

    The elements asked about have a flat order: that of `codes`.
    """

    #: The field of a profile whose rules can answer.
    rule: str
    #: The label of the layer that asks, for errors and overrides.
    label: str
    #: How the answer's codes are read; None where the answer is real.
    y: Quant | None

    @abstractmethod
    def bind(self, rule: Any) -> Any:
        """Bind the rule to these scales and zero points: a function of `arguments`, with parameters, stages and ties.

        Raises ProfileError where the rule is not defined for them.
        """

    @property
    @abstractmethod
    def arguments(self) -> tuple[Array, ...]:
        """What the bound rule is called with."""

    def with_y(self, y: Quant) -> Self:
        """Return the same question with another quantization of the answer."""
        return replace(self, y=y)  # type: ignore[type-var] # subclasses are dataclasses

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of `codes`."""
        return tuple(self.arguments[0].shape)

    @abstractmethod
    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        """Return what decides the code at an index of `codes`: one code, several, or (x, w) for each product of a sum.

        inputs: the inputs that the question is about, in the operator's order; products tell where in them they look.
        """

    @abstractmethod
    def part(self, elements: slice) -> Self:
        """Return the question about some of the elements in flat order.

        It is about whole rows where a rule looks at rows or at channels.
        """

    def under(self, profile: Profile) -> Self:
        """Return the question as a device of the profile meets it: its sums may saturate on the way."""
        return self

    def codes(self, rule: Any) -> Codes:
        """Return what the rule answers. Raises ProfileError where the question is outside its domain."""
        found: Codes = self.bind(rule)(*self.arguments)
        return found

    def answer(self, profile: Profile) -> Codes:
        """Return the codes under a profile. Raises ProfileError where the profile does not define them."""
        asked = self.under(profile)
        return asked.codes(getattr(profile, self.rule))

    def stages(self, rule: Any) -> list[StageValue]:
        """Return every value on the way to the codes, in order; the codes are the last."""
        found: list[StageValue] = self.bind(rule).stages(*self.arguments)
        return found

    def ties(self, rule: Any) -> Signs:
        """Return the sign of each value that meets an exact half at a rounding (at the last such rounding), else 0."""
        found: Signs = self.bind(rule).ties(*self.arguments)
        return found

    def parameters(self, rule: Any) -> Mapping[str, Any]:
        """Return the numbers that the rule uses, by name."""
        found: Mapping[str, Any] = self.bind(rule).parameters
        return found


class Summed(Question):
    """A question about sums, which have accumulators."""

    #: int64, without bias, in the shape of `codes`.
    sums: Int64

    @property
    @abstractmethod
    def total(self) -> Int64:
        """The accumulators: sums plus bias, not wrapped."""

    @abstractmethod
    def with_sums(self, sums: Int64) -> Self:
        """Return the same question about other sums, channels last."""


def rows_of(elements: slice, width: int) -> slice:
    """Return the rows that hold the elements of a flat slice."""
    width = max(1, width)
    return slice((elements.start or 0) // width, -(-elements.stop // width))
