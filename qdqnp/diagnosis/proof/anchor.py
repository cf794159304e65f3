"""What a layer is under the first profile: the same for every profile that is compared with it, and computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.diagnosis.proof.claim import NotProvenError
from qdqnp.diagnosis.proof.staircase import Staircase, staircases
from qdqnp.diagnosis.proof.sum_set import SumSet
from qdqnp.errors import InputError
from qdqnp.executor.plan import BoundStep
from qdqnp.kernels.pairs import SaturatingPairs
from qdqnp.lazy import lazy
from qdqnp.numerics.questions import Means, Question, Sums
from qdqnp.ops.integer.asking import IntegerOperator, Part
from qdqnp.quant import Int64, code_range
from qdqnp.stimuli.reach import Reach
from qdqnp.stimuli.sums import SummingLayer, sums_of


@dataclass(frozen=True, eq=False)
class Anchor:
    """One layer under the first profile."""

    bound: BoundStep
    #: The shape of every tensor by name.
    shapes: Mapping[str, tuple[int, ...]]

    @lazy
    def parts(self) -> list[Part]:
        """Return what the layer asks of inputs of zeros."""
        return parts_of(self.bound, self.shapes)

    @lazy
    def layer(self) -> SummingLayer:
        """Return the layer as sums. Raises NotProvenError where it is none, or has computed weights."""
        try:
            found = sums_of(self.bound, self.shapes)
        except InputError as error:
            raise NotProvenError(str(error.problems[0])) from error
        # all channels of a mean are alike
        return replace(found, weights=found.weights[:1]) if isinstance(self.parts[0].question, Means) else found

    @lazy
    def ends(self) -> tuple[Int64, Int64, Int64]:
        """Return the least and the largest sum of each channel, and a step from one to the next, int64 (channels,)."""
        steps = np.array([one.step for one in self.sets], np.int64)
        return self.layer.least(), self.layer.most(), steps

    @lazy
    def sets(self) -> list[SumSet]:
        """List the sums that inputs can make, by channel."""
        return [set_of(self.layer, channel) for channel in range(self.layer.channels)]

    @lazy
    def staircases(self) -> list[Staircase]:
        """List the codes of the sums, by channel."""
        return staircases_of(self.bound, self.parts[0].question, self.ends)


def parts_of(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> list[Part]:
    """Return what a step asks of inputs of zeros, which take no memory; nothing for operators that ask nothing."""
    if not isinstance(bound.operator, IntegerOperator):
        return []
    names = [name for name in bound.step.input_names if name not in bound.consts]
    zeros = {name: np.broadcast_to(np.zeros((), bound.tensors[name].dtype), shapes[name]) for name in names}
    return list(bound.operator.questions(bound.step, *bound.arrays(zeros)))


def set_of(layer: SummingLayer, channel: int) -> SumSet:
    """Return the sums that inputs of a channel can make, over all kinds of places."""
    known = [layer.reach(channel, site) for site in range(len(layer.sites))]
    # a Reach of its own, not the layer's, which keeps all that it finds on the way
    return SumSet.of([Reach(one.weights, one.low, one.high) for one in known])


def staircases_of(bound: BoundStep, question: Question, ends: tuple[Int64, Int64, Int64]) -> list[Staircase]:
    """Return the codes of the sums between the ends under a step's profile, by channel.

        question: what the step asks.
        ends: as Anchor.ends.

    Raises NotProvenError where the sums are other than exact ones, are too many to try, or make real numbers.
    """
    _check_plain(bound, question)
    if question.y is None:
        raise NotProvenError("a real output")
    requantizer = question.bind(getattr(bound.profile, question.rule))
    return list(staircases(requantizer, *ends, question.y, shift_of(bound)))


def _check_plain(bound: BoundStep, question: Question) -> None:
    """Raise NotProvenError where the layer's sums are other than exact ones."""
    if not isinstance(question, Sums) or question.products is None:
        return
    accumulate, products = bound.profile.accumulate, question.products
    if accumulate.needs_products:
        raise NotProvenError(f"under '{bound.profile.name}' sums depend on the order of the products")
    weights = products.weights
    if (
        accumulate.saturates(products.x.dtype, products.w.dtype, weights.depthwise)
        and SaturatingPairs.of(weights.raw, weights.pairing).pairs
    ):
        raise NotProvenError(f"under '{bound.profile.name}' products saturate in pairs before they are added")


def shift_of(bound: BoundStep) -> int:
    """Return what to add to a step's output codes to have them in the model file's dtype."""
    tensor = bound.tensors[bound.step.output_names[0]]
    return 0 if tensor.file_dtype is None else code_range(tensor.file_dtype)[0] - code_range(tensor.dtype)[0]
