"""Find the layer that is meant, its shapes, and what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qdqnp.errors import InputError, Problem, ProfileError, shorten
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.find import find_step
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.profiles import profile_named
from qdqnp.ops.registry import operator_of
from qdqnp.quant import EIGHT_BIT
from qdqnp.stimuli.alone import alone
from qdqnp.stimuli.patterns import Slot
from qdqnp.stimuli.subject import Subject

Shapes = Mapping[str, tuple[int, ...]]


def subject(
    model: Model, label: str, profile: Profile, against: tuple[Profile, ...], given: Shapes
) -> tuple[Subject, bytes]:
    """Return the layer that is meant (see qdqnp.find), and a model of it alone. The layer is bound alone, so that
    profiles may leave other layers of the network undefined.

        model: the network.
        label: the layer's name, or the name of a tensor that it makes.
        profile: the arithmetic.
        against: the profiles to tell apart, if any.
        given: shapes of the network's inputs; symbolic sizes that are not given are 1.

    Raises InputError for a layer that is unknown or does not have integer arithmetic, and for shapes that do not fit;
    ProfileError where a profile does not define the layer.
    """
    plan = model.plan("ort", profile.lowering)
    for other in against:
        same_program(model, profile, other)
    there = _layer(plan, label)
    shapes = plan.shapes(input_shapes(plan, given))
    slots = _slots(plan, there, shapes)
    data = alone(there, shapes)
    single = load(data)
    profiles = (profile, *against)
    lowering = profile.lowering
    bound, *others = (_only_step(single, one, lowering, there) for one in profiles)
    network = (there, _only_step(single, profile_named("ort"), lowering, there))
    return Subject(bound, tuple(others), network, profiles, shapes, slots), data


def _only_step(single: Model, profile: Profile, lowering: str, there: BoundStep) -> BoundStep:
    """Return the layer in a model of its own. Raises ProfileError where the lowering makes another layer of it
    there."""
    steps = single.plan(for_one_layer(profile, there.step.label), lowering).steps
    if [bound.step.op for bound in steps] != [there.step.op]:
        problem = Problem(
            f"layer '{there.step.label}' under profile '{profile.name}'",
            f"one {there.step.op}",
            ", ".join(bound.step.op for bound in steps),
        )
        raise ProfileError("the layer alone is not what it is in the network", [problem])
    return steps[0]


def for_one_layer(profile: Profile, label: str) -> Profile:
    """Return the profile without the overrides of other layers, which a model of one layer would refuse as unknown."""
    changed = {}
    for name in rule_names():
        rule = getattr(profile, name)
        if getattr(rule, "overrides", ()):
            changed[name] = replace(rule, overrides=tuple(one for one in rule.overrides if one[0] == label))
    return replace(profile, **changed) if changed else profile


def _layer(plan: Plan, text: str) -> BoundStep:
    found = plan.steps[find_step(plan.program, text, lambda step: bool(operator_of(step).rule))]
    if not found.operator.rule:
        having = [bound.step.label for bound in plan.steps if bound.operator.rule]
        listed = ", ".join(f"'{shorten(label, 60)}'" for label in having[:10]) or "none in this model"
        where, hint = f"layer '{shorten(text, 60)}'", f"Layers that have: {listed}"
        problem = Problem(where, "a layer with integer arithmetic", found.step.op, hint)
        raise InputError("the layer has no integer arithmetic that could round or saturate", [problem])
    return found


def same_program(model: Model, profile: Profile, other: Profile) -> None:
    """Raise ProfileError where two profiles run different steps, which cannot be paired."""
    if not profile.lowers_like(other):
        problem = Problem(f"profile '{other.name}'", f"the lowering of '{profile.name}'", "another")
        raise ProfileError("the profiles run different programs", [problem])


def _slots(plan: Plan, bound: BoundStep, shapes: Shapes) -> dict[str, Slot]:
    """Return the inputs of the step that are not constants. Raises InputError where one does not hold 8-bit codes."""
    slots: dict[str, Slot] = {}
    for operand in bound.step.inputs:
        if operand is None or operand.name in bound.consts:
            continue
        dtype = plan.program.tensors[operand.name].dtype
        if operand.quant is None or dtype not in EIGHT_BIT:
            problem = Problem(f"layer '{bound.step.label}', input '{operand.name}'", "8-bit codes", str(dtype))
            raise InputError("no stimuli for this layer", [problem])
        slots[operand.name] = Slot(dtype, shapes[operand.name], int(operand.quant.zero_point.reshape(-1)[0]))
    if not slots or any(0 in slot.shape for slot in slots.values()):
        problem = Problem(f"layer '{bound.step.label}'", "inputs with elements", "none")
        raise InputError("no stimuli for this layer", [problem])
    return slots


def input_shapes(plan: Plan, given: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the network's inputs: as given, else as declared with 1 for symbolic sizes. Raises
    InputError for shapes that do not fit the declared ones."""
    tensors = {name: plan.program.tensors[name] for name in plan.program.inputs}
    problems = [
        Problem(f"shape of '{name}'", "an input of the model: " + ", ".join(tensors), "another")
        for name in given
        if name not in tensors
    ]
    shapes = {}
    for name, tensor in tensors.items():
        shapes[name] = given.get(name, tuple(size if isinstance(size, int) else 1 for size in tensor.shape))
        declared = [size if isinstance(size, int) else "?" for size in tensor.shape]
        fits = len(shapes[name]) == len(declared) and all(
            want in ("?", size) and size > 0 for size, want in zip(shapes[name], declared, strict=True)
        )
        if not fits:
            problems.append(Problem(f"shape of '{name}'", f"{declared}, sizes of 1 and more", str(list(shapes[name]))))
    if problems:
        raise InputError("shapes that do not fit the model", problems)
    return shapes
