"""Capture what a set holds of one run: the tensors of each chosen layer, in order, while the plan is walked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial

from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.executor.walk import fold
from qdqnp.golden_sets.inner import constant_parameters, inner_tensors, parameters
from qdqnp.golden_sets.layouts import PLAIN, Layout, activation_layout, matrix_layout, weight_layout
from qdqnp.golden_sets.names import numbered, slug, step_key
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.tensor import GoldenTensor, golden_tensor
from qdqnp.model import feeds_for
from qdqnp.ops.geometry.conv import ConvAttributes
from qdqnp.ops.geometry.matrix import MatrixAttributes
from qdqnp.program import EXACT
from qdqnp.quant import ACTIVATIONS, Array, Quant


def captured_tensors(
    plan: Plan, feeds: Mapping[str, Array], chosen: Collection[int], options: Options
) -> Iterator[tuple[GoldenTensor, Array]]:
    """Run the plan on one set of inputs and yield the tensors to store, each with its values.

        plan: the model under a profile.
        feeds: the inputs by name.
        chosen: indices of the steps to capture; network inputs and outputs are always captured.
        options: which tensors, and in which order of axes.

    A QuantizeLinear whose codes are given in place of the float input does not compute anything, and is left out.
    """
    program = plan.program
    yield from _network_inputs(plan, feeds, options)
    given = feeds_for(plan, feeds)
    outputs = {name: plan.consts[name] for name in program.outputs if name in plan.consts}
    with plan.scratch.lend() as scratch:
        for done in fold(plan.steps, given, last_use=plan.last_use, scratch=scratch):
            if done.index in chosen:
                yield from _layer(plan, done.index, done.values, options)
            outputs.update({name: array for name, array in done.made.items() if name in program.outputs})
    outputs.update({name: given[name] for name in program.outputs if name in given})
    for number, name in enumerate(program.outputs):
        key, array, quant = f"out{number}_{slug(name)}", outputs[name], _meaning(plan, name)
        doubt, layout = _doubt(plan, name), _order(array, options)
        yield golden_tensor(array, key, name, "network_output", doubt=doubt, quant=quant, layout=layout), array


def _network_inputs(plan: Plan, feeds: Mapping[str, Array], options: Options) -> Iterator[tuple[GoldenTensor, Array]]:
    program = plan.program
    for number, name in enumerate(program.inputs):
        if name not in feeds:
            continue  # feeds_for lists what is missing
        tensor, array = program.tensors[name], feeds[name]
        quant = tensor.quant
        if array.dtype != tensor.dtype:  # codes for the quantizer that reads it
            quant = next(
                (step.outputs[0].quant for step in program.steps if step.quantizes and name in step.input_names),
                None,
            )
        key, doubt, layout = f"in{number}_{slug(name)}", _doubt(plan, name), _order(array, options)
        yield golden_tensor(array, key, name, "network_input", doubt=doubt, quant=quant, layout=layout), array


def _layer(
    plan: Plan, index: int, values: Mapping[str, Array], options: Options
) -> Iterator[tuple[GoldenTensor, Array]]:
    """Yield the inputs, weights and bias, parameters, inner values and outputs of one step."""
    bound = plan.steps[index]
    step, base = bound.step, step_key(index, bound.step.label)
    made = partial(golden_tensor, layer=step.label, op=step.op, index=index)
    arrays = bound.arrays(values)
    own = step.output_names[0]
    for place, part in _parts(bound).items():
        operand, array = step.inputs[place], arrays[place]
        assert operand is not None and array is not None
        constant = operand.name in bound.consts
        role = ("bias" if part == "bias" else "weight") if constant else "input"
        layout = _constant_layout(bound, place, array, options) if constant else _order(array, options)
        key, name, doubt = f"{base}_{part}", operand.name, _doubt(plan, operand.name)
        quant = operand.quant or _meaning(plan, name)
        tensor = made(array, key, name, role, doubt=doubt, quant=quant, layout=layout, varies=not constant)
        yield tensor, array
    fixed, doubt = constant_parameters(bound), _doubt(plan, own)
    for stage, array in parameters(bound, values, options.cmsis_nn).items():
        key = f"{base}_{slug(stage)}"
        yield made(array, key, own, "parameter", doubt=doubt, stage=stage, varies=not fixed), array
    for role, stage, array in inner_tensors(bound, values, values[own], options.wanted):
        key, layout = f"{base}_{slug(stage)}", _order(array, options)
        yield made(array, key, own, role, doubt=doubt, stage=stage, layout=layout), array
    for number, output in enumerate(step.outputs):
        key, array = f"{base}_{numbered('output', number, len(step.outputs))}", values[output.name]
        doubt, layout = _doubt(plan, output.name), _order(array, options)
        quant = output.quant or _meaning(plan, output.name)
        yield made(array, key, output.name, "output", doubt=doubt, quant=quant, layout=layout), array


def _meaning(plan: Plan, name: str) -> Quant | None:
    """Return how a tensor's codes are read: as its producer says, or who reads them, or, of what is only moved (a
    MaxPool, a Flatten), as the codes that it is made of."""
    program = plan.program
    if program.tensors[name].quant is not None or program.tensors[name].dtype not in ACTIVATIONS:
        return program.tensors[name].quant
    readers = (use for step in program.steps for use in step.inputs if use is not None and use.name == name)
    found = next((use.quant for use in readers if use.quant is not None), None)
    maker = program.makers.get(name)
    if found is None and maker is not None:
        source = maker.input_names[0]
        same = program.tensors[source].dtype == program.tensors[name].dtype
        return _meaning(plan, source) if same else None
    return found


def _doubt(plan: Plan, name: str) -> str:
    """Return why the values of a tensor are not promised to be exact; '' where they are."""
    return plan.promises.get(name, EXACT).reason


def _parts(bound: BoundStep) -> dict[int, str]:
    """Name each operand by its place: 'input0', 'weight', 'bias' ... The constants of a linear layer are named by their
    places, those of other layers by numbers."""
    places = [place for place, operand in enumerate(bound.step.inputs) if operand is not None]
    constant = [place for place in places if bound.step.input_names[places.index(place)] in bound.consts]
    moving = [place for place in places if place not in constant]
    named = {place: numbered("input", number, len(moving)) for number, place in enumerate(moving)}
    weight, bias = bound.operator.weight_operand, bound.operator.bias_operand
    if weight is None:
        return named | {place: numbered("weight", number, len(constant)) for number, place in enumerate(constant)}
    rest = [place for place in constant if place not in (weight, bias)]
    named |= {place: part for place, part in ((weight, "weight"), (bias, "bias")) if place in constant}
    return named | {place: numbered("constant", number, len(rest)) for number, place in enumerate(rest)}


def _order(array: Array, options: Options) -> Layout:
    return activation_layout(array.ndim, options.activations)


def _constant_layout(bound: BoundStep, place: int, array: Array, options: Options) -> Layout:
    return _weight_layout(bound, array, options) if place == bound.operator.weight_operand else PLAIN


def _weight_layout(bound: BoundStep, array: Array, options: Options) -> Layout:
    attributes = bound.step.attributes
    if isinstance(attributes, MatrixAttributes):
        return matrix_layout(bool(attributes.transB), options.weights)
    if not isinstance(attributes, ConvAttributes):
        return PLAIN
    depthwise = attributes.group > 1 and array.shape[1] == 1
    return weight_layout(array.ndim, (options.depthwise or options.weights) if depthwise else options.weights)
