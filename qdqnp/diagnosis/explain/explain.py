"""explain: one output element of one layer, step by step, under several arithmetics; and what gives another value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.diagnosis.explain.causes import Cause, Limit, causes, limits_of
from qdqnp.diagnosis.explain.facts import facts
from qdqnp.diagnosis.explain.lines import Line, lines_at
from qdqnp.diagnosis.explain.terms import Term
from qdqnp.diagnosis.faults.fault import Layer, column, only
from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.errors import InputError, Problem, ProfileError, QdqnpError
from qdqnp.executor.plan import BoundStep, on_host
from qdqnp.find import find_step
from qdqnp.inspection.layers import rule_status
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Question, Singles, Summed, Sums
from qdqnp.ops.integer.asking import Part
from qdqnp.ops.origin import origin_of
from qdqnp.program import Step
from qdqnp.quant import Array, code_range

Index = tuple[int, ...]
# Sums tried on both sides of the element's, to find where its code changes.
REACH, BLOCK = 1 << 14, 256


@dataclass(frozen=True)
class Account:
    """The element under one profile. code: its value; lines: the steps to it; parameters: the numbers they use;
    saturated: whether the final clip changed it; to_change: how far the sum can fall and rise before the code changes,
    None where it sums nothing or no change is near; note: why there are no steps, and where code is None no value;
    host_float: what a host computes of it in float32, '' where that is nothing."""

    profile: str
    status: str = ""
    code: int | float | None = None
    lines: tuple[Line, ...] = ()
    parameters: Mapping[str, Any] | None = None
    saturated: bool = False
    to_change: tuple[int | None, int | None] | None = None
    causes: tuple[Cause, ...] = ()
    note: str = ""
    host_float: str = ""


@dataclass(frozen=True)
class Explanation:
    """One element, and what it is made of under every profile."""

    label: str
    op: str
    tensor: str
    index: Index
    accounts: tuple[Account, ...]
    #: What is done with the input elements that it is made of: a word of `facts`.
    origin: str
    #: The first of `operand_count` input elements, but for the products of a sum: tensor and index, code, real value.
    operands: tuple[tuple[str, int | float, float], ...] = ()
    operand_count: int = 0
    #: The largest of `term_count` products of a sum, of which `padded` lie in the padding.
    terms: tuple[Term, ...] = ()
    term_count: int = 0
    padded: int = 0
    #: The sum of all products; of real ones rounded once, None where it is infinite or NaN.
    total: int | float | None = None
    bias: int | float | None = None
    #: The exact result in units of the output's scale, zero point included; None where it has none.
    real: Fraction | None = None
    got: int | None = None


@dataclass(frozen=True, eq=False)
class Element:
    """One element under one rule."""

    #: About this element alone, about its channels or its row where a rule looks at these.
    one: Question
    rule: Any
    #: Where the element is among the channels or in the row.
    column: int = 0


def explain(
    model: Model,
    feeds: Mapping[str, Array],
    layer: str,
    index: Sequence[int],
    profiles: Sequence[Profile],
    got: int | None = None,
    dumped: Mapping[str, Array] | None = None,
) -> Explanation:
    """One output element of a layer. The layer's inputs are those that a device had, as far as they were dumped, else
    what the first profile computes; every profile gets these.

    layer: its label, ONNX node, output tensor, number, or a glob; of a layer with several outputs, the tensor's name
    says which one is meant, else it is the first. index: as the output's axes. got: a value to look for the cause of.
    dumped: tensors of a device by name. Raises InputError where layer or index do not exist, ProfileError where the
    first profile does not define a layer that leads to this one.

    >>> import numpy as np
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> from qdqnp.numerics.profiles import PROFILES
    >>> x = {"input": np.zeros((1, 3, 32, 32), np.float32)}
    >>> found = explain(model, x, "level0.0", (0, 5, 12, 7), [PROFILES["tflite"]])
    >>> [line.name for line in found.accounts[0].lines]
    ['acc', 'ShiftLeft', 'MultiplyHigh', 'ShiftRight', 'unclipped', 'y']
    """
    first = Layers(model, profiles[0])
    step = first.program.steps[find_step(first.program, layer)]
    output = step.output_names.index(layer) if layer in step.output_names else 0
    name = step.output_names[output]
    known = {**feeds_for_layers(model, first, feeds), **(dumped or {})}
    known = {key: array for key, array in known.items() if key not in step.output_names}
    arrays = first.inputs_of(step, known)
    inputs = {op.name: a for op, a in zip(step.inputs, arrays, strict=True) if op is not None and a is not None}
    outputs = [Layers(model, profile) for profile in profiles]
    bound = replace(first.bind(step), tensors=first.program.tensors)
    shape = bound.compute(inputs)[name].shape
    at = checked_index(index, shape)
    accounts = tuple(_account(layers, step, inputs, output, at, got) for layers in outputs)
    origin = origin_of(bound.operator, step, arrays, output, at)
    asked = located(bound, inputs, at, shape) if origin.products is None else None
    found = facts(bound, arrays, origin, at, asked)
    return Explanation(step.label, step.op, name, at, accounts, got=got, **found)


def feeds_for_layers(model: Model, layers: Layers, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Checked network inputs, or the codes that replace their quantizers, by tensor name."""
    return feeds_for(model.plan("ort", layers.program.lowering), feeds)


