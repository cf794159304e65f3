"""Measure one input: every layer of the int8 network against the float network's.

Four runs say what there is to say:

entire    the int8 network by itself
float     the float network by itself
single    each int8 layer on the float network's tensors, quantized as that layer reads them
same      each float layer on the same quantized tensors: what *single* would be if the layer itself were exact
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.element_types import is_float
from qdqnp.executor.plan import Plan
from qdqnp.executor.walk import fold, made_by
from qdqnp.feeds import feeds_for
from qdqnp.layer_quality.layers import Clamp, Connections, both, clamped
from qdqnp.layer_quality.pairing import TensorPair, has_codes
from qdqnp.layer_quality.saturation import saturated
from qdqnp.layer_quality.sums import ErrorSums
from qdqnp.layer_quality.weights import RealWeights, weights_of
from qdqnp.numerics.float32 import dequantize, quantize
from qdqnp.quant import Array, Quant, code_range

#: The three ways in which a layer is measured.
ERRORS = ("entire", "single", "own")


@dataclass
class LayerSums:
    """What was counted of one tensor of the int8 network, over any number of inputs."""

    #: The int8 network's own run against the float network's.
    entire: ErrorSums = field(default_factory=ErrorSums)
    #: The layer on the float network's tensors, quantized, against the float network's.
    single: ErrorSums = field(default_factory=ErrorSums)
    #: The layer against the float layer on the same quantized tensors: its own error.
    own: ErrorSums = field(default_factory=ErrorSums)
    #: The squares of what the tensor's scale rounds off the float network's values, and of what its range cuts off.
    rounding: Fraction = Fraction()
    clipping: Fraction = Fraction()
    #: The float network's values, and those that its range cuts off.
    values: int = 0
    cut: int = 0
    #: Codes of the int8 network's own run.
    codes: int = 0
    #: Those at an end of the range whose unclamped value lies beyond; None where nobody can say.
    saturated: int | None = 0
    #: The lowest and the highest code of the int8 network's own run.
    lowest: int | None = None
    highest: int | None = None
    #: The least and the largest value of the float network.
    least: float = math.inf
    most: float = -math.inf

    def include(self, other: LayerSums) -> None:
        """Add what others counted."""
        for name in ERRORS:
            getattr(self, name).include(getattr(other, name))
        self.rounding += other.rounding
        self.clipping += other.clipping
        self.values += other.values
        self.cut += other.cut
        self.codes += other.codes
        known = self.saturated is not None and other.saturated is not None
        self.saturated = (self.saturated or 0) + (other.saturated or 0) if known else None
        self.lowest = min((code for code in (self.lowest, other.lowest) if code is not None), default=None)
        self.highest = max((code for code in (self.highest, other.highest) if code is not None), default=None)
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    def as_partial(self) -> list[Any]:
        """Return the sums in lists and texts that JSON has, without rounding."""
        errors = [getattr(self, name).as_partial() for name in ERRORS]
        exact = [str(self.rounding), str(self.clipping)]
        codes = [self.values, self.cut, self.codes, self.saturated, self.lowest, self.highest]
        return [errors, exact, codes, [self.least.hex(), self.most.hex()]]

    @classmethod
    def from_partial(cls, partial: Sequence[Any]) -> LayerSums:
        """Return what `as_partial` returned."""
        errors, exact, codes, values = partial
        entire, single, own = map(ErrorSums.from_partial, errors)
        rounding, clipping = map(Fraction, exact)
        count, cut, made, saturated, lowest, highest = codes
        least, most = map(float.fromhex, values)
        return cls(entire, single, own, rounding, clipping, count, cut, made, saturated, lowest, highest, least, most)

    def add_values(self, values: Array, quant: Quant | None) -> None:
        """Note the float network's values: their range, and what a quantizer makes of them."""
        finite = values[np.isfinite(values)].astype(np.float64)
        self.least, self.most = float(finite.min(initial=math.inf)), float(finite.max(initial=-math.inf))
        if quant is None or not quant.per_tensor:
            return
        low, high = code_range(quant.dtype)
        scale, zero = float(quant.scale), float(quant.zero_point)
        codes = np.rint(finite / scale) + zero
        held = np.clip(codes, low, high)
        apart = np.square(finite - (held - zero) * scale)
        inside = codes == held
        self.values, self.cut = finite.size, finite.size - int(np.count_nonzero(inside))
        self.rounding = Fraction(float(apart[inside].sum()))
        self.clipping = Fraction(float(apart[~inside].sum()))


