"""One step under another arithmetic, or changed: what recognizers of faults and of arithmetics evaluate.

Steps evaluated once need no certificate: `plain` hides a rule's cheap expression, so that binding is quick and the
stages themselves compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.requantize import Layer, Requantizer, RequantizeRule, Slope
from qdqnp.ops.base import AUTO, Bound
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Codes, Int64, Quant, Signs

# The fields of a profile whose rule turns sums into codes.
LINEAR = ("conv", "matmul", "gemm")


@dataclass(frozen=True, eq=False)
class PlainRequantizer:
    """A bound rule without its cheap expressions."""

    inner: Requantizer
    expression: None = None
    slope: Slope | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.inner.parameters

    @property
    def bias(self) -> Int64 | None:
        return self.inner.bias

    @property
    def y(self) -> Quant | None:
        return self.inner.y

    def __call__(self, sums: Int64) -> Codes:
        return self.inner(sums)

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        return self.inner.stages(sums)

    def ties(self, sums: Int64) -> Signs:
        return self.inner.ties(sums)


@dataclass(frozen=True)
class PlainRule:
    """A rule that binds to `Plain`."""

    inner: RequantizeRule

    @property
    def status(self) -> str:
        return self.inner.status

    @property
    def overrides(self) -> Any:
        return getattr(self.inner, "overrides", ())

    def bind(self, layer: Layer) -> Requantizer:
        return PlainRequantizer(self.inner.bind(layer))


def plain(profile: Profile) -> Profile:
    """The same arithmetic, quick to bind and slow to run."""
    rules: dict[str, Any] = {name: PlainRule(getattr(profile, name)) for name in LINEAR}
    return replace(profile, **rules)


def bind(
    bound: BoundStep, profile: Profile, step: Step | None = None, consts: Mapping[str, Array] | None = None
) -> Bound:
    """The step bound again: under a profile, changed, or with other constants. Raises ProfileError where the profile
    does not define it."""
    return bound.operator.bind(step or bound.step, {**bound.consts, **(consts or {})}, plain(profile), AUTO)


def evaluate(
    bound: BoundStep,
    values: Mapping[str, Array],
    profile: Profile,
    step: Step | None = None,
    consts: Mapping[str, Array] | None = None,
) -> Array:
    """The first output of the step, changed as in `bind`, on input arrays by name."""
    made = bind(bound, profile, step, consts)
    arrays = bound.arrays({**values, **(consts or {})})
    with np.errstate(all="ignore"):
        return made.evaluate(arrays, Scratch())[0]


def with_inputs(step: Step, quants: Sequence[Quant | None]) -> Step:
    """The step with other quantizations of its inputs, in the operands' order."""
    inputs = tuple(
        None if operand is None else Operand(operand.name, quant)
        for operand, quant in zip(step.inputs, quants, strict=True)
    )
    return replace(step, inputs=inputs)


def with_output(step: Step, quant: Quant) -> Step:
    """The step with another quantization of its output."""
    return replace(step, outputs=(Operand(step.outputs[0].name, quant), *step.outputs[1:]))
