"""inspect: what a model becomes under a profile, layer by layer, and the proof each sum relies on."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from qdqnp.errors import InputError
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.graph import Shape
from qdqnp.numerics.profile import Profile
from qdqnp.ops.registry import rule_of
from qdqnp.program import Step
from qdqnp.quant import Array, Quant


@dataclass(frozen=True)
class LayerInfo:
    """One step. macs: multiply-accumulates for one run; k: products per sum; weight_bytes: constant codes and biases;
    proof: why its sums are exact, '' where it sums nothing; requantization: how its codes are computed; status: of the
    profile's rule for it (established, inferred), '' where no arithmetic is involved."""

    label: str
    op: str
    inputs: tuple[str, ...]
    output: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    dtype: str
    scale: list[float] | float | None
    zero_point: list[int] | int | None
    macs: int | None
    weight_bytes: int
    k: int | None
    proof: str
    requantization: str
    status: str
    promise: str


def rule_status(profile: Profile, step: Step) -> str:
    """'established', 'inferred' or 'unknown'; '' for operators that compute nothing."""
    field = rule_of(step.op)
    if not field:
        return ""
    rule = getattr(profile, field)
    if hasattr(rule, "status_between"):  # known for some scales only
        return str(rule.status_between(step.quant(0), step.y))
    return str(rule.status)


def inspect(plan: Plan) -> dict[str, Any]:
    """Layers, totals, and what the lowering left alone with the reasons. Sizes that only a run decides count as None
    where the batch is symbolic, and MACs are then given for a batch of 1."""
    shapes = _shapes(plan)
    layers = [_layer(plan, bound, shapes) for bound in plan.steps]
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
        "left_alone": [asdict(refusal) for refusal in program.refusals],
    }


def _shapes(plan: Plan) -> dict[str, tuple[int, ...]] | None:
    """Concrete shapes, symbolic sizes taken as 1; None where the model does not run at that size."""
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
    )


def _zero_points(quant: Quant) -> list[int] | int:
    value = quant.zero_point.tolist()
    return value if isinstance(value, list) else int(value)


def _numbers(array: Array) -> list[float] | float:
    value = array.tolist()
    return value if isinstance(value, list) else float(value)


def _count(items: Any) -> dict[str, int]:
    return dict(sorted(Counter(items).items()))
