"""Prove layer by layer how far two arithmetics can be apart, and bound how far that carries through the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qdqnp.diagnosis.diff import plans_of
from qdqnp.diagnosis.proof.anchor import Anchor
from qdqnp.diagnosis.proof.claim import Claim, not_proven
from qdqnp.diagnosis.proof.layer import prove_layer
from qdqnp.diagnosis.proof.pair import StepPair
from qdqnp.diagnosis.proof.report import OutputBound, ProofReport, ProofRow
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.graph import Sizes
from qdqnp.inspection.layers import rule_status
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.program import Program
from qdqnp.quant import EIGHT_BIT
from qdqnp.stimuli.find import Shapes, input_shapes
from qdqnp.stimuli.tables import CODES


def prove(
    model: Model,
    profiles: Mapping[str, Profile] | Sequence[tuple[str, Profile]],
    shapes: Shapes | None = None,
    notify: Callable[[], None] = lambda: None,
) -> ProofReport:
    """Return for each layer the largest difference of its codes under each profile and the first, over all inputs.

        model: the model.
        profiles: profiles by the name to report them under, the reference first; pairs where a name occurs twice.
        shapes: shapes of the inputs by name; symbolic sizes that are not given are 1.
        notify: called after each layer and profile.

    A layer's input may hold any codes. Raises ProfileError that lists the layers that the profiles do not define, and
    InputError for shapes that do not fit.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> from qdqnp.numerics.profiles import PROFILES
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> report = prove(model, {name: PROFILES[name] for name in ("tflite", "cmsis-nn")})
    >>> {claim.verdict for row in report.rows for claim in row.claims}, report.outputs["output"][0].lsb
    ({'never differs'}, 0)
    """
    pairs = list(profiles.items()) if isinstance(profiles, Mapping) else list(profiles)
    plans = plans_of(model, pairs)
    first = plans[0]
    sizes = input_shapes(first, shapes or {})
    known = first.shapes(sizes)
    first.admit(sizes)
    anchors = [Anchor(bound, known) for bound in first.steps]
    made = [_proved(anchors, plan, {**plan.shapes(sizes), **known}, notify) for plan in plans[1:]]
    rows = tuple(
        ProofRow(
            name,
            bound.step.label,
            bound.step.op,
            tuple(claims[name] for claims, _ in made),
            tuple(deltas[name] for _, deltas in made),
            tuple(rule_status(plan.profile, bound.step) for plan in plans),
        )
        for bound in first.steps
        for name in bound.step.output_names
    )
    outputs = {name: tuple(_bound(first.program, name, d) for _, d in made) for name in first.program.outputs}
    return ProofReport(tuple(n for n, _ in pairs), tuple(p.status for _, p in pairs), rows, outputs)


def _proved(
    anchors: Sequence[Anchor], second: Plan, shapes: Mapping[str, Sizes], notify: Callable[[], None]
) -> tuple[dict[str, Claim], dict[str, int | None]]:
    """Return the claims about the tensors that the first plan makes, and how far each tensor can be apart, by name."""
    makers = {name: bound for bound in second.steps for name in bound.step.output_names}
    deltas: dict[str, int | None] = dict.fromkeys(shapes, 0)
    claims: dict[str, Claim] = {}
    for anchor in anchors:
        for name in anchor.bound.step.output_names:
            claims[name], deltas[name] = _claimed(anchor, name, makers, shapes, deltas)
        notify()
    return claims, deltas


def _claimed(
    anchor: Anchor,
    name: str,
    makers: Mapping[str, BoundStep],
    shapes: Mapping[str, Sizes],
    deltas: Mapping[str, int | None],
) -> tuple[Claim, int | None]:
    """Return the claim about one tensor, and how far it can be apart where the layer's inputs are."""
    if name not in makers:
        span = 255 if anchor.bound.tensors[name].dtype in EIGHT_BIT else None
        return not_proven("the other profile's lowering makes no such tensor"), span
    proof = prove_layer(StepPair(anchor, makers[name], shapes))
    delta = proof.spread(deltas)
    return proof.claim, None if delta and anchor.bound.tensors[name].dtype not in EIGHT_BIT else delta


def _bound(program: Program, name: str, deltas: Mapping[str, int | None]) -> OutputBound:
    """Return the bound of an output; of one that is real, of the codes that it is made of."""
    step = program.makers.get(name)
    if step is None or not step.dequantizes:
        return OutputBound(name, deltas[name])
    operand = step.inputs[0]
    assert operand is not None and operand.quant is not None
    lsb = deltas[operand.name]
    if not lsb:
        return OutputBound(operand.name, lsb, None if lsb is None else 0.0)
    # either product of a code and its scale is rounded to float32
    return OutputBound(operand.name, lsb, (lsb + CODES * 2.0**-23) * float(np.max(operand.quant.scale)))
