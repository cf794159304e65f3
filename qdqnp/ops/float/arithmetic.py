"""Float32 Add and Mul with broadcasting: one correctly rounded operation per element, so exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site, broadcast_shapes
from qdqnp.program import Step
from qdqnp.quant import Array


class Arithmetic(Operator):
    arity = (2, 2)
    ufunc: ClassVar[Callable[..., Any]]

    def infer(self, site: Site, attributes: Any) -> Inferred:
        dtype = site.dtype_in(0, (np.float32,), "a")
        site.dtype_in(1, (dtype,), "b")
        return ((dtype, broadcast_shapes([site.value(0).shape, site.value(1).shape])),)

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        return (broadcast_shapes([shape for shape in inputs if shape is not None]),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        ufunc = type(self).ufunc

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            return (np.asarray(ufunc(arrays[0], arrays[1])),)

        return Bound(evaluate)
