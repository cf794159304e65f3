"""What a layer is shown: inputs that drive it to where implementations differ, with what each meets.

Layers whose codes a rule decides get qdqnp.stimuli's constructions. Integer products without a rounding get those of
the product that rounds, since both have the same sums. What quantizes real numbers gets halves, their neighbours and
both ends. All others get patterns and random codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from qdqnp.conformance.drawn import F, generator
from qdqnp.conformance.layer import LayerCase, model_of
from qdqnp.errors import InputError
from qdqnp.graph import ONNX
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Means
from qdqnp.numerics.values import real_ties
from qdqnp.ops.registry import operator_of
from qdqnp.quant import Array, code_range
from qdqnp.stimuli.coverage import measured
from qdqnp.stimuli.goals import REACHED, Verdict
from qdqnp.stimuli.layer import for_layer
from qdqnp.stimuli.patterns import PATTERNS, Slot, draw
from qdqnp.stimuli.result import EXACT, EXHAUSTIVE, PATTERN, RANDOM, Stimulus, StimulusSet
from qdqnp.stimuli.subject import asks, met_by

Document = dict[str, Any]
#: Inputs of one kind that become cases.
MOST_OF_A_KIND = 3
#: The product that rounds, of each that does not.
TWINS: Mapping[str, str] = {
    "ConvInteger": "QLinearConv",
    "MatMulInteger": "QLinearMatMul",
    "MatMulIntegerToFloat": "QLinearMatMul",
}
#: What a layer without a rounding can meet, of what is measured on its twin.
_ENDS = ("accumulator_min", "accumulator_max")
_OF_SUMS = ("outputs", *_ENDS)


@dataclass(frozen=True, eq=False)
class Shown:
    """One input of a layer."""

    #: What it is, such as 'ties', with a number where there are several.
    kind: str
    #: As in qdqnp.stimuli: 'pattern', 'random', 'exact' or 'exhaustive'.
    method: str
    #: Arrays by name.
    inputs: Mapping[str, Array]
    #: What was measured, for desc.json.
    coverage: Document


@dataclass(frozen=True, eq=False)
class ShownSet:
    """All that a layer is shown."""

    shown: Sequence[Shown]
    #: For each goal, in how many channels it was reached, or why not, for desc.json.
    goals: Document
    #: The proven least and greatest accumulator; None where the layer has none.
    bound: tuple[int, int] | None = None
    #: How many inputs were constructed; at most MOST_OF_A_KIND of each kind are kept.
    constructed: int = 0


def shown_to(layer: LayerCase, profile: Profile) -> ShownSet:
    """Return what a layer is shown under a profile.

    Raises ProfileError where the profile does not define the layer.
    """
    if layer.arrays["x"].dtype.kind == "f":
        return ShownSet(list(_reals(layer)), {})
    if layer.op in TWINS:
        found = _constructed(_twin(layer), profile)
        shown = [replace(one, coverage={k: one.coverage[k] for k in _OF_SUMS}) for one in found.shown]
        goals = {goal: told for goal, told in found.goals.items() if "accumulator" in goal}
        return replace(found, shown=[one for one in shown if not one.kind.startswith("ties")], goals=goals)
    try:
        return _constructed(layer, profile)
    except InputError:  # no layer here whose codes a rule decides
        return ShownSet(list(_plain(layer)), {})


def _twin(layer: LayerCase) -> LayerCase:
    parameters = {"xs": F(0.0625), "ws": F(2.0**-7), "ys": F(1), "xz": layer.arrays["xz"], "wz": layer.arrays["wz"]}
    arrays = {name: array for name, array in layer.arrays.items() if name in ("x", "w", "xs", "xz", "ws", "wz")}
    arrays = {**{key: np.asarray(value) for key, value in parameters.items()}, **arrays, "yz": layer.arrays["xz"]}
    return replace(layer, op=TWINS[layer.op], domain=ONNX, arrays=arrays, output=None)


# -- by construction ---------------------------------------------------------------------------------------------------
def _constructed(layer: LayerCase, profile: Profile) -> ShownSet:
    model = load(model_of(layer, layer.forms[0]))
    found = for_layer(model, _ruled(model, profile), profile, count=1)
    kept = [
        (f"{kind}-{number}" if kind not in PATTERNS and number else kind, one)
        for kind, group in groupby(found.stimuli, lambda one: one.kind)
        for number, one in enumerate(_most_telling(list(group), found.bound))
    ]
    shown = [Shown(kind, one.method, one.inputs, _measured(one)) for kind, one in kept]
    shown += _half_means(layer, model, profile)
    return ShownSet(shown, _goals(found), found.bound, len(found.stimuli))


def _half_means(layer: LayerCase, model: Model, profile: Profile) -> Iterator[Shown]:
    """Yield planes whose means lie halfway between two codes, next to an even one and to an odd one, for what averages
    whole planes. (The constructed ties are one in each channel.)"""
    bound = next(step for step in model.plan(profile).steps if step.operator.rule)
    if not asks(bound, Means):
        return
    x = layer.arrays["x"]
    low, high = code_range(x.dtype)
    planes = (low + np.arange(x.shape[0] * x.shape[1]) * 7 % (high - low)).reshape(*x.shape[:2], 1)
    codes = (planes + np.arange(int(np.prod(x.shape[2:]))) % 2).reshape(x.shape).astype(x.dtype)
    output = bound.compute({"x": codes})[bound.step.output_names[0]]
    yield Shown("half means", EXACT, {"x": codes}, measured(met_by(bound, {"x": codes}), output).as_json())


def _ruled(model: Model, profile: Profile) -> str:
    """Return the label of the layer whose codes the profile decides. Raises InputError where there is none."""
    for step in model.program(profile).steps:
        if operator_of(step).rule:
            return step.label
    raise InputError("no layer with a rule", [])


def _most_telling(stimuli: list[Stimulus], bound: tuple[int, int] | None) -> list[Stimulus]:
    """Keep a few inputs of one kind: those that reach a bound, then those that meet what none before did.

    bound: the proven least and greatest accumulator.
    """
    met: set[str] = set()
    order: list[tuple[bool, bool, int]] = []
    for number, stimulus in enumerate(stimuli):
        counts = _measured(stimulus)
        new = {key for key, value in counts.items() if key.startswith(("ties", "saturated", "inner")) and value}
        ends = {key for key, end in zip(_ENDS, bound or (), strict=False) if counts[key] == end} - met
        new = (new | ends) - met
        met |= new
        order.append((not ends, not new, number))
    return [stimuli[number] for *_, number in sorted(order)[:MOST_OF_A_KIND]]


def _measured(stimulus: Stimulus) -> Document:
    (coverage,) = stimulus.coverage.values()
    return coverage.as_json()


def _goals(found: StimulusSet) -> Document:
    goals: Document = {}
    for goal in dict.fromkeys(verdict.goal for verdict in found.verdicts):
        those = [verdict for verdict in found.verdicts if verdict.goal == goal]
        goals[goal] = _told(those)
    return goals


def _told(verdicts: Sequence[Verdict]) -> Document:
    told: Document = {"channels": len(verdicts) if verdicts[0].channel is not None else None}
    for kind in dict.fromkeys(verdict.verdict for verdict in verdicts):
        those = [verdict for verdict in verdicts if verdict.verdict == kind]
        told[kind] = len(those) if those[0].channel is not None else True
        if kind != REACHED:
            told[f"why {kind}"] = those[0].reason
    return told


# -- patterns ----------------------------------------------------------------------------------------------------------
def _plain(layer: LayerCase) -> Iterator[Shown]:
    """Yield patterns and random codes, and one input with every code in turn."""
    zero = int(layer.arrays["xz"].reshape(-1)[0]) if "xz" in layer.arrays else 0
    slots = {name: Slot(layer.arrays[name].dtype, layer.arrays[name].shape, zero) for name in layer.fed}
    rng = generator("plain", layer.op, sorted(slots))
    for kind, make in PATTERNS.items():
        yield Shown(kind, PATTERN, {name: make(slot) for name, slot in slots.items()}, {})
    yield Shown(RANDOM, RANDOM, {name: draw(slot, rng) for name, slot in slots.items()}, {})
    yield Shown("every code", EXHAUSTIVE, {name: _every(slot) for name, slot in slots.items()}, {})


def _every(slot: Slot) -> Array:
    """Return all codes in turn, from the lowest on; evenly spread where the slot has fewer elements."""
    low, high = slot.range
    count = int(np.prod(slot.shape))
    spread = max(1, (high - low + 1) // max(count, 1))
    return (low + np.arange(count) * spread % (high - low + 1)).astype(slot.dtype).reshape(slot.shape)


# -- real numbers ------------------------------------------------------------------------------------------------------
def _reals(layer: LayerCase) -> Iterator[Shown]:
    """Yield halves of both signs, their neighbours, both ends and what lies beyond, and random numbers."""
    shape = layer.arrays["x"].shape
    if "ys" not in layer.arrays:
        yield from _ranges(layer)
        return
    scale, zero = _along(layer, layer.arrays["ys"]), _along(layer, layer.arrays["yz"]).astype(np.int64)
    low, high = code_range(layer.dtype)
    count = int(np.prod(shape))
    inside = (low + np.arange(count) * max(1, 255 // count) % 255).reshape(shape) - zero  # codes below the highest
    halves = ((inside + 0.5) * scale.astype(np.float64)).astype(F)
    rng = generator("reals", layer.op, shape, layer.note)
    far = np.where(rng.integers(0, 2, shape), F(3e38), F(-3e38)).astype(F)
    odd = rng.choice(np.array([0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf], F), shape)
    for kind, method, x in (
        ("halves", EXACT, halves),
        ("above halves", EXACT, np.nextafter(halves, F(np.inf))),
        ("below halves", EXACT, np.nextafter(halves, F(-np.inf))),
        ("every code", EXHAUSTIVE, ((inside + 0.0) * scale.astype(np.float64)).astype(F)),
        ("half beyond the ends", EXACT, _at_the_ends(low - zero, high - zero, scale, shape)),
        ("far beyond the ends", EXACT, far),
        ("zeros and infinities", PATTERN, odd),
        (RANDOM, RANDOM, (rng.uniform(low - 20, high + 20, shape) * scale).astype(F)),
    ):
        yield Shown(kind, method, {"x": x}, rounded_from(x, scale, zero, layer.dtype))


def _at_the_ends(low: Array, high: Array, scale: Array, shape: tuple[int, ...]) -> Array:
    steps = np.resize(np.array([-0.5, 0.5, -1.0, 1.0]), int(np.prod(shape))).reshape(shape)
    ends = np.where(steps > 0, high, low) + steps
    found: Array = (ends * scale.astype(np.float64)).astype(F)
    return found


def _along(layer: LayerCase, parameters: Array) -> Array:
    """Return scales or zero points, shaped to broadcast over x."""
    if parameters.ndim == 0:
        return parameters
    return parameters.reshape([-1 if at == 1 else 1 for at in range(layer.arrays["x"].ndim)])


def rounded_from(x: Array, scale: Array, zero: Array, dtype: np.dtype[Any]) -> Document:
    """Return what the quotients x / scale meet when they become codes, as desc.json has it."""
    with np.errstate(all="ignore"):
        real = (x / scale).astype(F)
    ties = real_ties(real)
    low, high = code_range(dtype)
    return {
        "outputs": int(x.size),
        "ties_negative": int((ties < 0).sum()),
        "ties_positive": int((ties > 0).sum()),
        "saturated_low": int((real < low - zero).sum()),
        "saturated_high": int((real > high - zero).sum()),
    }


def _ranges(layer: LayerCase) -> Iterator[Shown]:
    """Yield ranges of real numbers for what finds its scale in them: of one sign, of both, of none."""
    shape, count = layer.arrays["x"].shape, int(np.prod(layer.arrays["x"].shape))
    rng = generator("ranges", layer.op, shape)
    steps = np.resize(np.arange(0, 255) + 0.5, count).astype(F)
    steps[:2] = [0, 255][: min(2, count)]  # the scale is 1, so that all others are halves
    low, high = np.full(count, -F(2)), np.full(count, F(3))
    for kind, method, values in (
        ("halves above zero", EXACT, steps),
        ("halves below zero", EXACT, -steps),
        ("halves of both signs", EXACT, steps - F(128)),
        ("one value above zero", PATTERN, high),
        ("one value below zero", PATTERN, low),
        ("zeros", PATTERN, np.zeros(count, F)),
        ("random", RANDOM, rng.normal(0, 3, count).astype(F)),
        ("random above zero", RANDOM, rng.uniform(1, 3, count).astype(F)),
        ("tiny", RANDOM, (rng.normal(0, 1, count) * 1e-30).astype(F)),
    ):
        x = values.reshape(shape)
        least, most = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
        scale = F(F(most - least) / F(255)) or F(1)
        zero = np.rint(np.clip(F(-least / scale), 0, 255)).astype(np.int64)
        yield Shown(kind, method, {"x": x}, rounded_from(x, np.asarray(scale), zero, np.dtype(np.uint8)))
