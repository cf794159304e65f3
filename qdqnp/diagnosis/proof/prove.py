"""Prove layer by layer how far two arithmetics can be apart, and bound how far that carries through the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qdqnp.diagnosis.diff import plans_of
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


def prove(
    model: Model,
    profiles: Mapping[str, Profile] | Sequence[tuple[str, Profile]],
    shapes: Shapes | None = None,
    notify: Callable[[], None] = lambda: None,
) -> ProofReport:
    """Return for each layer the largest difference of its codes under each profile and the first, over all inputs.

        model: the model.
        profiles: profiles by the name to report them under; pairs where a name occurs twice. The first is the reference.
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
    claims: list[list[Claim]] = []
    bounds: list[dict[str, OutputBound]] = []
    for plan in plans[1:]:
        made, found = _proved(first, plan, {**known, **plan.shapes(sizes)}, notify)
        claims.append(made)
        bounds.append(found)
    names = [(bound, name) for bound in first.steps for name in bound.step.output_names]
    rows = tuple(
        ProofRow(name, bound.step.label, bound.step.op, those, tuple(rule_status(p.profile, bound.step) for p in plans))
        for (bound, name), those in zip(names, zip(*claims, strict=True), strict=True)
    )
    outputs = {name: tuple(found[name] for found in bounds) for name in first.program.outputs}
    return ProofReport(tuple(n for n, _ in pairs), tuple(p.status for _, p in pairs), rows, outputs)


def _proved(
    first: Plan, second: Plan, shapes: Mapping[str, Sizes], notify: Callable[[], None]
) -> tuple[list[Claim], dict[str, OutputBound]]:
    """Return the claims about the tensors of the first plan, in order, and a bound for each output."""
    makers = {name: bound for bound in second.steps for name in bound.step.output_names}
    deltas: dict[str, int | None] = dict.fromkeys(first.program.tensors, 0)
    claims = []
    for bound in first.steps:
        made = [_claimed(bound, name, makers, shapes, deltas) for name in bound.step.output_names]
        claims += [claim for claim, _ in made]
        deltas.update(zip(bound.step.output_names, (delta for _, delta in made), strict=True))
        notify()
    return claims, {name: _bound(first.program, name, deltas) for name in first.program.outputs}


def _claimed(
    bound: BoundStep,
    name: str,
    makers: Mapping[str, BoundStep],
    shapes: Mapping[str, Sizes],
    deltas: Mapping[str, int | None],
) -> tuple[Claim, int | None]:
    """Return the claim about one tensor, and how far it can be apart where the layer's inputs are."""
    if name not in makers:
        span = 255 if bound.tensors[name].dtype in EIGHT_BIT else None
        return not_proven("the other profile's lowering makes no such tensor"), span
    proof = prove_layer(StepPair(bound, makers[name], shapes))
    return proof.claim, proof.spread(deltas)


def _bound(program: Program, name: str, deltas: Mapping[str, int | None]) -> OutputBound:
    """Return the bound of an output; of one that is real, of the codes that it is made of."""
    step = program.makers.get(name)
    if step is None or not step.dequantizes:
        return OutputBound(name, deltas[name])
    operand = step.inputs[0]
    assert operand is not None and operand.quant is not None
    lsb = deltas[operand.name]
    return OutputBound(operand.name, lsb, None if lsb is None else lsb * float(np.max(operand.quant.scale)))
