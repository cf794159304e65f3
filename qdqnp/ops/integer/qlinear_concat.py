"""com.microsoft.QLinearConcat: each input copied, or rescaled to the output's scale and zero point, then joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import UnaryTable
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.lookup import Identity
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site
from qdqnp.ops.movement.concat import MANY, ConcatAttributes, concat_shape
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Quant


class QLinearConcat(Operator):
    """Inputs: y_scale, y_zero_point, then (tensor, scale, zero point) for each input."""

    op = "QLinearConcat"
    domain = MICROSOFT
    arity = (5, MANY)
    Attributes = ConcatAttributes

    def infer(self, site: Site, attributes: ConcatAttributes) -> Inferred:
        if (len(site.inputs) - 2) % 3:
            site.refuse("inputs", "2 + 3 per joined tensor", len(site.inputs))
        dtype = site.dtype_in(2, EIGHT_BIT)
        for index in self._tensors(site):
            site.dtype_in(index, (dtype,))
        if not all(quant.per_tensor for quant in self._quants(site)):
            site.refuse("scales", "one value each", "several")
        return ((dtype, concat_shape(attributes.axis, [site.value(i).shape for i in self._tensors(site)])),)

    def _tensors(self, site: Site) -> range:
        return range(2, len(site.inputs), 3)

    def _quants(self, site: Site) -> list[Quant]:
        """The output's, then each input's."""
        dtype = site.value(2).dtype
        return [site.quant(0, 1, dtype), *(site.quant(i + 1, i + 2, dtype) for i in self._tensors(site))]

    def step(self, site: Site, attributes: ConcatAttributes) -> Step:
        y, *quants = self._quants(site)
        names = [site.node.inputs[index] for index in self._tensors(site)]
        operands = [Operand(name, quant) for name, quant in zip(names, quants, strict=True)]
        return self.make_step(site, attributes, operands, (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: ConcatAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        return (concat_shape(attributes.axis, [shape for shape in inputs if shape is not None]),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        y = step.outputs[0].quant
        assert y is not None
        tables: list[UnaryTable | None] = []
        used: list[Mapping[str, Any]] = []
        for operand in step.inputs:
            assert operand is not None and operand.quant is not None
            same = operand.quant.same_as(y)
            rule = profile.concat.bind(operand.quant, y, Identity())
            tables.append(None if same else UnaryTable.of(rule, operand.quant.dtype))
            used.append(rule.parameters)

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            parts = []
            for array, table in zip(arrays, tables, strict=True):
                assert array is not None
                parts.append(array if table is None else table(array))
            return (np.concatenate(parts, axis=step.attributes.axis),)

        # one value for each input; for those that are copied the rule is the identity
        return Bound(evaluate, {name: np.array([values[name] for values in used]) for name in used[0]})
