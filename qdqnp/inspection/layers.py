"""inspect: show what a model becomes under a profile, layer by layer, and the proof that each sum relies on."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from qdqnp.errors import InputError
from qdqnp.executor.plan import BoundStep, Plan, on_host
from qdqnp.graph import Shape
from qdqnp.inspection.stated import stated_json, stated_layers
from qdqnp.numerics.profile import Profile
from qdqnp.ops.integer.unary import SinglesOperator
from qdqnp.ops.registry import operator_of
from qdqnp.program import Step
from qdqnp.quant import Array, Quant


@dataclass(frozen=True)
class LayerInfo:
    """One step of the program."""

    #: The step's label.
    label: str
    #: The step's operator.
    op: str
    #: Names of the inputs.
    inputs: tuple[str, ...]
    #: Name of the first output.
    output: str
    #: Shapes of the inputs; symbolic sizes are names.
    input_shapes: tuple[Shape, ...]
    #: Shape of the output.
    output_shape: Shape
    #: Dtype of the output.
    dtype: str
    #: Scale of the output; a list for one per slice, None where the output does not hold codes.
    scale: list[float] | float | None
    #: Zero point of the output; as `scale`.
    zero_point: list[int] | int | None
    #: Multiply-accumulates for one run; None where the model does not run with symbolic sizes taken as 1.
    macs: int | None
    #: Bytes of constant codes and biases.
    weight_bytes: int
    #: Products per sum; None where the step does not sum, or `macs` is None.
    k: int | None
    #: Why the step's sums are exact; '' where it does not sum.
    proof: str
    #: How the step's codes are computed.
    requantization: str
    #: How well the profile's rule for the step is known (established, inferred); '' where no arithmetic is involved.
    status: str
    #: What is promised of the output's values.
    promise: str
    #: What a host computes of the step in float32; '' where that is nothing.
    host_float: str


def rule_status(profile: Profile, step: Step) -> str:
    """Return 'established', 'inferred' or 'unknown'; '' for operators that do not compute anything."""
    operator = operator_of(step)
    if not operator.rule:
        return ""
    rule = getattr(profile, operator.rule)
    if hasattr(rule, "status_of") and isinstance(operator, SinglesOperator):  # known for some functions only
        return str(rule.status_of(step.quant(0), step.y, operator.function(step.attributes)))
    if hasattr(rule, "status_between"):  # known for some scales only
        return str(rule.status_between(step.quant(0), step.y))
    return str(rule.status)


def inspect(plan: Plan) -> dict[str, Any]:
    """Describe the layers, the totals, and what the lowering left unchanged with the reasons. Where the batch is
    symbolic, sizes that only a run decides are None, and MACs are given for a batch of 1."""
    shapes = known_shapes(plan)
    layers = layers_of(plan)
    program = plan.program
    constants = {name: array.nbytes for bound in plan.steps for name, array in bound.consts.items()}
    return {
        "profile": plan.profile.name,
        "status": plan.profile.status,
        "lowering": program.lowering,
        "inputs": [_io(plan, name) for name in program.inputs],
        "outputs": [_io(plan, name) for name in program.outputs],
        "layers": [dict(vars(layer)) for layer in layers],  # not asdict: it copies every part
        "totals": {
            "layers": len(layers),
            "macs": sum(layer.macs or 0 for layer in layers),
            "weight_bytes": sum(constants.values()),
            "operators": _count(layer.op for layer in layers),
            "requantizations": _count(text.split(" for ")[0] for text in (x.requantization for x in layers) if text),
            "proofs": _count(layer.proof.split(":")[0] for layer in layers if layer.proof),
        },
        "stated": stated_json(stated_layers(plan, shapes)),
        "left_alone": [asdict(refusal) for refusal in program.refusals],
    }


def layers_of(plan: Plan) -> list[LayerInfo]:
    """Describe the layers, in order; sizes are those that `inspect` takes."""
    shapes = known_shapes(plan)
    return [_layer(plan, bound, shapes) for bound in plan.steps]


def known_shapes(plan: Plan) -> dict[str, tuple[int, ...]] | None:
    """Return concrete shapes, with symbolic sizes taken as 1; None where the model does not run at that size."""
    inputs = {
        name: tuple(size if isinstance(size, int) else 1 for size in plan.program.tensors[name].shape)
        for name in plan.program.inputs
    }
    try:
        return dict(plan.shapes(inputs))
    except InputError:  # a symbolic size that must not be 1: the layers are shown without MACs
        return None


def _io(plan: Plan, name: str) -> dict[str, Any]:
    tensor = plan.program.tensors[name]
    return {"name": name, "dtype": str(tensor.dtype), "shape": list(tensor.shape), "promise": str(plan.promises[name])}


def _layer(plan: Plan, bound: BoundStep, shapes: dict[str, tuple[int, ...]] | None) -> LayerInfo:
    step, tensors = bound.step, plan.program.tensors
    output = tensors[step.output_names[0]]
    macs = plan.macs(bound, shapes) if shapes else None
    elements = math.prod(shapes[output.name]) if shapes else None
    quant = step.outputs[0].quant or output.quant
    return LayerInfo(
        label=step.label,
        op=step.op,
        inputs=step.input_names,
        output=output.name,
        input_shapes=tuple(tensors[name].shape for name in step.input_names),
        output_shape=output.shape,
        dtype=str(output.dtype),
        scale=_numbers(quant.scale) if quant else None,
        zero_point=_zero_points(quant) if quant else None,
        macs=macs,
        weight_bytes=sum(array.nbytes for array in bound.consts.values()),
        k=macs // elements if macs and elements else None,
        proof=str(bound.kernel.proof or ""),
        requantization=str(bound.kernel.certificate or ""),
        status=rule_status(plan.profile, step),
        promise=str(plan.promises[output.name]),
        host_float=on_host(plan.program, step),
    )


def _zero_points(quant: Quant) -> list[int] | int:
    value = quant.zero_point.tolist()
    return value if isinstance(value, list) else int(value)


def _numbers(array: Array) -> list[float] | float:
    value = array.tolist()
    return value if isinstance(value, list) else float(value)


def _count(items: Any) -> dict[str, int]:
    return dict(sorted(Counter(items).items()))
