"""What a set holds of one run: the tensors of each chosen layer, in order, computed while walking the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.golden.inner import constant_parameters, inner_tensors, parameters
from qdqnp.golden.layouts import PLAIN, Layout, activation_layout, matrix_layout, weight_layout
from qdqnp.golden.names import numbered, slug, step_key
from qdqnp.golden.options import Options
from qdqnp.model import feeds_for
from qdqnp.program import Operand, Program
from qdqnp.quant import Array, Quant

MATRIX_OPS = ("QGemm", "Gemm")
WEIGHT_OPS = ("QLinearConv", "QLinearMatMul", "Conv", "MatMul", *MATRIX_OPS)


@dataclass(frozen=True, eq=False)
class Item:
    """One tensor of a set, without its values. key: unique within the set, safe as a file name and behind a prefix as
    a C identifier. name: ONNX name (of inner values and parameters: of the layer's output). varies: with the input.
    shared: the tensor of that name itself, which other layers may have too; inner values are the layer's own."""

    key: str
    name: str
    role: str
    layer: str = ""
    op: str = ""
    stage: str = ""
    quant: Quant | None = None
    layout: Layout = PLAIN
    varies: bool = True
    shared: bool = True


def capture(
    plan: Plan, feeds: Mapping[str, Array], chosen: Collection[int], options: Options
) -> Iterator[tuple[Item, Array]]:
    """Run the plan on one set of inputs. chosen: indices of the steps to capture; network inputs and outputs always.

    A QuantizeLinear whose codes are given in place of the float input computes nothing, and is left out.
    """
    program = plan.program
    yield from _network_inputs(program, feeds, options)
    given = feeds_for(plan, feeds)
    values: dict[str, Array] = dict(given)
    outputs = {name: plan.consts[name] for name in program.outputs if name in plan.consts}
    with plan.scratch.lend() as scratch:
        for index, bound in enumerate(plan.steps):
            names = bound.step.output_names
            if not all(name in given for name in names):
                values.update(bound.evaluate(values, scratch))
                if index in chosen:
                    yield from _layer(index, bound, values, options)
            outputs.update({name: values[name] for name in names if name in program.outputs})
            for name in bound.step.input_names:
                if plan.last_use[name] == index:
                    values.pop(name, None)
    outputs.update({name: given[name] for name in program.outputs if name in given})
    for number, name in enumerate(program.outputs):
        quant = program.tensors[name].quant
        layout = activation_layout(outputs[name].ndim, options.activations)
        item = Item(f"out{number}_{slug(name)}", name, "network_output", quant=quant, layout=layout)
        yield item, outputs[name]


def _network_inputs(program: Program, feeds: Mapping[str, Array], options: Options) -> Iterator[tuple[Item, Array]]:
    for number, name in enumerate(program.inputs):
        if name not in feeds:
            continue  # feeds_for lists what is missing
        tensor, array = program.tensors[name], feeds[name]
        quant = tensor.quant
        if array.dtype != tensor.dtype:  # codes for the quantizer that reads it
            quant = next((step.outputs[0].quant for step in program.steps
                          if step.op == "QuantizeLinear" and name in step.input_names), None)  # fmt: skip
        layout = activation_layout(array.ndim, options.activations)
        item = Item(f"in{number}_{slug(name)}", name, "network_input", quant=quant, layout=layout)
        yield item, array


def _layer(index: int, bound: BoundStep, values: Mapping[str, Array], options: Options) -> Iterator[tuple[Item, Array]]:
    """Inputs, weights and bias, parameters, inner values and outputs of one step."""
    step, base = bound.step, step_key(index, bound.step.label)
    own = step.output_names[0]
    arrays = bound.arrays(values)
    moving = [operand for operand in step.inputs if operand is not None and operand.name not in bound.consts]
    for operand in step.inputs:
        if operand is None:
            continue
        if operand.name in bound.consts:
            yield _constant(base, bound, operand, options), bound.consts[operand.name]
        else:
            part = numbered("input", moving.index(operand), len(moving))
            layout = activation_layout(values[operand.name].ndim, options.activations)
            item = Item(f"{base}_{part}", operand.name, "input", step.label, step.op, "", operand.quant, layout)
            yield item, values[operand.name]
    fixed = constant_parameters(bound)
    for stage, array in parameters(bound, arrays, options.cmsis_nn).items():
        yield Item(f"{base}_{slug(stage)}", own, "parameter", step.label, step.op, stage, varies=not fixed,
                   shared=False), array  # fmt: skip
    for role, stage, array in inner_tensors(bound, arrays, values[own], options.roles):
        layout = activation_layout(array.ndim, options.activations)
        yield Item(f"{base}_{slug(stage)}", own, role, step.label, step.op, stage, None, layout, shared=False), array
    for number, made in enumerate(step.outputs):
        part = numbered("output", number, len(step.outputs))
        layout = activation_layout(values[made.name].ndim, options.activations)
        yield Item(f"{base}_{part}", made.name, "output", step.label, step.op, "", made.quant, layout), \
            values[made.name]  # fmt: skip


def _constant(base: str, bound: BoundStep, operand: Operand, options: Options) -> Item:
    """A constant operand: the bias where it stands third in a linear layer, else weights."""
    step, array = bound.step, bound.consts[operand.name]
    place = step.inputs.index(operand)
    linear = step.op in WEIGHT_OPS
    role = "bias" if linear and place == 2 else "weight"
    others = [other for other in step.inputs if other is not None and other.name in bound.consts]
    part = role if linear else numbered("weight", others.index(operand), len(others))
    layout = PLAIN
    if linear and place == 1:
        layout = _weight_layout(bound, array, options)
    return Item(f"{base}_{part}", operand.name, role, step.label, step.op, "", operand.quant, layout, varies=False)


def _weight_layout(bound: BoundStep, array: Array, options: Options) -> Layout:
    attributes = bound.step.attributes
    if bound.step.op in MATRIX_OPS:
        return matrix_layout(bool(attributes.transB), options.weights)
    if bound.step.op not in ("QLinearConv", "Conv"):
        return PLAIN
    depthwise = attributes.group > 1 and array.shape[1] == 1
    return weight_layout(array.ndim, (options.depthwise or options.weights) if depthwise else options.weights)
