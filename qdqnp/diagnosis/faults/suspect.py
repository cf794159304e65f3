"""Suspect: one dumped tensor that differs, with all that a recognizer of faults may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.evidence import bears, bits_of
from qdqnp.diagnosis.faults.fault import Layer, LayerFault, Variant
from qdqnp.diagnosis.orders import MemoryOrder
from qdqnp.diagnosis.replay import Device, Values
from qdqnp.diagnosis.tally import ordered, same
from qdqnp.errors import QdqnpError
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.walk import made_by
from qdqnp.lazy import lazy
from qdqnp.numerics.profile import Profile
from qdqnp.program import Step
from qdqnp.quant import Array

# (inputs of the step by name) -> its first output
Change = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Finding:
    """A fault that explains every mismatch of a tensor."""

    #: One of `faults.all_kinds()`.
    kind: str
    #: In which way, in words.
    detail: str = ""
    #: How many other ways of the same fault explain every mismatch too.
    others: int = 0

    def __str__(self) -> str:
        more = f"or in {self.others} other way{'s' if self.others > 1 else ''}" if self.others else ""
        told = ", ".join(text for text in (self.detail, more) if text)
        return f"{self.kind} ({told})" if told else self.kind


class Suspect:
    """One step of the segment of a dumped tensor that differs, suspected of the difference."""

    def __init__(self, device: Device, name: str, index: int, want: Sequence[Array]) -> None:
        """name: the dumped tensor. index: the suspected step. want: the replay's codes for each case."""
        self.device = device
        self.target = device.tensors[name].target
        self.segment = device.segments[name]
        self.index = index
        #: The suspected step as the reference computes it.
        self.bound: BoundStep = device.reference.step(index)
        #: The device's codes for each case, int64 where the dump leaves the dtype's range.
        self.got = device.tensors[name].cases
        #: The replay's codes for each case.
        self.want = list(want)
        #: What the suspected step is computed by.
        self.profile: Profile = device.profile(self.bound.step.op)
        #: By case, everything that the suspected step may read, by tensor name.
        self.values: list[Values] = [self._before(case) for case in range(device.count)]

    @property
    def step(self) -> Step:
        return self.bound.step

    @property
    def alone(self) -> bool:
        """Whether the tensor is this step's own output."""
        return self.segment.steps == (self.index,)

    @lazy
    def differs(self) -> list[Array]:
        """Where the device's codes differ, for each case."""
        return [ordered(got) != ordered(want) for got, want in zip(self.got, self.want, strict=True)]

    @lazy
    def bad_cases(self) -> list[int]:
        return [case for case, mask in enumerate(self.differs) if mask.any()]

    @lazy
    def elements(self) -> int:
        """How many elements differ, over all cases."""
        return sum(int(np.count_nonzero(mask)) for mask in self.differs)

    @lazy
    def largest(self) -> int:
        """The largest difference, in codes or units in the last place."""
        pairs = ((ordered(got), ordered(want)) for got, want in zip(self.got, self.want, strict=True))
        return max(int(np.abs(got.astype(np.float64) - want.astype(np.float64)).max()) for got, want in pairs)

    @lazy
    def bits(self) -> float:
        """The bits of evidence in them."""
        return bits_of(self.got, self.want)

    def in_memory(self, order: MemoryOrder) -> tuple[list[Array], list[Array]]:
        """Return what the cases that differ should be, and what they are, in an order of memory, each flat."""
        wants, gots = ([order.flat(side[case]) for case in self.bad_cases] for side in (self.want, self.got))
        return wants, gots

    def others(self) -> Iterator[BoundStep]:
        """Yield the other steps of the network, the nearest first."""
        indices = range(len(self.device.reference.plan.steps))
        for index in sorted(indices, key=lambda index: abs(index - self.index)):
            if index != self.index:
                yield self.device.reference.step(index)

    def bears(self, ways: int) -> bool:
        """Tell whether the evidence bears a fault that is one of so many ways that were tried."""
        return bears(self.bits, ways)

    def _before(self, case: int) -> Values:
        """Everything that the suspected step may read."""
        known = self.device.values(case)
        before = (index for index in self.segment.steps if index < self.index)
        return {**made_by(self.device.steps(before), {}, known), **known}

    def finish(self, case: int, output: Array) -> Array:
        """The target's codes, if the suspected step's output were this."""
        if self.alone:
            return output
        known = {**self.values[case], self.step.output_names[0]: output}
        after = (index for index in self.segment.steps if index > self.index)
        return {**known, **made_by(self.device.steps(after), {}, known)}[self.target.codes]

    def explained(self, change: Change) -> bool:
        """Whether a changed step explains every case, element by element."""
        return self.explained_by_case(lambda case: change(self.values[case]))

    def explained_by_case(self, output: Callable[[int], Array], channels: Sequence[int] | None = None) -> bool:
        """Whether the outputs that the step would have explain what the device shows in every case; of channels, if
        given, of the step's own tensor."""
        try:
            return all(self._fits(output(case), case, channels) for case in self._bad_first)
        except QdqnpError:  # outside the arithmetic's domain: then this is not what happened
            return False

    def _fits(self, made: Array, case: int, channels: Sequence[int] | None) -> bool:
        got, y = self.got[case], self.step.outputs[0].quant
        if channels is not None:
            made, got = (np.take(side, channels, self.bound.operator.channel_axis) for side in (made, got))
            return same(made, got)
        if not self.alone and y is not None and made.dtype != y.dtype:
            return False  # no layer reads such codes
        return same(self.finish(case, made), got)

    @property
    def _bad_first(self) -> list[int]:
        """All cases; those that differ refute the most."""
        return [*self.bad_cases, *(case for case in range(len(self.got)) if case not in self.bad_cases)]

    # -- faults --------------------------------------------------------------------------------------------------------
    @lazy
    def layers(self) -> list[Layer]:
        """The suspected step in each case."""
        bound = self.device.reference.step(self.index, self.profile)
        return [Layer(bound, values) for values in self.values]

    def ask(self, fault: LayerFault) -> Iterator[Finding]:
        """What the fault explains: the first of its variants that explains everything, and how many others do."""
        variants = list(fault.variants(self.layers[self.bad_cases[0]]))
        searched = sum(variant.many for variant in variants)
        found: list[Finding] = []
        for variant in variants:
            if variant.many and (found or not self.alone or not self.bears(searched)):
                continue
            some = self.wrong_channels if variant.channels is not None and self._has_channels else None
            if self.explained_by_case(self._outputs(fault, variant), some):
                found.append(Finding(fault.kind, variant.text) if some is None else self._in_channels(fault, variant))
        if found:
            yield replace(found[0], others=len(set(found)) - 1)

    def _outputs(self, fault: LayerFault, variant: Variant) -> Callable[[int], Array]:
        """By case, what the layer makes; the variant is that of the first bad case, others have it under its text."""

        def output(case: int) -> Array:
            if case == self.bad_cases[0]:
                return variant.output()
            other = next((v for v in fault.variants(self.layers[case]) if v.text == variant.text), None)
            layer = self.layers[case]
            return layer.bound.evaluate(layer.values)[self.step.output_names[0]] if other is None else other.output()

        return output

    def _in_channels(self, fault: LayerFault, variant: Variant) -> Finding:
        """What explains all channels that differ anywhere, the others being right."""
        assert variant.channels is not None
        wrong, total = self.wrong_channels, self.want[0].shape[self.bound.operator.channel_axis]
        listed = "" if not variant.text and wrong == list(variant.channels) else _listed(wrong, total)
        kind = fault.kinds[-1] if len(wrong) == 1 < len(variant.channels) else fault.kind
        return Finding(kind, ": ".join(words for words in (variant.text, listed) if words))

    @property
    def _has_channels(self) -> bool:
        """Whether the tensor is the step's own and tells its channels apart."""
        return self.alone and self.want[0].ndim > 1

    @lazy
    def wrong_channels(self) -> list[int]:
        """The channels of the output in which something differs in some case."""
        counted = self.bound.operator.channel_axis % self.want[0].ndim
        axes = tuple(axis for axis in range(self.want[0].ndim) if axis != counted)
        wrong: list[int] = np.flatnonzero(np.any([mask.any(axis=axes) for mask in self.differs], axis=0)).tolist()
        return wrong

    @property
    def only_channel(self) -> int | None:
        """The one output channel that differs, of a layer that sums products and whose output was dumped."""
        if not self._has_channels or self.bound.operator.weight_operand is None:
            return None
        return self.wrong_channels[0] if len(self.wrong_channels) == 1 else None

    def evaluate(self, values: Mapping[str, Array], consts: Mapping[str, Array] | None = None) -> Array:
        """The suspected step on these inputs, with other constants where given."""
        return rebind.evaluate(self.bound, values, self.profile, consts=consts)


def _listed(channels: Sequence[int], total: int) -> str:
    """'channel 3', 'channels 1, 5', '29 of 32 channels'."""
    if len(channels) > 4:
        return f"{len(channels)} of {total} channels"
    return f"channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))}"


Recognizer = Callable[[Suspect], Iterable[Finding]]