class Bench:
    """The two networks, side by side, ready to be measured on one input after the other."""

    def __init__(
        self, real: Plan, codes: Plan, wirings: tuple[Connections, Connections], pairs: Sequence[TensorPair]
    ) -> None:
        """Prepare.

        real: the float network's plan.
        codes: the int8 network's plan.
        wirings: those of the float network and of the int8 network.
        pairs: the tensors that are measured.
        """
        self.real, self.codes, self.pairs = real, codes, tuple(pairs)
        self.real_wiring, self.codes_wiring = wirings
        tensors = codes.program.tensors
        #: By measured tensor, how its codes are read; None for real values.
        self.quants: dict[str, Quant | None] = {
            pair.codes: tensors[pair.codes].quant if has_codes(codes.program, pair.codes) else None
            for pair in self.pairs
        }
        #: By measured tensor, the weights of its layer in both networks.
        self.weights = self._weights()
        #: By measured tensor, the clamp of the float network that makes its values what they are.
        self.clamps: dict[str, Clamp] = {
            pair.codes: both(self.real_wiring.clamp(pair.real), pair.clamp) for pair in self.pairs
        }
        #: By measured tensor, an earlier one that stands for the same tensor of the float network, where one of the two
        #: is only rescaled into the other, as around a Relu that keeps its own scale.
        self.before = self._before()
        #: By input of the int8 network, its name in the float network.
        self.inputs = _inputs(real, codes)

    def _weights(self) -> dict[str, tuple[RealWeights, RealWeights]]:
        """Return the weights of each layer at the first tensor that it makes: behind a Relu of its own they are no
        others."""
        found, seen = {}, set[int]()
        for pair in self.pairs:
            step = self.codes_wiring.weighted(pair.codes)
            if step is None or id(step) in seen:
                continue
            seen.add(id(step))
            made = weights_of(self.codes_wiring, pair.codes)
            real = weights_of(self.real_wiring, pair.real)
            if made is not None and real is not None:
                found[pair.codes] = (made, real)
        return found

    def _before(self) -> dict[str, TensorPair]:
        by_name, found = {pair.codes: pair for pair in self.pairs}, {}
        for pair in self.pairs:
            read = [name for step in self.codes_wiring.chain(pair.codes) for name in step.input_names]
            same = [by_name[name] for name in read if name in by_name and by_name[name].real == pair.real]
            if same:
                found[pair.codes] = same[0]
        return found

    def source(self, name: str) -> str:
        """Return the tensor that a measured tensor has its scale from, because its layer reads it with the same one; ''
        where it has a scale of its own."""
        quant, tensors = self.quants[name], self.codes.program.tensors
        for each in self.codes_wiring.data(self.codes.program.makers[name]):
            other = tensors[each].quant
            if quant is not None and other is not None and other.same_as(quant):
                return each
        return ""

    def theirs(self, given: Mapping[str, Array], plan: Plan) -> dict[str, Array]:
        """Return the float network's inputs as those of a plan of the int8 network, quantized where it takes codes."""
        found: dict[str, Array] = {}
        for name, other in self.inputs.items():
            tensor = plan.program.tensors[name]
            codes = tensor.quant is not None and not is_float(tensor.dtype)
            found[name] = coded(given[other], tensor.quant) if codes and tensor.quant else given[other]
        return found

    def measure(
        self, given: Mapping[str, Array], wanted: Mapping[str, Array]
    ) -> tuple[dict[str, LayerSums], dict[str, Array]]:
        """Measure one input; return the sums by measured tensor, and every tensor of the int8 network's own run.

        given: the float network's inputs by name.
        wanted: every tensor of its run.
        """
        theirs = feeds_for(self.codes, self.theirs(given, self.codes), keep_all=True)
        found = {pair.codes: LayerSums() for pair in self.pairs}
        values = self._entire(theirs, wanted, found)
        known = {pair.codes: self._coded(pair, wanted[pair.real]) for pair in self.pairs}
        single = made_by(self.codes.steps, theirs, known)
        read = {pair.real: self._real(pair, known[pair.codes]) for pair in self.pairs}
        same = {**given, **made_by(self.real.steps, given, read)}
        for pair in self.pairs:
            sums = found[pair.codes]
            real = clamped(wanted[pair.real], pair.clamp)
            alone = clamped(self._real(pair, single[pair.codes]), pair.clamp)
            sums.single.add(real, alone)
            before = self.before.get(pair.codes)
            exact = (
                same[pair.real] if before is None else clamped(self._real(before, known[before.codes]), before.clamp)
            )
            sums.own.add(clamped(exact, pair.clamp), alone)
            sums.add_values(real, self.quants[pair.codes])
        return found, values

    def _entire(
        self, theirs: Mapping[str, Array], wanted: Mapping[str, Array], found: dict[str, LayerSums]
    ) -> dict[str, Array]:
        values = dict(theirs)
        by_name = {pair.codes: pair for pair in self.pairs}
        for done in fold(self.codes.steps, theirs):
            values.update(done.made)
            for name, array in done.made.items():
                if name not in by_name:
                    continue
                pair, sums, quant = by_name[name], found[name], self.quants[name]
                sums.entire.add(clamped(wanted[pair.real], pair.clamp), clamped(self._real(pair, array), pair.clamp))
                if quant is None:
                    sums.saturated = None
                elif array.size:
                    sums.codes = array.size
                    sums.lowest, sums.highest = int(array.min()), int(array.max())
                    sums.saturated = saturated(done.bound, done.values, name, array, quant, self.clamps[name])
        return values

    def _real(self, pair: TensorPair, array: Array) -> Array:
        quant = self.quants[pair.codes]
        if quant is None:
            return array
        own = quant.aligned(array.shape)
        return dequantize(array, own.scale, own.zero_point)

    def _coded(self, pair: TensorPair, array: Array) -> Array:
        quant = self.quants[pair.codes]
        return array if quant is None else coded(array, quant)


def coded(array: Array, quant: Quant) -> Array:
    """Return real values as codes, as QuantizeLinear makes them."""
    own = quant.aligned(array.shape)
    return quantize(array.astype(np.float32), own.scale, own.zero_point, quant.dtype)


def _inputs(real: Plan, codes: Plan) -> dict[str, str]:
    """Return by input of the int8 network its name in the float network: the same, or that at the same place."""
    here, there = codes.program.inputs, real.program.inputs
    if set(here) <= set(there):
        return {name: name for name in here}
    return dict(zip(here, there, strict=True))
