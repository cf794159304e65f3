"""A plan is a program bound to a profile: what each step computes with, and when each tensor is last needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qdqnp.errors import InputError, ModelError, Problem, Problems, ProfileError, QdqnpError
from qdqnp.executor.fast import kernel_for
from qdqnp.executor.fast.kernel import Answered, Kernel
from qdqnp.executor.freed import keep_freed_memory
from qdqnp.executor.host import float_work, why_float
from qdqnp.executor.shapes import Key, Settled, deciding, settle
from qdqnp.executor.work import Budget, given_bytes, shapes_of
from qdqnp.graph import Sizes, concrete
from qdqnp.kernels.scratch import Scratch, ScratchPool
from qdqnp.kernels.strategy import AUTO
from qdqnp.limits import SHAPES_KEPT, bytes_needed
from qdqnp.lowering.device.levels import ROUNDED
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.questions import Summed
from qdqnp.ops.integer.asking import IntegerOperator, Part
from qdqnp.ops.operator import Binding, Operator, ShapeError
from qdqnp.ops.registry import operator_of
from qdqnp.program import EXACT, Program, Promise, Step, Tensor
from qdqnp.quant import Array

FLOAT_HINT = "Use 'ort', quantize this layer, or let the host compute it in float32 (--host-float)."
ON_HOST = "a host computes it in float32, in an order of its own"


@dataclass(frozen=True, eq=False)
class BoundStep:
    """One step with its arithmetic: the unit of execution, on explicit inputs."""

    step: Step
    operator: Operator
    binding: Binding
    kernel: Kernel
    #: The program's tensors by name, for checks; empty where a step is bound without its program.
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def consts(self) -> Mapping[str, Array]:
        """The step's constant inputs by name."""
        return self.binding.consts

    @property
    def profile(self) -> Profile:
        return self.binding.profile

    def evaluate(self, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
        """Compute this step alone, on inputs of your own, and return its output arrays by ONNX name.

            inputs: arrays by ONNX name, in the dtype and shape that the step reads (codes, not real values), or the
                array itself where the step reads one tensor that is no constant. Tensors of the model that the step
                does not read are passed over, and its constants are filled in where not given.

        Raises InputError that lists every input that is missing, unknown, or of the wrong dtype or shape, and
        ProfileError where the profile does not define the step for its values.
        """
        return self.compute(checked(self, inputs))

    def compute(self, inputs: Mapping[str, Array], scratch: Scratch | None = None) -> dict[str, Array]:
        """Compute as `evaluate` does, from arrays that are known to fit.

        Raises InputError where an input is missing.
        """
        with np.errstate(all="ignore"):  # overflow to infinity and NaN are values here, with defined codes
            return self._made(inputs, scratch or Scratch())

    def compute_in_run(self, values: Mapping[str, Array], scratch: Scratch) -> dict[str, Array]:
        """Compute as a part of a run, in which floating-point errors are ignored already.

        Raises ProfileError with the step's label, InputError where an input is missing.
        """
        try:
            return self._made(values, scratch)
        except ProfileError as error:
            raise error.within(f"step {self.step.label}") from error

    def _made(self, inputs: Mapping[str, Array], scratch: Scratch) -> dict[str, Array]:
        arrays = self.arrays(inputs)
        outputs = self._nothing(arrays)
        if outputs is None:
            outputs = self.kernel(arrays, scratch)
        return dict(zip(self.step.output_names, outputs, strict=True))

    def questions(self, inputs: Mapping[str, Array]) -> Sequence[Part]:
        """Return what the step asks of its inputs, sums computed; () for operators that ask nothing."""
        arrays = self.arrays(inputs)
        if self._nothing(arrays) is not None:
            return ()
        with np.errstate(all="ignore"):
            return self.kernel.questions(arrays)

    def _nothing(self, arrays: Sequence[Array | None]) -> tuple[Array, ...] | None:
        """Return the outputs where none of them has an element, as of a batch of 0 images; None for others."""
        names = self.step.output_names
        if all(array is None or array.size for array in arrays) or not all(name in self.tensors for name in names):
            return None
        try:
            made = self.operator.shapes(self.step.attributes, *(None if a is None else a.shape for a in arrays))
        except ShapeError:
            return None
        if any(0 not in shape for shape in made[: len(names)]):
            return None
        return tuple(
            np.zeros(concrete(shape), self.tensors[name].dtype) for name, shape in zip(names, made, strict=False)
        )

    def numbers(self, inputs: Mapping[str, Array]) -> Mapping[str, Any]:
        """Return the numbers that the step's arithmetic uses, by name, in the very arrays that it uses.

        inputs: arrays by ONNX name; may be empty where weights are constants.
        """
        if self.kernel.numbers is not None:
            return self.kernel.numbers
        with np.errstate(all="ignore"):
            return self.kernel.parameters(self.arrays(inputs))

    def parameters(self, inputs: Mapping[str, Array]) -> Mapping[str, Any]:
        """Return what `numbers` returns, to give away."""
        return copied_numbers(self.numbers(inputs))

    def under(self, profile: Profile) -> BoundStep:
        """Return the step with another profile's arithmetic; making it is quick.

        Raises ProfileError where that profile does not define the step, here or when the step is evaluated.
        """
        if not isinstance(self.operator, IntegerOperator):
            return replace(bind_step(self.step, self.consts, profile), tensors=self.tensors)
        binding = replace(self.binding, profile=profile)
        return replace(self, binding=binding, kernel=Answered(self.operator, binding, self.kernel))

    def arrays(self, inputs: Mapping[str, Array]) -> list[Array | None]:
        """Return the operands' arrays in the operator's order, None where an optional one is absent."""
        found: list[Array | None] = []
        consts = self.consts
        for operand in self.step.inputs:
            if operand is None:
                found.append(None)
            elif operand.name in inputs:
                found.append(inputs[operand.name])
            elif operand.name in consts:
                found.append(consts[operand.name])
            else:
                problem = Problem(f"step {self.step.label}", f"an array for '{operand.name}'", "none")
                raise InputError("an input of the step is missing", [problem])
        return found


def on_host(program: Program, step: Step) -> str:
    """Describe what a host computes of a step in place of a device; '' where that is nothing."""
    return float_work(program, step) if program.lowering in ROUNDED else ""


def bind_step(
    step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO, certified: bool = True
) -> BoundStep:
    """Return the step with the profile's arithmetic.

        consts: the program's constants by name.
        strategy: how integer sums are computed.
        certified: whether a cheap form of the rule is looked for, which takes longer to find than a few runs of the
            rule itself.

    Raises ProfileError where the profile does not define the step, ProofError for a strategy that is not exact for the
    step.
    """
    operator = operator_of(step)
    own = {name: consts[name] for name in step.input_names if name in consts}
    binding = Binding(step, profile, own)
    with np.errstate(all="ignore"):  # scales may have any size: a rule refuses what it cannot express
        return BoundStep(step, operator, binding, kernel_for(operator, binding, strategy, certified))


class Plan:
    """A program bound to one profile and one strategy. A plan is immutable; threads may share it."""

    def __init__(self, program: Program, profile: Profile, strategy: str) -> None:
        self.program = program
        self.profile = profile
        self.strategy = strategy
        self.scratch = ScratchPool()
        keep_freed_memory()  # of this plan's runs
        self.consts = {name: t.const for name, t in program.tensors.items() if t.const is not None}
        #: The bound steps, in order.
        self.steps = self._bind()
        #: For each tensor, the index of the last step that reads it.
        self.last_use = {name: index for index, step in enumerate(program.steps) for name in step.input_names}
        #: What is promised of each tensor's values under the profile.
        self.promises = self._promises()
        #: The tensors whose elements decide sizes: a run knows them when it begins.
        self._deciding = deciding(program)
        #: The inputs among them.
        self.size_inputs = tuple(name for name in program.inputs if name in self._deciding)
        #: By the shapes of the inputs, and the elements of those that decide sizes.
        self._settled: dict[Key, Settled] = {}
        self._admitted: set[tuple[Key, bool]] = set()

    def _bind(self) -> tuple[BoundStep, ...]:
        """Bind every step; what the profile does not define is reported for all layers at once."""
        problems = Problems()
        bound: list[BoundStep] = []
        kind: type[QdqnpError] = ProfileError if self.profile.name != "ort" else ModelError
        self._check_overrides(problems)
        device = self.program.lowering in ROUNDED
        for refusal in self.program.refusals if self.profile.host_float and not device else ():
            if refusal.session:
                problems.add(f"node {refusal.node}", "what the profile's session accepts", refusal.reason)
        for step in self.program.steps:
            floats = "" if self.profile.host_float else float_work(self.program, step)
            if floats:
                kind = ProfileError
                reason = why_float(self.program, step)
                got = f"{floats}: {reason}" if reason else floats
                problems.add(f"step {step.label}", "an integer operator", got, FLOAT_HINT)
                continue
            try:
                made = bind_step(step, self.consts, self.profile, self.strategy)
                bound.append(replace(made, tensors=self.program.tensors))
            except QdqnpError as error:
                kind = type(error)
                for problem in error.problems:
                    problems.add(f"step {step.label}, {problem.where}", problem.expected, problem.got, problem.hint)
        problems.raise_if_any(f"the model cannot run under profile '{self.profile.name}'", kind)
        return tuple(bound)

    def _promises(self) -> Mapping[str, Promise]:
        """Give each tensor the first doubt among what it is made from, or else the doubt of the step that makes it."""
        found = dict.fromkeys(self.program.tensors, EXACT)
        for bound in self.steps:
            step, own = bound.step, EXACT
            floats = on_host(self.program, step)
            doubt = bound.operator.doubt(bound.binding)
            if floats:
                own = Promise(f"'{step.label}', {floats}: {ON_HOST}", step.label)
            elif step.doubt:
                own = Promise(f"{step.op} '{step.label}': {step.doubt}", step.label)
            elif doubt:
                kind = "" if step.given is not None else "float32 "
                own = Promise(f"{kind}{step.op} '{step.label}': {doubt}", step.label)
            inherited = (found[name] for name in step.input_names if not bound.operator.of_shapes)
            promise = next((promise for promise in (*inherited, own) if not promise.exact), EXACT)
            found.update(dict.fromkeys(step.output_names, promise))
        return found

    def _check_overrides(self, problems: Problems) -> None:
        """Reject overrides for unknown layers; otherwise a typo would be ignored silently."""
        labels = {step.label for step in self.program.steps}
        for rule in rule_names():
            for label, _ in getattr(getattr(self.profile, rule), "overrides", ()):
                if label not in labels:
                    problems.add(f"profile '{self.profile.name}', {rule}.overrides", "a layer of the model", label)

    def shapes(
        self, inputs: Mapping[str, tuple[int, ...]], values: Mapping[str, Array] | None = None
    ) -> Mapping[str, tuple[int, ...]]:
        """Return the concrete shape of every tensor for these input shapes.

        values: the elements of the inputs that decide sizes (`size_inputs`), by name.

        Raises InputError where the shapes do not fit a step, or a tensor would need more memory than is allowed.
        """
        return self._settle(inputs, values or {})[1].shapes

    def _settle(self, inputs: Mapping[str, Sizes], values: Mapping[str, Array]) -> tuple[Key, Settled]:
        elements = tuple(values[name].tobytes() if name in values else b"" for name in self.size_inputs)
        key = (tuple(inputs[name] for name in self.program.inputs), elements)
        found = self._settled.get(key)
        if found is None:
            found = settle(self.steps, {**self.consts, **values}, inputs, self._deciding)
            self._make_room()
            self._settled[key] = found
        return key, found

    def admit(
        self, inputs: Mapping[str, Sizes], keep_all: bool = False, values: Mapping[str, Array] | None = None
    ) -> None:
        """Check that a run for these input shapes is in proportion to what the model is given.

            keep_all: whether every tensor is kept to the end, as in a trace.
            values: the elements of the inputs that decide sizes (`size_inputs`), by name.

        Raises InputError where the shapes do not fit, or the run would take far more memory or time than the constants
        and inputs explain.
        """
        key, settled = self._settle(inputs, values or {})
        if (key, keep_all) in self._admitted:
            return
        shapes = settled.shapes
        budget = Budget(given_bytes(self.program, inputs, self.consts))
        held = 0
        for index, (bound, (operator, step)) in enumerate(zip(self.steps, settled.steps, strict=True)):
            budget.spend(operator, step, shapes, held)
            held += sum(self._nbytes(name, shapes) for name in bound.step.output_names)
            if not keep_all:
                read = dict.fromkeys(bound.step.input_names)
                held -= sum(self._nbytes(name, shapes) for name in read if self.last_use[name] == index)
        self._admitted.add((key, keep_all))

    def _nbytes(self, name: str, shapes: Mapping[str, Sizes]) -> int:
        """Count the bytes of a tensor that a step makes; constants and inputs are there anyway."""
        made = name not in self.consts and name not in self.program.inputs
        return bytes_needed(self.program.tensors[name].dtype, shapes[name]) if made else 0

    def _make_room(self) -> None:
        """Forget what is known of shapes where there are many, as of pictures of every size."""
        if len(self._settled) >= SHAPES_KEPT:
            self._settled.clear()
            self._admitted.clear()

    def macs(self, bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Count the multiply-accumulates of one step for concrete shapes."""
        return bound.operator.macs(bound.step.attributes, *shapes_of(bound.step, shapes))


def checked(bound: BoundStep, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Return the arrays of one step by name, its constants among them, if they pass the checks of a whole run.

    Raises InputError that lists everything that does not fit.
    """
    names = dict.fromkeys(bound.step.input_names)
    if not isinstance(inputs, Mapping):
        free = [name for name in names if name not in bound.consts]
        if len(free) != 1:
            problem = Problem("inputs", "arrays by name", type(inputs).__name__, f"The step reads {list(names)}.")
            raise InputError("the step does not read exactly one tensor", [problem])
        inputs = {free[0]: inputs}
    problems = Problems()
    for name in inputs:
        if name not in names and name not in bound.tensors:
            problems.add(f"input '{name}'", "a tensor of the model", "another name", f"The step reads {list(names)}.")
    found = {**bound.consts, **{name: np.asarray(array) for name, array in inputs.items() if name in names}}
    for name in names:
        if name not in found:
            problems.add(f"input '{name}'", "an array", "nothing", f"The step reads {list(names)}.")
        elif name in bound.tensors:
            _check_array(found[name], bound.tensors[name], problems)
    problems.raise_if_any(f"the inputs do not fit step {bound.step.label}", InputError)
    settled = settle((bound,), found, {}, ())
    ((operator, step),) = settled.steps
    Budget(sum(array.nbytes for array in found.values())).spend(operator, step, settled.shapes)
    return found


def _check_array(array: Array, tensor: Tensor, problems: Problems) -> None:
    """Note a dtype or shape that is not the tensor's; sizes that the file leaves open may be any."""
    if array.dtype != tensor.dtype:
        what = f"{tensor.dtype} codes" if tensor.quant is not None else str(tensor.dtype)
        problems.add(f"input '{tensor.name}'", what, array.dtype, "Codes are not converted here, nor real values.")
    sizes = zip(array.shape, tensor.shape, strict=False)
    if array.ndim != len(tensor.shape) or any(isinstance(want, int) and size != want for size, want in sizes):
        problems.add(f"input '{tensor.name}'", f"shape {list(tensor.shape)}", list(array.shape))


def copied_numbers(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that an arithmetic uses in arrays that it does not use."""
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in numbers.items()}


def accumulators(bound: BoundStep, values: Mapping[str, Array]) -> Array | None:
    """Return the int32 accumulators (sum plus bias, wrapped) of a step, in the shape of its output.

    The result is None for steps that do not requantize sums.
    """
    parts = bound.questions(values)
    if not isinstance(bound.operator, IntegerOperator) or not all(isinstance(p.question, Summed) for p in parts):
        return None
    found = np.empty(bound.operator.output_shape(bound.step, bound.arrays(values)), np.int32)
    for part in parts:
        assert isinstance(part.question, Summed)
        part.put(found, part.question.total.astype(np.int32))
    return found
