"""What a run of one picture does, step by step: which forms were compiled, and why each is exact."""

from __future__ import annotations

from typing import Any

from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import Plan
from qdqnp.graph import Sizes
from qdqnp.schedule.actions import Action, Compiled, Defined, Entered, Left, Looked, Reshaped
from qdqnp.schedule.batch import Batch
from qdqnp.schedule.chain import FormChain
from qdqnp.schedule.schedules import Schedules


def scheduled(plan: Plan) -> dict[str, Any]:
    """Return the schedule of a plan for the shapes of its file, a batch of unknown size being one picture.

    Of a batch of known size the schedule is that of each picture; steps that need the whole batch come last.

    It has "bytes" (of the arena) and "actions", each with "step", "form" and "proof". Without a schedule "bytes" is 0,
    and every step is computed on codes.

    Raises InputError where another size is not known.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = scheduled(qdqnp.load(shipped_model("dla46_c_int8")).plan())
    >>> found["actions"][0]["step"], found["actions"][0]["form"]
    ('input_QuantizeLinear, base_layer.0', 'rows of taps, from real values')
    """
    shapes = {name: _sizes(plan, name) for name in plan.program.inputs}
    schedule = Schedules(plan).schedule(shapes, plan.program.outputs)
    if schedule is None:
        return {"bytes": 0, "actions": [_defined(bound.step.label) for bound in plan.steps]}
    one, together = (schedule.one, schedule.together) if isinstance(schedule, Batch) else (schedule, ())
    actions = [
        *(row for action in one.actions for row in _described(action)),
        *(_defined(bound.step.label) for bound in together),
    ]
    return {"bytes": one.nbytes, "actions": actions}


def _sizes(plan: Plan, name: str) -> Sizes:
    shape = plan.program.tensors[name].shape
    found = [1 if axis == 0 and not isinstance(size, int) else size for axis, size in enumerate(shape)]
    known = tuple(size for size in found if isinstance(size, int))
    if len(known) < len(found):
        problem = Problem(f"input '{name}'", "known sizes", str(list(shape)))
        raise InputError("the schedule depends on sizes that the file leaves open", [problem])
    return known


def _defined(label: str) -> dict[str, str]:
    return {"step": label, "form": "on codes", "proof": ""}


def _described(action: Action) -> list[dict[str, str]]:
    """Return a row; of a chain, one for each of its forms."""
    if isinstance(action, Compiled):
        forms = action.form.forms if isinstance(action.form, FormChain) else (action.form,)
        ways = [*(f"{form.kind}, band by band with the next" for form in forms[:-1]), forms[-1].kind]
        return [{"step": form.label, "form": way, "proof": form.proof} for form, way in zip(forms, ways, strict=True)]
    if isinstance(action, Defined):
        return [_defined(action.bound.step.label)]
    if isinstance(action, Looked):
        return [{"step": action.label, "form": "codes looked up", "proof": "the steps' answers to all 256 codes"}]
    if isinstance(action, Reshaped):
        return [{"step": action.label, "form": "another shape", "proof": "elements stay in their order"}]
    assert isinstance(action, Entered | Left)
    way = "codes become an image" if isinstance(action, Entered) else "an image becomes codes"
    return [{"step": action.image.name, "form": way, "proof": ""}]
