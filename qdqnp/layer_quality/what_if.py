"""What if one layer were float: the int8 network run again with that layer's weights, bias and result as real numbers.

This is computed with the file's own QuantizeLinear and DequantizeLinear in float32 (profile ort-unfused): an integer
kernel cannot read a real number. The gain is measured against the same run with no layer in float.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep, Plan, bind_step
from qdqnp.executor.walk import made_by
from qdqnp.feeds import feeds_for
from qdqnp.graph import ONNX
from qdqnp.layer_quality.layers import KEEP, LIMIT, OPEN, Clamp, Connections
from qdqnp.layer_quality.measure import Bench
from qdqnp.layer_quality.weights import weights_of
from qdqnp.ops.float.clip import ClipAttributes
from qdqnp.ops.operator import NoAttributes
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class FloatForm:
    """One layer of the int8 network in float: what takes the place of what."""

    #: By tensor that a DequantizeLinear makes, the step that makes the real values instead.
    steps: Mapping[str, BoundStep]
    #: By tensor, the float network's weights and bias.
    arrays: Mapping[str, Array]

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that have other values."""
        return frozenset(self.steps) | frozenset(self.arrays)


class FloatForms:
    """The layers of an int8 network that can be made float."""

    def __init__(self, bench: Bench, plan: Plan, wiring: Connections) -> None:
        """Find them.

        bench: the two networks.
        plan: the int8 network as its file has it, unfused.
        wiring: that of the plan's program.
        """
        self.bench, self.plan, self.wiring = bench, plan, wiring
        #: By measured tensor that has a scale of its own. What only hands its codes on goes with it.
        self.forms: dict[str, FloatForm] = {}
        owners: dict[str, str] = {}
        for pair in bench.pairs:
            source = bench.source(pair.codes)
            owner = owners[pair.codes] = owners.get(source, source) or pair.codes
            form = self._form(pair.codes)
            if form is None:
                continue
            if owner in self.forms:
                first = self.forms[owner]
                form = FloatForm({**first.steps, **form.steps}, {**first.arrays, **form.arrays})
            self.forms[owner] = form

    def _form(self, name: str) -> FloatForm | None:
        """Return a layer in float; None where no QuantizeLinear makes its codes."""
        step = self.plan.program.makers.get(name)
        while step is not None and not step.quantizes and self.wiring.converts(step) and not step.dequantizes:
            step = self.plan.program.makers.get(step.input_names[0])
        if step is None or not step.quantizes:
            return None
        real = step.input_names[0]
        steps = {made: self._kept(real, made, self.bench.clamps[name]) for made in self._dequantized(name)}
        return FloatForm(steps, self._float_weights(name, real)) if steps else None

    def _dequantized(self, name: str) -> Iterator[str]:
        """Yield the real tensors that are made of codes."""
        for step in self.wiring.readers.get(name, ()):
            if step.dequantizes:
                yield step.output_names[0]
            elif self.wiring.converts(step):
                yield from self._dequantized(step.output_names[0])

    def _kept(self, real: str, made: str, clamp: Clamp) -> BoundStep:
        """Return the step that hands real values on, within what the float network lets through."""
        attributes: Any = NoAttributes()
        if clamp != OPEN:
            low, high = (None if np.isinf(limit) else limit for limit in clamp)
            attributes = ClipAttributes(low, high)
        op = KEEP if clamp == OPEN else LIMIT
        step = Step(op, ONNX, attributes, (Operand(real),), (Operand(made),), (made,))
        return replace(bind_step(step, {}, self.plan.profile), tensors=self.plan.program.tensors)

    def _float_weights(self, name: str, real: str) -> dict[str, Array]:
        if name not in self.bench.weights:
            return {}
        made = weights_of(self.wiring, real)
        wanted = self.bench.weights[name][1]
        if made is None:
            return {}
        array = wanted.array if wanted.array.shape == made.array.shape else wanted.array.T
        if array.shape != made.array.shape:
            return {}
        found = {made.name: np.ascontiguousarray(array)}
        if made.bias is not None and wanted.bias is not None and made.bias.shape == wanted.bias.shape:
            shape = self.plan.program.tensors[made.bias_name].shape
            found[made.bias_name] = wanted.bias.reshape([int(size or 1) for size in shape])
        return found

    def values(self, given: Mapping[str, Array], chosen: Collection[str]) -> dict[str, Array]:
        """Return every tensor of a run with some layers in float.

        given: the float network's inputs by name.
        chosen: the measured tensors of these layers.
        """
        own = feeds_for(self.plan, self.bench.theirs(given, self.plan), keep_all=True)
        arrays = {name: array for each in chosen for name, array in self.forms[each].arrays.items()}
        start = {**own, **arrays}
        return {**start, **made_by(self._steps(chosen), start)}

    def with_one_more(self, values: Mapping[str, Array], chosen: Collection[str], more: str) -> dict[str, Array]:
        """Return the tensors that change where one more layer is float: only what depends on it is computed."""
        form = self.forms[more]
        changed, steps = set(form.arrays), []
        for bound in self._steps([*chosen, more]):
            step = bound.step
            if changed & set(step.input_names) or set(step.output_names) & set(form.steps):
                steps.append(bound)
                changed.update(step.output_names)
        kept = {name: array for name, array in values.items() if name not in changed}
        return {**form.arrays, **made_by(steps, {**kept, **form.arrays})}

    def _steps(self, chosen: Iterable[str]) -> Sequence[BoundStep]:
        instead = {name: step for each in chosen for name, step in self.forms[each].steps.items()}
        return [instead.get(bound.step.output_names[0], bound) for bound in self.plan.steps]

    def cost(self) -> int:
        """Return how many steps a round over all layers computes for each input."""
        total = len(self.plan.steps)
        for form in self.forms.values():
            changed = set(form.changed)
            for bound in self.plan.steps:
                if changed & {*bound.step.input_names, *bound.step.output_names}:
                    changed.update(bound.step.output_names)
                    total += 1
        return total
