"""What the 8-bit unary operators share: (x, x_scale, x_zp, y_scale, y_zp) and a real function, as a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import UnaryTable
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.lookup import RealFunction
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Quant


class QLinearUnary(Operator):
    domain = MICROSOFT
    arity = (4, 5)

    @abstractmethod
    def function(self, attributes: Any) -> RealFunction:
        """The float32 function between dequantizing and quantizing."""

    def infer(self, site: Site, attributes: Any) -> Inferred:
        dtype = site.dtype_in(0, EIGHT_BIT, "x")
        if not all(quant.per_tensor for quant in self.quants(site)):
            site.refuse("scales", "one value each", "several")
        return ((dtype, site.value(0).shape),)

    def quants(self, site: Site) -> tuple[Quant, Quant]:
        dtype = site.value(0).dtype
        return site.quant(1, 2, dtype), site.quant(3, 4, dtype)

    def step(self, site: Site, attributes: Any) -> Step:
        x, y = self.quants(site)
        return self.make_step(site, attributes, (Operand(site.node.inputs[0], x),), (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        operand = step.inputs[0]
        assert operand is not None and operand.quant is not None and step.outputs[0].quant is not None
        rule = profile.lookup.bind(operand.quant, step.outputs[0].quant, self.function(step.attributes))
        table = UnaryTable.of(rule, operand.quant.dtype)

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None
            return (table(arrays[0]),)

        codes = np.frombuffer(table.table, table.dtype)  # indexed by the byte of x
        return Bound(evaluate, {**rule.parameters, "table": codes})
