"""Run one profile on one model, layer by layer: a step is bound when it is asked for.

A Plan binds every step or refuses. A profile that defines only some operators does not have a plan of the whole
network, but every layer that it defines can be compared with a device's.
"""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.diagnosis.replay import segment
from qdqnp.errors import InputError, Problem, ProfileError
from qdqnp.executor.host import float_work
from qdqnp.executor.plan import BoundStep, bind_step
from qdqnp.executor.walk import made_by
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.program import Program, Step
from qdqnp.quant import EIGHT_BIT, Array, shifted


class Layers:
    """The steps of a model under a profile. Steps are bound without certificates, which take longer to find than a few
    runs of the stages themselves."""

    def __init__(self, model: Model, profile: Profile) -> None:
        self.profile = profile
        self.program: Program = model.program(profile)
        self.steps = self.program.steps
        self._consts = {name: t.const for name, t in self.program.tensors.items() if t.const is not None}
        self._bound: dict[Step, BoundStep] = {}

    def bind(self, step: Step) -> BoundStep:
        """Bind the step to the profile's arithmetic. Raises ProfileError where the profile does not define the step."""
        if step not in self._bound:
            floats = "" if self.profile.host_float else float_work(self.program, step)
            if floats:
                problem = Problem(f"step {step.label}", "an integer operator", floats)
                raise ProfileError(f"profile '{self.profile.name}' has no float arithmetic", [problem])
            self._bound[step] = bind_step(step, self._consts, self.profile, certified=False)
        return self._bound[step]

    def maker(self, tensor: str) -> Step | None:
        """Return the step that makes a tensor; None for inputs, constants and names that the program does not have."""
        return self.program.makers.get(tensor)

    def replay(self, tensor: str, known: Mapping[str, Array]) -> Array:
        """Compute the tensor from known ones under the profile, in the code type that the tensor is known in.

            tensor: the tensor's name.
            known: the known tensors by name.

        Raises InputError where the known tensors do not lead to it, and ProfileError where the profile does not define
        a step or a value leaves its domain.
        """
        leading = segment(self.program, tensor, known)
        if leading is None:
            raise InputError(
                "a tensor cannot be computed", [Problem(f"tensor '{tensor}'", "its inputs", "some of them")]
            )
        steps = (self.bind(self.steps[index]) for index in leading.steps)
        made = made_by(steps, {}, self.own(known))[tensor]
        wanted = known.get(tensor)
        if wanted is None or not {made.dtype, wanted.dtype} <= set(EIGHT_BIT):
            return made
        return shifted(made, wanted.dtype)

    def values_for(self, step: Step, known: Mapping[str, Array]) -> dict[str, Array]:
        """Return the arrays that a step reads, by name; unknown ones are computed from known ones."""
        arrays = self.inputs_of(step, known)
        return {op.name: a for op, a in zip(step.inputs, arrays, strict=True) if op is not None and a is not None}

    def inputs_of(self, step: Step, known: Mapping[str, Array]) -> list[Array | None]:
        """Return the arrays that a step reads, in its operands' order; unknown ones are computed from known ones."""
        values = self.own(known)
        for name in step.input_names:
            if name not in values and name not in self._consts:
                values[name] = self.replay(name, known)
        return self.bind(step).arrays(values)

    def own(self, known: Mapping[str, Array]) -> dict[str, Array]:
        """Convert arrays to the code types of this program: a lowering may have made int8 codes uint8, 128 higher."""
        tensors = self.program.tensors
        return {name: tensors[name].as_here(array) if name in tensors else array for name, array in known.items()}
