"""What a set holds of one run: the tensors of each chosen layer, in order, computed while walking the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.executor.walk import fold
from qdqnp.golden.inner import constant_parameters, inner_tensors, parameters
from qdqnp.golden.layouts import PLAIN, Layout, activation_layout, matrix_layout, weight_layout
from qdqnp.golden.names import numbered, slug, step_key
from qdqnp.golden.options import Options
from qdqnp.model import feeds_for
from qdqnp.program import Program
from qdqnp.quant import Array, Quant

MATRIX_OPS = ("QGemm", "Gemm")
WEIGHT_OPS = ("QLinearConv", "QLinearMatMul", "Conv", "MatMul", *MATRIX_OPS)


@dataclass(frozen=True, eq=False)
class Item:
    """One tensor of a set, without its values.

    key: unique within the set, safe as a file name and, behind a prefix, as a C identifier. name: ONNX name (of inner
    values and parameters: of the layer's output). index: of the layer among the steps, None for the network's tensors.
    varies: with the input of the network. shared: the tensor of that name itself, which other layers may have too;
    inner values and parameters are the layer's own.
    """

    key: str
    name: str
    role: str
    layer: str = ""
    op: str = ""
    index: int | None = None
    stage: str = ""
    quant: Quant | None = None
    layout: Layout = PLAIN
    varies: bool = True
    shared: bool = True


def captured_tensors(
    plan: Plan, feeds: Mapping[str, Array], chosen: Collection[int], options: Options
) -> Iterator[tuple[Item, Array]]:
    """Run the plan on one set of inputs. chosen: indices of the steps to capture; network inputs and outputs always.

    A QuantizeLinear whose codes are given in place of the float input computes nothing, and is left out.
    """
    program = plan.program
    yield from _network_inputs(program, feeds, options)
    given = feeds_for(plan, feeds)
    outputs = {name: plan.consts[name] for name in program.outputs if name in plan.consts}
    with plan.scratch.lend() as scratch:
        for done in fold(plan.steps, given, last_use=plan.last_use, scratch=scratch):
            if done.index in chosen:
                yield from _layer(done.index, done.bound, done.values, options)
            outputs.update({name: array for name, array in done.made.items() if name in program.outputs})
    outputs.update({name: given[name] for name in program.outputs if name in given})
    for number, name in enumerate(program.outputs):
        quant = program.tensors[name].quant
        layout = _order(outputs[name], options)
        item = Item(f"out{number}_{slug(name)}", name, "network_output", quant=quant, layout=layout)
        yield item, outputs[name]


def _network_inputs(program: Program, feeds: Mapping[str, Array], options: Options) -> Iterator[tuple[Item, Array]]:
    for number, name in enumerate(program.inputs):
        if name not in feeds:
            continue  # feeds_for lists what is missing
        tensor, array = program.tensors[name], feeds[name]
        quant = tensor.quant
        if array.dtype != tensor.dtype:  # codes for the quantizer that reads it
            quant = next(
                (
                    step.outputs[0].quant
                    for step in program.steps
                    if step.op == "QuantizeLinear" and name in step.input_names
                ),
                None,
            )
        item = Item(f"in{number}_{slug(name)}", name, "network_input", quant=quant, layout=_order(array, options))
        yield item, array


def _layer(index: int, bound: BoundStep, values: Mapping[str, Array], options: Options) -> Iterator[tuple[Item, Array]]:
    """Inputs, weights and bias, parameters, inner values and outputs of one step."""
    step, base = bound.step, step_key(index, bound.step.label)
    made = partial(Item, layer=step.label, op=step.op, index=index)
    arrays = bound.arrays(values)
    own = step.output_names[0]
    for place, part in _parts(bound).items():
        operand, array = step.inputs[place], arrays[place]
        assert operand is not None and array is not None
        constant = operand.name in bound.consts
        role = ("bias" if part == "bias" else "weight") if constant else "input"
        layout = _constant_layout(bound, place, array, options) if constant else _order(array, options)
        yield made(f"{base}_{part}", operand.name, role, quant=operand.quant, layout=layout, varies=not constant), array
    fixed = constant_parameters(bound)
    for stage, array in parameters(bound, arrays, options.cmsis_nn).items():
        key = f"{base}_{slug(stage)}"
        yield made(key, own, "parameter", stage=stage, varies=not fixed, shared=False), array
    for role, stage, array in inner_tensors(bound, arrays, values[own], options.wanted):
        key = f"{base}_{slug(stage)}"
        yield made(key, own, role, stage=stage, layout=_order(array, options), shared=False), array
    for number, output in enumerate(step.outputs):
        key, array = f"{base}_{numbered('output', number, len(step.outputs))}", values[output.name]
        yield made(key, output.name, "output", quant=output.quant, layout=_order(array, options)), array


def _parts(bound: BoundStep) -> dict[int, str]:
    """What each operand is called, by its place: 'input0', 'weight', 'bias' ... The constants of a linear layer have
    names by their places, those of others numbers."""
    places = [place for place, operand in enumerate(bound.step.inputs) if operand is not None]
    constant = [place for place in places if bound.step.input_names[places.index(place)] in bound.consts]
    moving = [place for place in places if place not in constant]
    named = {place: numbered("input", number, len(moving)) for number, place in enumerate(moving)}
    if bound.step.op in WEIGHT_OPS:
        return named | {place: {1: "weight", 2: "bias"}.get(place, "constant") for place in constant}
    return named | {place: numbered("weight", number, len(constant)) for number, place in enumerate(constant)}


def _order(array: Array, options: Options) -> Layout:
    return activation_layout(array.ndim, options.activations)


def _constant_layout(bound: BoundStep, place: int, array: Array, options: Options) -> Layout:
    return _weight_layout(bound, array, options) if bound.step.op in WEIGHT_OPS and place == 1 else PLAIN


def _weight_layout(bound: BoundStep, array: Array, options: Options) -> Layout:
    attributes = bound.step.attributes
    if bound.step.op in MATRIX_OPS:
        return matrix_layout(bool(attributes.transB), options.weights)
    if bound.step.op not in ("QLinearConv", "Conv"):
        return PLAIN
    depthwise = attributes.group > 1 and array.shape[1] == 1
    return weight_layout(array.ndim, (options.depthwise or options.weights) if depthwise else options.weights)
