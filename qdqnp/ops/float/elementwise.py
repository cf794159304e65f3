"""Unary element-wise operators on arrays, without scales."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


class Elementwise(Operator):
    dtypes: ClassVar[tuple[Any, ...]] = (np.float32,)

    @abstractmethod
    def apply(self, attributes: Any, x: Array) -> Array: ...

    def infer(self, site: Site, attributes: Any) -> Inferred:
        return ((site.dtype_in(0, self.dtypes, "x"), site.value(0).shape),)

    def step(self, site: Site, attributes: Any) -> Step:
        return self.make_step(site, attributes, (Operand(site.node.inputs[0]),), (Operand(site.node.outputs[0]),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None
            return (self.apply(step.attributes, arrays[0]),)

        return Bound(evaluate)
