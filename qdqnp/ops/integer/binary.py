"""What QLinearAdd and QLinearMul share: (a, a_scale, a_zp, b, b_scale, b_zp, y_scale, y_zp) on 8-bit codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import BinaryTable, PairLine
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site, broadcast_shapes
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Quant


class QLinearBinary(Operator):
    domain = MICROSOFT
    arity = (7, 8)

    @abstractmethod
    def rule(self, profile: Profile) -> BinaryRule:
        """The profile's rule for this operator."""

    def swaps(self, a: Shape, b: Shape) -> bool:
        """Whether the operator exchanges its operands for arrays of these shapes."""
        return False

    def candidate(self, a: Quant, b: Quant, y: Quant) -> PairLine | None:
        """A cheap expression that may equal the rule on all pairs of codes; whether it does is checked."""
        return None

    def infer(self, site: Site, attributes: Any) -> Inferred:
        dtype = site.dtype_in(0, EIGHT_BIT, "a")
        site.dtype_in(3, (dtype,), "b")
        if not all(quant.per_tensor for quant in self._quants(site)):
            site.refuse("scales", "one value each", "several")
        return ((dtype, broadcast_shapes([site.value(0).shape, site.value(3).shape])),)

    def _quants(self, site: Site) -> tuple[Quant, Quant, Quant]:
        dtype = site.value(0).dtype
        return site.quant(1, 2, dtype), site.quant(4, 5, dtype), site.quant(6, 7, dtype)

    def step(self, site: Site, attributes: Any) -> Step:
        a, b, y = self._quants(site)
        operands = (Operand(site.node.inputs[0], a), Operand(site.node.inputs[3], b))
        return self.make_step(site, attributes, operands, (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        return (broadcast_shapes([shape for shape in inputs if shape is not None]),)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return 4096  # what making the table takes

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        a, b = (operand.quant for operand in step.inputs if operand is not None)
        y = step.outputs[0].quant
        assert a is not None and b is not None and y is not None
        tables = _Tables(self, profile, a, b, y)
        rule = self.rule(profile).bind(a, b, y)  # a profile that does not define it says so now

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            left, right = arrays
            assert left is not None and right is not None
            if self.swaps(left.shape, right.shape):
                return (tables.swapped(right, left, scratch),)
            return (tables.straight(left, right, scratch),)

        return Bound(evaluate, rule.parameters)


class _Tables:
    """The rule as a table for both orders of its operands, each made when first needed."""

    def __init__(self, operator: QLinearBinary, profile: Profile, a: Quant, b: Quant, y: Quant) -> None:
        self._rule, self._a, self._b, self._y = operator.rule(profile), a, b, y
        self._candidate = operator.candidate

    @cached_property
    def straight(self) -> BinaryTable:
        return self._made(self._a, self._b)

    @cached_property
    def swapped(self) -> BinaryTable:
        return self._made(self._b, self._a)

    def _made(self, a: Quant, b: Quant) -> BinaryTable:
        function = self._rule.bind(a, b, self._y)
        return BinaryTable.of(function, a.dtype, b.dtype, self._candidate(a, b, self._y))