def checked_index(index: Sequence[int], shape: Sequence[int]) -> Index:
    if len(index) != len(shape) or not all(0 <= i < size for i, size in zip(index, shape, strict=True)):
        raise InputError(
            "no such element", [Problem("index", f"{len(shape)} numbers within shape {list(shape)}", str(list(index)))]
        )
    return tuple(int(i) for i in index)


# -- one profile -------------------------------------------------------------------------------------------------------
def _account(
    layers: Layers, step: Step, inputs: Mapping[str, Array], output: int, index: Index, got: int | None
) -> Account:
    name, tensor = layers.profile.name, step.output_names[output]
    own = layers.maker(tensor)
    if own is None or own.op != step.op:
        return Account(name, note=f"its lowering {layers.program.lowering} has no such {step.op}")
    status = rule_status(layers.profile, step)
    try:
        bound = layers.bind(own)
        given = layers.own(inputs)
        made = bound.compute(given)[tensor]
    except QdqnpError as error:
        return Account(name, status, note="; ".join(str(problem) for problem in error.problems) or error.title)
    code = made[index].item()
    theirs, ours = own.outputs[output].quant, step.outputs[output].quant
    if theirs is not None and ours is not None:
        higher = code_range(theirs.dtype)[0] - code_range(ours.dtype)[0]
        if higher:  # the lowering made int8 codes uint8
            return Account(
                name, status, code - higher, note=f"{layers.program.lowering} computes it in uint8, as {code}"
            )
    element = element_of(bound, given, index, made.shape)
    lines = _lines(element)
    return Account(
        name,
        status,
        code,
        tuple(lines),
        _parameters(bound, given, element),
        _saturated(step, lines, code),
        _to_change(element),
        # faults change the first output
        _causes(Layer(bound, given), index, code, got, limits_of(layers.program, own)) if output == 0 else (),
        host_float=on_host(layers.program, own),
    )


def located(bound: BoundStep, values: Mapping[str, Array], index: Index, shape: Index) -> tuple[Part, Index] | None:
    """The question that decides an output element, and where the element is in the shape of its codes; None for
    operators that ask nothing."""
    for part in bound.questions(values):
        at = part.locate(index, shape)
        if at is not None:
            return part, at
    return None


def element_of(bound: BoundStep, values: Mapping[str, Array], index: Index, shape: Index) -> Element | None:
    """The element under the profile's rule; None for operators that no rule decides, and for copied codes."""
    found = located(bound, values, index, shape)
    if found is None or (isinstance(found[0].question, Singles) and found[0].question.copied):
        return None
    question, at = found[0].question.under(bound.profile), found[1]
    one = only(question, at, question.shape)
    return Element(one, getattr(bound.profile, question.rule), column(question, at))


def _lines(element: Element | None) -> list[Line]:
    if element is None:
        return []
    values = element.one.stages(element.rule)
    return lines_at(values, tuple(int(i) for i in np.unravel_index(element.column, values[-1].array.shape)))


def _parameters(bound: BoundStep, values: Mapping[str, Array], element: Element | None) -> dict[str, Any]:
    """The numbers of the element's channel."""
    numbers = {name: np.asarray(value) for name, value in bound.parameters(values).items()}
    per_channel = element is not None and isinstance(element.one, Sums)
    return {
        name: value.reshape(-1)[element.column].item() if per_channel and element and value.size > 1 else value.tolist()
        for name, value in numbers.items()
    }


def _saturated(step: Step, lines: Sequence[Line], code: int | float) -> bool:
    unclipped = next((line.value for line in lines if line.name == "unclipped"), None)
    return unclipped is not None and unclipped != code


def _to_change(element: Element | None) -> tuple[int | None, int | None] | None:
    """How much less and more the sum may be until the code changes, within REACH."""
    if element is None or not isinstance(element.one, Summed):
        return None
    return _first_change(element, -1), _first_change(element, 1)


def _first_change(element: Element, sign: int) -> int | None:
    one = element.one
    assert isinstance(one, Summed)
    code = one.codes(element.rule).reshape(-1)[element.column]
    for start in range(1, REACH, BLOCK):
        distances = np.arange(start, start + BLOCK)
        moved = one.sums.reshape(1, -1) + sign * distances[:, None]
        try:
            codes = one.with_sums(moved).codes(element.rule)[:, element.column]
        except ProfileError:  # the neighbouring sums leave the rule's domain
            return None
        changed = np.flatnonzero(codes != code)
        if changed.size:
            return int(distances[changed[0]])
    return None


def _causes(
    layer: Layer, index: Index, code: int | float, got: int | None, limits: Sequence[Limit]
) -> tuple[Cause, ...]:
    """The hypotheses that give `got`, where the profile gives something else."""
    if got is None or got == code:
        return ()
    return tuple(cause for cause in causes(layer, index, limits) if cause.code == got)
