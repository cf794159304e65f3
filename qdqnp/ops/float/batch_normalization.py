"""BatchNormalization in float32, inference form: (x - mean) / sqrt(var + epsilon) * scale + bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site, sums_apart
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class BatchNormalizationAttributes:
    epsilon: float = 1e-5
    training_mode: int = 0


class BatchNormalization(Operator):
    op = "BatchNormalization"
    arity = (5, 5)
    Attributes = BatchNormalizationAttributes
    ignored = frozenset({"momentum", "spatial"})  # of training; of opsets before 9

    def infer(self, site: Site, attributes: BatchNormalizationAttributes) -> Inferred:
        for index in range(5):
            site.dtype_in(index, (np.float32,))
        site.rank_in(0, (2, 3, 4, 5), "x")
        if attributes.training_mode:
            site.refuse("attribute 'training_mode'", "0", attributes.training_mode)
        if len([name for name in site.node.outputs if name]) > 1:
            site.refuse("outputs", "one: the statistics are of training", len(site.node.outputs))
        x = site.value(0).shape
        for index in range(1, 5):
            if site.value(index).shape != (x[1],):
                site.refuse(f"input {index}", f"shape [{x[1]}]", list(site.value(index).shape))
        return ((FLOAT32, x),)

    def shapes(self, attributes: BatchNormalizationAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        epsilon = np.float32(step.attributes.epsilon)

        def aligned(arrays: Sequence[Array | None]) -> list[Array]:
            x, *statistics = arrays
            assert x is not None
            shape = (1, -1) + (1,) * (x.ndim - 2)
            return [x, *(array.reshape(shape) for array in statistics if array is not None)]

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            x, scale, bias, mean, var = aligned(arrays)
            factor = scale / np.sqrt(var + epsilon)
            return (x * factor + (bias - mean * factor),)

        def error(arrays: Sequence[Array | None]) -> Array:
            x, scale, bias, mean, var = (array.astype(np.float64) for array in aligned(arrays))
            factor = np.abs(scale / np.sqrt(var + float(epsilon)))
            return sums_apart(np.abs(x) * factor + np.abs(mean) * factor + np.abs(bias), 8)

        return Bound(evaluate, doubt="whether its multiply and add are fused is not specified", error=error)
